"""One account from end to end: what the phone says, the name, the way, address translation, codecs, the password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import structs

from offhook.cli.doctor import way
from offhook.cli.doctor.asking import Asked, ask_bindings, options_request
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, Level, listed
from offhook.cli.doctor.meaning import meaning, quoted
from offhook.cli.render import flow_text
from offhook.errors import CommandError, ParseError
from offhook.io.probe import Reply
from offhook.phone.accounts import check_account
from offhook.phone.identities import identity_of
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Address, ConnectionTerms, Identity, TransportName
from offhook.sip.message import Request, Response
from offhook.sip.stack import Hop, hop_to, host_port
from offhook.sip.uri import Uri

View = dict[str, Any]


def no_accounts() -> Iterator[Finding]:
    """Say that there is no account."""
    yield Finding("accounts", "warning", "there is none: only whole addresses can be called, and nobody finds this phone",
                  "add one: `offhook accounts add NAME --domain … --username … --ask-password`, or [account.NAME] in the file")


def look_at_account(case: Case, account: AccountSettings, view: View | None) -> Iterator[Finding]:
    """Look at one account; `view` is the running phone's, None if it has no such account or does not run."""
    name = f"account {account.id}"
    yield from _registration(name, case, account, view)
    try:
        check_account(account)
        identity = identity_of(account, "")
    except (CommandError, ParseError) as error:
        yield Finding(name, "wrong", str(error), f"correct [account.{account.id}] in the configuration")
        return
    yield from _Patient(case, account, identity, view).examine()


# --- what the phone says -------------------------------------------------------------------------------------------


def _registration(name: str, case: Case, account: AccountSettings, view: View | None) -> Iterator[Finding]:
    if case.phone is None:
        return
    if view is None:
        yield Finding(name, "warning", "it is in the configuration, but not in the running phone",
                      f"start the phone again, or `offhook accounts add {account.id} …`")
        return
    yield _REGISTRATIONS[view["registration"]](name, account, view)
    for flow in view.get("flows") or ():
        yield _flow(name, flow, view)


def _registered(name: str, account: AccountSettings, view: View) -> Finding:
    return Finding(name, "ok", f"registered as {view['uri']} for {view.get('expires', 0)} s")


def _registering(name: str, account: AccountSettings, view: View) -> Finding:
    return Finding(name, "warning", f"{view['uri']} is being registered at this moment", "run this again in half a minute")


def _unregistered(name: str, account: AccountSettings, view: View) -> Finding:
    if not account.register:
        return Finding(name, "ok", "it does not register, as its settings say (register = false); it can place calls")
    return Finding(name, "warning", "it is not registered: no calls come in", f"`offhook accounts register {account.id}`")


def _failed(name: str, account: AccountSettings, view: View) -> Finding:
    status = int(view.get("sip_status") or 0)
    what, advice = meaning(status)
    again = f"; next attempt in {view['retry_in']:.0f} s" if view.get("retry_in") else ""
    holds = f"; what was granted before holds for {view['expires']} s" if view.get("expires") else ""
    text = f"registration failed: {quoted(status, view.get('reason') or '')}: {what}{again}{holds}"
    return Finding(name, "wrong", text, advice.replace("ACCOUNT", account.id))


def _flow(name: str, flow: View, view: View) -> Finding:
    name = f"{name}, flow {flow['number']}"
    text = flow_text(flow).partition(" ")[2].partition(" ")[2]
    if flow["state"] != "failed":
        return Finding(name, "ok", text)
    others = [each["number"] for each in view["flows"] if each["state"] == "registered"]
    carries = f"; flow {others[0]} carries the calls meanwhile" if others else ""
    return Finding(name, "warning", f"{text}{carries}",
                   "see whether that server runs and can be reached from here; the phone goes on trying by itself")


_REGISTRATIONS: dict[str, Callable[[str, AccountSettings, View], Finding]] = {
    "registered": _registered, "registering": _registering, "unregistered": _unregistered, "failed": _failed,
}


# --- what we find ourselves ----------------------------------------------------------------------------------------


class _Patient:
    """One account with everything that is asked about it. Each method gives the findings of one step."""

    def __init__(self, case: Case, account: AccountSettings, identity: Identity, view: View | None) -> None:
        self.case = case
        self.account = account
        self.identity = identity
        self.name = f"account {account.id}"
        self.registered = view is not None and view["registration"] == "registered"
        # While the phone itself tries, its attempts are enough: one more wrong password may get this address blocked.
        self.may_register = view is None and account.register
        self.hop: Hop = hop_to(identity.proxy or identity.address.uri, identity.transport)

    def examine(self) -> Iterator[Finding]:
        yield from self._signs_of_life()
        self.hop, remotes = yield from way.remotes(self.case, self.name, self.hop)
        if remotes:
            yield from self._ask(remotes)

    # --- the way there

    def _ask(self, remotes: list[Address]) -> Iterator[Finding]:
        used: TransportName = way.spoken(self.hop)
        if used in ("ws", "wss"):
            yield from self._web(used, remotes[0])
            return
        other: TransportName = "udp" if used == "tcp" else "tcp"
        # The port of TLS is not the one of TCP: what is beside it is asked where it usually is.
        beside_at = [(host, 5060) for host, _ in remotes] if used == "tls" else remotes
        with ThreadPoolExecutor(2) as pool:
            beside = pool.submit(self._options, other, beside_at)
            *in_vain, (remote, reply) = self._options(used, remotes)
            asked = self._ask_bindings(remote) if self.may_register and reply.how in ("answered", "silent", "closed") else None
            other_remote, other_reply = beside.result()[-1]
        if reply.response is not None:
            yield from self._down(used, in_vain)
        yield self._used_transport(used, remote, reply, asked, other_works=other_reply.how == "answered")
        yield self._other_transport(other, other_remote, other_reply, used)
        if reply.response is not None:
            yield from way.from_answer(self.case, self.name, used, remote, reply)
        elif other_reply.response is not None:
            yield from way.from_answer(self.case, self.name, other, other_remote, other_reply)
        if asked is not None:
            yield from self._password(asked)

    def _options(self, transport: TransportName, remotes: list[Address]) -> list[tuple[Address, Reply]]:
        identity = self.identity
        target = Uri("sip", None, identity.address.uri.host, identity.address.uri.port)

        def build(local: Address) -> Request:
            return options_request(target, local, transport, sender=identity.address, route=identity.proxy)

        return way.ask_one_of(self.case, transport, remotes, build, self.terms)

    @property
    def terms(self) -> ConnectionTerms:
        """The terms of TLS, with the name that the certificate has to bear."""
        terms = self.identity.terms or ConnectionTerms()
        return terms if terms.name else structs.replace(terms, name=self.hop.host)

    def _signs_of_life(self) -> Iterator[Finding]:
        settings = self.account
        if settings.register and not settings.keep_alive and way.spoken(self.hop) != "udp":
            yield Finding(f"{self.name}, keep-alive", "warning",
                          f"keep_alive is 0: a connection that dies unnoticed costs calls for up to {settings.expires} s",
                          f"leave keep_alive out of [account.{settings.id}], or set it to 60")

    def _web(self, used: TransportName, remote: Address) -> Iterator[Finding]:
        """Open a WebSocket as the phone does, and ask over it."""
        from offhook.io.web_probe import ask_over_web

        name, identity = f"{self.name}, {used.upper()}", self.identity
        target = Uri("sip", None, identity.address.uri.host, identity.address.uri.port)
        reply = ask_over_web(
            used, remote, lambda local: options_request(target, local, used, sender=identity.address, route=identity.proxy),
            self.terms, patience=self.case.patience,
        )  # fmt: skip
        where = f"{host_port(remote)}{self.terms.path}"
        if reply.response is not None:
            yield Finding(name, "ok", way.answer_text(remote, reply, reply.response))
        elif reply.how == "refused":
            yield Finding(name, "wrong", f"no WebSocket at {where}: {reply.detail}",
                          "ws_path, the port and tls_ca of the account decide about it (docs/network.md); Asterisk has /ws")
        else:
            text, advice = way.no_answer(self.case, used, remote, reply)
            level: Level = "warning" if self.registered else "wrong"
            yield Finding(name, level, text, advice)

    def _down(self, used: TransportName, in_vain: list[tuple[Address, Reply]]) -> Iterator[Finding]:
        """Tell of servers that come before the one that answers."""
        for remote, reply in in_vain:
            text, _ = way.no_answer(self.case, used, remote, reply)
            yield Finding(f"{self.name}, {used.upper()} to {host_port(remote)}", "warning", text,
                          "the next server answers, so calls go on; each may wait up to 4 s for this one")

    def _used_transport(self, used: TransportName, remote: Address, reply: Reply, asked: Asked | None, *,
                        other_works: bool) -> Finding:
        name = f"{self.name}, {used.upper()}"
        if reply.response is not None:
            return Finding(name, "ok", way.answer_text(remote, reply, reply.response))
        text, advice = way.no_answer(self.case, used, remote, reply)
        if asked is not None and asked.reply.how == "answered":
            return Finding(name, "ok", f"{host_port(remote)} does not answer OPTIONS, but it answers REGISTER")
        if self.registered:
            return Finding(name, "warning", f"{text}; yet the phone is registered there",
                           "it may ignore questions of strangers, or has just gone away: the next refresh will tell")
        if other_works:
            other = "udp" if used == "tcp" else "tcp"
            advice = f'it answers over {other.upper()}: set transport = "{other}" in [account.{self.account.id}]'
        return Finding(name, "wrong", text, advice)

    def _other_transport(self, other: TransportName, remote: Address, reply: Reply, used: TransportName) -> Finding:
        name = f"{self.name}, {other.upper()}"
        if reply.response is not None:
            return Finding(name, "ok", way.answer_text(remote, reply, reply.response))
        text, _ = way.no_answer(self.case, other, remote, reply)
        return Finding(name, "ok", f"{text}; the account uses {used.upper()}")

    # --- the password

    def _ask_bindings(self, remote: Address) -> Asked:
        with way.probe(self.case, way.spoken(self.hop), remote, self.terms) as probe:
            return ask_bindings(probe, self.identity)

    def _password(self, asked: Asked) -> Iterator[Finding]:
        name, response = f"{self.name}, password", asked.reply.response
        keep = f"`offhook password {self.account.id}` keeps one"
        if response is None:
            if asked.reply.how != "silent":
                text = f"could not be tried: the way to the registrar broke off ({asked.reply.how})"
                yield Finding(name, "warning", text, "run this again")
            return
        said = quoted(response.status, response.reason)
        if asked.ended == "no password":
            yield Finding(name, "wrong", f"the registrar asks for one, and none is known ({said})", keep)
        elif asked.ended == "unknown challenge":
            schemes = listed([value.partition(",")[0] for value in response.headers.get_all("WWW-Authenticate")])
            yield Finding(name, "wrong", f"the registrar asks in a way this phone does not know: {schemes or said}",
                          "ask the provider for digest authentication with MD5 or SHA-256")
        elif asked.ended == "refused password":
            yield _wrong_password(name, said, self.identity, self.account.id)
        else:
            yield self._verdict(name, response, said, password_sent=asked.password_sent)

    def _verdict(self, name: str, response: Response, said: str, *, password_sent: bool) -> Finding:
        status = response.status
        keep = f"`offhook password {self.account.id}` keeps another"
        user = self.identity.address.uri.user_decoded
        if status < 300:
            how = "accepted" if password_sent else "not asked for: the registrar takes this user without"
            return Finding(name, "ok", f"{how}; {_bindings(response)}")
        if status in (404, 410, 604):
            return Finding(name, "wrong", f"the registrar does not know the user {user} ({said})", meaning(404)[1])
        if status == 403 and not password_sent:
            return Finding(name, "wrong", f"the registrar forbids it before it asks for a password ({said})",
                           "the account, this address or this kind of phone is blocked, or the domain is wrong")
        if status == 403 and _blames_password(response.reason):
            return _wrong_password(name, said, self.identity, self.account.id)
        if status == 403:
            return Finding(name, "wrong", f"the registrar refuses after it has got the password ({said})",
                           f"most say this to a wrong password, some to a blocked account: {keep}; else ask the provider")
        what, advice = meaning(status)
        return Finding(name, "wrong", f"could not be tried: {said}: {what}", advice.replace("ACCOUNT", self.account.id))


def _wrong_password(name: str, said: str, identity: Identity, account: str) -> Finding:
    text = f"wrong password for {identity.auth_username or identity.address.uri.user_decoded} ({said})"
    return Finding(name, "wrong", text, f"`offhook password {account}` keeps another; if it is right, the provider may want "
                   "another name with it: auth_username")


def _blames_password(reason: str) -> bool:
    return any(word in reason.lower() for word in ("password", "credential", "auth"))


def _bindings(response: Response) -> str:
    try:
        contacts = response.contacts
    except ParseError:
        return "where it is registered cannot be read"
    if not contacts:
        return "no phone is registered with it now"
    return f"registered with it now: {listed([host_port_of(each.uri) for each in contacts])}"


def host_port_of(uri: Uri) -> str:
    """Return a contact as people compare it: host and port."""
    return uri.host if uri.port is None else f"{uri.host}:{uri.port}"
