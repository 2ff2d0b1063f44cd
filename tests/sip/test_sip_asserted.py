"""The identity the network vouches for, as it stands in headers."""

from __future__ import annotations

import pytest

from offhook.sip.asserted import MAX_IDENTITY, asserted_identity
from offhook.sip.headers import Headers


@pytest.mark.parametrize(("headers", "identity"), [
    ([("Remote-Party-ID", "<sip:2@x>"), ("P-Asserted-Identity", " <sip:1@x> ")], "<sip:1@x>"),
    ([("remote-party-id", "<sip:2@x>;party=called")], "<sip:2@x>;party=called"),
    ([("P-Asserted-Identity", '"Ann, of \\"x\\"" <sip:1@x>, <tel:+4930>')], '"Ann, of \\"x\\"" <sip:1@x>'),
    ([("P-Asserted-Identity", " , "), ("Remote-Party-ID", "")], ""),
    ([("P-Asserted-Identity", "<sip:1@x>" + "x" * 1000)], ("<sip:1@x>" + "x" * 1000)[:MAX_IDENTITY]),
    ([], ""),
])  # fmt: skip
def test_the_identity_the_network_vouches_for(headers: list[tuple[str, str]], identity: str) -> None:
    assert asserted_identity(Headers(headers)) == identity
