"""Past calls as CSV: read back whole, and no caller's name becomes a formula."""

from __future__ import annotations

import csv
import io

import pytest

from offhook.control.spreadsheet import COLUMNS, as_csv

ENTRY = {
    "id": "c_1", "account": "office", "direction": "incoming", "remote_uri": "sip:1001@pbx",
    "remote_display": 'Ada, "the first"\nof many', "started": "2023-11-14T22:13:20.500000Z", "answered": None,
    "ended": "2023-11-14T22:13:30Z",
    "duration": 0.0, "missed": True, "sip_status": 487, "reason": "", "end_by": "remote", "something_new": 1,
}  # fmt: skip


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_tags_are_one_cell_and_no_formula() -> None:
    _, line = rows(as_csv([{**ENTRY, "tags": [["=order", "4711"], ["note", "two"]]}]))
    assert line[COLUMNS.index("tags")] == "'=order=4711; note=two"


def test_a_call_is_a_line() -> None:
    head, line = rows(as_csv([ENTRY]))
    assert tuple(head) == COLUMNS
    found = dict(zip(head, line, strict=True))
    assert found["remote_display"] == ENTRY["remote_display"]
    assert (found["started"], found["answered"], found["ended"]) == ("2023-11-14T22:13:20Z", "", "2023-11-14T22:13:30Z")
    assert rows(as_csv([])) == [list(COLUMNS)]


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=x", "\r=x"])
def test_a_name_is_no_formula(name: str) -> None:
    _, line = rows(as_csv([{**ENTRY, "remote_display": name}]))
    assert line[COLUMNS.index("remote_display")] == f"'{name}"
