"""Which web addresses commands may use: the rule itself, and that every surface's way to the phone asks it."""

from __future__ import annotations

import pytest

from offhook.control.access import Client, Gate
from offhook.control.outgoing import OutgoingUrls
from offhook.errors import CommandError, Forbidden, InvalidArgument
from offhook.phone.commands import Command, Play, Scope, StreamAudio
from offhook.phone.urls import prefix_of
from offhook.testing.backend import FakeBackend

RULE = OutgoingUrls(["wss://bot.example.org/calls", "https://media.example.org:8443/sounds/", "http://127.0.0.1:9000/"])


@pytest.mark.parametrize("url", [
    "wss://bot.example.org/calls", "wss://bot.example.org/calls/7?x=1", "wss://BOT.example.org:443/calls",
    "https://media.example.org:8443/sounds/a.wav", "http://127.0.0.1:9000/anything", "http://127.0.0.1:9000",
])
def test_what_is_named_may_be_used(url: str) -> None:
    RULE.check(url, anywhere=False)


@pytest.mark.parametrize("url", [
    "wss://bot.example.org/callsign", "wss://bot.example.org/", "wss://bot.example.org:444/calls", "wss://bot.example.com/calls",
    "wss://bot.example.org.evil.example/calls", "https://bot.example.org/calls", "https://media.example.org/sounds/a.wav",
    "https://media.example.org:8443/sounds/../secret", "https://media.example.org:8443/sounds/%2e%2e/secret",
    "https://media.example.org:8443/sounds/..%5csecret", "https://media.example.org:8443/sounds", "http://127.0.0.2:9000/",
    "https://169.254.169.254/latest/meta-data", "http://localhost:9000/", "http://[::1]:9000/",
])
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(Forbidden, match=r"outgoing\.urls"):
        RULE.check(url, anywhere=False, name="crm")
    RULE.check(url, anywhere=True)


@pytest.mark.parametrize("url", [
    "http://media.example.org/a.wav", "ws://bot.example.org/", "wss://u:p@bot.example.org/calls", "file:///etc/passwd",
    "wss://bot.example.org/calls#x", "javascript:alert(1)", "", "https://", "https://h:x/", "https://h/\u00e4",
])
def test_what_is_no_good_address_is_refused_for_everybody(url: str) -> None:
    for anywhere in (False, True):
        with pytest.raises(InvalidArgument):
            RULE.check(url, anywhere=anywhere)


def test_in_the_clear_where_the_setting_says_so() -> None:
    OutgoingUrls(allow_http=True).check("ws://bot.example.org/", anywhere=True)
    OutgoingUrls(["http://media.example.org/"], allow_http=True).check("http://media.example.org/a.wav", anywhere=False)


@pytest.mark.parametrize("text", ["wss://h/a?b", "ftp://h/", "h/a", "https://h/ a"])
def test_beginnings_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        prefix_of(text)


def commanded(command: Command, *scopes: Scope) -> CommandError | None:
    backend = FakeBackend()
    try:
        Gate(backend, lambda: 0.0).execute(command, Client("crm", frozenset(scopes)))
    except CommandError as error:
        assert not backend.commands
        return error
    return None


def test_the_gate_asks_for_every_command_with_an_address() -> None:
    for command in (Play(url="https://h.example/a.wav"), StreamAudio(url="wss://h.example/")):
        assert isinstance(commanded(command, "media"), Forbidden)
        assert isinstance(commanded(command, "media", "call", "read"), Forbidden)
        assert commanded(command, "media", "admin") is None
    assert commanded(Play(file="/a.wav"), "media") is None


def test_what_the_program_may_do_its_client_must_be_allowed_to() -> None:
    for command in (StreamAudio(url="wss://h.example/", control=True), StreamAudio(url="wss://h.example/", end_call=True)):
        assert isinstance(commanded(command, "media", "admin"), Forbidden)
        assert commanded(command, "media", "admin", "call") is None
