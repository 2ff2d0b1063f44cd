"""The reference of the HTTP surface: as Markdown for docs/http-api.md, and as the page at /v1/docs."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from offhook import __version__
from offhook.control.http.routes import ROUTES, SOCKET, Route
from offhook.control.json_schema import EVENT_PARTS, NOTE_PARTS, Schema, components
from offhook.control.openapi import ABOUT, REF, TAGS, body_schema, document, operation_names, problem_codes, tag_of
from offhook.control.prose import Row, answer_words, curl, parameter_rows, rows, type_words
from offhook.phone.commands import COMMANDS
from offhook.phone.events import EVENTS

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own style and script, an icon that is empty, and nothing else at all."""


@cache
def _described() -> Schema:
    return document()


def _operation(route: Route) -> Schema:
    method = "get" if route.method == SOCKET else route.method.lower()
    found: Schema = _described()["paths"][route.path][method]
    return found


def _fields(route: Route) -> list[Row]:
    found = list(parameter_rows(_operation(route), _described()["components"]["parameters"]))
    return found + rows(body_schema(route) or {})


def _by_tag() -> Iterator[tuple[str, list[Route]]]:
    for tag in TAGS:
        yield tag, [route for route in ROUTES if tag_of(route) == tag]


def _views() -> dict[str, Schema]:
    """Return what answers and events are made of, without the commands and events themselves."""
    others = {each.__name__ for each in (*COMMANDS, *EVENTS)}
    others |= {"Event", "StreamNote", *EVENT_PARTS.values(), *NOTE_PARTS.values()}
    return {name: part for name, part in components(REF).items() if name not in others}


def _verb(route: Route) -> str:
    return "WebSocket" if route.method == SOCKET else route.method


# --- Markdown ------------------------------------------------------------------------------------------------------


def markdown() -> str:
    """Return docs/http-api.md."""
    return "\n".join(_markdown()) + "\n"


def _markdown() -> Iterator[str]:
    yield "# The HTTP interface"
    yield ""
    yield "Generated from the table of routes (`make docs`). A running phone serves this as a page at `/v1/docs`, and as"
    yield "OpenAPI at `/v1/openapi.json`, AsyncAPI at `/v1/asyncapi.json`, JSON Schema at `/v1/schema.json`."
    yield "Events and commands are explained in [commands.md](commands.md)."
    yield ""
    yield from ABOUT.rstrip().split("\n")
    for tag, routes in _by_tag():
        yield from ("", f"## {tag.capitalize()}", "", TAGS[tag])
        for route in routes:
            yield from _markdown_route(route)
    yield from ("", "## Problems", "", "| status | code | meaning |", "|---|---|---|")
    for status, code, title in problem_codes():
        yield f"| {status} | `{code}` | {title} |"
    yield from ("", "## Views")
    for name, part in _views().items():
        yield from ("", f"### {name}", "", part["description"])
        if "enum" in part:
            yield from ("", ", ".join(f"`{each}`" for each in part["enum"]))
        if "oneOf" in part:
            yield from ("", f"One of: {type_words(part)}".replace(" | ", ", "))
        yield from _markdown_table(rows(part))


def _markdown_route(route: Route) -> Iterator[str]:
    operation = _operation(route)
    yield from ("", f"### {_verb(route)} {route.path}", "")
    yield route.summary
    scope = {"": "any token", "public": "no token"}.get(route.scope, f"scope `{route.scope}`")
    answer = answer_words(route)
    codes = ", ".join(code for code in operation["responses"] if code < "4")
    yield from ("", f"`{operation['operationId']}`, {scope}; answers {codes}" + (f": {answer}" if answer else ""))
    yield from _markdown_table(_fields(route))
    example = curl(route)
    if example:
        yield from ("", "```sh", example, "```")


def _markdown_table(found: Iterable[Row]) -> Iterator[str]:
    found = [row for row in found if row.name not in ("X-Request-Id", "Idempotency-Key")]
    if found:
        yield from ("", "| field | type | default | |", "|---|---|---|---|")
    for row in found:
        cells = (row.type, f"`{row.default}`" if row.default not in ("", "required") else row.default, row.text)
        yield f"| `{row.name}` | " + " | ".join(cell.replace("|", "&#124;").replace("\n", " ") for cell in cells) + " |"


# --- HTML ----------------------------------------------------------------------------------------------------------


def style() -> str:
    """Return docs.css."""
    return _file("docs.css")


def script() -> str:
    """Return docs.js."""
    return _file("docs.js")


def _file(name: str) -> str:
    return files("offhook.control").joinpath("page", name).read_text("utf-8")


def page() -> str:
    """Return the page at /v1/docs."""
    return "".join(_page())


def _page() -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>offhook: the HTTP interface</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="docs.css">'
    yield '<link rel="icon" href="data:,"><script src="docs.js" defer></script></head>\n<body><header>'
    yield f"<h1>offhook <small>{html.escape(__version__)}</small></h1>"
    yield '<input id="search" type="search" placeholder="Search" aria-label="Search" autocomplete="off">'
    yield '<p id="found" role="status"></p></header>\n<main>'
    yield f"<section>{_paragraphs(ABOUT)}<p>For programs: "
    yield ", ".join(f'<a href="{name}.json">{text}</a>' for name, text in _FOR_PROGRAMS.items())
    yield f".</p><nav>{_contents()}</nav></section>"
    for tag, routes in _by_tag():
        yield _section(tag, tag.capitalize(), TAGS[tag], (_route_entry(route) for route in routes))
    yield _section("event types", "Event types", "What the phone tells, inside an Envelope.", map(_event_entry, EVENTS))
    views = (_view_entry(*found) for found in _views().items())
    yield _section("views", "Views", "What answers and events are made of.", views)
    problems = map(_problem_entry, problem_codes())
    yield _section("problems", "Problems", "Why something was refused: `code` is stable.", problems)
    yield "</main></body></html>\n"


_FOR_PROGRAMS: Final = {"openapi": "OpenAPI 3.1", "asyncapi": "AsyncAPI 3.0", "schema": "JSON Schema"}


def _contents() -> str:
    titles = {**{tag: tag.capitalize() for tag in TAGS}, "event types": "Event types", "views": "Views", "problems": "Problems"}
    return " ".join(f'<a href="#{_anchor(name)}">{title}</a>' for name, title in titles.items())


def _anchor(section: str) -> str:
    return "part-" + section.replace(" ", "-")


def _section(name: str, title: str, text: str, entries: Iterable[str]) -> str:
    return f'<section id="{_anchor(name)}"><h2>{title}</h2>{_paragraphs(text)}{"".join(entries)}</section>\n'


def _entry(identifier: str, words: str, head: str, body: str) -> str:
    """Return one thing that can be found and opened; `words` is what it is found by."""
    found = html.escape(words.lower(), quote=True)
    return f'<details id="{identifier}" data-words="{found}"><summary>{head}</summary><div>{body}</div></details>\n'


def _route_entry(route: Route) -> str:
    operation = _operation(route)
    name = operation_names()[route.method, route.path]
    verb = _verb(route)
    head = f'<b class="{verb.lower()}">{verb}</b> <code>{html.escape(route.path)}</code> '
    head += f"<span>{_inline(operation['summary'])}</span>"
    scope = {"": "any token", "public": "no token"}.get(route.scope, f"scope {route.scope}")
    answers = ", ".join(code for code in operation["responses"] if code < "4")
    problems = ", ".join(code for code in operation["responses"] if code >= "4")
    answer = answer_words(route)
    body = _paragraphs(operation.get("description", route.summary)) + _table(_fields(route))
    body += f"<p>{html.escape(scope)}; answers {answers}" + (f": {_linked(answer)}" if answer else "") + "</p>"
    body += f'<p>Problems: {problems} (<a href="#part-problems">their codes</a>)</p>'
    example = curl(route)
    body += f"<pre>{html.escape(example)}</pre>" if example else ""
    return _entry(name, f"{verb} {route.path} {name} {route.summary}", head, body)


def _event_entry(event: Any) -> str:
    part = components(REF)[event.__name__]
    text = part["description"]
    head = f"<code>{event.type}</code> <span>{_inline(text.splitlines()[0])}</span>"
    return _entry(event.type, f"{event.type} {text}", head, _paragraphs(text) + _table(rows(part)))


def _view_entry(name: str, part: Schema) -> str:
    text = part["description"]
    head = f"<code>{name}</code> <span>{_inline(text.splitlines()[0])}</span>"
    choices = f"<p>{_linked(type_words(part))}</p>" if "enum" in part or "oneOf" in part else ""
    return _entry(name, f"{name} {text}", head, _paragraphs(text) + choices + _table(rows(part)))


def _problem_entry(found: tuple[int, str, str]) -> str:
    status, code, title = found
    head = f"<b>{status}</b> <code>{code}</code> <span>{html.escape(title)}</span>"
    return _entry(f"problem-{code}", f"{status} {code} {title}", head, f"<p>{html.escape(title)}.</p>")


def _table(found: Iterable[Row]) -> str:
    lines = [
        f"<tr><td><code>{html.escape(row.name)}</code></td><td>{_linked(row.type)}</td>"
        f"<td>{html.escape(row.default)}</td><td>{_inline(row.text)}</td></tr>"
        for row in found
    ]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>' if lines else ""


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.strip().split("\n\n"))


def _inline(text: str) -> str:
    """Return text as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _linked(text: str) -> str:
    """Return type words as HTML; the names of views lead to them."""
    names = _views().keys()
    return re.sub(r"[A-Z]\w+", lambda m: f'<a href="#{m[0]}">{m[0]}</a>' if m[0] in names else m[0], html.escape(text))
