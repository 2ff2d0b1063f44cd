"""How secret a call's sound is to be: which policy holds for it, and the keys it brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import structs

from offhook.media.messages import DtlsPeer, StreamConfig
from offhook.media.negotiate import audio_protocol
from offhook.media.sdes import Crypto, key_bytes
from offhook.media.security import NO_SECURITY, Keying, Security, agreed, for_page, insisting
from offhook.phone.call import Call
from offhook.phone.desk import Desk
from offhook.phone.events import MediaSecurity
from offhook.phone.settings import SrtpSettings

IN_THE_CLEAR: Final = "the keys travel in the clear: use TLS for signalling, or DTLS for the keys"
NOT_ENCRYPTED: Final = "the far end does without encryption"


_KEYINGS: Final[dict[Keying, tuple[Keying, ...]]] = {"sdes": ("sdes", "dtls"), "dtls": ("dtls", "sdes")}
"""What is tried, by what is to be tried first."""
Insistence: TypeAlias = Keying | Literal["page"]
"""What a far end took that had refused the usual offer: a secure profile with keys of a kind, or what pages take."""
MOST_REMEMBERED: Final = 256
"""Targets whose far end took something else than the usual; who was called longest ago is forgotten first."""


class OwnCertificate(Protocol):
    """Where DTLS gets our certificate from; it is asked first when a call may be encrypted."""

    def fingerprint(self) -> str:
        """Return it as SDP says it ("sha-256 AB:…"), "" where DTLS is not installed."""
        ...

    def pem(self) -> bytes:
        """Return the certificate and its key; only asked where there is a fingerprint."""
        ...


class NoCertificate:
    """A phone without DTLS."""

    def fingerprint(self) -> str:
        """Say that there is none."""
        return ""

    def pem(self) -> bytes:
        """Return nothing."""
        return b""


def _target(call: Call) -> tuple[str, str]:
    return call.account, call.remote.uri


class Secrecy:
    """Knows the policy of each call and tells what became of it."""

    def __init__(self, desk: Desk, settings: SrtpSettings, certificate: OwnCertificate) -> None:
        self.desk = desk
        self.settings = settings
        self._certificate = certificate
        self._took: dict[tuple[str, str], Insistence] = {}  # by account and target

    def of(self, call: Call) -> Security:
        """Return what the call brings: the same keys as long as it lasts."""
        if call.security is None:
            call.security = self._new(call)
        return call.security

    def _new(self, call: Call) -> Security:
        account = self.desk.accounts.get(call.account)
        wish = account.settings if account is not None else None
        policy = self.settings.policy if wish is None or wish.srtp == "default" else wish.srtp
        keying = self.settings.keying if wish is None or wish.keying == "default" else wish.keying
        if policy == "off":
            return NO_SECURITY
        integer = self.desk.ids.integer
        lines = tuple(
            Crypto(tag, suite, integer(8 * key_bytes(suite)).to_bytes(key_bytes(suite), "big"))
            for tag, suite in enumerate(self.settings.suites, 1)
        )
        return Security(policy, keying, lines, self._certificate.fingerprint())

    def recall(self, call: Call) -> None:
        """Begin with what the call's target took the last time: each refusal costs time, and a page rings before it refuses."""
        took, security = self._took.get(_target(call)), self.of(call)
        if took is None or security.policy == "off" or (took != "sdes" and not security.fingerprint):
            return
        if took != "page" and security.policy != "optional":
            return
        call.recalled = True
        self._insist(call, took)

    def remember(self, call: Call) -> None:
        """The far end has answered: keep what it took in the end, if that is not the usual offer."""
        self._took.pop(_target(call), None)
        if call.web or call.insisted:
            self._took[_target(call)] = "page" if call.web else call.insisted[-1]
        if len(self._took) > MOST_REMEMBERED:
            del self._took[next(iter(self._took))]

    def _insist(self, call: Call, what: Insistence) -> None:
        if what == "page":
            call.web = True
            call.security = for_page(self.of(call))
        else:
            call.insisted = (*call.insisted, what)
            call.security = insisting(self.of(call), what)

    def insist(self, call: Call) -> bool:
        """Have the call's next offer say otherwise that encryption is wanted; False if all has been tried.

        Some phones take keys on a secure profile only, and refuse RFC 8643's ordinary line instead of answering it. Some of
        them take keys in the signalling, and some a handshake; browsers, a handshake and ICE. What others who rang have agreed
        to before counts for nothing.
        """
        security = self.of(call)
        if security.policy == "off":
            return False
        if call.recalled:  # it takes something else now: begin as with anybody
            self._took.pop(_target(call), None)
            call.recalled, call.web, call.insisted, call.security = False, False, (), None
            return True
        page = call.rings_in_page and bool(security.fingerprint)
        for keying in _KEYINGS[security.keying] if security.policy == "optional" and not page else ():
            if keying not in call.insisted and (keying == "sdes" or security.fingerprint):
                self._insist(call, keying)
                return True
        if call.web or not security.fingerprint:
            return False
        self._insist(call, "page")
        return True

    def begin_again(self, call: Call) -> None:
        """The call is placed once more: that somebody who rang did without encryption counts for nothing."""
        if call.security is not None:
            call.security = replace(call.security, clear=False)

    def complete(self, config: StreamConfig) -> StreamConfig:
        """Return the configuration with what only we know."""
        if not isinstance(config.security, DtlsPeer):
            return config
        return structs.replace(config, security=structs.replace(config.security, certificate=self._certificate.pem()))

    def note(self, call: Call, config: StreamConfig, ours: bytes) -> None:
        """Remember what was agreed for the call's later offers, and tell what can be told already."""
        security = self.of(call)
        if security is NO_SECURITY:
            return
        call.security = agreed(security, config, audio_protocol(ours))
        keys = config.security
        if keys is None:
            self._tell(call, "", "", NOT_ENCRYPTED)
        elif not isinstance(keys, DtlsPeer):  # DTLS is known only after its handshake
            self._tell(call, "sdes", keys.suite, "" if call.signalling in ("tls", "wss") else IN_THE_CLEAR)

    def secured(self, call: Call, suite: str) -> None:
        """The DTLS handshake is done."""
        self._tell(call, "dtls", suite, "")

    def _tell(self, call: Call, srtp: str, cipher: str, warning: str) -> None:
        if call.secrecy_told and (call.srtp, call.cipher) == (srtp, cipher):
            return
        call.secrecy_told = True
        call.srtp, call.cipher = srtp, cipher
        self.desk.emit(MediaSecurity(call=call.view(), srtp=srtp, cipher=cipher, warning=warning))
