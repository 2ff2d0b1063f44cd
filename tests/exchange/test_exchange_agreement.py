"""Offers and answers of the lines: in the clear, with keys, and with what phones in web pages need."""

from __future__ import annotations

from typing import Literal

import pytest
from exchange_world import OFFER, PRINT, OneCertificate, SeededIds, page

from offhook.errors import MediaNegotiationFailed
from offhook.exchange.agreement import Agreement, Wish
from offhook.media.messages import Candidate, DtlsPeer, SdesKeys
from offhook.media.negotiate import LocalMedia, accept_answer, audio_protocol, ice_name, is_web, make_answer, make_offer
from offhook.media.sdes import Crypto
from offhook.media.security import Security
from offhook.phone.secrecy import NoCertificate

KEYS = Security("required", "sdes", (Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes(30)),), PRINT)
FOUND = (Candidate("1", 1, 9, "10.0.0.7", 10000, "host"), Candidate("2", 1, 8, "10.0.0.1", 10000, "host"))
ADDRESS = "10.0.0.1"


def agreement(wish: Wish = "", certificate: OneCertificate | NoCertificate | None = None) -> Agreement:
    return Agreement("s", ADDRESS, 10000, SeededIds(1), certificate or OneCertificate(), wish)


def caller(keying: Literal["sdes", "dtls"]) -> LocalMedia:
    return LocalMedia("10.0.0.9", 4000, security=Security("required", keying, KEYS.lines, PRINT))


def test_who_offers_no_keys_is_answered_in_the_clear_and_no_certificate_is_made() -> None:
    certificate = OneCertificate()
    one = agreement(certificate=certificate)
    answer, config = one.answer(OFFER)
    assert (config.security, audio_protocol(answer), one.wish) == (None, "RTP/AVP", "")
    assert audio_protocol(one.offer()) == "RTP/AVP"
    assert certificate.asked == 0


@pytest.mark.parametrize(("keying", "kind"), [("sdes", SdesKeys), ("dtls", DtlsPeer)])
def test_who_offers_keys_is_answered_with_keys_and_called_back_with_them(keying: Literal["sdes", "dtls"], kind: type) -> None:
    one, local = agreement(), caller(keying)
    offer = make_offer(local, 1, 1)
    answer, config = one.answer(offer)
    assert isinstance(config.security, kind)
    assert isinstance(accept_answer(local, offer, answer).security, kind)
    assert not isinstance(config.security, DtlsPeer) or config.security.certificate == b"pem"
    back = agreement(one.wish)
    ours = back.offer()
    assert audio_protocol(ours) == audio_protocol(offer)
    theirs, _ = make_answer(local, ours, 2, 1)
    assert isinstance(back.accept(theirs).security, kind)


def test_keys_may_come_later_in_a_call() -> None:
    one = agreement()
    one.answer(OFFER)
    _, config = one.answer(make_offer(caller("dtls"), 1, 2))
    assert isinstance(config.security, DtlsPeer)


def test_a_phone_in_a_page_is_answered_from_where_it_was_searched() -> None:
    one, local = agreement(), page()
    offer = make_offer(local, 1, 1)
    one.web = True
    search = one.search()
    one.candidates = FOUND
    answer, config = one.answer(offer)
    assert config.ice is not None
    assert not config.ice.controlling
    assert (search.stream, search.ufrag, search.pwd) == ("s", config.ice.ufrag, config.ice.pwd)
    assert isinstance(config.security, DtlsPeer)
    assert f"c=IN IP4 {ADDRESS}".encode() in answer, "the address that the far end's server is reached by"
    assert one.wish == "page"
    _, again = one.answer(make_offer(local, 1, 2, previous=answer))
    assert again.ice is not None
    assert again.ice.ufrag == config.ice.ufrag
    _, anew = one.answer(make_offer(page("other"), 1, 3, previous=answer))
    assert anew.ice is not None
    assert anew.ice.ufrag != config.ice.ufrag, "RFC 8445 9"


def test_a_phone_in_a_page_is_called_with_all_that_it_needs() -> None:
    one = agreement("page")
    one.candidates = FOUND
    ours = one.offer()
    assert is_web(ours)
    theirs, _ = make_answer(page(), ours, 2, 1)
    config = one.accept(theirs)
    assert config.ice is not None
    assert config.ice.controlling
    assert config.ice.remote_ufrag == ice_name(theirs)


def test_without_a_certificate_a_page_is_refused() -> None:
    one = agreement(certificate=NoCertificate())
    one.web = True
    one.candidates = FOUND
    with pytest.raises(MediaNegotiationFailed, match="offhook"):
        one.answer(make_offer(page(), 1, 1))
