"""What docs/windows-programs.md tells Windows programs: its tables are those of the code, row by row."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from offhook.control.legacy.copydata import COPYDATA
from offhook.control.legacy.dde_items import ADVISED, DDE_ITEMS
from offhook.control.windows.messages import UNSUBSCRIBE
from offhook.control.windows.reach import REQUEST
from offhook.control.windows.subscribers import MAX_SUBSCRIBERS, SUBSCRIBE
from offhook.storage import config

sys.path.insert(0, str(Path(__file__).parent))
from seed_tables import COPYDATA_TABLE, DDE_TABLE

REPOSITORY = Path(__file__).resolve().parents[2]

PAGE = (REPOSITORY / "docs" / "windows-programs.md").read_text("utf-8")

ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("|")]


def test_every_row_of_both_tables_is_told_of() -> None:
    copydata = [(row[0], int(row[1]), row[2].replace("`", "")) for row in ROWS if row[0] in COPYDATA]
    assert copydata == [(name, COPYDATA[name].code, string) for name, string, _ in COPYDATA_TABLE]
    names = [name for name, _, _ in DDE_TABLE]
    assert [(row[0], row[1]) for row in ROWS if row[0] in names] == [(name, parameter) for name, parameter, _ in DDE_TABLE]


def test_every_item_is_told_of() -> None:
    items = [name for row in ROWS for name in re.findall(r"`(\w+)`", row[0]) if row[0].startswith("`")]
    assert items[:len(DDE_ITEMS)] == list(DDE_ITEMS)
    assert set(ADVISED) <= set(items)


def test_the_codes_of_our_own() -> None:
    codes = {row[0]: int(row[1]) for row in ROWS if row[0] in ("SUBSCRIBE", "UNSUBSCRIBE", "REQUEST")}
    assert codes == {"SUBSCRIBE": SUBSCRIBE, "UNSUBSCRIBE": UNSUBSCRIBE, "REQUEST": REQUEST}
    assert f"Up to {MAX_SUBSCRIBERS} windows are told" in PAGE


def test_the_settings_are_those_one_has_anyway() -> None:
    shown = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert config.parse(shown[0]).windows == config.WindowsSettings()


def test_every_client_that_is_handed_out_is_named() -> None:
    for file in (REPOSITORY / "clients" / "windows").iterdir():
        assert f"`{file.name}`" in PAGE
