"""What a registrar's or proxy's answer means to the person who set the account up, and what to do about it."""

from __future__ import annotations

from typing import Final

_PASSWORD: Final = "`offhook password ACCOUNT` keeps another; check username and auth_username too"  # noqa: S105 - advice

ANSWERS: Final[dict[int, tuple[str, str]]] = {
    400: ("it does not understand the request", "check domain and username for odd characters; ask the provider"),
    401: ("the password or the user name is wrong", _PASSWORD),
    402: ("it wants payment first", "ask the provider: the account may have no credit"),
    403: ("it forbids this: wrong password, or the account is blocked", _PASSWORD + "; else ask the provider"),
    404: ("it does not know this user name", "check username and domain: some providers want the number, others a login name"),
    405: ("it is no registrar: it does not take REGISTER", "check domain and proxy; without a registrar set register = false"),
    407: ("the password or the user name is wrong", _PASSWORD),
    408: ("there was no answer in time", "check domain and proxy, and that no firewall stops SIP (UDP and TCP port 5060)"),
    410: ("this user name is no longer there", "ask the provider"),
    416: ("it does not take this kind of address", "write the domain as a plain host name, the proxy as sip:HOST"),
    420: ("it demands an extension this phone does not have", "ask the provider for an account for plain SIP phones"),
    421: ("it demands an extension this phone does not have", "ask the provider for an account for plain SIP phones"),
    423: ("it wants longer registrations", "set expires = 3600 in the account; the phone also raises it by itself"),
    429: ("it was asked too often", "wait some minutes; look whether other phones use this account"),
    439: ("a proxy on the way lacks what the registrar demands", "set proxy to the server the provider names"),
    480: ("the user is not there now", "nothing is wrong with the way to it"),
    482: ("the request went in a circle", "domain and proxy lead to each other: leave proxy out, or correct it"),
    483: ("the request went through too many servers", "domain and proxy may lead to each other: leave proxy out"),
    500: ("it has an error inside", "wait and try again; if it stays, tell the provider"),
    501: ("it does not know how to register anybody", "this server is no registrar: check domain and proxy"),
    502: ("a server behind it answers nonsense", "wait and try again; if it stays, tell the provider"),
    503: ("it is out of service or overloaded, or could not be reached", "look at the findings on name and transport below"),
    504: ("a server behind it does not answer", "wait and try again; if it stays, tell the provider"),
    505: ("it speaks another version of SIP", "check that domain and proxy lead to a SIP server"),
    513: ("the request is too large for it", 'set transport = "tcp" in the account'),
    600: ("all are busy", "nothing is wrong with the way to it"),
    603: ("it declines", "ask the provider whether the account is blocked"),
    604: ("this user exists nowhere", "check username and domain"),
    606: ("it finds something in the request unacceptable", "ask the provider what it accepts"),
}
"""By SIP status: what it means, and what to do next."""

_CLASSES: Final[dict[int, tuple[str, str]]] = {
    2: ("yes", ""),
    3: ("it sends us elsewhere", "set domain or proxy to the address it names"),
    4: ("it refuses the request", "look at the reason it gives; ask the provider"),
    5: ("it has trouble of its own", "wait and try again; if it stays, tell the provider"),
    6: ("the answer is a final no", "ask the provider"),
}


def meaning(status: int) -> tuple[str, str]:
    """Return what a status means and what to do next."""
    nothing = "there was no answer", "look at the findings on name and transport below"
    return ANSWERS.get(status) or _CLASSES.get(status // 100, nothing)


def quoted(status: int, reason: str) -> str:
    """Return an answer as it came: `403 Forbidden`."""
    return f"{status} {reason}".strip() if status else reason or "no answer"
