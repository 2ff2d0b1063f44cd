"""XML of strangers, read without what makes XML dangerous: no document type, no entities, and bounds on everything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from offhook.errors import ParseError

MAX_BYTES: Final = 65536
"""A whole dialog-info of a busy operator's phone has some kilobytes."""
MAX_DEPTH: Final = 24
MAX_NODES: Final = 4000

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Return text as it stands in an element or between double quotes; what XML cannot hold becomes '?'."""
    return _FORBIDDEN.sub("?", text).translate(_ESCAPES)


def quoteattr(text: str) -> str:
    """Return text as an attribute's value, with its quotes."""
    return f'"{escape(text)}"'


@dataclass(slots=True)
class Node:
    """One element: its name without the namespace, attributes (names without theirs), children, and the text within it."""

    name: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def find(self, name: str) -> Node | None:
        """Return the first child of this name."""
        return next((child for child in self.children if child.name == name), None)

    def find_all(self, name: str) -> list[Node]:
        """Return all children of this name."""
        return [child for child in self.children if child.name == name]

    def get(self, name: str) -> str:
        """Return an attribute, "" without it."""
        return self.attributes.get(name, "")

    def text_of(self, name: str) -> str:
        """Return the text of the first child of this name, "" without one."""
        found = self.find(name)
        return found.text.strip() if found is not None else ""


def parse_xml(data: bytes) -> Node:
    """Return the document's element; ParseError for what is not well-formed, too big, or has a document type."""
    if len(data) > MAX_BYTES:
        raise ParseError("the document is too long")
    builder = _Builder()
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ParseError(f"not XML: {error}") from None
    except (ValueError, LookupError, TypeError):  # an encoding nobody knows, or one of several bytes a character
        raise ParseError("not XML in an encoding we know") from None
    if builder.root is None:
        raise ParseError("an empty document")
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._count = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise ParseError("a document type is not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_NODES or len(self._open) >= MAX_DEPTH:
            raise ParseError("the document has too many elements, or too deep ones")
        node = Node(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
