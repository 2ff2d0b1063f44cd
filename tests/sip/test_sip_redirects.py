"""Where a redirect leads."""

from __future__ import annotations

import pytest

from offhook.sip.message import Response
from offhook.sip.redirects import targets
from offhook.sip.uri import Uri


def found(status: int, *contacts: str, known: tuple[str, ...] = ()) -> list[str]:
    response = Response(status, "x", [("Contact", contact) for contact in contacts], b"")
    return [str(each) for each in targets(response, [Uri.parse(each) for each in known])]


def test_the_preferred_address_comes_first() -> None:
    assert found(302, "<sip:a@x>;q=0.1", "<sip:b@x>", "<sip:c@x>;q=odd") == ["sip:b@x", "sip:a@x", "sip:c@x"]


def test_each_address_once_and_none_that_is_known() -> None:
    assert found(300, "<sip:a@x>", "<sip:a@X>", "<sip:b@x;method=BYE?Subject=x>", known=("sip:c@x",)) == ["sip:a@x", "sip:b@x"]
    assert found(300, "<sip:c@x>", known=("sip:c@x",)) == []


@pytest.mark.parametrize(("status", "expected"), [(302, ["tel:123"]), (305, [])])
def test_only_what_can_be_called(status: int, expected: list[str]) -> None:
    assert found(status, "<tel:123>", "<mailto:a@x>", "<https://x>") == expected
