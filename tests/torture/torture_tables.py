"""What each message of RFC 4475 and RFC 5118 is to be answered with by a phone, as data, with the rule it comes from."""

from __future__ import annotations

from dataclasses import dataclass

RINGS = 180
SILENCE = 0


@dataclass(frozen=True, slots=True)
class Reaction:
    """`udp` and `tcp`: final status, 180 where the phone rings, 0 where nothing may come. `header` is in the answer then.

    `closes`: the connection is of no use behind this message and is closed. `section` and `rule` say why.
    """

    section: str
    udp: int
    tcp: int
    rule: str
    header: tuple[str, str] | None = None
    closes: bool = False


def same(section: str, status: int, rule: str, header: tuple[str, str] | None = None) -> Reaction:
    return Reaction(section, status, status, rule, header)


ALLOWED = ("Allow", "INVITE")
NOT_A_REGISTRAR = "well-formed; RFC 3261 8.2.1: a phone is no registrar and says what it allows"

RFC4475: dict[str, Reaction] = {
    # 3.1.1: valid, however strange
    "wsinv": same("3.1.1.1", 481, "well-formed; its To tag names a dialog that does not exist (RFC 3261 12.2.2)"),
    "intmeth": same("3.1.1.2", 501, "well-formed; a UAS does not know the method and says which it allows", ALLOWED),
    "esc01": same("3.1.1.3", RINGS, "escapes are legal in a URI and stay as they are"),
    "escnull": same("3.1.1.4", 405, NOT_A_REGISTRAR, ALLOWED),
    "esc02": same("3.1.1.5", 501, "% is a character of a token like others: neither REGISTER nor Contact", ALLOWED),
    "lwsdisp": same("3.1.1.6", 200, "no space is needed between display name and <"),
    "longreq": same("3.1.1.7", RINGS, "long headers are no error"),
    "dblreq": Reaction("3.1.1.8", 405, 405, "one request in a datagram, the rest is cut off; on a stream a second one follows"
                       " (in the archive its Content-Length is short, and the rest is no message)", ALLOWED, closes=True),
    "semiuri": same("3.1.1.9", 200, "a semicolon in the user part begins no URI parameter"),
    "transports": same("3.1.1.10", 200, "unknown transports in Via are no error"),
    "mpart01": same("3.1.1.11", 200, "a multipart MESSAGE; its text is one of the parts"),
    "unreason": same("3.1.1.12", SILENCE, "a response with an unusual phrase; it answers nothing we asked"),
    "noreason": same("3.1.1.13", SILENCE, "a response with an empty phrase; it answers nothing we asked"),
    # 3.1.2: broken
    "badinv01": same("3.1.2.1", 400, "extra semicolons and commas in Via and Contact"),
    "clerr": Reaction("3.1.2.2", 400, 400, "shorter than its Content-Length: an error in a datagram; a stream may bring"
                      " more, and is closed if it does not", closes=True),
    "ncl": Reaction("3.1.2.3", 400, 400, "a negative Content-Length; behind it a stream cannot be read", closes=True),
    "scalar02": same("3.1.2.4", 400, "scalars over their limits in a request"),
    "scalarlg": same("3.1.2.5", SILENCE, "scalars over their limits in a response: discard it"),
    "quotbal": same("3.1.2.6", 400, "a quote without its partner"),
    "ltgtruri": same("3.1.2.7", 400, "angle brackets around the Request-URI"),
    "lwsruri": same("3.1.2.8", 400, "white space in the Request-URI"),
    "lwsstart": same("3.1.2.9", 400, "several spaces in the request line"),
    "trws": same("3.1.2.10", 400, "spaces at the end of the request line"),
    "escruri": same("3.1.2.11", RINGS, "headers in the Request-URI may be ignored"),
    "baddate": same("3.1.2.12", RINGS, "a Date that is not GMT; who does not use Date ignores it"),
    "regbadct": same("3.1.2.13", 400, "a Contact that needs angle brackets and has none"),
    "badaspec": same("3.1.2.14", 400, "spaces within an address"),
    "baddn": Reaction("3.1.2.15", 400, 400, "a display name that must be quoted (in the archive without its last line end, for"
                      " which a stream waits)", closes=True),
    "badvers": same("3.1.2.16", 505, "a version of SIP nobody speaks"),
    "mismatch01": same("3.1.2.17", 400, "CSeq names another method than the request line"),
    "mismatch02": same("3.1.2.18", 400, "the same with an unknown method: 400 or 501"),
    "bigcode": same("3.1.2.19", SILENCE, "a response whose status overflows: discard it"),
    # 3.2: transactions
    "badbranch": same("3.2.1", 200, "nothing behind the magic cookie: matched by the rules of RFC 2543"),
    # 3.3: applications
    "insuf": same("3.3.1", 400, "From, To and Call-ID are missing"),
    "unkscm": same("3.3.2", 416, "an unknown URI scheme"),
    "novelsc": same("3.3.3", 416, "a scheme known elsewhere"),
    "unksm2": same("3.3.4", 405, NOT_A_REGISTRAR, ALLOWED),
    "bext01": same("3.3.5", 420, "unknown extensions required of us; Proxy-Require is not for a UAS",
                   ("Unsupported", "nothingSupportsThis, nothingSupportsThisEither")),
    "invut": same("3.3.6", 415, "an unknown body, and what would be known", ("Accept", "application/sdp")),
    "regaut01": same("3.3.7", 405, NOT_A_REGISTRAR, ALLOWED),
    "multi01": same("3.3.8", 400, "several values where one may be"),
    "mcl01": Reaction("3.3.9", 400, 400, "Content-Lengths that disagree; behind them a stream cannot be read", closes=True),
    "bcast": same("3.3.10", SILENCE, "a response that is not for us"),
    "zeromf": same("3.3.11", 200, "Max-Forwards 0 concerns those who forward"),
    "cparam01": same("3.3.12", 405, NOT_A_REGISTRAR, ALLOWED),
    "cparam02": same("3.3.13", 405, NOT_A_REGISTRAR, ALLOWED),
    "regescrt": same("3.3.14", 405, NOT_A_REGISTRAR, ALLOWED),
    "sdp01": same("3.3.15", 406, "the answer would have to be written in a type nobody knows"),
    # 3.4: RFC 2543
    "inv2543": Reaction("3.4.1", RINGS, 400, "an INVITE of RFC 2543; on a stream it lacks its Content-Length", closes=True),
}
"""The 49 messages of the RFC. Its archive has a 50th, test.dat, which the text does not speak of."""

RFC5118: dict[str, Reaction] = {
    "ipv6-good": same("4.1", 405, NOT_A_REGISTRAR, ALLOWED),
    "ipv6-bad": same("4.2", 400, "an IPv6 address without its brackets"),
    "port-ambiguous": same("4.3", 405, "legal: the number is part of the address", ALLOWED),
    "port-unambiguous": same("4.4", 405, NOT_A_REGISTRAR, ALLOWED),
    "via-received-param-with-delim": same("4.5", 481, "brackets in received are to be accepted; there is no such dialog"),
    "via-received-param-no-delim": same("4.5", 200, "received without brackets is how it should be"),
    "ipv6-in-sdp": same("4.6", 488, "well-formed; G.726 is no codec of ours", ("Warning", "305")),
    "mult-ip-in-header": same("4.7", 481, "addresses of both kinds in Via; there is no such dialog"),
    "mult-ip-in-sdp": same("4.8", 488, "well-formed; its sound is on IPv4, this phone on IPv6 alone", ("Warning", "305")),
    "ipv4-mapped-ipv6": same("4.9", 488, "well-formed; G.726 is no codec of ours", ("Warning", "305")),
    "ipv6-bug-abnf-3-colons": same("4.10", 400, "three colons, which the old grammar allowed by mistake"),
    "ipv6-correct-abnf-2-colons": same("4.10", 200, "two colons before an embedded IPv4 address"),
}
