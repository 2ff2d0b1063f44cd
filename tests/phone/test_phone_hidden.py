"""An account that hides who calls says so in nothing but its credentials."""

from __future__ import annotations

from dataclasses import replace

from offhook.media.messages import PortsReady
from offhook.phone.commands import AddAccount, Dial
from offhook.phone.phone import Phone
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip.events import Flow, Resolve, Resolved, Transmit
from offhook.testing.ids import SeededIds

FLOW = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.2", 5060))


def invite_of(account: AccountSettings, to: str = "1002") -> str:
    phone = Phone(PhoneSettings(), SeededIds(1))
    phone.receive(PortsReady((4000, 4002)), 0.0)
    phone.execute(AddAccount(account=account), 0.0)
    phone.execute(Dial(to=to), 0.0)
    for _ in range(100):
        item = phone.poll()
        if isinstance(item, Resolve):
            phone.receive(Resolved(item.query, (FLOW,)), 0.0)
        elif isinstance(item, Transmit) and item.data.startswith(b"INVITE"):
            return item.data.decode()
    raise AssertionError("no INVITE left")


def test_the_from_is_anonymous_and_privacy_is_asked_for() -> None:
    shown = AccountSettings(id="a", domain="pbx.example", username="1001", display_name="Ann", register=False)
    text = invite_of(shown)
    assert "From: Ann <sip:1001@pbx.example>" in text.replace('"', "")
    assert "Privacy" not in text
    hidden = AccountSettings(id="a", domain="pbx.example", username="1001", register=False, hide_caller_id=True)
    text = invite_of(hidden)
    assert "sip:anonymous@anonymous.invalid" in text
    assert "Privacy: id" in text
    assert "P-Preferred-Identity: <sip:1001@pbx.example>" in text, "its own server is told"
    assert text.count("1001") == 1
    assert "Contact: <sip:anonymous@127.0.0.1:5060>" in text


def test_nobody_but_the_own_server_is_told_who_calls() -> None:
    hidden = AccountSettings(id="a", domain="PBX.example", username="1001", register=False, hide_caller_id=True)
    text = invite_of(hidden, "sip:bob@elsewhere.example")
    assert "Privacy: id" in text
    assert "1001" not in text
    assert "pbx.example" not in text.lower()
    assert "P-Preferred-Identity: <sip:1001@PBX.example>" in invite_of(hidden, "sip:bob@pbx.example")
    by_proxy = replace(hidden, proxy="proxy.example")
    assert "P-Preferred-Identity" in invite_of(by_proxy, "sip:bob@elsewhere.example"), "the call goes by the own server"
