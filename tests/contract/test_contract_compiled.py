"""What compiled rooms have to keep to; nothing of this is asked of plain Python."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import offhook.media
import offhook.phone
import offhook.sip


def compiled_classes() -> list[type]:
    """Return the classes that are machine code."""
    found = []
    for room in (offhook.sip, offhook.media, offhook.phone):
        for entry in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            module = importlib.import_module(entry.name)
            found += [
                thing for thing in vars(module).values()
                if isinstance(thing, type) and thing.__module__ == entry.name and "__mypyc_attrs__" in vars(thing)
            ]  # fmt: skip
    return found


def test_no_compiled_class_takes_weak_references() -> None:
    # mypyc does not clear them when the object goes, so what follows one later follows it into freed memory.
    classes = compiled_classes()
    if not classes:
        pytest.skip("plain Python: `make test COMPILED=1` looks at the compiled rooms")
    assert len(classes) > 100
    weak = [each for each in classes if each.__weakrefoffset__ and not getattr(each, "_is_protocol", False)]
    assert [each.__qualname__ for each in weak if not issubclass(each, BaseException)] == []
