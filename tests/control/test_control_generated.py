"""What is generated is up to date, complete and well-formed; what is out of date is found."""

from __future__ import annotations

import html.parser
import re
from collections import Counter
from pathlib import Path

import pytest

from offhook.control import generated, http_page, typescript
from offhook.control.generated import FILES, main, old, write
from offhook.control.http.routes import ROUTES
from offhook.control.openapi import problem_codes
from offhook.phone.commands import COMMANDS
from offhook.phone.events import EVENTS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.lengthy
def test_the_files_of_this_repository_are_up_to_date() -> None:
    assert old(REPOSITORY) == {}, "run  make docs"


@pytest.mark.slow
def test_an_old_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert old(tmp_path) == {}
    page = tmp_path / "docs" / "http-api.md"
    page.write_text(page.read_text().replace("curl", "wget"))
    (tmp_path / "docs" / "schema.json").unlink()
    assert old(tmp_path).keys() == {"docs/http-api.md", "docs/schema.json"}
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert "docs/http-api.md is old: run  make docs" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert set(FILES) == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}


class Page(html.parser.HTMLParser):
    """What matters of a page: identifiers, links, and anything a strict Content-Security-Policy would stop."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.refused: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            self.ids.append(str(found["id"]))
        self.links += [str(found[name]) for name in ("href", "src") if name in found]
        if tag == "style" or "style" in found or any(name.startswith("on") for name in found):
            self.refused.append(tag)
        if tag == "script" and "src" not in found:
            self.refused.append(tag)
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.lengthy
def test_the_page_is_whole() -> None:
    page = Page()
    page.feed(http_page.page())
    assert page.open == []
    assert page.refused == []
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {
        "docs.css", "docs.js", "data:,", "openapi.json", "asyncapi.json", "schema.json",
    }  # fmt: skip
    assert {event.type for event in EVENTS} | {f"problem-{code}" for _, code, _ in problem_codes()} <= set(page.ids)
    assert "url(" not in http_page.style()
    assert "http" not in http_page.script()


@pytest.mark.lengthy
def test_the_markdown_has_every_route() -> None:
    text = http_page.markdown()
    for route in ROUTES:
        assert re.search(rf"^### \w+ {re.escape(route.path)}$", text, re.MULTILINE), route.path
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in text.split("\n") if line.startswith("| `"))


def test_the_types_have_every_command_and_event() -> None:
    text = typescript.source()
    for command in COMMANDS:
        assert f"  {command.operation}: {{ params: {command.__name__}Params;" in text
    for event in EVENTS:
        assert f'  "{event.type}": {event.__name__};' in text
    declared = re.findall(r"^export (?:interface|type) (\w+)", text, re.MULTILINE)
    assert [name for name, count in Counter(declared).items() if count > 1] == []
    known = {*declared, "T", "V", "Accepted"}
    used = set(re.findall(r"\b[A-Z]\w+\b", re.sub(r"//.*|/\*.*?\*/|\"[^\"]*\"", "", text, flags=re.DOTALL)))
    assert used <= known, used - known


def test_differences_shown_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "FILES", {"docs/openapi.json": lambda: "y\n" * 1000})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "openapi.json").write_text("x\n" * 1000)
    assert len(old(tmp_path)["docs/openapi.json"].split("\n")) == generated.DIFFERENCES
