"""The page of all settings: each has its words, its default can be written in the file, and the page is up to date."""

from __future__ import annotations

import json
from pathlib import Path

from offhook.phone.settings import AccountSettings
from offhook.storage.config import SECTIONS, Config, parse
from offhook.storage.config.reference import TABLES, markdown, settings, text
from offhook.storage.config.words import SECTIONS_SAY, WORDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_each_setting_has_its_words_and_no_word_is_of_none() -> None:
    assert set(SECTIONS_SAY) == set(TABLES) == set(WORDS)
    named = {(each.table, each.key) for each in settings()}
    assert named == {(table, key) for table, words in WORDS.items() for key in words}
    assert all(each.meaning for each in settings())


def test_a_file_with_every_default_is_as_good_as_none() -> None:
    lines: list[str] = []
    for table in SECTIONS:
        lines.append(f"[{table}]")
        lines += [f"{each.key} = {each.default}" for each in settings() if each.table == table]
    lines.append("[account.work]")
    for each in settings():
        if each.table == "account.NAME" and (each.default or each.key in ("domain", "username")):
            default = each.default or {"domain": '"pbx.example.org"', "username": '"1001"'}[each.key]
            if each.key != "codecs":  # an account without codecs of its own leaves the line out
                lines.append(f"{each.key} = {default}")
    assert parse("\n".join(lines)) == Config(accounts=(AccountSettings("work", "pbx.example.org", "1001"),))


def test_the_page_is_up_to_date_and_the_terminal_says_the_same() -> None:
    assert PAGE.read_text("utf-8") == markdown()
    assert len(json.loads(text(as_json=True))) == len(list(settings())) == text().count("\n    ")
