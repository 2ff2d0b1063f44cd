"""The command line: `offhook VERB …`, and `microsip FORM` for scripts written for MicroSIP."""

from __future__ import annotations

import sys

from offhook.cli.letters import given_words, standard_streams
from offhook.cli.outcome import DONE, INTERRUPTED, NO_PHONE, REFUSED, TIMED_OUT, USAGE, Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

_LEGACY_WORDS = frozenset({"--listdevices", "hide", "show", "exit"})
_LEGACY_STARTS = frozenset("/+*#0123456789")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `offhook` with `arguments` (those of the process by default) and return its exit code."""
    words = given_words() if arguments is None else list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    return _guarded(lambda: _offhook(words), json="--json" in options)


def microsip_main(arguments: Sequence[str] | None = None) -> int:
    """Run `microsip` with `arguments` and return its exit code."""
    words = given_words() if arguments is None else list(arguments)
    return _guarded(lambda: _microsip(words))


def _offhook(words: list[str]) -> int:
    first = words[0] if words else "help"
    if first in ("--help", "-h"):
        first = "help"
    if first == "--version":
        return _version()
    from offhook.cli.verbs import VERBS

    verb = VERBS.get(first)
    if verb is None:
        if _is_legacy(first):
            _check_form(words)
            return _legacy(words)
        raise Ended(USAGE, f"offhook: there is no verb {first!r}{_hint(first, VERBS)}; `offhook help` lists them")
    from offhook.cli.parsing import parse

    use = parse(verb, words[1:])
    try:
        if use.flag("help"):
            from offhook.cli.helping import verb_help

            print(verb_help(verb, as_json=use.json))
            return DONE
        return verb.run(use)
    finally:
        use.close()


def _hint(first: str, verbs: Iterable[str]) -> str:
    """Return what may have been meant by what is no verb."""
    if first.startswith("-"):
        return ": options stand behind it"
    import difflib

    close = difflib.get_close_matches(first, verbs, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _is_legacy(first: str) -> bool:
    """Whether this is a form of an older script. A mistyped verb is none, or `offhook statsu` would call somebody."""
    return first.lower() in _LEGACY_WORDS or first[:1] in _LEGACY_STARTS or ":" in first


def _check_form(words: list[str]) -> None:
    """Refuse a verb's option behind a form of an older script: `offhook 1001 --json` would send 1001 the text "--json"."""
    from offhook.cli.parsing import GLOBAL_OPTIONS

    for word in words[1:]:
        if word.startswith("--") and word[2:].partition("=")[0] in GLOBAL_OPTIONS:
            raise Ended(USAGE, f"{word} goes with a verb, as in `offhook dial 1001 {word}`, and not with {words[0]!r}")


def _microsip(words: list[str]) -> int:
    if words and words[0] in ("--help", "-h", "/?"):
        from offhook.cli.helping import LEGACY_USAGE, exit_codes

        print(LEGACY_USAGE + "\n" + exit_codes())
        return DONE
    if words == ["--version"]:
        return _version()
    if all(word.lower() in ("/minimized", "/hidden") or word.lower().startswith("/i:") for word in words):
        return _start(words)
    return _legacy(words)


def _start(words: list[str]) -> int:
    """`microsip`, perhaps with a configuration file, starts the phone as MicroSIP.exe does."""
    from offhook.cli.parsing import parse
    from offhook.cli.verbs import VERBS

    if _runs():
        print("the phone runs already")
        return DONE
    files = [word[3:].strip('"') for word in words if word.lower().startswith("/i:")]
    use = parse(VERBS["run"], [f"--config={files[-1]}"] if files else [])
    return use.verb.run(use)


def _runs() -> bool:
    """Whether a phone runs already, which a second `microsip` leaves alone."""
    if _phone_window():
        return True
    from offhook.cli.parsing import default_socket_path
    from offhook.control.client import LocalClient, NoPhone

    try:
        LocalClient(default_socket_path()).close()
    except NoPhone:
        return False
    return True


def _legacy(words: list[str]) -> int:
    """Hand the command line to the running phone, by its window where there are such, and print its answer."""
    if not "".join(words).strip():  # a script's variable that is empty must not look like a call that was placed
        raise Ended(USAGE, "nothing was named to call or to do")
    window = _phone_window()
    print((_by_window(window, words) if window else None) or _by_socket(words) or "ok")
    return DONE


def _by_window(window: int, words: list[str]) -> str | None:
    """Return what the phone behind the window answers, None if it does not."""
    from offhook.control.windows.handover import ask
    from offhook.errors import CommandTimeout

    try:
        answer = ask(window, "legacy", args=words)
    except CommandTimeout as late:
        raise Ended(TIMED_OUT, str(late)) from None
    if answer is None:
        return None
    if not answer["ok"]:
        raise _refused(answer["error"])
    return answer["result"]["text"] or "ok"


def _by_socket(words: list[str]) -> str:
    from offhook.cli.parsing import default_socket_path
    from offhook.control.client import LocalClient, Refused

    with LocalClient(default_socket_path()) as client:
        try:
            return str(client.request("legacy", args=words)["text"])
        except Refused as refused:
            raise _refused(refused.problem) from None


def _refused(problem: dict[str, Any]) -> Ended:
    """Return how a refused command line ends: a form nobody knows is wrong use."""
    unknown = any(error.get("pointer") == "/args" for error in problem.get("errors") or ())
    return Ended(USAGE if unknown else REFUSED, problem.get("detail") or problem.get("title") or "refused", problem)


def _phone_window() -> int:
    """Return the window of the phone of this Windows session. Who names a socket or a home means the phone that is there."""
    import os

    if sys.platform != "win32" or os.environ.get("OFFHOOK_SOCKET") or os.environ.get("OFFHOOK_HOME"):
        return 0
    from offhook.control.windows.handover import find_phone

    return find_phone()


def _version() -> int:
    from importlib.util import find_spec

    from offhook import __version__

    core = find_spec("offhook.sip.message")
    form = "plain Python" if core is None or str(core.origin).endswith(".py") else "compiled"
    print(f"offhook {__version__} ({form}), Python {sys.version.split()[0]}")
    return DONE


def _guarded(work: Callable[[], int], *, json: bool = False) -> int:
    """Turn every foreseen end into its exit code and one line on stderr, with `json` a problem object."""
    standard_streams()
    try:
        code = work()
        sys.stdout.flush()
        return code
    except Ended as end:
        return _fail(end.code, end.text, end, json=json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except EOFError as error:  # in place of an answer to a question; Windows takes the null device for a terminal
        return _fail(REFUSED, "nothing was typed", error, json=json)
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough; nothing more can be said, also not at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except Exception as error:
        from offhook.errors import reason_of

        known = _client_code(error)
        if known is None:
            raise
        return _fail(known, reason_of(error), error, json=json)


def _client_code(error: Exception) -> int | None:
    from offhook.control.client import NoPhone, Refused, TimedOut

    if isinstance(error, Refused):
        return TIMED_OUT if error.code == "timeout" else REFUSED
    if isinstance(error, NoPhone):
        return NO_PHONE
    from offhook.errors import NO_THREAD

    # This machine or its configuration is not in order: a mistake in a file, a full disk, a folder that cannot be written.
    if type(error).__module__ == "offhook.errors" or isinstance(error, OSError) or str(error) == NO_THREAD:
        return REFUSED
    return TIMED_OUT if isinstance(error, TimedOut) else None


def _fail(code: int, text: str, error: Exception, *, json: bool) -> int:
    if json:
        from offhook.cli.problems import known_of, problem_line

        text = problem_line(code, text, error.problem if isinstance(error, Ended) else known_of(error))
    print(text, file=sys.stderr)
    return code
