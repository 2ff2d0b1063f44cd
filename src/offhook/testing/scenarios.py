"""Scenarios for SIPp, written as steps: `scenario(invite(), accepted(), ack(), inside("BYE", 2), recv("200"))`.

What a step keeps under a name stands for later steps as `[$name]`; SIPp fills in its own keywords ([local_ip], [media_port] …).
"""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import quoteattr

SDP: Final = """v=0
o=sipp 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""
"""A description with A-law alone, to be sent as it is or with something replaced."""

FAR: Final = "far"
"""The name under which `invited` and `accepted` keep the address of the phone, with its tag."""

_SERVICE: Final = "sip:[service]@[remote_ip]:[remote_port]"

NEAR_TAG: Final = "[pid]SIPpTag[call_number]"


def scenario(*steps: str) -> str:
    """Return the scenario of these steps."""
    text = "".join(steps)
    names = dict.fromkeys(re.findall(r'assign_to="([^"]+)"', text))
    used = f"<Reference variables={quoteattr(','.join(names))}/>\n" if names else ""
    return f'<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="offhook">\n{text}{used}</scenario>\n'


# --- what SIPp sends -----------------------------------------------------------------------------------------------


def invite(*lines: str, body: str = SDP, cseq: int = 1) -> str:
    """Return the INVITE that begins a call."""
    return _request("INVITE", _SERVICE, f"<{_SERVICE}>", cseq, lines, body, True)


def outside(method: str, *lines: str, cseq: int = 1, to: str = "") -> str:
    """Return a request outside every dialog, `to` the service unless it is named."""
    return _request(method, _SERVICE, f"<{to or _SERVICE}>", cseq, lines, "", True)


def inside(method: str, cseq: int, *lines: str, body: str = "", again: bool = True, far: str = FAR) -> str:
    """Return a request in the dialog of either role; `again` has it sent again until it is answered."""
    return _request(method, "[next_url]", f"[${far}]", cseq, ("[routes]", *lines), body, again and method != "ACK")


def ack(cseq: int = 1, *, body: str = "", far: str = FAR) -> str:
    """Return the ACK for a 2xx."""
    return inside("ACK", cseq, body=body, far=far)


def refused_ack(cseq: int = 1) -> str:
    """Return the ACK for a refusal that came just now: it has the branch of its INVITE."""
    return _send([
        f"ACK {_SERVICE} SIP/2.0", "[last_Via:]", "[last_From:]", "[last_To:]", "Call-ID: [call_id]",
        f"CSeq: {cseq} ACK", "Max-Forwards: 70",
    ], "", False)  # fmt: skip


def cancel(kept: str, *lines: str, branch: str = "") -> str:
    """Return the CANCEL for the INVITE whose answer was `kept`; `branch` names one that never was."""
    via = f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}" if branch else f"Via:[${kept}_Via]"
    return _send([
        f"CANCEL {_SERVICE} SIP/2.0", via, f"From:[${kept}_From]", f"To: <{_SERVICE}>", "Call-ID: [call_id]", "CSeq: 1 CANCEL",
        "Max-Forwards: 70", *lines,
    ], "", False)  # fmt: skip


def answer(status: str, *lines: str, body: str = "", tag: str = "", kept: str = "", again: bool = False) -> str:
    """Return an answer to the latest request; `tag` is added to its To.

    `kept` is the name under which an earlier request was kept (`recv(keep=…)`), if it is that one that is answered. `again`
    has the answer sent again until something comes.
    """
    to = "[last_To:]" if not kept else f"To:[${kept}_To]"
    head = [
        f"SIP/2.0 {status}",
        *(["[last_Via:]", "[last_From:]"] if not kept else [f"Via:[${kept}_Via]", f"From:[${kept}_From]"]),
        f"{to};tag={tag}" if tag else to, "Call-ID: [call_id]",
        "[last_CSeq:]" if not kept else f"CSeq:[${kept}_CSeq]",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>", *lines,
    ]  # fmt: skip
    return _send(head, body, again)


def _request(method: str, target: str, to: str, cseq: int, lines: tuple[str, ...], body: str, again: bool) -> str:
    return _send([
        f"{method} {target} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        f"From: <sip:sipp@[local_ip]:[local_port]>;tag={NEAR_TAG}", f"To: {to}", "Call-ID: [call_id]", f"CSeq: {cseq} {method}",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>", "Max-Forwards: 70", *lines,
    ], body, again)  # fmt: skip


def _send(head: list[str], body: str, again: bool) -> str:
    named = any(line.startswith("Content-Type") for line in head)
    lines = [*head, *(["Content-Type: application/sdp"] if body and not named else []), "Content-Length: [len]", "", body]
    attributes = ' retrans="500"' * again
    return f"<send{attributes}><![CDATA[\n" + "\n".join(lines) + "\n]]></send>\n"


# --- what has to come ----------------------------------------------------------------------------------------------


def recv(what: str, *finds: str, optional: bool = False, whenever: bool = False, keep: str = "", far: str = "",
         action: str = "", challenged: bool = False) -> str:
    """Return a message that must come, a method or a status, in which is each of the patterns `finds`.

    `optional` lets it be left out, `whenever` lets it come later, too. `keep` is a name under which its headers stay for a
    later `answer`, `far` the header (From or To) that names the phone, to be kept for requests of SIPp's own. `challenged` has
    credentials made of the challenge in it; `action` is one more of SIPp's actions.
    """
    kept = [(header, f"{keep}_{header}") for header in ("Via", "From", "To", "CSeq") if keep]
    kept += [(far, FAR)] if far else []
    actions = "".join([
        *(f'<ereg regexp={quoteattr(pattern)} search_in="msg" check_it="true" assign_to="found"/>' for pattern in finds),
        *(f'<ereg regexp=".*" search_in="hdr" header="{head}:" check_it="true" assign_to="{name}"/>' for head, name in kept),
        action,
    ])  # fmt: skip
    kind = "response" if what.isdigit() else "request"
    chosen = (('optional="true"', optional), ('optional="global"', whenever), ('auth="true"', challenged), ('rrs="true"', far))
    attributes = " ".join([f'{kind}="{what}"', *(text for text, wanted in chosen if wanted)])
    return f'<recv {attributes}>' + (f"<action>{actions}</action>" if actions else "") + "</recv>\n"


def accepted(*finds: str, keep: str = "", action: str = "") -> str:
    """Return the phone's way to a 200 to the first INVITE: it may say that it rings before."""
    return recv("100", optional=True) + recv("180", optional=True) + recv("200", *finds, far="To", keep=keep, action=action)


def invited(*finds: str, keep: str = "invite") -> str:
    """Return the phone's first INVITE, kept for answers to come."""
    return recv("INVITE", *finds, far="From", keep=keep)


def pause(milliseconds: int) -> str:
    """Return a time in which SIPp waits."""
    return f'<pause milliseconds="{milliseconds}"/>\n'


def passed_on(name: str) -> str:
    """Return the step in which a controller of two calls (`sipp -3pcc`) gives what it kept to the other half of it."""
    return f"<sendCmd><![CDATA[\nCall-ID: [call_id]\n[${name}]\n]]></sendCmd>\n"


def taken_over(name: str) -> str:
    """Return the step in which the other half waits for a description, and keeps it."""
    return f'<recvCmd><action><ereg regexp="v=0.*" search_in="msg" check_it="true" assign_to="{name}"/></action></recvCmd>\n'


def description(name: str) -> str:
    """Return the action of a `recv` that keeps the description in it; a later step has it as body "[$name]"."""
    return f'<ereg regexp="v=0.*" search_in="msg" check_it="true" assign_to="{name}"/>'


def verified(user: str, password: str, otherwise: str) -> tuple[str, str]:
    """Return the action of a `recv` that checks digest credentials, and the step behind it.

    With wrong credentials SIPp sends `otherwise` and what follows it is left out, up to `END`.
    """
    check = f'<verifyauth assign_to="verified" username={quoteattr(user)} password={quoteattr(password)}/>'
    return check, f'<nop test="verified" next="verified"/>\n{otherwise}<nop next="end"/>\n<label id="verified"/>\n'


END: Final = '<label id="end"/>\n'
