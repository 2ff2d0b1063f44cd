"""Examples of what a JSON Schema accepts, for as much of it as our own descriptions use; anything else is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

Defs: TypeAlias = Mapping[str, dict[str, Any]]

ANY = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)


def examples(schema: dict[str, Any], defs: Defs) -> st.SearchStrategy[Any]:
    """Return a strategy for values that `schema` accepts; its references are names in `defs`."""
    if "$ref" in schema:
        return examples(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default", "description")}
        return st.one_of([examples({**rest, **choice}, defs) for choice in schema["anyOf"]])
    found: st.SearchStrategy[Any] = _BY_TYPE[schema["type"]](schema, defs)
    return found.filter(Draft202012Validator({"not": schema["not"]}).is_valid) if "not" in schema else found


def _object(schema: dict[str, Any], defs: Defs) -> st.SearchStrategy[Any]:
    more = schema.get("additionalProperties", False)
    if isinstance(more, dict):
        return st.dictionaries(st.text(max_size=6), examples(more, defs), max_size=min(3, schema.get("maxProperties", 3)))
    assert more is False, schema
    parts = {name: examples(part, defs) for name, part in schema["properties"].items()}
    required = set(schema.get("required", ()))
    found = st.fixed_dictionaries(
        {name: part for name, part in parts.items() if name in required},
        optional={name: part for name, part in parts.items() if name not in required},
    )
    least = schema.get("minProperties", 0)
    return found.filter(lambda made: len(made) >= least) if least else found


def _array(schema: dict[str, Any], defs: Defs) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*[examples(part, defs) for part in schema["prefixItems"]]).map(list)
    return st.lists(examples(schema["items"], defs), max_size=min(3, schema.get("maxItems", 3)))


def _string(schema: dict[str, Any], _defs: Defs) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].removesuffix("$") + r"\Z")
    low = schema.get("minLength", 0)
    return st.text(min_size=low, max_size=max(low, min(8, schema.get("maxLength", 8))))


def _integer(schema: dict[str, Any], _defs: Defs) -> st.SearchStrategy[Any]:
    whole = st.integers(schema.get("minimum"), schema.get("maximum"))
    return whole | whole.filter(lambda number: abs(number) < 2**53).map(float)  # JSON does not tell 5 from 5.0


def _number(schema: dict[str, Any], _defs: Defs) -> st.SearchStrategy[Any]:
    return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)


_BY_TYPE: dict[str, Callable[[dict[str, Any], Defs], st.SearchStrategy[Any]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, _defs: st.booleans(),
    "null": lambda _schema, _defs: st.none(),
}
