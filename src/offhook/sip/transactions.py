"""The four transaction machines of RFC 3261 chapter 17 and RFC 6026 as tables, and the one interpreter that runs them."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum, auto
from typing import Final, TypeAlias

from offhook.sip.events import Flow, FlowFailed
from offhook.sip.headers import Headers
from offhook.sip.message import Request, Response
from offhook.sip.responses import response_to
from offhook.sip.timers import T1, T2, T4, TIMEOUT, TIMER_D, TRYING_AFTER, Timer, TimerQueue

MAGIC_COOKIE: Final = "z9hG4bK"


# Numbers, because the tables are asked for each message and a plain Enum's hash is a function of Python.


class State(IntEnum):
    """Where a transaction is. INITIAL lasts only until START."""

    INITIAL = auto()
    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Input(IntEnum):
    """What can happen to a transaction. SEND_x comes from its user, RECEIVE_x from the wire, RETRY and END are timers."""

    START = auto()
    RECEIVE_1XX = auto()
    RECEIVE_2XX = auto()
    RECEIVE_FAILURE = auto()
    RECEIVE_REQUEST = auto()
    RECEIVE_ACK = auto()
    SEND_1XX = auto()
    SEND_2XX = auto()
    SEND_FAILURE = auto()
    RETRY = auto()
    END = auto()
    TRANSPORT_ERROR = auto()
    ABANDON = auto()
    HUSH = auto()


class Action(IntEnum):
    """What a transaction does. The timers carry the letters of RFC 3261 table 4 and RFC 6026."""

    SEND = auto()
    ACKNOWLEDGE = auto()
    DELIVER = auto()
    DELIVER_ACK = auto()
    REPORT_TIMEOUT = auto()
    REPORT_ERROR = auto()
    STOP_TIMERS = auto()
    STOP_RETRY = auto()
    START_TRYING = auto()
    SAY_TRYING = auto()
    START_A = auto()
    AGAIN_A = auto()
    START_B = auto()
    START_D = auto()
    START_E = auto()
    AGAIN_E = auto()
    AGAIN_T2 = auto()
    START_F = auto()
    START_G = auto()
    AGAIN_G = auto()
    START_H = auto()
    START_I = auto()
    START_J = auto()
    START_K = auto()
    START_L = auto()
    START_M = auto()


Table: TypeAlias = dict[tuple[State, Input], tuple[State, tuple[Action, ...]]]

# In every table: a pair that is not listed is dropped without a trace (step() returns False). DELIVER and REPORT stand last,
# for they call the user, who may start anything, and must find the machine in its new state.

_ACCEPTED = (State.ACCEPTED, (Action.STOP_TIMERS, Action.START_M, Action.DELIVER))
_REFUSED = (State.COMPLETED, (Action.STOP_TIMERS, Action.ACKNOWLEDGE, Action.START_D, Action.DELIVER))
_TIMED_OUT = (State.TERMINATED, (Action.STOP_TIMERS, Action.REPORT_TIMEOUT))
_BROKEN = (State.TERMINATED, (Action.STOP_TIMERS, Action.REPORT_ERROR))
_GONE: Final[tuple[State, tuple[Action, ...]]] = (State.TERMINATED, (Action.STOP_TIMERS,))

INVITE_CLIENT: Final[Table] = {
    # RFC 3261 17.1.1.2 figure 5, with the Accepted state of RFC 6026 7.2
    (State.INITIAL, Input.START): (State.CALLING, (Action.START_A, Action.START_B, Action.SEND)),
    (State.CALLING, Input.RETRY): (State.CALLING, (Action.SEND, Action.AGAIN_A)),
    (State.CALLING, Input.END): _TIMED_OUT,
    (State.CALLING, Input.TRANSPORT_ERROR): _BROKEN,
    (State.CALLING, Input.ABANDON): _GONE,
    # Ours: no more copies, because another address is asked now; an answer that is late still belongs here.
    (State.CALLING, Input.HUSH): (State.CALLING, (Action.STOP_RETRY,)),
    (State.CALLING, Input.RECEIVE_1XX): (State.PROCEEDING, (Action.STOP_TIMERS, Action.DELIVER)),
    (State.CALLING, Input.RECEIVE_2XX): _ACCEPTED,
    (State.CALLING, Input.RECEIVE_FAILURE): _REFUSED,
    (State.PROCEEDING, Input.RECEIVE_1XX): (State.PROCEEDING, (Action.DELIVER,)),
    (State.PROCEEDING, Input.RECEIVE_2XX): _ACCEPTED,
    (State.PROCEEDING, Input.RECEIVE_FAILURE): _REFUSED,
    (State.PROCEEDING, Input.TRANSPORT_ERROR): _BROKEN,
    (State.PROCEEDING, Input.ABANDON): _GONE,
    (State.ACCEPTED, Input.RECEIVE_2XX): (State.ACCEPTED, (Action.DELIVER,)),
    (State.ACCEPTED, Input.END): _GONE,
    (State.COMPLETED, Input.RECEIVE_FAILURE): (State.COMPLETED, (Action.ACKNOWLEDGE,)),
    (State.COMPLETED, Input.END): _GONE,
    (State.COMPLETED, Input.TRANSPORT_ERROR): _GONE,
}

_DONE = (State.COMPLETED, (Action.STOP_TIMERS, Action.START_K, Action.DELIVER))

CLIENT: Final[Table] = {
    # RFC 3261 17.1.2.2 figure 6
    (State.INITIAL, Input.START): (State.TRYING, (Action.START_E, Action.START_F, Action.SEND)),
    (State.TRYING, Input.RETRY): (State.TRYING, (Action.SEND, Action.AGAIN_E)),
    (State.TRYING, Input.END): _TIMED_OUT,
    (State.TRYING, Input.TRANSPORT_ERROR): _BROKEN,
    (State.TRYING, Input.ABANDON): _GONE,
    (State.TRYING, Input.HUSH): (State.TRYING, (Action.STOP_RETRY,)),
    (State.TRYING, Input.RECEIVE_1XX): (State.PROCEEDING, (Action.DELIVER,)),
    (State.TRYING, Input.RECEIVE_2XX): _DONE,
    (State.TRYING, Input.RECEIVE_FAILURE): _DONE,
    (State.PROCEEDING, Input.RETRY): (State.PROCEEDING, (Action.SEND, Action.AGAIN_T2)),
    (State.PROCEEDING, Input.END): _TIMED_OUT,
    (State.PROCEEDING, Input.TRANSPORT_ERROR): _BROKEN,
    (State.PROCEEDING, Input.ABANDON): _GONE,
    (State.PROCEEDING, Input.RECEIVE_1XX): (State.PROCEEDING, (Action.DELIVER,)),
    (State.PROCEEDING, Input.RECEIVE_2XX): _DONE,
    (State.PROCEEDING, Input.RECEIVE_FAILURE): _DONE,
    (State.COMPLETED, Input.END): _GONE,
}

_REFUSE = (State.COMPLETED, (Action.STOP_TIMERS, Action.START_G, Action.START_H, Action.SEND))

INVITE_SERVER: Final[Table] = {
    # RFC 3261 17.2.1 figure 7, with the Accepted state of RFC 6026 7.1
    (State.INITIAL, Input.START): (State.PROCEEDING, (Action.START_TRYING,)),
    (State.PROCEEDING, Input.RETRY): (State.PROCEEDING, (Action.SAY_TRYING,)),
    (State.PROCEEDING, Input.RECEIVE_REQUEST): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Action.STOP_TIMERS, Action.SEND)),
    (State.PROCEEDING, Input.SEND_2XX): (State.ACCEPTED, (Action.STOP_TIMERS, Action.START_L, Action.SEND)),
    (State.PROCEEDING, Input.SEND_FAILURE): _REFUSE,
    (State.ACCEPTED, Input.SEND_2XX): (State.ACCEPTED, (Action.SEND,)),
    (State.ACCEPTED, Input.RECEIVE_REQUEST): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.RECEIVE_ACK): (State.ACCEPTED, (Action.DELIVER_ACK,)),
    (State.ACCEPTED, Input.END): _GONE,
    (State.COMPLETED, Input.RECEIVE_REQUEST): (State.COMPLETED, (Action.SEND,)),
    (State.COMPLETED, Input.RETRY): (State.COMPLETED, (Action.SEND, Action.AGAIN_G)),
    (State.COMPLETED, Input.RECEIVE_ACK): (State.CONFIRMED, (Action.STOP_TIMERS, Action.START_I)),
    (State.COMPLETED, Input.END): _GONE,
    (State.COMPLETED, Input.TRANSPORT_ERROR): _GONE,
    (State.CONFIRMED, Input.RECEIVE_REQUEST): (State.CONFIRMED, ()),
    (State.CONFIRMED, Input.RECEIVE_ACK): (State.CONFIRMED, ()),
    (State.CONFIRMED, Input.END): _GONE,
}

_ANSWER = (State.COMPLETED, (Action.START_J, Action.SEND))

SERVER: Final[Table] = {
    # RFC 3261 17.2.2 figure 8
    (State.INITIAL, Input.START): (State.TRYING, ()),
    (State.TRYING, Input.RECEIVE_REQUEST): (State.TRYING, ()),
    (State.TRYING, Input.SEND_1XX): (State.PROCEEDING, (Action.SEND,)),
    (State.TRYING, Input.SEND_2XX): _ANSWER,
    (State.TRYING, Input.SEND_FAILURE): _ANSWER,
    (State.PROCEEDING, Input.RECEIVE_REQUEST): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SEND_1XX): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SEND_2XX): _ANSWER,
    (State.PROCEEDING, Input.SEND_FAILURE): _ANSWER,
    (State.COMPLETED, Input.RECEIVE_REQUEST): (State.COMPLETED, (Action.SEND,)),
    (State.COMPLETED, Input.END): _GONE,
}

# What ends with these timers is only forgotten, so those of half a second are fired together: one wake-up for many calls.
_FORGETTING: Final = frozenset({
    Action.START_D, Action.START_I, Action.START_J, Action.START_K, Action.START_L, Action.START_M,
})  # fmt: skip
_TOGETHER: Final = 0.5

_RETRY_START: Final = {Action.START_A: T1, Action.START_E: T1, Action.START_G: T1}
_RETRY_AGAIN: Final[dict[Action, float]] = {
    # RFC 3261 17.1.1.2: timer A doubles without bound (B ends it); 17.1.2.2 and 17.2.1: E and G double up to T2
    Action.AGAIN_A: TIMEOUT, Action.AGAIN_E: T2, Action.AGAIN_G: T2,
}
_END_TIMERS: Final[dict[Action, tuple[float, float]]] = {
    # seconds over an unreliable and over a reliable transport
    Action.START_B: (TIMEOUT, TIMEOUT), Action.START_D: (TIMER_D, 0.0), Action.START_F: (TIMEOUT, TIMEOUT),
    Action.START_H: (TIMEOUT, TIMEOUT), Action.START_I: (T4, 0.0), Action.START_J: (TIMEOUT, 0.0),
    Action.START_K: (T4, 0.0), Action.START_L: (TIMEOUT, TIMEOUT), Action.START_M: (TIMEOUT, TIMEOUT),
}

ClientKey: TypeAlias = tuple[str, str]
ServerKey: TypeAlias = tuple[str, ...]
OnResponse: TypeAlias = Callable[[Response, float], None]
OnFailure: TypeAlias = Callable[[int, str, float], None]
OnAck: TypeAlias = Callable[[Request, float], None]


def client_key(branch: str, method: str) -> ClientKey:
    """Return what a response is matched by (RFC 3261 17.1.3)."""
    return branch, method


def server_key(request: Request) -> ServerKey:
    """Return what a request is matched by (RFC 3261 17.2.3); ACK belongs to its INVITE."""
    method = "INVITE" if request.method == "ACK" else request.method
    via = request.via
    branch = via.branch or ""
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return branch, via.host.lower(), str(via.port or 5060), method
    # RFC 3261 17.2.3: a peer of RFC 2543. Its ACK carries our To tag where the INVITE had none, so To is left out.
    return (str(request.uri), request.from_.tag or "", request.call_id, str(request.cseq.number), branch, via.host.lower(),
            str(via.port or 5060), method)


def make_ack(request: Request, response: Response) -> Request:
    """Return the ACK for a refusal, which belongs to the INVITE's transaction (RFC 3261 17.1.1.3)."""
    headers = Headers()
    source = request.headers
    headers.add("Via", source.get_all("Via")[0])
    headers.add("Max-Forwards", "70")
    headers.add("From", source.get("From") or "")
    headers.add("To", response.headers.get("To") or "")
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", f"{request.cseq.number} ACK")
    for route in source.get_all("Route"):
        headers.add("Route", route)
    return Request("ACK", request.uri, headers, b"")


class Transaction:
    """One transaction: the interpreter. `payload` is what SEND sends; the layer it is in forgets it when it terminates."""

    __slots__ = ("_end", "_interval", "_retry", "flow", "layer", "payload", "request", "state", "table")

    def __init__(self, layer: Transactions, table: Table, flow: Flow, request: Request) -> None:
        self.layer = layer
        self.table = table
        self.flow = flow
        self.request = request
        self.state = State.INITIAL
        self.payload = b""
        self._retry: Timer | None = None
        self._end: Timer | None = None
        self._interval = T1

    @property
    def reliable(self) -> bool:
        """Whether the transport repeats for us."""
        return self.flow.transport != "udp"

    def step(self, happened: Input, now: float, message: Request | Response | None = None) -> bool:
        """Ask the table and act; False where it does not list the pair, and then nothing has changed."""
        found = self.table.get((self.state, happened))
        if found is None:
            return False
        self.state, actions = found
        if self.state is State.TERMINATED:
            self.layer.forget(self)
        for action in actions:
            self._act(action, now, message)
        return True

    def _act(self, action: Action, now: float, message: Request | Response | None) -> None:
        if action is Action.SEND:
            if self.payload:
                self.layer.send(self.flow, self.payload)
        elif action is Action.STOP_TIMERS:
            self._stop_timers()
        elif action is Action.STOP_RETRY:
            if self._retry is not None:
                self._retry.stop()
        elif action in _END_TIMERS:
            at = now + _END_TIMERS[action][self.reliable]
            self._start_end(math.ceil(at / _TOGETHER) * _TOGETHER if action in _FORGETTING and at > now else at)
        elif action in _RETRY_START:
            self._start_retry(_RETRY_START[action], now)
        elif action in _RETRY_AGAIN:
            self._start_retry(min(self._interval * 2, _RETRY_AGAIN[action]), now)
        elif action is Action.AGAIN_T2:
            self._start_retry(T2, now)
        elif action is Action.START_TRYING:
            self._retry = self.layer.timers.start(now + TRYING_AFTER, self._on_retry)
        else:
            self.report(action, now, message)

    def report(self, action: Action, now: float, message: Request | Response | None) -> None:
        """Do the actions that concern the user of this kind of transaction."""
        raise NotImplementedError

    def _stop_timers(self) -> None:
        if self._retry is not None:
            self._retry.stop()
        if self._end is not None:
            self._end.stop()

    def _start_retry(self, interval: float, now: float) -> None:
        if self.reliable:
            return
        self._interval = interval
        if self._retry is not None:
            self._retry.stop()
        self._retry = self.layer.timers.start(now + interval, self._on_retry)

    def _start_end(self, at: float) -> None:
        # A wait of no time still goes through the queue: the actions behind it must come first.
        if self._end is not None:
            self._end.stop()
        self._end = self.layer.timers.start(at, self._on_end)

    def _on_retry(self, now: float) -> None:
        self.step(Input.RETRY, now)

    def _on_end(self, now: float) -> None:
        self.step(Input.END, now)


class ClientTransaction(Transaction):
    """A request of ours on its way to an answer."""

    __slots__ = ("broken", "key", "on_failure", "on_response")

    def __init__(self, layer: Transactions, flow: Flow, request: Request, payload: bytes, branch: str,
                 on_response: OnResponse, on_failure: OnFailure) -> None:
        table = INVITE_CLIENT if request.method == "INVITE" else CLIENT
        super().__init__(layer, table, flow, request)
        self.key = client_key(branch, request.method)
        self.payload = payload
        self.on_response = on_response
        self.on_failure = on_failure
        self.broken: FlowFailed | None = None

    def sent_by_us(self, response: Response) -> bool:
        """Say whether its Via is the one we sent, and the only one (RFC 3261 8.1.3.3, 18.1.2)."""
        ours, theirs = self.request.via, response.via
        same = ours.host.lower() == theirs.host.lower() and ours.port == theirs.port
        return same and len(response.headers.values("Via")) == 1

    def receive(self, response: Response, now: float) -> bool:
        """Take a matching response."""
        status = response.status
        if status < 200:
            return self.step(Input.RECEIVE_1XX, now, response)
        return self.step(Input.RECEIVE_2XX if status < 300 else Input.RECEIVE_FAILURE, now, response)

    def report(self, action: Action, now: float, message: Request | Response | None) -> None:
        """Acknowledge refusals, deliver responses, report failure as the status RFC 3261 8.1.3.1 names."""
        if action is Action.REPORT_TIMEOUT:
            self.on_failure(408, "Request Timeout", now)
        elif action is Action.REPORT_ERROR:
            self.on_failure(503, self.broken.reason if self.broken is not None else "Service Unavailable", now)
        elif isinstance(message, Response):
            if action is Action.ACKNOWLEDGE:
                self.layer.send(self.flow, make_ack(self.request, message).encode())
            elif action is Action.DELIVER:
                self.on_response(message, now)


class ServerTransaction(Transaction):
    """A request of the far end on its way to our answer. `on_ack`: an ACK on the INVITE's own branch."""

    __slots__ = ("key", "merge_key", "on_ack", "on_cancel", "once")

    def __init__(self, layer: Transactions, flow: Flow, request: Request, key: ServerKey) -> None:
        super().__init__(layer, INVITE_SERVER if request.method == "INVITE" else SERVER, flow, request)
        self.key = key
        self.merge_key = _merge_key(request)
        self.on_ack: OnAck | None = None
        self.on_cancel: OnAck | None = None
        # RFC 3261 8.2.7: a refusal is sent once for each copy of the request, as a stateless server does. For strangers, so
        # that one forged request sends nobody ten answers; after a provisional no more copies come, so then it is repeated.
        self.once = False

    def _start_retry(self, interval: float, now: float) -> None:
        if not self.once:
            super()._start_retry(interval, now)

    def send(self, status: int, payload: bytes, now: float) -> bool:
        """Send a response; False if the transaction is past that."""
        if status < 200:
            happened = Input.SEND_1XX
        else:
            happened = Input.SEND_2XX if status < 300 else Input.SEND_FAILURE
        if (self.state, happened) not in self.table:
            return False
        self.payload = payload
        if status < 200:
            self.once = False
        self.step(happened, now)
        if status >= 200:
            # Half a minute is long: of the request there stays what `fail` and the user may still ask for.
            source = self.request.headers
            kept = [(name, source.get_all(name)[0]) for name in ("Via", "CSeq")]
            self.request = Request(self.request.method, self.request.uri, Headers.from_wire(kept))
        return True

    def report(self, action: Action, now: float, message: Request | Response | None) -> None:
        """Hand an ACK for a 2xx to the user (RFC 6026 7.1); say 100 where the user takes its time."""
        if action is Action.SAY_TRYING:
            self.once = False
            self.payload = response_to(self.request, 100).encode()
            self.layer.send(self.flow, self.payload)
        elif action is Action.DELIVER_ACK and self.on_ack is not None and isinstance(message, Request):
            self.on_ack(message, now)


class Transactions:
    """All transactions of one endpoint, found by their keys."""

    __slots__ = ("_merged", "clients", "send", "servers", "timers")

    def __init__(self, timers: TimerQueue, send: Callable[[Flow, bytes], None]) -> None:
        self.timers = timers
        self.send = send
        self.clients: dict[ClientKey, ClientTransaction] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self._merged: dict[tuple[str, str, int, str], ServerKey] = {}

    def request(self, flow: Flow, request: Request, payload: bytes, branch: str, on_response: OnResponse,
                on_failure: OnFailure, now: float) -> ClientTransaction:
        """Send `request` (already encoded as `payload`) in a new client transaction."""
        client = ClientTransaction(self, flow, request, payload, branch, on_response, on_failure)
        self.clients[client.key] = client
        client.step(Input.START, now)
        return client

    def serve(self, flow: Flow, request: Request, now: float, key: ServerKey | None = None) -> ServerTransaction:
        """Open a server transaction; `flow` is where its responses go, `key` what `server_key` returned, if it is known."""
        key = key or server_key(request)
        server = ServerTransaction(self, flow, request, key)
        self.servers[key] = server
        self._merged.setdefault(server.merge_key, key)
        server.step(Input.START, now)
        return server

    def is_merged(self, request: Request) -> bool:
        """Whether this new request came before on another path (RFC 3261 8.2.2.2)."""
        return _merge_key(request) in self._merged

    def fail(self, failed: FlowFailed, now: float) -> None:
        """Report a transport error to everything that uses its flow (RFC 3261 18.4)."""
        flow = failed.flow
        for client in [each for each in self.clients.values() if same_path(each.flow, flow)]:
            client.broken = failed
            client.step(Input.TRANSPORT_ERROR, now)
        for server in [each for each in self.servers.values() if same_path(each.flow, flow)]:
            if not server.step(Input.TRANSPORT_ERROR, now) and flow.transport == "tcp":
                # RFC 3261 18.2.2: without its connection the response opens a new one to the sent-by port
                port = server.request.via.port or 5060
                server.flow = Flow("tcp", flow.local, (flow.remote[0], port))

    def forget(self, transaction: Transaction) -> None:
        """Drop a terminated transaction."""
        if isinstance(transaction, ClientTransaction):
            self.clients.pop(transaction.key, None)
        elif isinstance(transaction, ServerTransaction):
            self.servers.pop(transaction.key, None)
            if self._merged.get(transaction.merge_key) == transaction.key:
                del self._merged[transaction.merge_key]


def same_path(used: Flow, failed: Flow) -> bool:
    """Whether a failure of one flow concerns the other. Connection 0 is whatever connection leads to that address."""
    if used.transport != failed.transport or used.remote != failed.remote:
        return False
    if used.terms != failed.terms and not (used.connection or failed.connection):
        return False
    return used.connection == failed.connection or not used.connection or not failed.connection


def _merge_key(request: Request) -> tuple[str, str, int, str]:
    return request.from_.tag or "", request.call_id, request.cseq.number, request.method
