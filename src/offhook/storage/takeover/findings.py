"""What is taken over from a file, what is not, and why: the same for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from offhook.phone.model import ContactDetails
from offhook.phone.records import HistoryEntry
from offhook.storage.config import SettingValue

Why: TypeAlias = Literal["", "secret", "unsupported", "invalid", "needless"]
""""secret": cannot be read; "unsupported": nothing here does it; "invalid": it does not fit; "needless": see the text."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing of a file. `what` is its name there, `into` what it became, or `why` and `text` say why it became nothing."""

    file: str
    line: int
    what: str
    into: str = ""
    why: Why = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class TakenAccount:
    """An account: `settings` by the names of [account.ID], and its password, which goes elsewhere."""

    id: str
    settings: dict[str, SettingValue]
    password: str = field(default="", repr=False)


@dataclass(slots=True)
class Takeover:
    """Everything that files held, ready to be written. `settings` by (table, key)."""

    settings: dict[tuple[str, str], SettingValue] = field(default_factory=dict)
    accounts: list[TakenAccount] = field(default_factory=list)
    contacts: list[ContactDetails] = field(default_factory=list)
    calls: list[HistoryEntry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def taken(self) -> list[Finding]:
        """What became something here."""
        return [found for found in self.findings if not found.why]

    @property
    def left(self) -> list[Finding]:
        """What did not."""
        return [found for found in self.findings if found.why]

    def add(self, other: Takeover) -> None:
        """Take in what a further file held."""
        self.settings |= other.settings
        self.accounts += other.accounts
        self.contacts += other.contacts
        self.calls += other.calls
        self.findings += other.findings

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs. There is no password in it."""
        return {
            "taken": [{key: getattr(found, key) for key in ("file", "line", "what", "into", "text")} for found in self.taken],
            "left": [{key: value for key, value in asdict(found).items() if key != "into"} for found in self.left],
            "accounts": [account.id for account in self.accounts], "settings": len(self.settings),
            "contacts": len(self.contacts), "calls": len(self.calls),
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Return the report for people: what was taken, then what was not, things of no consequence in one line."""
        found = [f"{each.what} -> {each.into}" + (f"  ({each.text})" if each.text else "") for each in self.taken]
        for each in self.left:
            if each.why != "needless":
                found.append(f"not taken: {each.what} ({each.file}:{each.line}): {each.text}")
        needless = sorted({each.what for each in self.left if each.why == "needless"})
        if needless:
            found.append(f"not needed here: {', '.join(needless)}")
        return found
