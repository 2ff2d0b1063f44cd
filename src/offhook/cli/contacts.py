"""`offhook contacts`: list, search, add, change and remove the people this phone knows."""

from __future__ import annotations

from offhook.cli.actions.common import say, show, to_write
from offhook.cli.outcome import DONE, REFUSED, Ended
from offhook.cli.parsing import usage_error
from offhook.shown import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from offhook.cli.parsing import Invocation

def contacts(use: Invocation) -> int:
    """Do what was asked with the contacts."""
    action = _ACTIONS.get(use.text("action", "list"))
    if action is None:
        raise usage_error(use.verb, f"there are: {', '.join(_ACTIONS)}")
    if action not in (_add, _update) and _given(use):
        raise usage_error(use.verb, f"--{next(iter(_given(use))).replace('_', '-')} goes with add and update")
    return action(use)


def contact_line(contact: dict[str, Any]) -> str:
    """Return one line about a contact."""
    numbers = "  ".join(str(contact[name]) for name in ("number", "phone", "mobile") if contact.get(name))
    notes = [str(contact[name]) for name in ("status", "info", "source") if contact.get(name)]
    notes += ["starred"] if contact.get("starred") else []
    return plain(f"{contact['id']}  {contact['name']}  {numbers}" + (f"  ({', '.join(notes)})" if notes else ""))


def _list(use: Invocation) -> int:
    return _page(use, "")


def _search(use: Invocation) -> int:
    return _page(use, _what(use))


def _page(use: Invocation, search: str) -> int:
    limit = use.whole("limit", 100)
    found = use.client.request("list_contacts", search=search, limit=limit, after=use.text("after"))["value"]
    nothing = f"nobody fits {search!r}" if search else "there are no contacts"
    text = "\n".join(map(contact_line, found)) or nothing
    if len(found) == limit and not use.json:
        text += f"\nperhaps there are more: --after {found[-1]['id']}"
    return show(use, found, text)


def _get(use: Invocation) -> int:
    name = _what(use)
    contact = use.client.request("get_contact", contact=name)["value"]
    text = "\n".join(f"{key}: {plain(str(value))}" for key, value in contact.items() if value not in ("", False))
    return show(use, contact, text)


def _add(use: Invocation) -> int:
    details = _given(use)
    number, _, name = use.text("what").partition(" ")
    if number:
        details["number"] = number
        details.setdefault("name", name or number)
    if not details.get("name"):
        raise usage_error(use.verb, "write: contacts add NUMBER NAME, or use --name")
    contact = use.client.request("add_contact", details=details)["value"]
    return show(use, contact, f"added: {contact_line(contact)}")


def _update(use: Invocation) -> int:
    contact, given = _what(use), _given(use)
    if not given:
        raise usage_error(use.verb, f"say what is different: --{' --'.join(_fields())} --starred --not-starred")
    before = use.client.request("get_contact", contact=contact)["value"]
    details = {name: value for name, value in before.items() if name not in ("id", "source", "status")}
    after = use.client.request("update_contact", contact=contact, details={**details, **given})["value"]
    return show(use, after, f"changed: {contact_line(after)}")


def _remove(use: Invocation) -> int:
    contact = _what(use)
    use.client.request("remove_contact", contact=contact)
    return show(use, {"contact": contact}, f"{plain(contact)}: removed")


def _import(use: Invocation) -> int:
    from offhook.cli.importing import take_over_contacts

    return take_over_contacts(use, _what(use))


def _export(use: Invocation) -> int:
    """Write this phone's own contacts into a file, or to the terminal."""
    from offhook.control.address_book import as_csv, as_vcards

    file = to_write(use.text("what"))
    suffix = file.lower().rpartition(".")[2] if file else "vcf"
    kind = use.text("format") or {"vcf": "vcard", "vcard": "vcard", "csv": "csv"}.get(suffix, "")
    if kind not in ("vcard", "csv"):
        raise usage_error(use.verb, "write a file that ends in .vcf or .csv, or --format vcard|csv", "format")
    found: list[dict[str, Any]] = []
    while True:
        page = use.client.request("list_contacts", search="", limit=1000, after=found[-1]["id"] if found else "")["value"]
        found += page
        if len(page) < 1000:
            break
    own = [contact for contact in found if not contact["source"]]  # the users directory's come from there
    text = as_csv(own) if kind == "csv" else as_vcards(own)
    if use.json and not file:
        return show(use, own, "")
    if not file:
        say(text.replace("\r\n", "\n"), end="")
        return DONE
    try:
        # Spreadsheets take CSV for the system's code page, unless this mark says that it is UTF-8.
        with open(file, "w", encoding="utf-8-sig" if kind == "csv" else "utf-8", newline="") as out:
            out.write(text)
    except OSError as error:
        raise Ended(REFUSED, f"{file}: {error.strerror or error}") from None
    return show(use, {"file": file, "contacts": len(own)}, f"{len(own)} contacts written")


def _given(use: Invocation) -> dict[str, Any]:
    found: dict[str, Any] = {name.replace("-", "_"): use.text(name) for name in _fields() if use.given(name)}
    if use.flag("starred") or use.flag("not-starred"):
        found["starred"] = use.flag("starred")
    return found


def _fields() -> list[str]:
    from offhook.cli.verbs import CONTACT_FIELDS

    return [name.replace("_", "-") for name in CONTACT_FIELDS]


def _what(use: Invocation) -> str:
    found = use.text("what")
    if not found:
        raise usage_error(use.verb, f"{use.text('action')} what?")
    return found


_ACTIONS: dict[str, Callable[[Invocation], int]] = {
    "list": _list, "search": _search, "get": _get, "add": _add, "update": _update, "remove": _remove, "import": _import,
    "export": _export,
}  # fmt: skip

