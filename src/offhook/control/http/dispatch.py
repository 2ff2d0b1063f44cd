"""From a request to its answer: find the route, let the guard look, read the fields, carry it out, say what came of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.datastructures import QueryParams

from offhook.control.access import Client, local_client
from offhook.control.http import audio, socket
from offhook.control.http.answers import Answer, Receive, Send
from offhook.control.http.handlers import HANDLERS
from offhook.control.http.idempotency import fingerprint, key_from
from offhook.control.http.limits import MAX_WAIT
from offhook.control.http.problems import HttpRefusal, problem_answer
from offhook.control.http.requests import ClientGone, Request, decoded
from offhook.control.http.routes import ROUTES, SOCKET, Route
from offhook.control.http.surface import Surface
from offhook.control.operations import BLOCKING
from offhook.control.schema import OPERATIONS, to_json
from offhook.errors import (
    CommandError,
    CommandTimeout,
    Draining,
    FieldError,
    InvalidArgument,
    NotFound,
    SetupError,
    Unauthenticated,
)
from offhook.phone.commands import Status

UNREAD_RETRY: Final = 2.0
"""Seconds after which it is worth trying again, where the file of earlier requests could not be read."""

ANYBODY: Final = local_client()
"""Who may see what became of the very thing they asked for: no scope is needed for that."""

# RFC 7240 2: preferences are separated by commas, their parameters by semicolons; 4.3: wait is whole seconds.
_WAIT: Final = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])', re.IGNORECASE)

MICROPHONE_OF_ALL: Final = frozenset({"mute", "unmute"})
"""Commands that without a call mean all calls: in a path the current call must be found first."""


SOCKETS: Final = {"socket": socket.serve, "audio": audio.serve}
"""What serves a WebSocket, by the handler's name in the table."""


# --- the table as a tree


@dataclass(slots=True)
class _Node:
    """One part of a path: fixed parts go before the one that may be anything."""

    children: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds routes. What stands in braces in a path matches any one part of it."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for part in route.path.split("/")[1:]:
                if part.startswith("{"):
                    node.any = node = node.any or _Node()
                else:
                    node = node.children.setdefault(part, _Node())
            if route.method in node.routes:
                raise ValueError(f"two routes for {route.method} {route.path}")
            node.routes[route.method] = route

    def find(self, path: str) -> tuple[Mapping[str, Route], list[str]]:
        """Return the routes under this path by method ({} for none), and the parts that stand for braces."""
        node, values = self._root, []
        for part in path.split("/")[1:]:
            following = node.children.get(part)
            if following is None and part:
                following = node.any
                values.append(part)
            if following is None:
                return {}, []
            node = following
        return node.routes, values


# --- the application


class Application:
    """The ASGI application. Nothing it meets gets past it: what is wrong becomes a problem, or ends the connection."""

    def __init__(self, surface: Surface, routes: Iterable[Route] = ROUTES) -> None:
        self._surface = surface
        self._router = Router(routes)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        request = Request(self._surface, scope, receive, send)
        try:
            if scope["type"] == "websocket":
                await self._websocket(request)
            else:
                await self._http(request)
        except ClientGone:
            return

    async def _http(self, request: Request) -> None:
        started = False

        async def noting(message: Any) -> None:
            nonlocal started
            started = True
            await inner(message)

        inner, request.send = request.send, noting
        try:
            answer = await self._answer(request)
        except ClientGone:
            raise
        except Exception as error:
            answer = _problem(request, error)
            if started:
                raise ClientGone from None  # the answer has begun: all that is left is to end it
        if answer is not None:
            # A new answer: this one may be kept for when the request comes again.
            await replace(answer, headers={**answer.headers, **request.extra_headers}).send(request.send)

    async def _websocket(self, request: Request) -> None:
        try:
            client = self._let_in_socket(request)
            await SOCKETS[request.route.handler](request, client)
        except (CommandError, HttpRefusal) as error:
            answer = _problem(request, error)
            await answer.send(_denial(request.send))

    # --- the way of a request

    async def _answer(self, request: Request) -> Answer | None:
        guard = self._surface.guard
        _check_once(request)
        origin = request.headers.get("origin")
        # RFC 9112 3.2: a request of HTTP/1.1 without Host MUST be refused; HTTP/1.0 does not ask for one.
        guard.check_host(request.headers.get("host"), may_lack=request.scope["http_version"] == "1.0" and origin is None)
        if request.request_id:
            request.extra_headers["x-request-id"] = request.request_id
        request.extra_headers.update(guard.cors(origin))
        routes, values = self._router.find(request.path)
        if request.method == "OPTIONS" and guard.cors(origin):
            return Answer(204, None, guard.preflight(origin, _allowed(routes)))
        route = routes.get("GET" if request.method == "HEAD" else request.method)
        # Where everything is public, so is the answer that a method is not taken.
        if not routes or any(found.scope != "public" for found in routes.values()):
            request.client = self._client(request, route)
        if route is None:
            raise self._no_route(request, routes)
        self._take_route(request, route, values)
        guard.check_scope(request.client, route)
        await request.read_body()
        return await self._once(request)

    def _client(self, request: Request, route: Route | None) -> Client:
        guard = self._surface.guard
        authorization = request.headers.get("authorization")
        if authorization is None and route is not None and route.handler == "events":
            # A browser's EventSource cannot send headers. Nothing here logs what stands in a query.
            token = QueryParams(request.scope["query_string"]).get("access_token")
            if token is not None:
                return guard.client_of(token, request.peer)
        return guard.client(authorization, request.peer)

    def _let_in_socket(self, request: Request) -> Client | None:
        guard = self._surface.guard
        _check_once(request)
        host = request.headers.get("host")
        guard.check_host(host)
        try:
            guard.check_origin(request.headers.get("origin"), host or "")
        except CommandError as error:
            guard.denied(request.peer, error.detail)
            raise
        routes, values = self._router.find(request.path)
        route = routes.get(SOCKET)
        authorization, token = request.headers.get("authorization"), socket.token_of(request)
        client = None
        if authorization is not None:
            client = guard.client(authorization, request.peer)
        elif token is not None:
            client = guard.client_of(token, request.peer)
        if route is None:
            raise self._no_route(request, routes)
        self._take_route(request, route, values)
        return client

    def _no_route(self, request: Request, routes: Mapping[str, Route]) -> HttpRefusal:
        if not routes:
            return HttpRefusal("no-route", "the reference is GET /v1/docs")
        if SOCKET in routes and request.method in ("GET", "HEAD"):
            headers = {"upgrade": "websocket", "connection": "Upgrade", "allow": "GET"}
            return HttpRefusal("upgrade-required", "this path is a WebSocket", headers)
        allowed = ", ".join(_allowed(routes))
        return HttpRefusal("method-not-allowed", f"it takes {allowed}", {"allow": allowed})

    def _take_route(self, request: Request, route: Route, values: list[str]) -> None:
        request.route = route
        request.path_values = dict(zip(route.path_parameters, map(decoded, values), strict=True))

    # --- once, and only once

    async def _once(self, request: Request) -> Answer | None:
        header = request.headers.get("idempotency-key")
        if header is None or request.route.is_safe:
            answer = await self._carry_out(request)
        else:
            answer = await self._keyed(request, key_from(header))
        return answer if answer is None else await self._complete(request, answer)

    async def _keyed(self, request: Request, key: str) -> Answer | None:
        replays, client = self._surface.replays, request.client.name
        try:
            await replays.ready()
        except SetupError as error:  # locked by another program, say: the next request tries again
            raise HttpRefusal("requests-unread", str(error), retry_after=UNREAD_RETRY) from None
        known = replays.begin(client, key, fingerprint(request.method, request.target, request.body))
        if known is not None:
            return replace(known, headers={**known.headers, "idempotent-replayed": "true"})
        try:
            answer = await self._carry_out(request)
        except Exception:
            replays.forget(client, key)
            raise  # what is cut off by the phone's end (CancelledError) may have been done: it stays begun
        if answer is not None:
            replays.finish(client, key, answer)
        return answer

    async def _carry_out(self, request: Request) -> Answer | None:
        route = request.route
        if route.handler:
            request.query()  # a misspelt parameter is refused here too
            self._refuse_body(request)
            return await HANDLERS[route.handler](request)
        try:
            params = self._params(request)
            operations = self._surface.operations
            if route.operation == "wait":
                result = await request.wait(params)
                self._check_standing(request)
            elif route.operation in BLOCKING:
                result = await operations.run_aside(route.operation, params, request.client)
            else:
                result = operations.run(route.operation, params, request.client, request.request_id)
        except InvalidArgument as error:
            raise _pointing_into_body(error, route) from None
        return self._result(route, result)

    def _check_standing(self, request: Request) -> None:
        """Refuse to tell a client anything more whose token was revoked while it waited."""
        if not self._surface.guard.is_current(request.client):
            raise Unauthenticated("the token was revoked")

    def _params(self, request: Request) -> dict[str, Any]:
        """Return the fields of the operation: from the path, the table, and the body or query."""
        route = request.route
        if route.is_safe or route.method == "DELETE":
            given = request.query()
            self._refuse_body(request)
        else:
            request.query()
            given = request.fields()
        if route.body_field:
            given = {route.body_field: given}
        for parameter, name in route.path_fields.items():
            outer, _, inner = name.partition(".")
            place = given.setdefault(outer, {}) if inner else given
            if (inner or outer) in place:
                raise InvalidArgument.field(name.replace(".", "/"), "stands in the path already")
            place[inner or outer] = self._path_value(request, parameter)
        taken = next((name for name in route.preset if name in given), None)
        if taken is not None:
            raise InvalidArgument.field(taken, "means nothing here")
        return {**given, **route.preset}

    def _refuse_body(self, request: Request) -> None:
        if request.body and (request.route.is_safe or request.route.method == "DELETE"):
            raise HttpRefusal("malformed", "a body means nothing here")

    def _path_value(self, request: Request, parameter: str) -> str:
        value = request.path_value(parameter)
        if parameter != "call" or value != "current":
            return value
        if request.route.operation not in MICROPHONE_OF_ALL:
            return ""
        current: str = self._surface.backend.execute(Status()).value.call
        if not current:
            raise NotFound("there is no call")
        return current

    def _result(self, route: Route, result: Any) -> Answer:
        """Return the answer for what an operation gave: a view, or the call and operation it concerns."""
        if route.operation not in OPERATIONS:
            headers = {"location": route.location.format_map(result)} if route.location else {}
            return Answer(route.status, None if route.status == 204 else result, headers)
        if route.scope == "read":
            return Answer(200, {route.key: result["value"]} if route.key else result["value"])
        operation = result["operation"]
        headers = {}
        status = route.status
        if operation:
            headers["location"] = f"/v1/operations/{operation}"
            status = 202
        if route.status == 201:
            status = 201
            headers = {"location": route.location.format_map(result)}
            if operation:
                headers["link"] = f'</v1/operations/{operation}>; rel="monitor"'
        return Answer(status, None if status == 204 else result, headers, operation=operation)

    async def _complete(self, request: Request, answer: Answer) -> Answer:
        """Wait for the outcome, if the client prefers that."""
        # RFC 7240 2: preferences may stand in several headers.
        seconds = wait_from(", ".join(request.headers.getlist("prefer")))
        if not answer.operation or not seconds:
            return answer
        over = {"conditions": [{"operation": answer.operation}], "timeout": seconds}
        try:
            with contextlib.suppress(CommandTimeout, Draining):
                await request.wait(over, ANYBODY)
            self._check_standing(request)
            found = self._surface.backend.outcomes.get(answer.operation)
        except (NotFound, Unauthenticated):  # an answer given again, whose operation is forgotten; or a token revoked meanwhile
            return answer
        status = 200 if answer.status == 202 and found.state != "pending" else answer.status
        headers = {**answer.headers, "preference-applied": f"wait={seconds}"}
        return replace(answer, status=status, headers=headers, body={**answer.body, "outcome": to_json(found)})


def _check_once(request: Request) -> None:
    """Refuse a request of which two readers could think differently whom it is for, or who asks (RFC 9112 3.2)."""
    for name in ("host", "authorization"):
        if len(request.headers.getlist(name)) > 1:
            raise HttpRefusal("malformed", f"the header {name} stands there twice")


def wait_from(prefer: str | None) -> int:
    """Return the seconds of `Prefer: wait=…`, at most MAX_WAIT; 0 for none. What is not understood is ignored (RFC 7240 2)."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), int(MAX_WAIT)) if found else 0


def _allowed(routes: Mapping[str, Route]) -> list[str]:
    found = ["GET" if method == SOCKET else method for method in routes]
    if SOCKET in routes:
        return found
    return ["GET", "HEAD", *(method for method in found if method != "GET")] if "GET" in found else found


def _pointing_into_body(error: InvalidArgument, route: Route) -> InvalidArgument:
    """Where the body is one field's value, what is wrong in it is not below that field's name."""
    prefix = f"/{route.body_field}/"
    if not route.body_field:
        return error
    fields = tuple(
        FieldError("/" + each.pointer.removeprefix(prefix), each.detail) if each.pointer.startswith(prefix) else each
        for each in error.errors
    )
    return InvalidArgument(re.sub(rf"(^|; ){route.body_field}/", r"\1", error.detail), errors=fields)


def _problem(request: Request, error: Exception) -> Answer:
    brought = "authorization" in request.headers
    return problem_answer(error, instance=request.path[:200], operation=request.route.operation, with_token=brought)


def _denial(send: Send) -> Send:
    """Return what sends an answer in place of a WebSocket's handshake (an extension of ASGI)."""

    async def deny(message: Any) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return deny
