"""Who may use the phone over HTTP: named tokens, of which only a fingerprint is kept, in a file only we can read."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from offhook.errors import InvalidState, NotFound, SetupError
from offhook.phone.commands import Scope
from offhook.storage.privacy import others_read, private_again, write_private

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
USUAL: Final[tuple[Scope, ...]] = tuple(scope for scope in SCOPES if scope != "keys")
"""What a token allows that is made without a word about it: keys of encrypted sound have to be named."""

MAX_TOKENS: Final = 1000
"""Each is compared with what a client sends."""

MAX_TOKEN: Final = 256
"""Characters of what may be a token; ours have 47."""

PREFIX: Final = "oht_"
"""What our tokens begin with, so that a scanner for leaked secrets knows them."""

MAX_PATTERNS: Final = 100
MAX_PATTERN: Final = 200

_PATTERN = re.compile(rf"[!-~]{{1,{MAX_PATTERN}}}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is kept. `sha256` is the fingerprint in hex; 0 is no bound.

    `allow` and `deny` are dial patterns, see `offhook.control.dial_rules`; `max_calls` bounds its calls at once.
    """

    name: str
    sha256: str
    scopes: tuple[Scope, ...] = SCOPES
    calls_per_minute: int = 0
    max_calls: int = 0
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class TokenFile:
    """The tokens in the file `path`, mode 0600. It is looked at before each use: a token revoked is refused at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def create(
        self, name: str, scopes: Iterable[str] = USUAL, calls_per_minute: int = 0, *, max_calls: int = 0,
        allow: Iterable[str] = (), deny: Iterable[str] = (), token: str = "",
    ) -> str:  # fmt: skip
        """Keep a new token and return it: nobody can read it again. Raises SetupError for a bad name, scope or
        limit, InvalidState for a name that is taken, and where there are too many.

        `token` is one of `new_token`, where that has to be known before.
        """
        token = token or new_token()
        rules = (tuple(allow), tuple(deny))
        made = _checked(Token(name, _fingerprint(token), _scopes(scopes), calls_per_minute, max_calls, *rules))
        known = self.list()
        if any(found.name == name for found in known):
            raise InvalidState(f"there is a token {name!r} already: `offhook token revoke {name}` ends it")
        if len(known) >= MAX_TOKENS:
            raise InvalidState(f"{MAX_TOKENS} tokens are the limit: revoke some")
        self._write((*known, made))
        return token

    def change(self, name: str, **limits: Any) -> Token:
        """Change a token's `scopes`, `calls_per_minute`, `max_calls`, `allow` or `deny`; it stays the same secret."""
        known = self.list()
        former = next((found for found in known if found.name == name), None)
        if former is None:
            raise NotFound(f"there is no token {name!r}: `offhook token list` shows them")
        if "scopes" in limits:
            limits["scopes"] = _scopes(limits["scopes"])
        changed = _checked(replace(former, **limits))
        self._write(tuple(changed if found is former else found for found in known))
        return changed

    def revoke(self, name: str) -> None:
        """Forget a token; raises NotFound if there is none of that name."""
        known = self.list()
        left = tuple(found for found in known if found.name != name)
        if len(left) == len(known):
            raise NotFound(f"there is no token {name!r}: `offhook token list` shows them")
        self._write(left)

    def list(self) -> tuple[Token, ...]:
        """Return the tokens, oldest first. Raises SetupError when the file cannot be trusted."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, ()
            return ()
        except OSError as exc:
            raise SetupError(f"{self.path}: cannot be read: {exc.strerror or exc}") from exc
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._tokens = self._read()
            self._seen = seen
        return self._tokens

    def find(self, token: str) -> Token | None:
        """Return the token that this secret is, None if it is none. Takes the same time whichever it is."""
        given = _fingerprint(token[:MAX_TOKEN])
        match = None
        for known in self.list():
            if hmac.compare_digest(known.sha256, given) and len(token) <= MAX_TOKEN:
                match = known
        return match

    def _read(self) -> tuple[Token, ...]:
        try:
            with self.path.open(encoding="utf-8") as stream:
                if others_read(stream.fileno()):
                    raise SetupError(f"{self.path}: other users of this machine can read it: run  {private_again(self.path)}")
                return tuple(_token(found) for found in json.load(stream)["tokens"])
        except OSError as exc:
            raise SetupError(f"{self.path}: cannot be read: {exc.strerror or exc}") from exc
        except (ValueError, TypeError, KeyError):
            raise SetupError(f"{self.path}: damaged: delete it and create the tokens again") from None

    def _write(self, tokens: tuple[Token, ...]) -> None:
        try:
            write_private(self.path, json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1) + "\n")
        except OSError as exc:
            raise SetupError(f"{self.path}: cannot be written: {exc.strerror or exc}") from exc


def token_for_user(tokens: TokenFile, path: Path, name: str = "user") -> bool:
    """See that the user of this machine has a token, in the clear in the file `path` (0600), if there is none at all yet.

    Returns whether `path` holds a good one now. Where tokens exist but none is there, somebody wanted it so.
    """
    if tokens.list():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return tokens.find(path.read_text("utf-8").strip()) is not None
        return False
    token = new_token()
    try:
        write_private(path, token + "\n")  # first: of a token that is in no file in the clear, nobody would be given another
    except OSError as exc:
        raise SetupError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    tokens.create(name, token=token)
    return True


def new_token() -> str:
    """Return a secret that nobody has yet."""
    return PREFIX + secrets.token_urlsafe(32)


def _fingerprint(token: str) -> str:
    # The tokens are 256 random bits: a slow hash would protect nothing that this one does not.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    wanted = tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise SetupError(f"{', '.join(unknown) or 'nothing'} is no scope: choose from {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _checked(token: Token) -> Token:
    if not _NAME.fullmatch(token.name):
        raise SetupError("a token's name has 1-32 letters, digits, '.', '_' and '-'")
    if token.calls_per_minute < 0 or token.max_calls < 0:
        raise SetupError("calls per minute, and calls at once: 0 (no bound) or more")
    if len(token.allow) + len(token.deny) > MAX_PATTERNS:
        raise SetupError(f"{MAX_PATTERNS} dial patterns are the limit")
    for pattern in (*token.allow, *token.deny):
        if not _PATTERN.fullmatch(pattern):
            raise SetupError(f"{pattern!r} is no dial pattern: at most {MAX_PATTERN} characters, as 1??? or *@example.org")
    return token


def _token(found: Any) -> Token:
    name, sha256 = found["name"], found["sha256"]
    rates = (found["calls_per_minute"], found.get("max_calls", 0))
    patterns = (found.get("allow", []), found.get("deny", []))
    good = all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in patterns)
    good = good and all(type(rate) is int for rate in rates)
    if not (good and isinstance(name, str) and isinstance(sha256, str) and sha256.isascii()):
        raise ValueError(name)
    try:
        return _checked(Token(name, sha256, _scopes(found["scopes"]), *rates, *map(tuple, patterns)))
    except SetupError as exc:
        raise ValueError(str(exc)) from None
