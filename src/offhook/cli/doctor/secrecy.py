"""Encrypted sound: whether what the configuration asks for is installed, and whether keys would travel in the clear."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed
from offhook.io.certificate import available
from offhook.phone.settings import AccountSettings

NAME = "encryption"


def wishes(case: Case, account: AccountSettings) -> tuple[str, str]:
    """Return the policy and the keying that hold for an account."""
    srtp = case.config.srtp
    return (
        srtp.policy if account.srtp == "default" else account.srtp,
        srtp.keying if account.keying == "default" else account.keying,
    )


def look_at_encryption(case: Case) -> Iterator[Finding]:
    """Say what accounts that encrypt lack."""
    secure = [(account, *wishes(case, account)) for account, _ in case.accounts()]
    secure = [each for each in secure if each[1] != "off"]
    if not secure and case.config.srtp.policy == "off":
        return
    if importlib.util.find_spec("pylibsrtp") is None:
        yield Finding(NAME, "wrong", "sound cannot be encrypted: pylibsrtp is not installed", "pip install pylibsrtp")
        return
    keyings = {case.config.srtp.keying, *(keying for _, _, keying in secure)}
    if available():
        yield Finding(NAME, "ok", "keys from the signalling (SDES) and from a handshake (DTLS) are both to be had")
    elif "dtls" in keyings:
        yield Finding(NAME, "wrong", 'keying = "dtls" needs packages that are not installed', "pip install 'offhook[dtls]'")
    else:
        yield Finding(NAME, "ok", "keys come from the signalling (SDES); a far end that wants DTLS is refused")
    open_ = [account.id for account, _, keying in secure if keying == "sdes" and account.transport not in ("tls", "wss")]
    if open_:
        text = f"with SDES the keys of {listed(open_)} travel in the clear: whoever reads the signalling can listen"
        yield Finding(NAME, "warning", text, 'set transport = "tls" in the account, or keying = "dtls"')
