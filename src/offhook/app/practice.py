"""The practice exchange, alone or with a phone that is registered to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Final

from offhook.app.serve import serve
from offhook.app.settings import complete
from offhook.io.ending import told_to_end
from offhook.io.loop import run
from offhook.phone.settings import AccountSettings
from offhook.storage.config import load
from offhook.storage.paths import make_private, paths, socket_path

PRACTICE_HINTS: Final = """
Now, in a second terminal:

    . .venv/bin/activate
    offhook dial echo --wait        talk to yourself (tone, music, keypad, busy, callback, recorder, conference … answer too)
    offhook status                  idle, ringing, active …
    offhook dtmf 12#                digits
    offhook hold                    and: offhook resume
    offhook hangup
    offhook events --follow         every state change as it happens

Ctrl+C here ends everything. Events:
"""


def run_exchange(options: SimpleNamespace) -> int:
    """Run the practice exchange until interrupted."""
    return run(_run_exchange(options))


async def _run_exchange(options: SimpleNamespace) -> int:
    from offhook.exchange.authority import ALGORITHMS, MD5_ALONE
    from offhook.exchange.directory import LINES
    from offhook.exchange.server import Exchange

    trusted = paths().state / "exchange-ca.pem"
    if options.tls:
        make_private(trusted.parent)
    exchange = Exchange(
        options.host, options.port, on_event=lambda text: print(text, flush=True), tls=str(trusted) if options.tls else "",
        algorithms=MD5_ALONE if options.md5 else ALGORITHMS,
    )  # fmt: skip
    await exchange.start()
    try:
        host, port = exchange.address
        print(f"The practice exchange is on {host}:{port}. Accounts 1001 to 1009, password practice-<number>.")
        print("Whom to call:", *(f"    {line.name:12}{line.about}" for line in LINES.values()), sep="\n", flush=True)
        if options.tls:
            ports = exchange.ports
            print(
                f"TLS is on port {ports['tls']}, WebSocket on {ports['ws']} (ws) and {ports['wss']} (wss). "
                "An account for it:\n\n"
                f"    domain = \"{host}:{port}\"\n    proxy = \"sip:{host}:{ports['tls']}\"\n    transport = \"tls\"\n"
                f'    tls_ca = "{trusted}"\n',
                flush=True,
            )
        stop = asyncio.Event()
        with told_to_end(stop.set):
            await stop.wait()
    finally:
        await exchange.close()
    return 0


def run_practice(options: SimpleNamespace) -> int:
    """Run the practice exchange and a phone registered to it, and say what to try."""
    return run(_run_practice(options))


async def _run_practice(options: SimpleNamespace) -> int:
    from offhook.exchange.server import Exchange

    exchange = Exchange("127.0.0.1", options.port)
    await exchange.start()
    try:
        host, port = exchange.address
        print(f"The practice exchange is on {host}:{port}.", flush=True)
        account = AccountSettings(id="practice", domain=f"{host}:{port}", username="1001", password="practice-1001")  # noqa: S106
        config = complete(load(paths().config_file))
        config = replace(
            config,
            accounts=(account,),
            sip=replace(config.sip, host=host, port=0),
            media=replace(config.media, sound=options.sound or config.media.sound),
            http=replace(config.http, enabled=True),
        )
        print(PRACTICE_HINTS, flush=True)
        return await serve(config, options.socket or socket_path(), verbose=True, any_http_port=True)
    finally:
        await exchange.close()
