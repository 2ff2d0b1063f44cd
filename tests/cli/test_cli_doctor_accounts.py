"""What the doctor says of one account: against the practice exchange, and peers that refuse, stay silent or sit behind NAT."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.doctor.accounts import look_at_account, no_accounts
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.meaning import ANSWERS, meaning
from offhook.io.probe import LINUX
from offhook.phone.settings import AccountSettings
from offhook.sip.auth import make_challenge
from offhook.sip.events import Address
from offhook.sip.message import Request, Response
from offhook.sip.responses import response_to
from offhook.sip.stack import host_port
from offhook.storage.config import Config
from offhook.storage.paths import paths
from offhook.testing.threaded import exchange_beside, sip_peer, tcp_peer
from offhook.testing.wine import under_wine

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Address]:
    with exchange_beside() as address:
        yield address


@pytest.fixture
def case(tmp_path: Path) -> Case:
    config = Config()
    found = Case(str(tmp_path / "s"), patience=3.0, where=paths({"OFFHOOK_HOME": str(tmp_path)}))
    found.config = replace(config, sip=replace(config.sip, host="127.0.0.1"))
    return found


def account(where: Address | str, username: str = "1001", **more: Any) -> AccountSettings:
    domain = where if isinstance(where, str) else host_port(where)
    return AccountSettings(id="work", domain=domain, username=username, **{"password": "practice-1001", **more})


def look(case: Case, settings: AccountSettings, view: dict[str, Any] | None = None) -> dict[str, Finding]:
    """Return the findings by their names, without the account's."""
    found = list(look_at_account(case, settings, view))
    by_name = {finding.name.removeprefix("account work").removeprefix(", "): finding for finding in found}
    assert len(by_name) == len(found)
    return by_name


def running(case: Case, state: str, **more: Any) -> dict[str, Any]:
    """Let a phone run; return its view of the account."""
    view = {"id": "work", "uri": "sip:1001@pbx", "transport": "udp", "registration": state, "sip_status": 0,
            "expires": 300 if state == "registered" else 0, "reason": "", "retry_in": None, **more}  # fmt: skip
    case.phone = PhoneFacts(accounts=[view])
    return view


# --- the practice exchange -----------------------------------------------------------------------------------------


def test_all_is_well(case: Case, exchange: Address) -> None:
    found = look(case, account(exchange))
    assert {finding.level for finding in found.values()} == {"ok"}
    assert "nothing has to be looked up" in found["name"].text
    assert f"{host_port(exchange)} answers 200 OK after" in found["UDP"].text
    assert "answers 200 OK" in found["TCP"].text
    assert "which is our own address: no NAT between" in found["NAT"].text
    assert found["password"].text == "accepted; no phone is registered with it now"


@pytest.mark.lengthy
def test_tls_is_tried_as_the_phone_would(case: Case, tmp_path: Path) -> None:
    ca, ports = str(tmp_path / "ca.pem"), dict[str, int]()
    impatient = replace(case, patience=0.5)  # for who does not speak TLS: nothing comes from there
    with exchange_beside(ca, ports) as address:
        settings = account(address, transport="tls", proxy=f"sip:127.0.0.1:{ports['tls']}", tls_ca=ca)
        found = look(case, settings)
        assert found["TLS"].level == "ok"
        assert "for 365 more days" in found["certificate"].text
        assert found["password"].level == "ok"

        stranger = look(case, replace(settings, tls_ca=""))["TLS"]
        assert stranger.level == "wrong"
        assert "nobody this machine trusts has signed the certificate of 127.0.0.1" in stranger.text
        assert "tls_name" in look(case, replace(settings, tls_name="pbx.example"))["TLS"].text
        clear = look(impatient, replace(settings, proxy=f"sip:127.0.0.1:{address[1]}"))["TLS"]
        assert "TLS" in clear.text
        assert clear.level == "wrong"
        web = look(case, replace(settings, transport="wss", proxy=f"sip:127.0.0.1:{ports['wss']}"))["WSS"]
        assert (web.level, "answers 200 OK after" in web.text) == ("ok", True)
        plain = look(case, replace(settings, transport="ws", proxy=f"sip:127.0.0.1:{ports['ws']}"))["WS"]
        assert plain.level == "ok"
        none = look(impatient, replace(settings, transport="ws", proxy=f"sip:127.0.0.1:{address[1]}"))["WS"]
        assert none.level == "wrong"
        assert f"no WebSocket at 127.0.0.1:{address[1]}/" in none.text
        stranger = look(case, replace(settings, transport="wss", tls_ca="", proxy=f"sip:127.0.0.1:{ports['wss']}"))["WSS"]
        assert "nobody this machine trusts has signed the certificate" in stranger.text


def test_a_connection_without_signs_of_life_is_pointed_out(case: Case, exchange: Address) -> None:
    found = look(case, account(exchange, transport="tcp", keep_alive=0))["keep-alive"]
    assert found.level == "warning"
    assert "for up to 300 s" in found.text
    for fine in (account(exchange, transport="tcp"), account(exchange, keep_alive=0)):
        assert "keep-alive" not in look(case, fine)


def test_a_wrong_password_and_an_unknown_user_are_told_apart(case: Case, exchange: Address) -> None:
    wrong = look(case, account(exchange, password="guess"))["password"]
    assert (wrong.level, wrong.text) == ("wrong", "wrong password for 1001 (403 Wrong Password)")
    assert "wrong password for ann (403 " in look(case, account(exchange, auth_username="ann"))["password"].text
    assert "`offhook password work` keeps another" in wrong.advice
    unknown = look(case, account(exchange, "nobody"))["password"]
    assert (unknown.level, unknown.text) == ("wrong", "the registrar does not know the user nobody (404 Not Found)")
    assert "check username and domain" in unknown.advice


def test_without_a_password_the_doctor_says_so(case: Case, exchange: Address) -> None:
    found = look(case, account(exchange, password=""))["password"]
    assert found.level == "wrong"
    assert "asks for one, and none is known (401 Unauthorized)" in found.text
    assert "`offhook password work`" in found.advice


def test_nothing_is_changed_at_the_registrar(case: Case) -> None:
    asked: list[Request] = []

    def answers(request: Request, source: Address) -> Response:
        asked.append(request)
        return response_to(request, 200, "", "t", [("Contact", "<sip:1001@192.0.2.5:5062>;expires=60")])

    with sip_peer(answers) as peer:
        found = look(case, account(peer.address))
    register = next(request for request in asked if request.method == "REGISTER")
    assert "Contact" not in register.headers
    assert "Expires" not in register.headers
    assert str(register.uri) == f"sip:{host_port(peer.address)}"
    assert found["password"].text == ("not asked for: the registrar takes this user without; "
                                      "registered with it now: 192.0.2.5:5062")


def test_an_account_that_does_not_register_is_not_tried(case: Case, exchange: Address) -> None:
    assert "password" not in look(case, account(exchange, register=False))


def test_a_proxy_is_asked_in_the_domains_place(case: Case) -> None:
    asked: list[Request] = []

    def answers(request: Request, source: Address) -> Response:
        asked.append(request)
        return response_to(request, 200, "", "t")

    with sip_peer(answers) as peer:
        proxy = f"sip:{host_port(peer.address)}"
        found = look(case, account("far.invalid", proxy=proxy))
    assert found["UDP"].level == found["password"].level == "ok"
    assert {str(request.uri) for request in asked} == {"sip:far.invalid"}
    assert {request.headers.get("Route") for request in asked} == {f"<{proxy};lr>"}


# --- what registrars say -------------------------------------------------------------------------------------------


def registrar(answer: Callable[[Request], Response]) -> Callable[[Request, Address], Response]:
    return lambda request, source: answer(request) if request.method == "REGISTER" else response_to(request, 200, "", "t")


def challenging(status: int, reason: str = "", **options: Any) -> Callable[[Request], Response]:
    """Ask for a password, then answer with `status`, which asks again if it is 401."""

    def answer(request: Request) -> Response:
        challenge = ("WWW-Authenticate", make_challenge("realm", "nonce", **options))
        if "Authorization" in request.headers and status != 401:
            return response_to(request, status, reason, "t")
        return response_to(request, 401, "", "t", [challenge])

    return answer


@pytest.mark.parametrize(("answer", "text", "advice"), [
    (lambda request: response_to(request, 403, "", "t"), "forbids it before it asks for a password (403 Forbidden)", "blocked"),
    (lambda request: response_to(request, 404, "", "t"), "does not know the user 1001", "check username"),
    (lambda request: response_to(request, 405, "", "t"), "405 Method Not Allowed: it is no registrar", "register = false"),
    (lambda request: response_to(request, 503, "", "t"), "503 Service Unavailable: it is out of service", "transport"),
    (challenging(401), "wrong password for 1001 (401 Unauthorized)", "keeps another"),
    (challenging(403), "refuses after it has got the password (403 Forbidden)", "most say this to a wrong password"),
    (challenging(403, "Bad auth"), "wrong password for 1001 (403 Bad auth)", "keeps another"),
    (challenging(200, algorithm="AKAv1-MD5"), "asks in a way this phone does not know: Digest", "MD5 or SHA-256"),
])  # fmt: skip
def test_a_registrars_no_is_put_into_words(
    case: Case, answer: Callable[[Request], Response], text: str, advice: str
) -> None:
    with sip_peer(registrar(answer)) as peer:
        found = look(case, account(peer.address))["password"]
    assert found.level == "wrong"
    assert text in found.text
    assert advice in found.advice


def test_a_stale_nonce_is_no_wrong_password(case: Case) -> None:
    nonces = iter(["old", "new"])

    def answer(request: Request) -> Response:
        if 'nonce="new"' in (request.headers.get("Authorization") or ""):
            return response_to(request, 200, "", "t")
        stale = "Authorization" in request.headers
        return response_to(request, 401, "", "t", [("WWW-Authenticate", make_challenge("r", next(nonces), stale=stale))])

    with sip_peer(registrar(answer)) as peer:
        assert look(case, account(peer.address))["password"].text.startswith("accepted")


@pytest.mark.parametrize("status", [*ANSWERS, 0, 302, 499, 599, 699])
def test_every_status_has_a_meaning_and_advice(status: int) -> None:
    what, advice = meaning(status)
    assert what
    assert advice


# --- the way -------------------------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.slow
def test_a_closed_port_is_told_from_silence(case: Case) -> None:
    refused = look(case, account(f"127.0.0.1:{closed_port()}"))
    assert refused["UDP"].level == "wrong"
    assert "the machine is there and refuses" in refused["UDP"].text
    assert "is the port" in refused["UDP"].advice
    assert refused["TCP"].level == "ok"
    assert refused["TCP"].text.endswith("; the account uses UDP")
    assert "password" not in refused
    case.patience = 0.2
    with sip_peer(lambda request, source: None) as peer:
        silent = look(case, account(peer.address))
    assert "no answer from" in silent["UDP"].text
    assert "over UDP within 0.2 s" in silent["UDP"].text
    assert "firewall" in silent["UDP"].advice


def test_a_transport_that_would_work_is_named(case: Case, exchange: Address) -> None:
    def relay(connection: socket.socket) -> None:
        with socket.create_connection(exchange) as onward:
            onward.sendall(connection.recv(9999))
            connection.sendall(onward.recv(9999))

    case.patience = 1.0
    with tcp_peer(relay) as address:
        found = look(case, account(address))
    assert found["UDP"].level == "wrong"
    assert 'it answers over TCP: set transport = "tcp" in [account.work]' in found["UDP"].advice
    assert found["TCP"].level == "ok"


@pytest.mark.slow
def test_a_registrar_that_ignores_options_is_no_trouble(case: Case) -> None:
    case.patience = 0.5

    def answers(request: Request, source: Address) -> Response | None:
        return None if request.method == "OPTIONS" else response_to(request, 200, "", "t")

    with sip_peer(answers) as peer:
        found = look(case, account(peer.address))
        assert found["UDP"].level == "ok"
        assert "does not answer OPTIONS, but it answers REGISTER" in found["UDP"].text
        found = look(case, account(peer.address), running(case, "registered"))
    assert found["UDP"].level == "warning"
    assert "yet the phone is registered there" in found["UDP"].text


def test_any_answer_shows_an_open_way(case: Case) -> None:
    server = [("Server", "Some PBX 7")]
    with sip_peer(lambda request, source: response_to(request, 405, "", "t", server)) as peer:
        found = look(case, account(peer.address))
    assert found["UDP"].level == "ok"
    assert "(Some PBX 7) answers 405 Method Not Allowed" in found["UDP"].text
    assert "the way is open" in found["UDP"].text


@pytest.mark.lengthy
def test_a_service_that_is_not_sip(case: Case) -> None:
    case.patience = 0.2
    with sip_peer(lambda request, source: b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        found = look(case, account(peer.address))
    assert found["UDP"].level == "wrong"
    assert "but not with SIP" in found["UDP"].text


@pytest.mark.skipif(not LINUX, reason="elsewhere the system hides such answers")
def test_an_answer_from_elsewhere_is_pointed_out(case: Case) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))

        def answers(request: Request, source: Address) -> None:
            other.sendto(response_to(request, 200, "", "t").encode(), source)

        with sip_peer(answers) as peer:
            found = look(case, account(peer.address))
        elsewhere = host_port(other.getsockname())
    assert found["UDP"].level == "ok"
    assert found["source"].level == "warning"
    assert found["source"].text == f"what was asked at {host_port(peer.address)} is answered from {elsewhere}"


@pytest.mark.lengthy
def test_a_connection_that_is_closed(case: Case) -> None:
    with tcp_peer(lambda connection: connection.recv(9999)) as address:
        found = look(case, account(address, transport="tcp"))
    assert found["TCP"].level == "wrong"
    assert "closes the connection without an answer" in found["TCP"].text
    assert "broke off (closed)" in found["password"].text


# --- names and families --------------------------------------------------------------------------------------------


def test_a_name_without_an_address_ends_the_examination(case: Case) -> None:
    found = look(case, account("pbx.example.invalid"))
    assert list(found) == ["name"]
    assert found["name"].level == "wrong"
    # .invalid never exists (RFC 6761 6.4); a machine without name servers cannot know that, and says so.
    assert "does not exist" in found["name"].text or "does not answer" in found["name"].text


def test_an_address_of_the_other_family_is_out_of_reach(case: Case) -> None:
    found = look(case, account("[::1]:5060"))
    assert list(found) == ["name", "address"]
    assert found["address"].level == "wrong"
    assert "has only IPv6 addresses (::1), but the phone's SIP socket at 127.0.0.1 is IPv4" in found["address"].text


def test_a_phone_on_loopback_reaches_nobody_else(case: Case) -> None:
    found = look(case, account("192.0.2.1"))
    assert list(found) == ["name", "way"]
    assert "the phone is bound to 127.0.0.1, so it reaches nothing but this machine" in found["way"].text
    assert 'sip.host = "0.0.0.0"' in found["way"].advice


@pytest.mark.skipif(under_wine(), reason="Wine binds a socket to any address")
def test_a_phone_on_an_address_that_is_not_ours(case: Case) -> None:
    case.config = replace(case.config, sip=replace(case.config.sip, host="192.0.2.200"))
    found = look(case, account("192.0.2.1"))["way"]
    assert found.text == "the phone is to speak from 192.0.2.200, which is no address of this machine"


def test_a_domain_that_is_none(case: Case) -> None:
    found = look(case, account("pbx:port"))
    assert found[""].level == "wrong"
    assert "not a host name or address" in found[""].text


# --- NAT and codecs ------------------------------------------------------------------------------------------------


def seen_as(received: str, port: int) -> Callable[[Request, Address], Response]:
    def answers(request: Request, source: Address) -> Response:
        via = request.via.with_param("received", received).with_param("rport", str(port or source[1]))
        request.headers.set("Via", str(via))
        return response_to(request, 200, "", "t")

    return answers


def test_a_router_between_is_seen_in_the_via(case: Case) -> None:
    with sip_peer(seen_as("203.0.113.7", 61234)) as peer:
        found = look(case, account(peer.address))["NAT"]
    assert found.level == "warning"
    assert found.text.startswith("we are behind NAT: our 127.0.0.1:")
    assert "is 203.0.113.7:61234 to the far end" in found.text
    assert 'set expires = 60, or transport = "tcp"' in found.advice


@pytest.mark.lengthy
def test_a_carriers_nat_and_changed_ports_are_named(case: Case) -> None:
    with sip_peer(seen_as("100.64.3.4", 0)) as peer:
        assert "the provider of this line has one more NAT" in look(case, account(peer.address))["NAT"].text
    with sip_peer(seen_as("127.0.0.1", 1024)) as peer:
        found = look(case, account(peer.address))["NAT"]
    assert found.level == "warning"
    assert "something between changes ports" in found.text


def test_a_far_end_that_does_not_say_what_it_sees(case: Case) -> None:
    with sip_peer(lambda request, source: response_to(request, 200, "", "t")) as peer:
        found = look(case, account(peer.address))["NAT"]
    assert found.level == "ok"
    assert "does not say which one it sees" in found.text


@pytest.mark.parametrize(("formats", "level", "text"), [
    ("9 0 101\r\na=rtpmap:101 telephone-event/8000", "ok", "takes G722, PCMU, TELEPHONE-EVENT; in common: PCMU"),
    ("8", "ok", "in common: PCMA; it does not take digits as telephone events"),
    ("9 111\r\na=rtpmap:111 opus/48000/2", "wrong", "nothing in common: the far end takes G722, OPUS"),
])  # fmt: skip
def test_codecs_of_an_answer_with_sdp_are_compared(case: Case, formats: str, level: str, text: str) -> None:
    def answers(request: Request, source: Address) -> Response:
        response = response_to(request, 200, "", "t", [("Content-Type", "application/sdp")])
        response.body = SDP.format(formats=formats).encode()
        return response

    with sip_peer(answers) as peer:
        found = look(case, account(peer.address))["codecs"]
    assert found.level == level
    assert text in found.text


def test_a_far_end_that_takes_no_sdp(case: Case) -> None:
    with sip_peer(lambda request, source: response_to(request, 200, "", "t", [("Accept", "text/plain")])) as peer:
        assert "takes text/plain, but no application/sdp" in look(case, account(peer.address))["codecs"].text


# --- what the running phone says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "reason", "text", "advice"), [
    (401, "Unauthorized", "401 Unauthorized: the password or the user name is wrong", "`offhook password work`"),
    (403, "Forbidden", "403 Forbidden: it forbids this", "`offhook password work`"),
    (404, "Not Found", "404 Not Found: it does not know this user name", "check username"),
    (408, "Request Timeout", "there was no answer in time", "firewall"),
    (423, "Interval Too Brief", "it wants longer registrations", "expires = 3600"),
    (500, "Oops", "500 Oops: it has an error inside", "wait"),
])  # fmt: skip
def test_a_failed_registration_is_explained(
    case: Case, exchange: Address, status: int, reason: str, text: str, advice: str
) -> None:
    found = look(case, account(exchange), running(case, "failed", sip_status=status, reason=reason, retry_in=30.0))
    assert found[""].level == "wrong"
    assert found[""].text.startswith("registration failed: ")
    assert text in found[""].text
    assert found[""].text.endswith("; next attempt in 30 s")
    found = look(case, account(exchange), running(case, "failed", sip_status=status, reason=reason, expires=25))
    assert found[""].text.endswith("; what was granted before holds for 25 s")
    assert advice in found[""].advice
    assert "password" not in found, "the phone's own attempts are enough"


@pytest.mark.parametrize(("state", "register", "level", "text"), [
    ("registered", True, "ok", "registered as sip:1001@pbx for 300 s"),
    ("registering", True, "warning", "is being registered"),
    ("unregistered", True, "warning", "no calls come in"),
    ("unregistered", False, "ok", "register = false"),
])  # fmt: skip
def test_the_state_of_a_registration(case: Case, exchange: Address, state: str, register: bool, level: str, text: str) -> None:
    found = look(case, account(exchange, register=register), running(case, state))[""]
    assert found.level == level
    assert text in found.text


def test_each_of_two_flows_is_told_in_words(case: Case, exchange: Address) -> None:
    stands = {"number": 1, "server": "sip:one.example", "state": "registered", "remote": "192.0.2.1:5061", "reason": "",
              "retry_in": None}  # fmt: skip
    down = {"number": 2, "server": "", "state": "failed", "remote": "", "reason": "connection refused", "retry_in": 118.4}
    found = look(case, account(exchange), running(case, "registered", flows=[stands, down]))
    assert (found["flow 1"].level, found["flow 1"].text) == ("ok", "stands, by sip:one.example at 192.0.2.1:5061")
    assert found["flow 2"].level == "warning"
    assert found["flow 2"].text == (
        "is down, by the domain's server: connection refused, next attempt in 118 s; flow 1 carries the calls meanwhile"
    )
    assert "goes on trying by itself" in found["flow 2"].advice
    found = look(case, account(exchange), running(case, "failed", flows=[{**stands, "state": "registering"}, down]))
    assert (found["flow 1"].level, found["flow 1"].text) == ("ok", "is being made, by sip:one.example")
    assert "meanwhile" not in found["flow 2"].text


def test_an_account_the_running_phone_does_not_have(case: Case, exchange: Address) -> None:
    case.phone = PhoneFacts()
    found = look(case, account(exchange))
    assert "not in the running phone" in found[""].text
    assert found["password"].level == "ok"


def test_accounts_come_from_the_file_and_from_the_phone(case: Case) -> None:
    case.config = replace(case.config, accounts=(account("pbx", password=""),))
    case.passwords = {"work": "kept"}
    view = running(case, "registered")
    later = {**view, "id": "later", "uri": "sip:me%20too@[::1]:5080", "transport": "tcp"}
    assert case.phone is not None
    case.phone.accounts.append(later)
    assert list(case.accounts()) == [
        (account("pbx", password="kept"), view),
        (AccountSettings(id="later", domain="[::1]:5080", username="me too", transport="tcp"), later),
    ]


def test_no_account_is_a_warning() -> None:
    (found,) = no_accounts()
    assert found.level == "warning"
    assert "offhook accounts add" in found.advice
