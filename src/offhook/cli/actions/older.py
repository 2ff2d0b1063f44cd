"""The older interfaces, and any operation by its name."""

from __future__ import annotations

from offhook.cli.actions.common import fields, json_text, show
from offhook.cli.outcome import DONE, REFUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from offhook.cli.parsing import Invocation

def dde(use: Invocation) -> int:
    """Carry out a DDE string."""
    result = use.client.request("dde", text=use.text("text"))
    return show(use, result, result["text"] or "ok")


def copydata(use: Invocation) -> int:
    """Carry out a WM_COPYDATA command, by its number or name, and show the LRESULT."""
    given = use.text("code").upper()
    names = ("DIAL", "HANGUP", "ANSWER", "STATUS", "ACTIVECALL", "MUTE", "TRANSFER", "DTMF", "VOLUME", "QUIT")
    code = names.index(given) + 1 if given in names else use.whole("code")
    result = use.client.request("copydata", code=code, data=use.text("text"))
    show(use, result, f"{result['lresult']} {result['text']}".rstrip())
    idle = result["text"] in ("", "IDLE")  # of STATUS and ACTIVECALL 0 is an answer; a refusal says why
    return DONE if result["lresult"] or idle else REFUSED


def operation(use: Invocation) -> int:
    """Send any operation; `name=text` gives a text, `name:=json` anything else."""
    params = fields(use, use.words)
    result = use.client.request(use.text("name").replace("-", "_"), **params)
    return show(use, result, json_text(result, indent=2))
