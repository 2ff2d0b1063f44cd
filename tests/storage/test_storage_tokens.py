"""Tokens: made once, kept as fingerprints in a private file, found, revoked, never trusted when others could write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offhook.errors import InvalidState, NotFound, SetupError
from offhook.storage import tokens as tokens_module
from offhook.storage.tokens import SCOPES, USUAL, TokenFile, token_for_user
from offhook.testing.sharing import read_by_others, share


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "new" / "tokens.json")


def test_a_token_is_found_by_its_secret_only(tokens: TokenFile) -> None:
    crm, dialer = tokens.create("crm", ["read"]), tokens.create("dialer", ["call", "read", "call"], 30)
    found = tokens.find(dialer)
    assert found is not None
    assert (found.name, found.scopes, found.calls_per_minute) == ("dialer", ("read", "call"), 30)
    assert tokens.find(crm) == tokens.list()[0]
    for wrong in ("", "oht_", crm[:-1], crm + "x", crm.upper(), "\ud800", "é", "x" * 10_000, found.sha256):
        assert tokens.find(wrong) is None


def test_the_file_is_private_and_holds_no_secret(tokens: TokenFile) -> None:
    secret = tokens.create("crm")
    assert len(secret) > 40
    text = tokens.path.read_text()
    assert secret not in text
    assert secret.removeprefix("oht_") not in text
    assert not read_by_others(tokens.path)


def test_limits_are_kept_and_changed_with_the_same_secret(tokens: TokenFile) -> None:
    secret = tokens.create("dialer", ["call"], 5, max_calls=2, allow=["1???", "*@example.org"], deny=["1900"])
    found = TokenFile(tokens.path).find(secret)
    assert found is not None
    assert (found.max_calls, found.allow, found.deny) == (2, ("1???", "*@example.org"), ("1900",))
    changed = tokens.change("dialer", deny=(), scopes=["read"], max_calls=0)
    assert TokenFile(tokens.path).find(secret) == changed
    assert (changed.scopes, changed.max_calls, changed.allow, changed.deny) == (("read",), 0, ("1???", "*@example.org"), ())
    for limits in ({"max_calls": -1}, {"allow": ("a b",)}, {"deny": ("",)}, {"allow": ("1",) * 101}, {"scopes": ["root"]}):
        with pytest.raises(SetupError):
            tokens.change("dialer", **limits)
    with pytest.raises(NotFound, match="token list"):
        tokens.change("nobody", max_calls=1)
    assert tokens.list() == (changed,)


def test_a_file_from_before_there_were_dial_rules_is_read(tokens: TokenFile) -> None:
    secret = tokens.create("crm")
    kept = json.loads(tokens.path.read_text())
    for name in ("max_calls", "allow", "deny"):
        del kept["tokens"][0][name]
    tokens.path.write_text(json.dumps(kept))
    found = TokenFile(tokens.path).find(secret)
    assert found is not None
    assert (found.max_calls, found.allow) == (0, ())
    kept["tokens"][0]["allow"] = "1???"
    tokens.path.write_text(json.dumps(kept))
    with pytest.raises(SetupError, match="damaged"):
        TokenFile(tokens.path).list()


def test_a_revoked_token_is_gone_for_every_reader(tokens: TokenFile) -> None:
    secret = tokens.create("crm")
    other = TokenFile(tokens.path)
    assert other.find(secret) is not None
    tokens.revoke("crm")
    assert other.find(secret) is None
    with pytest.raises(NotFound, match="token list"):
        tokens.revoke("crm")


@pytest.mark.parametrize(("name", "scopes", "rate"), [
    ("", ["read"], 0), ("a b", ["read"], 0), ("x" * 33, ["read"], 0), ("a", [], 0), ("a", ["root"], 0), ("a", ["read"], -1),
])  # fmt: skip
def test_what_makes_no_token(tokens: TokenFile, name: str, scopes: list[str], rate: int) -> None:
    with pytest.raises(SetupError):
        tokens.create(name, scopes, rate)
    assert tokens.list() == ()


def test_a_name_is_taken_once_and_the_number_is_bounded(tokens: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.create("crm")
    with pytest.raises(InvalidState, match="revoke crm"):
        tokens.create("crm")
    monkeypatch.setattr(tokens_module, "MAX_TOKENS", 1)
    with pytest.raises(InvalidState, match="limit"):
        tokens.create("other")


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "x", '{"tokens":[{}]}', '{"tokens":[{"name":"a","sha256":"x","scopes":["root"],"calls_per_minute":0}]}',
    '{"tokens":[{"name":"a","sha256":5,"scopes":["read"],"calls_per_minute":0}]}', '{"tokens":5}',
    '{"tokens":[{"name":"a","sha256":"\\u00e9","scopes":["read"],"calls_per_minute":0}]}',
])  # fmt: skip
def test_a_damaged_file_lets_nobody_in(tokens: TokenFile, text: str) -> None:
    tokens.create("crm")
    tokens.path.write_text(text)
    with pytest.raises(SetupError, match="damaged"):
        tokens.find("x")


def test_a_file_others_can_read_lets_nobody_in(tokens: TokenFile) -> None:
    tokens.create("crm")
    share(tokens.path)
    with pytest.raises(SetupError, match="other users"):
        TokenFile(tokens.path).list()


def test_the_user_gets_a_token_once(tokens: TokenFile, tmp_path: Path) -> None:
    file = tmp_path / "state" / "http-token"
    assert token_for_user(tokens, file)
    secret = file.read_text().strip()
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.scopes) == ("user", USUAL)
    assert set(SCOPES) - set(USUAL) == {"keys"}
    assert not read_by_others(file)
    assert token_for_user(tokens, file)
    assert file.read_text().strip() == secret
    tokens.create("crm")
    tokens.revoke("user")
    assert not token_for_user(tokens, file), "revoked on purpose"
    file.unlink()
    assert not token_for_user(tokens, file)
    assert [token["name"] for token in json.loads(tokens.path.read_text())["tokens"]] == ["crm"]


def test_a_disk_that_takes_no_token_for_the_user_costs_no_later_one(tmp_path: Path) -> None:
    tokens, file = TokenFile(tmp_path / "tokens.json"), tmp_path / "http-token"
    file.mkdir()
    with pytest.raises(SetupError, match="cannot be written"):
        token_for_user(tokens, file)
    assert tokens.list() == (), "nobody could read it"
    file.rmdir()
    assert token_for_user(tokens, file)
    assert tokens.find(file.read_text().strip()) is not None
