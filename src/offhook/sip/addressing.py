"""For which identity a request is that comes from outside any dialog."""

from __future__ import annotations

from collections.abc import Iterable

from offhook.sip.events import Flow, Identity
from offhook.sip.message import Request
from offhook.sip.stack import Stack
from offhook.sip.uri import Uri


def identity_of(stack: Stack, request: Request, flow: Flow) -> Identity | None:
    """Return whom a request is for, the first where several could be meant, None if nobody is.

    A trunk calls all the numbers that lead here, not just our user name: they are for the one whose server it is.
    """
    return next(iter(_named(stack, request, flow)), None) or _served_by(stack, flow)


def is_ambiguous(stack: Stack, request: Request, flow: Flow) -> bool:
    """Say whether several could be meant and nothing tells them apart: accounts of one user name at several servers."""
    if len(stack.identities) < 2:
        return False
    return len({(each.address.uri.user, each.address.uri.host.lower()) for each in _named(stack, request, flow)}) > 1


def _named(stack: Stack, request: Request, flow: Flow) -> list[Identity]:
    """Return the identities a request may be for: by contact user, else by address of Request-URI or To.

    Our Contact may be the same at two servers. Then the one counts that the server had called under its address, or the one
    whose server it is.
    """
    user = request.uri.user_decoded
    found = [each for each in stack.identities.values() if user and each.contact_user == user]
    if not found:
        return _at(stack.identities.values(), request.uri) or _at(stack.identities.values(), request.to.uri)
    if len(found) > 1:
        found = [each for each in found if each.address.uri.user_decoded == user] or found
        found = _at(found, request.to.uri) or [each for each in found if stack.is_server(each, flow)] or found
    return _registered_there(stack, found, flow)


def _served_by(stack: Stack, flow: Flow) -> Identity | None:
    """Return whose server this came from; None if it is the server of several."""
    found = _registered_there(stack, [each for each in stack.identities.values() if stack.is_server(each, flow)], flow)
    return found[0] if len({each.contact_user for each in found}) == 1 else None


def _registered_there(stack: Stack, found: list[Identity], flow: Flow) -> list[Identity]:
    """Of several return those registered at this very address: one host may have two servers, told apart by their ports."""
    if len(found) < 2:
        return found
    return [each for each in found if stack.is_registered_at(each, flow.remote)] or found


def _at(identities: Iterable[Identity], uri: Uri) -> list[Identity]:
    host = uri.host.lower()
    return [each for each in identities if each.address.uri.user == uri.user and each.address.uri.host.lower() == host]
