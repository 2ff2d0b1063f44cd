"""`accounts … --wait`: it stays until the registrar has answered, with a real phone and the practice exchange."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.sip.stack import host_port
from offhook.testing.process import phone_process
from offhook.testing.threaded import exchange_beside

pytestmark = pytest.mark.slow  # the phone waits four seconds for the registrar that is not there before it ends

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A phone's socket, and the exchange's address."""
    with exchange_beside() as address, phone_process(tmp_path_factory.mktemp("phone"), "") as running:
        yield running.socket, host_port(address)


@pytest.fixture
def run(phone: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str, password: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        code = main(["accounts", *words, "--socket", phone[0]])
        said = capsys.readouterr()
        return code, (said.out + said.err).strip()

    return run


def add(run: Run, phone: tuple[str, str], name: str, password: str, *more: str) -> tuple[int, str]:
    words = ("--domain", phone[1], "--username", "1001", "--ask-password", "--wait", "--timeout", "10")
    return run("add", name, *words, *more, password=password)


def test_registered_refused_and_registered_no_more(run: Run, phone: tuple[str, str]) -> None:
    assert add(run, phone, "a", "practice-1001") == (0, "a: added … registered")
    assert run("register", "a", "--wait") == (0, "a: registering … registered")
    code, said = run("change", "a", "--label", "Desk", "--wait", "--json")
    assert code == 0
    assert (json.loads(said)["value"]["label"], json.loads(said)["value"]["registration"]) == ("Desk", "registered")
    assert run("unregister", "a", "--wait") == (0, "a: unregistering … unregistered")
    assert run("unregister", "a", "--wait") == (0, "a: unregistering"), "it is not, so there is nothing to wait for"
    code, said = add(run, phone, "b", "wrong")
    assert code == 4
    assert "account b is not registered: 403" in said
    assert add(run, phone, "c", "", "--no-register") == (0, "c: added")


@pytest.mark.parametrize("action", ["remove", "select"])
def test_nothing_to_wait_for(run: Run, action: str) -> None:
    code, said = run(action, "a", "--wait")
    assert code == 2
    assert "--wait goes with" in said


def test_no_answer_in_time(run: Run) -> None:
    words = ("--domain", "127.0.0.1:9", "--username", "1", "--transport", "udp", "--wait", "--timeout", "0.3")
    code, said = run("add", "d", *words)
    assert code in (4, 5), "the system may say at once that nobody listens there"
    assert "account d" in said


def test_what_the_registrar_refuses_is_kept_all_the_same(run: Run, phone: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    code, _ = run("add", "e", "--domain", phone[1], "--username", "nobody", "--wait", "--keep", "--config", str(file))
    assert code == 4
    assert "[account.e]" in file.read_text()
