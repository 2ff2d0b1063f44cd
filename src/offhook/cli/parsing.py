"""Reads a command line by a verb's description. argparse takes longer to import than `offhook status` may take in all."""

from __future__ import annotations

import sys

from offhook.cli.outcome import USAGE, Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offhook.control.client import LocalClient

GLOBAL_OPTIONS = {"json": "flag", "socket": "PATH", "help": "flag"}
"""Options every verb takes: its kind is "flag", or the word that stands for its value in the help."""

NUMBERS = frozenset({"SECONDS", "N", "MS", "DB", "PORT", "STATUS"})
"""Words whose values are numbers."""


class Verb:
    """One verb: its arguments (`to`, `[call]`, `text...`), its options, what it is for, and the function that does it.

    An option's value is "flag", or the word that stands for its value; `WORD...` may be given several times.
    """

    __slots__ = ("arguments", "group", "name", "options", "run", "summary")

    def __init__(
        self, name: str, arguments: str, summary: str, run: Callable[[Invocation], int], /, *, group: str, **options: str
    ) -> None:
        self.name = name
        self.arguments = arguments.split()
        self.summary = summary
        self.run = run
        self.group = group
        self.options = {option.replace("_", "-"): kind for option, kind in options.items()}

    @property
    def usage(self) -> str:
        """The verb with its arguments and options, as the help shows it."""
        options = [f"[--{name}]" if kind == "flag" else f"[--{name} {kind}]" for name, kind in self.options.items()]
        return " ".join(["offhook", self.name, *(argument.upper() for argument in self.arguments), *options])


class Invocation:
    """One use of a verb: the values given, and the connection to the phone (made when first asked for)."""

    def __init__(
        self, verb: Verb, values: dict[str, str], options: dict[str, str | list[str] | bool], words: Sequence[str] = ()
    ) -> None:
        self.verb = verb
        self.words = words  # of the last argument, where it takes several
        self._values = values
        self._options = options
        self._client: LocalClient | None = None

    def text(self, name: str, default: str = "") -> str:
        """Return an argument's or option's text."""
        found = self._values.get(name, self._options.get(name, default))
        return found if isinstance(found, str) else default

    def flag(self, name: str) -> bool:
        """Return whether an option was given."""
        return bool(self._options.get(name))

    def given(self, name: str) -> bool:
        """Return whether an argument or option was written, even if it is empty."""
        return name in self._values or name in self._options

    def texts(self, name: str) -> list[str]:
        """Return all values of an option that may be given several times."""
        found = self._options.get(name)
        return found if isinstance(found, list) else []

    def number(self, name: str) -> float | None:
        """Return an option's number, None if it was not given."""
        text = self.text(name)
        return float(text) if text else None

    def whole(self, name: str, default: int = 0) -> int:
        """Return an argument or option that must be a whole number."""
        text = self.text(name)
        if not text:
            return default
        digits = text[1:] if text.startswith(("+", "-")) else text
        if not (digits.isascii() and digits.isdigit()):
            raise usage_error(self.verb, f"{name} must be a whole number, not {text!r}", name)
        return int(text)

    @property
    def json(self) -> bool:
        """Whether the answer is for a program."""
        return self.flag("json")

    @property
    def socket_path(self) -> str:
        """Where the phone listens."""
        return self.text("socket") or default_socket_path()

    @property
    def client(self) -> LocalClient:
        """The connection to the phone; NoPhone if none is running."""
        if self._client is None:
            from offhook.control.client import LocalClient

            self._client = LocalClient(self.socket_path)
        return self._client

    def close(self) -> None:
        """End the connection, if there is one; the next use makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None


def default_socket_path() -> str:
    """Return the path of the phone's socket; OFFHOOK_SOCKET names another.

    The usual cases are decided here, as `storage.paths` would (a test compares them): importing that takes longer than
    everything else `offhook status` does.
    """
    import os

    if sys.platform == "win32":
        chosen, home = os.environ.get("OFFHOOK_SOCKET"), os.environ.get("OFFHOOK_HOME")
        if chosen:
            return chosen
        if home and os.path.isabs(home) and os.path.normpath(home) == home and len(home) < 200:
            return os.path.join(home, "run", "offhook.sock")
        user = os.environ.get("USERNAME", "")
        if not home and user.isascii() and user.isalnum() and len(user) <= 32:
            return "\\\\.\\pipe\\offhook-" + user
    elif sys.platform != "darwin":
        chosen = os.environ.get("OFFHOOK_SOCKET")
        if chosen and len(os.fsencode(chosen)) < 100:
            return chosen
        home, runtime = os.environ.get("OFFHOOK_HOME"), os.environ.get("XDG_RUNTIME_DIR")
        base, folder = (home, "run") if home else (runtime, "offhook")
        if not chosen and base and os.path.isabs(base) and os.path.normpath(base) == base and len(os.fsencode(base)) < 60:
            return os.path.join(base, folder, "offhook.sock")
    from offhook.storage.paths import socket_path

    return socket_path()


def usage_error(verb: Verb, text: str, name: str = "") -> Ended:
    """Return the end of a command that was written wrongly; `name` is the argument or option that was, if it is one.

    The problem's pointer is written as the phone writes those of its fields: /ring_timeout.
    """
    errors = {"errors": [{"pointer": f"/{name.replace('-', '_')}", "detail": text}]} if name else {}
    return Ended(USAGE, f"{text}\nusage: {verb.usage}", {"detail": text, "usage": verb.usage, **errors})


def parse(verb: Verb, words: Sequence[str]) -> Invocation:
    """Return what `words` after the verb say. Options may stand anywhere; after `--` everything is an argument."""
    given: list[str] = []
    options: dict[str, str | list[str] | bool] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            given.extend(rest)
            break
        if word == "-h":
            options["help"] = True
        elif word.startswith("--"):
            _option(verb, word, rest, options)
        else:
            given.append(word)
    if options.get("help"):
        return Invocation(verb, {}, options)
    if "timeout" in options and "wait" in verb.options and not options.get("wait"):
        raise usage_error(verb, "--timeout says how long --wait stays: write both, or neither", "timeout")
    values, several = _arguments(verb, given)
    return Invocation(verb, values, options, several)


def _option(verb: Verb, word: str, rest: list[str], options: dict[str, str | list[str] | bool]) -> None:
    name, equals, value = word[2:].partition("=")
    kind = verb.options.get(name) or GLOBAL_OPTIONS.get(name)
    if kind is None:
        raise usage_error(verb, f"there is no option --{name}", name)
    if kind == "flag":
        if equals:
            raise usage_error(verb, f"--{name} takes no value", name)
        options[name] = True
        return
    if not equals:
        if not rest:
            raise usage_error(verb, f"--{name} needs a value", name)
        value = rest.pop(0)
    if kind.removesuffix("...") in NUMBERS and not _is_number(value):
        raise usage_error(verb, f"--{name} must be a number, not {value!r}", name)
    if kind == "SECONDS" and float(value) < 0:
        raise usage_error(verb, f"--{name} must be 0 or more, not {value!r}", name)
    if kind.endswith("..."):
        several = options.setdefault(name, [])
        assert isinstance(several, list)
        several.append(value)
    else:
        options[name] = value


def _is_number(text: str) -> bool:
    try:
        return float(text) - float(text) == 0  # neither infinite nor "not a number"
    except ValueError:
        return False


def _arguments(verb: Verb, given: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the arguments by their names, and the words of the one that takes several."""
    values: dict[str, str] = {}
    several: list[str] = []
    for argument in verb.arguments:
        name = argument.strip("[].")
        if argument.strip("[]").endswith("..."):
            value, several, given = " ".join(given), given, []
        else:
            value = given.pop(0) if given else ""
        if not value and not argument.startswith("["):
            raise usage_error(verb, f"{name.upper()} is missing", name)
        if value:
            values[name] = value
    if given:
        short = given[0][:1] == "-" != given[0][1:2]
        raise usage_error(verb, f"there is no option {given[0]}" if short else f"{given[0]!r} is too much")
    return values, several
