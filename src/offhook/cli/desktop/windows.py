r"""Windows: who opens links stands below HKEY_CURRENT_USER\Software\Classes; what was there before is put back."""

from __future__ import annotations

from offhook.cli.desktop.schemes import SCHEMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offhook.cli.desktop.registry import Registry

CLASSES = r"Software\Classes"
OURS = r"Software\offhook"
CAPABILITIES = rf"{OURS}\Capabilities"
BEFORE = rf"{OURS}\Before"
PROGRAM = "offhook.link"
"""The class that the Default Apps page of Windows offers for our schemes."""
APPLICATIONS = r"Software\RegisteredApplications"

OPEN = r"shell\open\command"
DDE = r"shell\open\ddeexec"


class Windows:
    """The registry's entries for links. `command` opens a link that comes behind it.

    With `dde` a running phone is told over DDE first ([Dial(%1)], application MicroSIP, topic System): no program is started.
    """

    def __init__(self, registry: Registry, command: Sequence[str], *, dde: bool = False) -> None:
        self._registry = registry
        self._line = " ".join(f'"{word}"' if " " in word else word for word in command) + ' "%1"'
        self._dde = dde

    def install(self) -> list[str]:
        """Write our entries; each scheme's earlier command is kept aside, once."""
        self._remember()
        for path, name, value in self._entries():
            self._registry.set(path, name, value)
        if not self._dde:
            for scheme in (*SCHEMES, PROGRAM):
                self._registry.delete_key(rf"{CLASSES}\{scheme}\{DDE}")
        return [f"{scheme}: {self._line}" + (" (and DDE)" if self._dde else "") for scheme in SCHEMES]

    def remove(self) -> list[str]:
        """Take our entries away and put back what was there before. Somebody who came after us stays."""
        done = []
        for scheme in SCHEMES:
            if not self._is_ours(scheme):
                continue
            key = rf"{CLASSES}\{scheme}"
            before = self._registry.get(rf"{BEFORE}\{scheme}", "")
            if before:
                self._registry.set(rf"{key}\{OPEN}", "", before)
                self._registry.delete_key(rf"{key}\{DDE}")
            else:
                self._registry.delete_key(key)
            done.append(f"{scheme}: {before or 'nobody'}")
        self._registry.delete_key(rf"{CLASSES}\{PROGRAM}")
        self._registry.delete_key(OURS)
        self._registry.delete(APPLICATIONS, "offhook")
        return done

    def status(self) -> dict[str, str]:
        """Return each scheme's command."""
        return {scheme: self._registry.get(rf"{CLASSES}\{scheme}\{OPEN}", "") or "" for scheme in SCHEMES}

    def _is_ours(self, scheme: str) -> bool:
        found = self._registry.get(rf"{CLASSES}\{scheme}\{OPEN}", "") or ""
        return found == self._line or "-m offhook open --dialog --" in found

    def _remember(self) -> None:
        for scheme in SCHEMES:
            there = self._registry.get(rf"{CLASSES}\{scheme}\{OPEN}", "")
            if there and not self._is_ours(scheme):
                self._registry.set(rf"{BEFORE}\{scheme}", "", there)

    def _entries(self) -> Iterator[tuple[str, str, str]]:
        for scheme in (*SCHEMES, PROGRAM):
            key = rf"{CLASSES}\{scheme}"
            yield key, "", f"URL:{scheme} link" if scheme != PROGRAM else "URL:a link to dial"
            yield key, "URL Protocol", ""
            yield rf"{key}\{OPEN}", "", self._line
            if self._dde:
                yield rf"{key}\{DDE}", "", "[Dial(%1)]"
                yield rf"{key}\{DDE}\application", "", "MicroSIP"
                yield rf"{key}\{DDE}\topic", "", "System"
        yield CAPABILITIES, "ApplicationName", "offhook"
        yield CAPABILITIES, "ApplicationDescription", "Dial a number or address"
        for scheme in SCHEMES:
            yield rf"{CAPABILITIES}\URLAssociations", scheme, PROGRAM
        yield APPLICATIONS, "offhook", CAPABILITIES
