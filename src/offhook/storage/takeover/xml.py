"""XML of strangers into a small tree: no document type, so no entities and nothing to expand or fetch; bounded in every way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from offhook.errors import UnreadableFile

MAX_DEPTH: Final = 32
"""Elements inside each other: address books have four."""
MAX_ELEMENTS: Final = 600_000
"""Elements of a document: 100,000 people with six each."""
MAX_TEXT: Final = 64 * 1024
"""Characters of one element's own text."""


@dataclass(slots=True)
class Element:
    """One element: names without their prefix, the text directly in it, and the line it begins on."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """Return this and every element below it with one of these tags (case-blind), in document order."""
        found: list[Element] = []
        waiting = [self]
        while waiting:
            element = waiting.pop()
            if element.tag.lower() in tags:
                found.append(element)
            waiting += reversed(element.children)
        return found


def read_xml(text: str, name: str) -> Element:
    """Return the root. Raises UnreadableFile, with the line, for what is not well-formed or declares a document type."""
    reader = _Reader(name)
    # What the declaration says of the encoding is over: this is text already.
    parser = expat.ParserCreate("utf-8", None)
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: reader.start(tag, attributes, parser.CurrentLineNumber)
    parser.EndElementHandler = lambda _tag: reader.end()
    parser.CharacterDataHandler = lambda more: reader.data(more, parser.CurrentLineNumber)
    parser.StartDoctypeDeclHandler = lambda *_: reader.refuse(
        "it declares a document type (<!DOCTYPE …>), which no address book needs: take that out", parser.CurrentLineNumber
    )
    try:
        parser.Parse(text.lstrip("\ufeff \t\r\n").encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise UnreadableFile(f"{name}:{error.lineno}: not XML: {expat.ErrorString(error.code)}: export it again") from None
    assert reader.root is not None
    return reader.root


class _Reader:
    def __init__(self, name: str) -> None:
        self.root: Element | None = None
        self._name = name
        self._open: list[Element] = []
        self._count = 0

    def refuse(self, why: str, line: int) -> None:
        raise UnreadableFile(f"{self._name}:{line}: {why}")

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH:
            self.refuse(f"more than {MAX_DEPTH} elements inside each other: this is no address book", line)
        if self._count > MAX_ELEMENTS:
            self.refuse(f"more than {MAX_ELEMENTS} elements: split the file", line)
        element = Element(_local(tag), {_local(key): value for key, value in attributes.items()}, line)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self) -> None:
        self._open.pop()

    def data(self, more: str, line: int) -> None:
        element = self._open[-1]
        if len(element.text) + len(more) > MAX_TEXT:
            self.refuse(f"<{element.tag}> has more than {MAX_TEXT} characters of text", line)
        element.text += more


def _local(name: str) -> str:
    return name.rpartition(":")[2]
