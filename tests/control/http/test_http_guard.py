"""Who is let in: Host, Origin, tokens, and what of that is told to whom."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from offhook.control.access import MAX_DENIALS, Denials
from offhook.errors import SetupError
from offhook.phone.events import AuditDenied
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served, serving
from offhook.testing.sharing import share


def denials(backend: FakeBackend) -> list[AuditDenied]:
    return [event for event in backend.said if isinstance(event, AuditDenied)]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:5080", "[::1]:80", "localhost."])
async def test_our_own_names(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/v1/status", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:50", "192.0.2.1", "127.0.0.1.x", ""])
async def test_a_name_that_was_made_to_point_here(http: httpx.AsyncClient, backend: FakeBackend, host: str) -> None:
    answer = await http.post("/v1/calls", json={"to": "1"}, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")
    assert backend.commands == []


@pytest.mark.parametrize(("version", "head", "status"), [
    ("1.1", "Authorization: Bearer TOKEN", 400), ("1.0", "Authorization: Bearer TOKEN", 200), ("1.0", "Accept: */*", 401),
    ("1.0", "Authorization: Bearer TOKEN\r\nOrigin: http://evil.example", 400),
    ("1.0", "Authorization: Bearer TOKEN\r\nHost: evil.example", 421),
])
async def test_a_request_without_a_host(served: Served, version: str, head: str, status: int) -> None:
    """Clients of HTTP/1.0 need not name it, and a page in a browser is none of them."""
    head = head.replace("TOKEN", served.token)
    found = await served.raw(f"GET /v1/status HTTP/{version}\r\n{head}\r\nConnection: close\r\n\r\n".encode())
    assert found.split()[1] == str(status).encode()
    assert (b"a Host header is required" in found) is (status == 400)


@pytest.mark.parametrize("name", ["Host", "Authorization"])
async def test_what_could_be_read_in_two_ways_is_refused(served: Served, name: str) -> None:
    good = {"Host": "localhost", "Authorization": f"Bearer {served.token}"}
    head = "".join(f"{each}: {value}\r\n" for each, value in [*good.items(), (name, "other")])
    for path, more in (("/v1/status", ""), ("/v1/socket", WEBSOCKET)):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET {path} HTTP/1.1\r\n{head}{more}Connection: {'Upgrade' if more else 'close'}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"400", path
        writer.close()
        await writer.wait_closed()


WEBSOCKET = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


async def test_further_names_and_pages(backend: FakeBackend, tmp_path: Path) -> None:
    page = "https://crm.example.org"
    async with (
        serving(backend, tmp_path, hosts=("phone.lan",), origins=(page,)) as served,
        httpx.AsyncClient(base_url=served.url, headers=served.bearer, verify=False) as http,
    ):
        answer = await http.get("/v1/status", headers={"Host": "phone.lan:5080", "Origin": page})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)
        assert answer.headers["vary"] == "Origin", "no cache may give it to another page"
        assert {"Link", "Location", "Content-Disposition"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        before = await http.options("/v1/calls", headers={"Origin": page, "Access-Control-Request-Method": "POST"})
        assert (before.status_code, before.headers["access-control-allow-methods"]) == (204, "GET, HEAD, POST, DELETE")
        assert "Authorization" in before.headers["access-control-allow-headers"]
        other = await http.options("/v1/calls", headers={"Origin": "https://evil.example"})
        assert other.status_code == 405
        assert not any(name.startswith("access-control") for name in other.headers)


async def test_no_page_is_allowed_by_default(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/status", headers={"Origin": "https://evil.example"})
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(("value", "error"), [
    (b"", "invalid_token"), (b"Bearer", "invalid_token"), (b"Bearer x", "invalid_token"), (b"Basic dTpw", "invalid_token"),
    (b"bearer " + b"x" * 5000, "invalid_token"), (b"Bearer \xe9\xff", "invalid_token"), (None, 'realm="offhook"'),
])  # fmt: skip
async def test_no_good_token(served: Served, http: httpx.AsyncClient, value: bytes | None, error: str) -> None:
    request = http.build_request("GET", "/v1/status")
    del request.headers["authorization"]
    if value is not None:
        request = http.build_request("GET", "/v1/status", headers={b"Authorization": value})
    answer = await http.send(request)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="offhook"')
    assert answer.headers["www-authenticate"].rstrip('"').endswith(error.rstrip('"'))
    assert (await http.get("/v1/status", headers={"Authorization": f"bEARER  {served.token}"})).status_code == 200
    assert (await http.get("/v1/status", headers={"Authorization": f"Basic {served.token}"})).status_code == 401


async def test_who_guesses_is_told_to_wait_and_others_are_not(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    wrong = {"Authorization": "Bearer guess"}
    seen = [(await http.get("/v1/status", headers=wrong)).status_code for _ in range(MAX_DENIALS + 3)]
    assert seen == [401] * MAX_DENIALS + [429] * 3
    assert 0 < int((await http.get("/v1/status", headers=wrong)).headers["retry-after"]) <= 60
    assert (await http.get("/v1/status")).status_code == 200
    found = denials(backend)
    assert [(event.surface, event.peer, event.attempts) for event in found] == [("http", "127.0.0.1", 1)]


def test_denials_are_said_once_a_minute(backend: FakeBackend) -> None:
    now = 100.0
    counter = Denials(backend, "http", lambda: now)
    for _ in range(25):
        counter.note("192.0.2.1", "wrong")
    now = 161.0
    counter.note("192.0.2.2", "wrong")
    assert [event.attempts for event in denials(backend)] == [1, 25]
    assert counter.wait("192.0.2.1") == 0
    assert counter.wait("unheard") == 0
    for number in range(3000):
        counter.note(f"peer-{number}", "wrong")
    assert len(counter._recent) == 1000


async def test_tokens_come_and_go_while_it_runs(served: Served, http: httpx.AsyncClient) -> None:
    token = served.tokens.create("second", ["read"])
    second = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/v1/status", headers=second)).status_code == 200
    served.tokens.revoke("second")
    assert (await http.get("/v1/status", headers=second)).status_code == 401


async def test_new_limits_do_not_forget_what_was_spent(served: Served, http: httpx.AsyncClient) -> None:
    crm = {"Authorization": f"Bearer {served.tokens.create('crm', ['call'], 1)}"}
    assert (await http.post("/v1/calls", json={"to": "1"}, headers=crm)).status_code == 201
    served.tokens.change("crm", deny=["0900*"])
    assert (await http.post("/v1/calls", json={"to": "1"}, headers=crm)).status_code == 429


async def test_nobody_is_let_in_while_the_tokens_cannot_be_trusted(served: Served, http: httpx.AsyncClient) -> None:
    share(served.tokens.path)
    served.tokens._seen = None
    answer = await http.get("/v1/status")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


async def test_no_secret_leaves_the_phone(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guess = "oht_" + "guess" * 8
    backend.refuse = ZeroDivisionError()
    said = ""
    for headers in ({"Authorization": f"Bearer {guess}"}, {}, {"Authorization": f"Basic {guess}"}, {"Host": "evil.example"}):
        for path in ("/v1/status", "/v1/nothing", "/v1/socket"):
            answer = await http.get(path, headers=headers)
            said += answer.text + str(answer.headers)
    said += repr(backend.said) + caplog.text + served.tokens.path.read_text()
    assert guess not in said
    assert served.token not in said
    assert "ZeroDivisionError" in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_no_secret_of_a_websocket_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"ws://127.0.0.1:{served.port}/v1/socket"
    protocols = [Subprotocol("offhook.v1"), Subprotocol(f"bearer.{served.token}")]
    async with connect(url, additional_headers=served.bearer, subprotocols=protocols, proxy=None) as ws:
        await ws.send(f'{{"op":"ping","token":"{served.token}"}}')
        assert served.token not in str(await ws.recv())
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.client"]
    assert not [text for text in ours if served.token in text]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificate(tmp_path)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "c.pem", folder / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


async def test_beyond_this_machine_with_tls(backend: FakeBackend, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    pem, key = map(str, certificate)
    async with serving(backend, tmp_path, host="0.0.0.0", certificate=pem, key=key) as served:
        trusted = ssl.create_default_context(cafile=pem)
        url = f"https://127.0.0.1:{served.port}"
        assert served.url.startswith("https://")
        async with httpx.AsyncClient(base_url=url, headers=served.bearer, verify=trusted) as http:
            assert (await http.get("/v1/status")).status_code == 200
            for host, status in (("192.0.2.7:5080", 200), ("[2001:db8::7]", 200), ("evil.example", 421)):
                assert (await http.get("/v1/status", headers={"Host": host})).status_code == status, host
        secure = f"wss://127.0.0.1:{served.port}/v1/socket"
        async with connect(secure, additional_headers=served.bearer, proxy=None, ssl=trusted) as ws:
            await ws.send('{"id":1,"op":"ping"}')
            assert json.loads(await ws.recv())["ok"] is True
        assert b"evil" not in await served.raw(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n")


async def test_a_renewed_certificate_is_shown_without_a_new_start(
    backend: FakeBackend, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    """A phone that runs for months outlives its certificate."""
    pem, key = certificate
    first = pem.read_bytes()
    (tmp_path / "renewed").mkdir()
    renewed_pem, renewed_key = make_certificate(tmp_path / "renewed")
    async with serving(backend, tmp_path, certificate=str(pem), key=str(key)) as served:
        renewed_key.replace(key)
        assert await shown(served.port) == first, "the certificate is not there yet"
        renewed_pem.replace(pem)
        assert await shown(served.port) == pem.read_bytes() != first
        async with httpx.AsyncClient(headers=served.bearer, verify=ssl.create_default_context(cafile=str(pem))) as http:
            assert (await http.get(f"https://127.0.0.1:{served.port}/v1/status")).status_code == 200
        pem.unlink()
        assert await shown(served.port) != first


async def shown(port: int) -> bytes:
    """Return the certificate of who listens there, as a client sees it that names no host."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = ssl.DER_cert_to_PEM_cert(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    writer.close()
    await writer.wait_closed()
    return found.encode()


@pytest.mark.parametrize(("listen", "why"), [
    ({"host": "0.0.0.0"}, "TLS"), ({"host": "192.0.2.1"}, "TLS"), ({"host": "::"}, "TLS"),
    ({"host": "phone.lan"}, "IP address"), ({"certificate": "x"}, "belong together"),
    ({"certificate": "/none", "key": "/none"}, "cannot be used"),
])  # fmt: skip
async def test_a_dangerous_address_is_refused(backend: FakeBackend, tmp_path: Path, listen: dict[str, Any], why: str) -> None:
    with pytest.raises(SetupError, match=why):
        async with serving(backend, tmp_path, **listen):
            pass


async def test_beyond_this_machine_a_token_must_exist(backend: FakeBackend) -> None:
    from offhook.control.http.binding import Listen, check_bind

    listen = Listen("0.0.0.0", certificate="c.pem", key="k.pem")
    with pytest.raises(SetupError, match="token create"):
        check_bind(listen, False)
    check_bind(listen, True)


async def test_a_taken_port(served: Served, backend: FakeBackend, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="another program has it"):
        async with serving(backend, tmp_path / "other", port=served.port):
            pass
    async with serving(backend, tmp_path / "other", port=served.port, any_port=True) as other:
        assert other.port != served.port


async def test_a_token_in_the_query_opens_the_events_and_nothing_else(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, verify=False) as browser:
        assert (await browser.get(f"/v1/events?access_token={served.token}")).status_code == 200
        assert (await browser.get("/v1/events?access_token=wrong")).status_code == 401
        assert (await browser.get(f"/v1/status?access_token={served.token}")).status_code == 401
        problem = (await browser.get(f"/v1/events?access_token={served.token}&moon=1")).json()
    assert served.token not in str(problem)
