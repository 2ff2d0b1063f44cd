"""DTLS handshakes of two of ours, with loss, lies and rubbish; and the certificate they show."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from offhook.io import dtls
from offhook.io.certificate import Certificate, available, fingerprint_of, make_certificate
from offhook.io.dtls import DATAGRAM, DtlsHandshake
from offhook.media.messages import DtlsPeer

ALICE, BOB = make_certificate(), make_certificate()


def peer(role: str, shown: bytes, own: bytes, prints: tuple[tuple[str, str], ...] = ()) -> DtlsPeer:
    name, text = fingerprint_of(shown).split()
    return DtlsPeer(role, prints or ((name, text),), own)  # type: ignore[arg-type]


def pair() -> tuple[DtlsHandshake, DtlsHandshake]:
    return DtlsHandshake(peer("client", BOB, ALICE)), DtlsHandshake(peer("server", ALICE, BOB))


def exchange(client: DtlsHandshake, server: DtlsHandshake) -> int:
    """Carry datagrams until both are silent, and return how many there were."""
    waiting = [(server, each) for each in client.timeout()]
    count = 0
    while waiting:
        who, datagram = waiting.pop(0)
        assert len(datagram) <= DATAGRAM
        assert 20 <= datagram[0] < 64
        count += 1
        other = client if who is server else server
        waiting += [(other, each) for each in who.receive(datagram)]
    return count


def test_both_have_the_same_keys() -> None:
    client, server = pair()
    exchange(client, server)
    assert client.keys is not None
    assert server.keys is not None
    assert client.keys.suite == server.keys.suite == "AEAD_AES_256_GCM"
    assert client.keys.send == server.keys.receive != client.keys.receive == server.keys.send
    assert client.failure == server.failure == ""
    assert client.timeout() == []


def test_a_system_that_forbids_what_openssl_calls_back_by_costs_the_handshake_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise MemoryError("Cannot allocate write+execute memory for ffi.callback()")
    monkeypatch.setattr(SSL.Context, "set_verify", forbid)
    monkeypatch.setattr(dtls, "_contexts", {})
    for role in ("client", "server"):
        handshake = DtlsHandshake(peer(role, BOB, ALICE))
        assert "MemoryDenyWriteExecute" in handshake.failure
        assert handshake.timeout() == handshake.receive(bytes([22, 254, 253]) + bytes(8) + b"\0\1x") == []


def test_another_hash_and_a_second_fingerprint_will_do() -> None:
    import base64
    import hashlib

    der = base64.b64decode("".join(BOB.decode().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0].split()))
    text = hashlib.sha512(der).hexdigest()
    prints = (("sha-256", "00"), ("sha-512", ":".join(text[place:place + 2] for place in range(0, len(text), 2))))
    client = DtlsHandshake(peer("client", BOB, ALICE, prints))
    exchange(client, DtlsHandshake(peer("server", ALICE, BOB)))
    assert client.keys is not None


def test_the_wrong_certificate_is_no_success() -> None:
    for wrong in ("client", "server"):
        client = DtlsHandshake(peer("client", ALICE if wrong == "client" else BOB, ALICE))
        server = DtlsHandshake(peer("server", BOB if wrong == "server" else ALICE, BOB))
        exchange(client, server)
        failed = client if wrong == "client" else server
        assert failed.keys is None
        assert "fingerprint" in failed.failure


@pytest.mark.parametrize("without", ["client", "server"])
def test_who_does_not_offer_srtp_gets_no_keys(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5764 4.1.1: DTLS alone, as for data channels, agrees on no keys for sound."""
    made = {}
    for role, shown, own in (("client", BOB, ALICE), ("server", ALICE, BOB)):
        with monkeypatch.context() as patch:
            patch.setattr(dtls, "_contexts", {})
            if role == without:
                patch.setattr(SSL.Context, "set_tlsext_use_srtp", lambda _context, _profiles: None)
            made[role] = DtlsHandshake(peer(role, shown, own))
    exchange(made["client"], made["server"])
    for who in made.values():
        assert who.keys is None
        assert who.failure == "the far end does not do SRTP over this handshake"


@pytest.mark.lengthy
@given(rubbish=st.lists(st.binary(max_size=300), max_size=20), head=st.booleans())
def test_rubbish_in_between_is_passed_over(rubbish: list[bytes], head: bool) -> None:
    client, server = pair()
    for datagram in rubbish:
        for who in (client, server):
            # What looks like a record of theirs, from anybody.
            who.receive(b"\x16\xfe\xfd" + bytes(8) + len(datagram).to_bytes(2, "big") + datagram if head else datagram)
    exchange(client, server)
    for who in (client, server):
        assert (who.keys is not None) or who.failure


def test_the_same_certificate_is_kept(tmp_path: Path) -> None:
    assert available()
    file = tmp_path / "state" / "dtls.pem"
    first = Certificate(file)
    assert first.fingerprint() == fingerprint_of(file.read_bytes())
    assert Certificate(file).fingerprint() == first.fingerprint()
    assert Certificate(file).pem() == first.pem()
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"damaged")
    assert Certificate(file).fingerprint() not in ("", first.fingerprint())


def test_without_a_file_it_lasts_as_long_as_the_phone(tmp_path: Path) -> None:
    assert Certificate().fingerprint() != Certificate().fingerprint()
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert Certificate(blocked / "dtls.pem").fingerprint()  # cannot be kept, serves all the same


def test_what_is_no_certificate_has_no_fingerprint() -> None:
    for text in (b"", b"-----BEGIN CERTIFICATE-----!-----END CERTIFICATE-----", b"\xff"):
        with pytest.raises(ValueError):
            fingerprint_of(text)
