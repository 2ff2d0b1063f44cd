"""What a call of a line and its far end agree on: offers and answers, keys, and the ways a phone in a web page needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

from msgspec import structs

from offhook.ids import Ids
from offhook.media.candidates import PASSWORD_LENGTH, UFRAG_LENGTH, LocalIce
from offhook.media.messages import Candidate, DtlsPeer, GatherCandidates, StreamConfig
from offhook.media.negotiate import LocalMedia, accept_answer, audio_protocol, ice_name, make_answer, make_offer
from offhook.media.sdes import SUITES, Crypto, key_bytes
from offhook.media.security import NO_SECURITY, Security, agreed, for_page, insisting
from offhook.phone.secrecy import OwnCertificate

Wish: TypeAlias = Literal["", "sdes", "dtls", "page"]
"""What an offer of ours has to have: nothing, keys of the one kind or the other, or all that a phone in a web page needs."""


class Agreement:
    """One call's side of offers and answers: in the clear, or with the keys that its far end offers, or did before (`wish`).

    A far end in a web page (`web`) needs our `candidates` (CandidatesGathered, after `search`) before any offer or answer.
    """

    def __init__(self, stream: str, address: str, port: int, ids: Ids, certificate: OwnCertificate, wish: Wish = "") -> None:
        self.web = wish == "page"
        self.candidates: tuple[Candidate, ...] = ()
        self._stream = stream
        self._plain = LocalMedia(address, port)
        self._ids = ids
        self._certificate = certificate
        self._offers = self.web
        self._security = NO_SECURITY
        if wish:
            keys = self._keys(handshake=wish != "sdes")
            self._security = for_page(keys) if wish == "page" else insisting(keys, wish)
        self._name = (ids.token(UFRAG_LENGTH), ids.token(PASSWORD_LENGTH))
        self._met = ""
        self._sdp_id = ids.integer(31)
        self._version = 0
        self._sent = self._received = b""

    def search(self) -> GatherCandidates:
        """Return the request for our addresses; CandidatesGathered has them."""
        return GatherCandidates(self._stream, ufrag=self._name[0], pwd=self._name[1])

    @property
    def wish(self) -> Wish:
        """What was agreed on, as another call with the same far end has to offer it."""
        if self.web:
            return "page"
        return self._security.keying if self._security.protocol else ""

    def answer(self, offer: bytes) -> tuple[bytes, StreamConfig]:
        """Return our answer, and what the stream is to do; raises as `make_answer`, and then nothing has changed."""
        handshake = b"a=fingerprint:" in offer
        if self._security.policy == "off" or (handshake and not self._security.fingerprint):
            self._security = self._keys(handshake=handshake)
        if self._met and ice_name(offer) != self._met:  # RFC 8445 9: the search begins again, ours under a new name, too
            self._name = (self._ids.token(UFRAG_LENGTH), self._ids.token(PASSWORD_LENGTH))
        self._version += 1
        text, config = make_answer(self._local(), offer, self._sdp_id, self._version)
        self._sent, self._received = text, offer
        return text, self._agreed(config)

    def offer(self) -> bytes:
        """Return an offer of ours."""
        self._version += 1
        self._sent = make_offer(self._local(), self._sdp_id, self._version, previous=self._received)
        return self._sent

    def accept(self, answer: bytes) -> StreamConfig:
        """Return what the stream is to do after the answer to our offer; raises as `accept_answer`."""
        config = accept_answer(self._local(), self._sent, answer)
        self._received = answer
        return self._agreed(config)

    def _keys(self, *, handshake: bool) -> Security:
        """Return keys for either way; a certificate, which takes a moment the first time, only where it is asked for."""
        integer = self._ids.integer
        lines = tuple([
            Crypto(tag, suite, integer(8 * key_bytes(suite)).to_bytes(key_bytes(suite), "big"))
            for tag, suite in enumerate(SUITES, 1)
        ])
        return Security("optional", "sdes", lines, self._certificate.fingerprint() if handshake else "")

    def _local(self) -> LocalMedia:
        plain = replace(self._plain, security=self._security, rtcp_mux=self._security.keying == "dtls")
        own = [each for each in self.candidates if each.component == 1]
        if not self.web or not own:
            return plain
        first = next((each for each in own if each.address == plain.address), own[0])
        # RFC 8445 6.1.1: who made the first offer decides.
        ice = LocalIce(*self._name, self.candidates, controlling=self._offers)
        return replace(plain, address=first.address, rtp_port=first.port, ice=ice, rtcp_mux=True)

    def _agreed(self, config: StreamConfig) -> StreamConfig:
        self._security = agreed(self._security, config, audio_protocol(self._sent))
        self._met = config.ice.remote_ufrag if config.ice is not None else ""
        if isinstance(config.security, DtlsPeer):
            return structs.replace(config, security=structs.replace(config.security, certificate=self._certificate.pem()))
        return config

