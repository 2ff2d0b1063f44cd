"""The whole error tree. Each branch says whose fault it is.

    OffhookError
    ├── CommandError           the caller asked for something that cannot be done; nothing has changed
    │   ├── InvalidArgument        a value is not acceptable (errors[] names the fields)
    │   ├── NotFound               no such call, account, device, playback, recording …
    │   ├── InvalidState           the thing exists but not in a state that allows this
    │   ├── AmbiguousCall          "active", "ringing" or "last" fits several calls
    │   ├── LineBusy               a call is in the way (single-call forms)
    │   ├── NoAccount              no account could place this call
    │   ├── NotRegistered          the account did not register in time
    │   ├── DialPlanDenied         the dial plan has no rule for this number
    │   ├── TooManyCalls           the limit on calls (or media ports) is reached
    │   ├── RateLimited            too many commands in a short time
    │   ├── MediaNegotiationFailed no codec or transport in common
    │   │   └── SecurityRequired       the sound would not be encrypted, and has to be
    │   ├── DeviceUnavailable      the sound device is gone or refuses to open
    │   ├── Draining               the phone is shutting down
    │   ├── Unauthenticated        no token, or one that is not known
    │   ├── Forbidden              the token does not allow this
    │   ├── IdempotencyMismatch    the same Idempotency-Key came with another request before, or its request still runs
    │   └── CommandTimeout         what was waited for did not happen in time
    ├── PeerError              the far end broke the protocol
    │   └── ParseError             bytes that are not what they claim to be (status says how SIP answers them)
    └── SetupError             this machine or its configuration is not in order
        ├── ConfigError            a configuration file has a mistake (names file, key and what to write)
        ├── UnreadableFile         a file to be taken over is not what it claims to be (names file, line and what to do)
        └── MediaLost              the media engine broke, and with it the calls it carried
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

NO_THREAD: Final = "can't start new thread"
"""How Python says that the system gives no more of them: a RuntimeError that can be told by its text alone."""


class OffhookError(Exception):
    """Anything this package raises on purpose."""


def reason_of(problem: Exception) -> str:
    """Return what went wrong in words for people: of a system's error the file and the text, without its number."""
    if str(problem) == NO_THREAD:
        return "the system gives no more threads: raise the limit (ulimit -u, TasksMax= of systemd, a container's pids limit)"
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    return str(problem) or type(problem).__name__


def operators(problem: Exception) -> SetupError | None:
    """Return what the operator of this machine is to mend, with words that say how; None if it is something else."""
    if isinstance(problem, SetupError):
        return problem
    if isinstance(problem, ImportError) and (problem.name or "").partition(".")[0] == "offhook":
        # What is seldom used is read when it is first used, and then the program's other half may be gone, or a newer one.
        return SetupError(f"offhook was upgraded or removed while this phone ran: start it again ({problem})")
    return None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One argument that was refused: `pointer` is its JSON pointer (`/digits`), `detail` says what to write instead."""

    pointer: str
    detail: str


class CommandError(OffhookError):
    """A command that was refused whole. `code` is stable and the same on every surface.

    `retry_after` is seconds until it is worth trying again, 0 where waiting changes nothing.
    """

    code: ClassVar[str] = "command-refused"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = (), retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class InvalidArgument(CommandError):
    """A value is not acceptable."""

    code = "invalid-argument"

    @classmethod
    def field(cls, name: str, detail: str) -> InvalidArgument:
        """Return the error for the single argument `name`."""
        return cls(f"{name}: {detail}", errors=(FieldError(f"/{name}", detail),))


class NotFound(CommandError):
    """The call, account, device, playback or recording does not exist."""

    code = "not-found"


class InvalidState(CommandError):
    """The thing exists, but its state does not allow this."""

    code = "invalid-state"


class AmbiguousCall(CommandError):
    """The word names several calls; name one by its id."""

    code = "ambiguous-call"


class LineBusy(CommandError):
    """A call is in the way."""

    code = "line-busy"


class NoAccount(CommandError):
    """No account could place this call."""

    code = "no-account"


class NotRegistered(CommandError):
    """The account did not register in time."""

    code = "not-registered"


class DialPlanDenied(CommandError):
    """The dial plan has no rule for this number."""

    code = "dial-plan-denied"


class TooManyCalls(CommandError):
    """The limit on calls, or on media ports, is reached."""

    code = "too-many-calls"


class RateLimited(CommandError):
    """Too many commands in a short time."""

    code = "rate-limited"


class MediaNegotiationFailed(CommandError):
    """No codec or transport in common with the far end."""

    code = "media-negotiation-failed"


class SecurityRequired(MediaNegotiationFailed):
    """The sound would not be encrypted, and the setting `srtp` says that it must be."""

    code = "security-required"


class DeviceUnavailable(CommandError):
    """The sound device is gone or refuses to open."""

    code = "device-unavailable"


class Draining(CommandError):
    """The phone is shutting down and takes no new work."""

    code = "draining"


class Unauthenticated(CommandError):
    """No token was given, or one that is not known."""

    code = "unauthenticated"


class Forbidden(CommandError):
    """The token does not allow this."""

    code = "forbidden"


class IdempotencyMismatch(CommandError):
    """The Idempotency-Key was used for another request, or its request still runs."""

    code = "idempotency-mismatch"


class CommandTimeout(CommandError):
    """What was waited for did not happen in time."""

    code = "timeout"


class PeerError(OffhookError):
    """The far end broke the protocol."""


class ParseError(PeerError):
    """Bytes that are not what they claim to be. `status` is the SIP response RFC 3261 asks for (0 where none fits)."""

    def __init__(self, detail: str, *, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class SetupError(OffhookError):
    """This machine or its configuration is not in order; the text says what to do."""


class ConfigError(SetupError):
    """A configuration file has a mistake."""


class UnreadableFile(SetupError):
    """A file to be taken over is not what it claims to be, or too large; nothing of it was taken."""


class MediaLost(SetupError):
    """The media engine broke, and with it the calls it carried; the phone has started it again, so dial again."""
