"""What the doctor says of this machine: configuration, passwords, the phone, names, ports, folders."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctor_case import case_in, only, settings

from offhook import __version__
from offhook.cli.doctor import folders, names, ports, running
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.configuration import look_at_configuration, look_at_passwords
from offhook.cli.doctor.finding import Finding, listed, milliseconds, within
from offhook.cli.doctor.nat import look_through_stun
from offhook.io.media_ports import PortPool
from offhook.io.media_wire import MediaOptions
from offhook.media import stun
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Address
from offhook.sip.responses import response_to
from offhook.sip.stack import host_port
from offhook.storage.config import Config
from offhook.storage.privacy import keep_private, private_again
from offhook.testing.backend import FakeBackend
from offhook.testing.ipv6 import NO_IPV6, has_ipv6
from offhook.testing.served import answering, served
from offhook.testing.sharing import share
from offhook.testing.threaded import UdpPeer, sip_peer

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a port, and how many files are open")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr("offhook.storage.secrets._keyring_backend", lambda: None)
    return case_in(tmp_path)


# --- configuration -------------------------------------------------------------------------------------------------


def test_a_mistake_is_named_with_line_and_key(case: Case) -> None:
    case.config_file.write_text("[sip]\nport = 5060\nhots = \"0.0.0.0\"\n")
    found = only(look_at_configuration(case))
    assert found.level == "wrong"
    assert found.text == f"{case.config_file}:3: sip.hots: is not a setting; did you mean host?"
    assert found.advice.startswith(f"correct {case.config_file}")
    assert case.config == Config()


def test_a_missing_file_is_fine_unless_it_was_named(case: Case) -> None:
    assert only(look_at_configuration(case)).level == "ok"
    case.config_given = str(case.where.config / "other.toml")
    found = only(look_at_configuration(case))
    assert found.level == "wrong"
    assert "other.toml" in found.text


def test_the_running_phones_own_file_is_looked_at(case: Case) -> None:
    other = case.where.config / "other.toml"
    other.write_text('[account.a]\ndomain = "d"\nusername = "u"\n')
    case.phone = PhoneFacts({"config": str(other)})
    assert only(look_at_configuration(case)).text == f"{other}, 1 account"
    case.config_given = str(case.where.config_file)
    assert "the defaults" not in only(look_at_configuration(case)).text, "the one that was named goes first"


def test_passwords_that_others_can_read_are_a_warning(case: Case) -> None:
    case.config_file.write_text('[account.a]\ndomain = "d"\nusername = "u"\npassword = "p"\n')
    share(case.config_file)
    whole, private = look_at_configuration(case)
    assert whole.text.endswith("offhook.toml, 1 account")
    assert private.level == "warning"
    assert private_again(case.config_file) in private.advice
    keep_private(case.config_file)
    assert only(look_at_configuration(case)).level == "ok"


def test_music_on_hold_that_is_not_there_is_a_warning(case: Case) -> None:
    music = case.where.config / "there.wav"
    music.write_bytes(b"anything")
    account = '[account.{}]\ndomain = "d"\nusername = "u"\nhold_music = {!r}\n'.format
    text = account("a", "tone:440") + account("b", str(music)) + account("c", "no.wav")
    case.config_file.write_text(f"[phone]\nhold_music = '{music}.gone'\n{text}")
    _, one, other = look_at_configuration(case)
    assert (one.name, one.level, other.level) == ("music on hold", "warning", "warning")
    assert one.text.startswith(f"{music}.gone: ")
    assert other.text.startswith("no.wav: ")
    case.phone = PhoneFacts()
    assert len(list(look_at_configuration(case))) == 2, "a phone that runs may have been started in another folder"


def accounts(case: Case, **passwords: str) -> None:
    found = tuple(AccountSettings(id=name, domain="d", username="u", password=word) for name, word in passwords.items())
    case.config = replace(case.config, accounts=found)


def test_passwords_are_looked_for_where_the_phone_does(case: Case) -> None:
    assert list(look_at_passwords(case)) == []
    accounts(case, a="x", b="")
    found = only(look_at_passwords(case))
    assert found.level == "warning"
    assert found.text == "none is known for b"
    assert "`offhook password b`" in found.advice
    case.where.secrets_file.write_text('{"b": "kept"}')
    keep_private(case.where.secrets_file)
    assert only(look_at_passwords(case)).text == "known for all 2 accounts"
    assert case.passwords == {"b": "kept"}


def test_a_secrets_file_for_everybody_is_wrong(case: Case) -> None:
    accounts(case, a="")
    case.where.secrets_file.write_text("{}")
    share(case.where.secrets_file)
    found = only(look_at_passwords(case))
    assert found.level == "wrong"
    assert private_again(case.where.secrets_file) in found.text


# --- the running phone ---------------------------------------------------------------------------------------------


def test_no_phone_is_a_warning_and_a_left_socket_does_no_harm(case: Case) -> None:
    found = only(running.look_at_phone(case))
    assert (found.level, found.text) == ("warning", f"none is running at {case.socket_path}")
    assert "offhook run" in found.advice
    if sys.platform != "win32":  # nothing is left of a pipe
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(case.socket_path)
        assert "left behind" in only(running.look_at_phone(case)).text
    assert case.phone is None


def test_a_phone_says_what_it_is(case: Case) -> None:
    backend = FakeBackend()
    with sip_peer(lambda request, source: response_to(request, 200, "", "t")) as peer, served(backend, Path(case.socket_path)):
        backend.facts |= {"sip_host": peer.address[0], "sip_port": peer.address[1]}
        found = {finding.name: finding for finding in running.look_at_phone(case)}
        backend.facts["version"] = "0.0.1"
        older = next(running.look_at_phone(case))
    assert {finding.level for finding in found.values()} == {"ok"}
    assert f"offhook {__version__} runs since 2023-11-1" in found["phone"].text
    assert " days), idle, process 0" in found["phone"].text
    assert case.socket_path in found["phone, commands"].text
    assert f"listens on {host_port(peer.address)} and answers" in found["phone, SIP"].text
    assert case.phone is not None
    assert [device["name"] for device in case.phone.devices] == ["Headset (USB)", "Screen"]
    assert older.level == "warning"
    assert f"this program is {__version__}" in older.text
    assert "start the phone again" in older.advice


@pytest.mark.lengthy
def test_a_phone_whose_sip_socket_is_deaf(case: Case) -> None:
    backend = FakeBackend()
    case.patience = 0.1
    with UdpPeer(lambda data, source: None) as peer, served(backend, Path(case.socket_path)):
        backend.facts |= {"sip_host": "127.0.0.1", "sip_port": peer.address[1]}
        *_, found = running.look_at_phone(case)
    assert found.level == "wrong"
    assert "does not answer there (silent" in found.text
    assert "firewall" in found.advice


@pytest.mark.slow
def test_something_that_does_not_answer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ANSWER_WITHIN", 0.1)
    with answering(case.socket_path, None):
        found = only(running.look_at_phone(case))
    assert found.level == "wrong"
    assert "does not answer" in found.text


# --- names ---------------------------------------------------------------------------------------------------------


def refusing(code: int, text: str) -> Callable[..., list[Any]]:
    def ask(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(code, text)

    return ask


@pytest.mark.parametrize(("code", "trouble", "text", "advice"), [
    (socket.EAI_NONAME, "unknown", "does not exist (NXDOMAIN)", "slip of the pen"),
    (socket.EAI_AGAIN, "no answer", "does not answer about pbx.example.org (hm)", "is this machine online"),
    (socket.EAI_FAIL, "failed", "failed for pbx.example.org: hm", "name servers"),
    pytest.param(
        socket.EAI_NODATA, "no address", "exists, but has no address", "proxy",
        marks=pytest.mark.skipif(socket.EAI_NODATA == socket.EAI_NONAME, reason="Windows does not tell these apart"),
    ),
])  # fmt: skip
def test_each_kind_of_no_is_told_apart(code: int, trouble: str, text: str, advice: str) -> None:
    found = names.look_up("pbx.example.org", ask=refusing(code, "hm"))
    assert (found.trouble, found.addresses) == (trouble, ())
    finding = names.name_finding("name", found)
    assert finding.level == "wrong"
    assert text in finding.text
    assert advice in finding.advice


def test_a_name_service_that_hangs_is_not_waited_for() -> None:
    never = threading.Event()
    found = names.look_up("pbx.example.org", limit=0.05, ask=lambda *_, **__: [never.wait(5)])
    never.set()
    assert found.trouble == "no answer"
    assert "nothing within 0.05 s" in names.name_finding("name", found).text


def test_names_and_literals() -> None:
    def ask(*_: object, **__: object) -> list[Any]:
        return [(0, 0, 0, "", (host, 0)) for host in ("192.0.2.1", "2001:db8::1", "192.0.2.1")]

    found = names.look_up("pbx.example.org", ask=ask)
    assert found.addresses == ("192.0.2.1", "2001:db8::1")
    assert names.of_family(found, ipv6=True) == ("2001:db8::1",)
    assert names.name_finding("name", found).text.startswith("pbx.example.org is 192.0.2.1, 2001:db8::1 (")
    slow = names.name_finding("name", replace(found, took=2.0))
    assert (slow.level, slow.text[-7:]) == ("warning", "(2.0 s)")
    assert names.look_up("[::1]").addresses == ("::1",)
    assert names.look_up("a" * 70 + ".example").trouble
    assert names.look_up("localhost").addresses


# --- STUN ----------------------------------------------------------------------------------------------------------


def stunned(host: str, port: int) -> UdpPeer:
    def reply(data: bytes, source: Address) -> bytes:
        asked = stun.parse_stun(data)
        value = stun.mapped_value(host or source[0], port or source[1], asked.transaction)
        return stun.encode_stun(stun.StunMessage(stun.BINDING_SUCCESS, asked.transaction, ((stun.XOR_MAPPED_ADDRESS, value),)))

    return UdpPeer(reply)


@pytest.mark.lengthy
def test_stun_shows_nat_or_none(case: Case) -> None:
    settings(case, "sip", host="127.0.0.1")
    with stunned("203.0.113.9", 4000) as peer:
        case.stun = host_port(peer.address)
        found = only(look_through_stun(case))
    assert found.level == "warning"
    assert f"is 203.0.113.9:4000 to the STUN server {host_port(peer.address)}" in found.text
    with stunned("", 0) as peer:
        case.stun = host_port(peer.address)
        assert "no NAT between" in only(look_through_stun(case)).text
    with sip_peer(lambda request, source: None) as peer:
        case.stun, case.patience = host_port(peer.address), 0.1
        assert only(look_through_stun(case)).text == f"no answer from {host_port(peer.address)}"


def test_a_stun_server_that_cannot_be_used(case: Case) -> None:
    wrongs = {"a:b:c": "not a port", "::1": "not a host", "[::1]": "has no IPv4 address", "x.invalid": "x.invalid"}
    for wrong, text in wrongs.items():
        case.stun = wrong
        found = only(look_through_stun(case))
        assert found.level != "ok"
        assert text in found.text


# --- ports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@linux
def test_a_busy_sip_port_and_who_has_it(case: Case, taken: int) -> None:
    settings(case, "sip", host="127.0.0.1", port=taken)
    found = only(ports.look_at_sip_port(case))
    assert found.level == "warning"
    assert f"another program has port {taken} on 127.0.0.1 (" in found.text
    assert f", process {os.getpid()})" in found.text
    assert "any free port in its place" in found.advice


def test_a_phone_on_another_port_than_configured(case: Case, taken: int) -> None:
    settings(case, "sip", host="127.0.0.1", port=taken)
    case.phone = PhoneFacts(about={"sip_host": "127.0.0.1", "sip_port": 40404})
    found = only(ports.look_at_sip_port(case))
    assert found.level == "warning"
    assert f"the phone has 40404, not {taken}: another program has that one" in found.text
    case.phone = PhoneFacts(about={"sip_host": "127.0.0.1", "sip_port": taken})
    assert only(ports.look_at_sip_port(case)).text == f"the phone has {taken}"


def test_a_free_port_any_port_and_a_foreign_address(case: Case, taken: int) -> None:
    for _ in range(10):  # what is free now may be somebody else's in a moment
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as briefly:
            briefly.bind(("127.0.0.1", 0))
            free = briefly.getsockname()[1]
        settings(case, "sip", host="127.0.0.1", port=free)
        if (text := only(ports.look_at_sip_port(case)).text) == f"{free} is free on 127.0.0.1 for UDP and TCP":
            break
    else:
        pytest.fail(text)
    settings(case, "sip", port=0)
    assert "any free one" in only(ports.look_at_sip_port(case)).text
    settings(case, "sip", host="192.0.2.1", port=free)
    found = only(ports.look_at_sip_port(case))
    assert (found.level, found.text) == ("wrong", "192.0.2.1 is no address of this machine")


def test_rtp_ports_are_tried(case: Case, taken: int) -> None:
    settings(case, "sip", host="127.0.0.1")
    even = taken - taken % 2
    settings(case, "media", rtp_ports=(even, even + 1))
    found = only(ports.look_at_rtp_ports(case))
    assert found.level == "wrong"
    assert f"none of UDP {even} to {even + 1} can be had on 127.0.0.1" in found.text
    settings(case, "media", rtp_ports=(20000, 24999))
    settings(case, "phone", max_calls=5000)
    whole, calls = ports.look_at_rtp_ports(case)
    assert whole.level == "ok"
    assert "room for 2500 calls" in whole.text
    assert "symmetric RTP" in whole.text
    assert calls.text == "phone.max_calls is 5000, but there are ports for 2500 calls"


@linux
def test_open_files_are_compared_with_the_calls(case: Case) -> None:
    import resource  # POSIX's

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert only(ports.look_at_descriptors(case)).text.startswith(f"{limit} may be open at once, enough for about ")
    case.phone = PhoneFacts(about={"pid": os.getpid(), "max_calls": 90000})
    found = only(ports.look_at_descriptors(case))
    assert found.level == "warning"
    assert "ulimit -n 360064" in found.advice
    case.phone = PhoneFacts(about={"pid": os.getpid(), "max_calls": 90000, "sip_host": "::"})
    assert "ulimit -n 540064" in only(ports.look_at_descriptors(case)).advice


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::", marks=pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6))])
def test_a_call_is_counted_with_the_sockets_it_really_has(host: str) -> None:
    pool = PortPool(MediaOptions(host=host, pool=1))
    try:
        sockets = [end for pair in pool.take(pool.fill()[0]) for end in pair]
        for end in sockets:
            end.close()
        beside = 2 if sys.platform == "linux" else 1  # a file, and what `io.media_ports.Twins` opens
        assert ports.descriptors_a_call(host) == len(sockets) + beside
    finally:
        pool.close()


def test_a_datagram_to_ourselves_arrives(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(ports.look_at_loopback(case)).level == "ok"

    class Deaf(socket.socket):
        def sendto(self, *_: object) -> int:
            return 7

    monkeypatch.setattr(ports, "LOOPBACK_WITHIN", 0.05)
    monkeypatch.setattr("offhook.cli.doctor.ports.socket.socket", Deaf)
    found = only(ports.look_at_loopback(case))
    assert (found.level, found.text) == ("wrong", "a datagram from 127.0.0.1 to itself does not arrive")


# --- folders -------------------------------------------------------------------------------------------------------


def by_name(case: Case) -> dict[str, Finding]:
    return {finding.name: finding for finding in folders.look_at_folders(case)}


def test_folders_that_are_there_or_will_be(case: Case) -> None:
    case.where.state.mkdir()
    found = by_name(case)
    assert {finding.level for finding in found.values()} == {"ok"}
    assert f"{case.where.state} can be written" in found["history"].text
    assert "will be made when it is needed" in found["recordings"].text
    assert "hours of recording" in found["recordings"].text
    assert not case.where.recordings.exists()


@posix
def test_a_read_only_folder(case: Case) -> None:
    # Root may write everywhere, so this looks as somebody else then.
    place = Path(tempfile.mkdtemp())
    somebody = 65534 if os.geteuid() == 0 else os.geteuid()
    try:
        os.chown(place, somebody, -1)
        place.chmod(0o555)
        settings(case, "phone", recording_dir=str(place))
        before = os.geteuid()
        os.seteuid(somebody)
        try:
            found = by_name(case)["recordings"]
        finally:
            os.seteuid(before)
    finally:
        shutil.rmtree(place)
    assert (found.level, found.text) == ("wrong", f"{place} is read-only for this user")
    assert f"chmod u+wx '{place}'" in found.advice


def test_folders_the_phone_would_refuse(case: Case) -> None:
    case.where.state.write_text("in the way")
    assert f"{case.where.state} is in the way" in by_name(case)["history"].text
    case.where.recordings.mkdir()
    share(case.where.recordings, write=True)
    found = by_name(case)["recordings"]
    assert found.level == "wrong"
    assert f"others may write into {case.where.recordings}" in found.text


def test_little_room_and_a_damaged_history(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.where.state.mkdir()
    case.where.history_file.write_bytes(b"not a database at all")
    damaged = [finding for finding in folders.look_at_folders(case) if "is damaged" in finding.text]
    assert [finding.level for finding in damaged] == ["warning"]
    case.where.history_file.unlink()
    for free, level in ((50e6, "warning"), (1e6, "wrong")):
        usage = type("Usage", (), {"free": int(free)})
        monkeypatch.setattr("offhook.cli.doctor.folders.shutil.disk_usage", lambda place, usage=usage: usage)
        found = by_name(case)["recordings"]
        assert (found.level, found.advice) == (level, "make room on that disk")


# --- small things --------------------------------------------------------------------------------------------------


def test_work_within_a_time() -> None:
    assert within(1.0, lambda: 7) == 7
    with pytest.raises(KeyError):
        within(1.0, lambda: dict[str, int]()["x"])
    never = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, lambda: never.wait(5))
    never.set()


def test_durations_and_lists_are_for_people() -> None:
    assert [milliseconds(each) for each in (0.0004, 0.02, 1.234)] == ["0.4 ms", "20 ms", "1.2 s"]
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
