"""The local socket from the other side: small, synchronous, and quick to import, for the command line and for scripts."""

from __future__ import annotations

import json
from time import monotonic

from offhook.control.channel import Channel, connect

TYPE_CHECKING = False  # importing typing would cost a tenth of the time `offhook status` takes
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_ANSWER = 16 * 1024 * 1024
"""Longest line taken from the phone, in bytes; a history of 1000 calls is far below."""


LONGEST_WAIT = 86_400
"""Longest single wait that a phone takes, in seconds."""


class ClientError(Exception):
    """What can go wrong between a client and the phone."""


class Refused(ClientError):
    """The phone refused a request. `problem` is its RFC 9457 object; `code` is the stable name of the reason."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or "refused")
        self.problem = problem
        self.code = str(problem.get("code", ""))


class NoPhone(ClientError):
    """No phone listens on the socket, or it went away; nothing was done if the request had not been sent."""


class TimedOut(ClientError):
    """What was waited for did not come in time."""


class LocalClient:
    """One connection to the phone at `path`. `timeout` is seconds for an answer. Use it with `with`."""

    def __init__(self, path: str, *, timeout: float = 10.0) -> None:
        self.path = path
        self._timeout = timeout
        self._events: list[dict[str, Any]] = []
        self._buffer = b""
        self._number = 0
        self._channel = _connect(path, timeout)

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def request(self, op: str, /, **params: Any) -> Any:
        """Return the result of one operation; raise Refused, NoPhone or TimedOut. Events that come meanwhile are kept."""
        return self.answer(self.ask(op, **params), self._timeout)

    def wait(self, *conditions: dict[str, Any], timeout: float | None = None, after: str = "") -> dict[str, Any]:
        """Wait for the first of some conditions, as `{"state": "active", "call": "last"}`; for ever without `timeout` seconds.

        Returns what it is true of: `condition` (its number), `event`, `call`, `account`, `operation`. Raises TimedOut, Refused.
        """
        after = after or self.request("ping")["as_of"]
        while True:
            seconds = LONGEST_WAIT if timeout is None else timeout
            try:
                answer = self.answer(self.ask("wait", conditions=conditions, timeout=seconds, after=after), None)
                return dict(answer)
            except Refused as refused:
                if refused.code != "timeout":
                    raise
                if timeout is not None:
                    raise TimedOut(str(refused)) from None

    def ask(self, op: str, /, **params: Any) -> int:
        """Send a request; `answer` takes its answer by the number that this returns."""
        self._number += 1
        line = json.dumps({"id": self._number, "op": op, "params": params}, ensure_ascii=False)
        try:
            self._channel.send(line.encode("utf-8", "replace") + b"\n", self._timeout)
        except TimeoutError:
            raise TimedOut("the phone does not take the request") from None
        except OSError as error:
            raise NoPhone(f"the phone at {self.path} has gone: {error}") from None
        return self._number

    def answer(self, number: int, seconds: float | None) -> Any:
        """Return the result of the request `number`; raises Refused, NoPhone, and TimedOut, after which you may ask again."""
        deadline = None if seconds is None else monotonic() + seconds
        while True:
            found = self._read(deadline)
            if "event" in found:
                self._events.append(found["event"])
            elif found.get("id") not in (number, None):
                continue  # nobody waited for that one to the end
            elif found.get("ok"):
                return found.get("result")
            else:
                raise Refused(found.get("error") or {})

    def subscribe(self, *types: str, after: str = "") -> str:
        """Ask for events: "call.*", "call.ended", …; all of them without any. `after` an event's id: those behind it.

        Returns the id to go on after, should the connection break before the first event.
        """
        place = {"after": after} if after else {}
        answer = self.request("subscribe", types=list(types or ("*",)), **place)
        return str(answer["after"])

    def events(self, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield the subscribed events as they come; raise TimedOut `timeout` seconds from now, never if that is None."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            while self._events:
                yield self._events.pop(0)
            found = self._read(deadline)
            if "event" in found:
                self._events.append(found["event"])

    def wait_operation(self, operation: str, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield the subscribed events up to the operation.succeeded or operation.failed of `operation`, that one included.

        Subscribe to "operation.*" before the request that starts the operation.
        """
        for event in self.events(timeout):
            yield event
            if event["type"] in ("operation.succeeded", "operation.failed") and event["data"].get("operation") == operation:
                return

    def _read(self, deadline: float | None) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._buffer += self._receive(deadline)
            if len(self._buffer) > MAX_ANSWER:
                raise NoPhone(f"what listens at {self.path} does not speak like a phone")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NoPhone(f"what listens at {self.path} does not speak like a phone")
        return found

    def _receive(self, deadline: float | None) -> bytes:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise TimedOut("no answer in time")
        try:
            data = self._channel.receive(left)
        except TimeoutError:
            raise TimedOut("no answer in time") from None
        except OSError as error:
            raise NoPhone(f"the phone at {self.path} has gone: {error}") from None
        if not data:
            raise NoPhone(f"the phone at {self.path} has ended the connection")
        return data


def _connect(path: str, timeout: float) -> Channel:
    try:
        return connect(path, timeout)
    except PermissionError as error:
        raise NoPhone(f"the phone at {path} cannot be used: {error.strerror or error}") from None
    except OSError:
        raise NoPhone(f"no phone is running at {path}; `offhook run` starts one") from None
