"""What `offhook run` prints for an operator: trouble once, and its end."""

from __future__ import annotations

from offhook.app.trouble import Words
from offhook.phone import events as e
from offhook.phone.model import AccountView


def office(status: int = 0, reason: str = "", retry_in: float | None = None, name: str = "office") -> AccountView:
    return AccountView(
        id=name, label="", uri="sip:1001@pbx", display_name="", transport="udp", registration="failed",
        sip_status=status, reason=reason, retry_in=retry_in,
    )  # fmt: skip


def test_an_account_that_is_refused_is_told_once_for_each_reason_and_when_it_is_well() -> None:
    words = Words()
    assert words.of(e.AccountRegistered(account=office())) == ""
    refused = e.AccountRegisterFailed(account=office(403, "Wrong Password", 20.0))
    assert words.of(refused) == "account office is not registered: 403 Wrong Password; it is tried again"
    assert words.of(refused) == ""
    assert words.of(e.AccountRegisterFailed(account=office(408, "", 20.0, name="home"))).startswith("account home is not")
    assert words.of(e.AccountRegisterFailed(account=office(0, "no answer"))) == "account office is not registered: no answer"
    assert words.of(e.AccountRegistered(account=office())) == "account office is registered"
    assert words.of(e.AccountRegistered(account=office())) == ""
    assert words.of(refused) != ""
    assert words.of(e.AccountRemoved(account=office())) == ""
    assert words.of(refused) != "", "another account of that name"


def test_what_an_operator_has_to_mend_is_told() -> None:
    words = Words()
    assert words.of(e.SystemError(reason="the disk is full")) == "the disk is full"
    disabled = e.WebhookDisabled(webhook="wh_1", url="https://x.example", reason="a day without an answer")
    assert words.of(disabled) == "webhook wh_1 is disabled: a day without an answer"
