"""How secret a call's sound is to be: which policy holds for it, and the keys it brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

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


class Secrecy:
    """Knows the policy of each call and tells what became of it."""

    def __init__(self, desk: Desk, settings: SrtpSettings, certificate: OwnCertificate) -> None:
        self.desk = desk
        self.settings = settings
        self._certificate = certificate

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

    def insist(self, call: Call) -> bool:
        """Have the call's next offer say otherwise that encryption is wanted; False if all has been tried.

        Some phones take keys on a secure profile only, and refuse RFC 8643's ordinary line instead of answering it. Some of
        them take keys in the signalling, and some a handshake; browsers, a handshake and ICE. What others who rang have agreed
        to before counts for nothing.
        """
        security = self.of(call)
        if security.policy == "off":
            return False
        page = call.rings_in_page and bool(security.fingerprint)
        for keying in _KEYINGS[security.keying] if security.policy == "optional" and not page else ():
            if keying not in call.insisted and (keying == "sdes" or security.fingerprint):
                call.insisted = (*call.insisted, keying)
                call.security = insisting(security, keying)
                return True
        if call.web or not security.fingerprint:
            return False
        call.web = True
        call.security = for_page(security)
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
