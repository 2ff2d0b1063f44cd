"""Starts what stays: the phone and the practice exchange. The only way from the command line into `offhook.app`."""

from __future__ import annotations

import gc
from types import SimpleNamespace

from offhook.cli.outcome import DONE, REFUSED, Ended
from offhook.cli.parsing import Invocation, usage_error

EXCHANGE_PORT = 5070
SOUNDS = ("auto", "null", "miniaudio", "sounddevice")


def run_phone(use: Invocation) -> int:
    """Run the phone in the foreground."""
    media = use.text("media")
    if media not in ("", "process", "thread"):
        raise usage_error(use.verb, "--media is process or thread", "media")
    sound = use.text("sound")
    if sound not in ("", *SOUNDS) and not sound.startswith("file:"):
        raise usage_error(use.verb, f"--sound is {', '.join(SOUNDS)} or file:IN.wav,OUT.wav", "sound")
    options = SimpleNamespace(
        config=use.text("config"), socket=use.text("socket"), sound=sound, media=media, port=_port(use),
        verbose=use.flag("verbose"), http=use.text("http"),
    )  # fmt: skip
    # Modules stay, so collecting while they are read frees nothing and takes a sixth of the start; `serve` enables it again.
    gc.disable()
    from offhook.app import serve

    return serve.run_phone(options)


def run_exchange(use: Invocation) -> int:
    """Run the practice exchange in the foreground."""
    options = SimpleNamespace(
        host=use.text("host", "127.0.0.1"), port=_port(use, EXCHANGE_PORT), verbose=use.flag("verbose"), tls=use.flag("tls"),
        md5=use.flag("md5"),
    )  # fmt: skip
    from offhook.app import practice

    return practice.run_exchange(options)


def run_mcp(use: Invocation) -> int:
    """Be a Model Context Protocol server for the running phone."""
    scopes = [scope.strip() for scope in use.text("scopes", "read,call,media").split(",")]
    from offhook.control.access import ALL_SCOPES

    unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
    if unknown:
        raise usage_error(use.verb, f"there is no scope {unknown[0]!r}; there are: {', '.join(sorted(ALL_SCOPES))}", "scopes")
    try:
        from offhook.control import mcp
    except ModuleNotFoundError as error:
        raise Ended(REFUSED, f"{error.name} is not installed: run  pip install 'offhook[mcp]'") from None
    mcp.serve(use.socket_path, scopes)
    return DONE


def _port(use: Invocation, default: int | None = None) -> int | None:
    """Return the port that was asked for (0: any that is free), or the default."""
    if not use.text("port"):
        return default
    port = use.whole("port")
    if not 0 <= port <= 65535:
        raise usage_error(use.verb, "--port is 0 to 65535", "port")
    return port
