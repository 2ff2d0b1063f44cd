"""One account from end to end: what the phone says, the name, the way, address translation, codecs, the password."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

from offhook.cli.doctor import codecs, nat
from offhook.cli.doctor.asking import Asked, ask_bindings, options_request
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed, milliseconds
from offhook.cli.doctor.meaning import meaning, quoted
from offhook.cli.doctor.names import look_up, name_finding, of_family
from offhook.cli.doctor.ports import bind_trouble
from offhook.errors import CommandError, ParseError
from offhook.io.probe import Probe, Reply
from offhook.io.resolver import DEFAULT_PORT
from offhook.phone.lines import check_account, identity_of
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Address, Identity, TransportName
from offhook.sip.message import Response
from offhook.sip.stack import Hop, hop_to, host_port
from offhook.sip.uri import Uri

MOST_ADDRESSES = 3
"""Addresses of one name that are tried: each that is silent takes the whole patience."""

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
    text = f"registration failed: {quoted(status, view.get('reason') or '')}: {what}{again}"
    return Finding(name, "wrong", text, advice.replace("ACCOUNT", account.id))


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
        found = look_up(self.hop.host)
        yield name_finding(f"{self.name}, name", found)
        addresses = of_family(found, ipv6=self.case.speaks_ipv6)
        if found.addresses and not addresses:
            yield self._other_family(listed(found.addresses))
        if addresses and (finding := self._bound_wrongly(addresses[0])):
            yield finding
        elif addresses:
            yield from self._way([(each, self.hop.port or DEFAULT_PORT) for each in addresses[:MOST_ADDRESSES]])

    def _other_family(self, addresses: str) -> Finding:
        spoken, other = ("IPv6", "IPv4") if self.case.speaks_ipv6 else ("IPv4", "IPv6")
        ours = f"the phone's SIP socket at {self.case.sip_host} is {spoken}"
        text = f"{self.hop.host} has only {other} addresses ({addresses}), but {ours}"
        return Finding(f"{self.name}, address", "wrong", text,
                       f"set sip.host to an {other} address of this machine, or ask for an {spoken} server")

    def _bound_wrongly(self, address: str) -> Finding | None:
        """Return the finding that from where the phone is bound nothing can get there."""
        host = self.case.sip_host
        if bind_trouble(host, 0, socket.SOCK_DGRAM) is not None:
            text = f"the phone is to speak from {host}, which is no address of this machine"
        elif ip_address(host).is_loopback and not ip_address(address).is_loopback:
            text = f"the phone is bound to {host}, so it reaches nothing but this machine, and {address} is another"
        else:
            return None
        return Finding(f"{self.name}, way", "wrong", text, 'set sip.host = "0.0.0.0", or leave it out')

    # --- the way there

    def _way(self, remotes: list[Address]) -> Iterator[Finding]:
        used: TransportName = self.hop.transport
        other: TransportName = "tcp" if used == "udp" else "udp"
        with ThreadPoolExecutor(2) as pool:
            beside = pool.submit(self._options, other, remotes)
            remote, reply = self._options(used, remotes)
            asked = self._ask_bindings(remote) if self.may_register and reply.how in ("answered", "silent", "closed") else None
            other_remote, other_reply = beside.result()
        yield self._used_transport(used, remote, reply, asked, other_works=other_reply.how == "answered")
        yield self._other_transport(other, other_remote, other_reply, used)
        if reply.response is not None:
            yield from self._from_answer(used, remote, reply)
        elif other_reply.response is not None:
            yield from self._from_answer(other, other_remote, other_reply)
        if asked is not None:
            yield from self._password(asked)

    def _options(self, transport: TransportName, remotes: list[Address]) -> tuple[Address, Reply]:
        """Ask one address after the other until one answers; return the last one asked."""
        target = Uri("sip", None, self.identity.address.uri.host, self.identity.address.uri.port)
        for remote in remotes:
            with self._probe(transport, remote) as probe:
                reply = probe.ask(lambda local: options_request(target, local, transport, sender=self.identity.address,
                                                                route=self.identity.proxy))
            if reply.how == "answered":
                break
        return remote, reply

    def _probe(self, transport: TransportName, remote: Address) -> Probe:
        return Probe(transport, remote, host=self.case.bind_host, patience=self.case.patience)

    def _used_transport(self, used: TransportName, remote: Address, reply: Reply, asked: Asked | None, *,
                        other_works: bool) -> Finding:
        name = f"{self.name}, {used.upper()}"
        if reply.response is not None:
            return Finding(name, "ok", _answer_text(remote, reply, reply.response))
        text, advice = _NO_ANSWER[reply.how]
        text = text.format(where=host_port(remote), how=used.upper(), patience=f"{self.case.patience:g}", detail=reply.detail)
        if asked is not None and asked.reply.how == "answered":
            return Finding(name, "ok", f"{host_port(remote)} does not answer OPTIONS, but it answers REGISTER")
        if self.registered:
            return Finding(name, "warning", f"{text}; yet the phone is registered there",
                           "it may ignore questions of strangers, or has just gone away: the next refresh will tell")
        if other_works:
            other = "tcp" if used == "udp" else "udp"
            advice = f'it answers over {other.upper()}: set transport = "{other}" in [account.{self.account.id}]'
        return Finding(name, "wrong", text, advice)

    def _other_transport(self, other: TransportName, remote: Address, reply: Reply, used: TransportName) -> Finding:
        name = f"{self.name}, {other.upper()}"
        if reply.response is not None:
            return Finding(name, "ok", _answer_text(remote, reply, reply.response))
        text = _NO_ANSWER[reply.how][0].format(where=host_port(remote), how=other.upper(), patience=f"{self.case.patience:g}",
                                               detail=reply.detail)
        return Finding(name, "ok", f"{text}; the account uses {used.upper()}")

    def _from_answer(self, transport: TransportName, remote: Address, reply: Reply) -> Iterator[Finding]:
        if reply.source != remote:
            text = f"what was asked at {host_port(remote)} is answered from {host_port(reply.source)}"
            yield Finding(f"{self.name}, source", "warning", text, "routers and firewalls drop such answers: have the server "
                          "answer from where it is asked, or ask it there: proxy")
        yield nat.judge(f"{self.name}, NAT", transport, reply, remote)
        if reply.response is not None:
            finding = codecs.judge(f"{self.name}, codecs", reply.response, codecs.ours(self.case))
            if finding is not None:
                yield finding

    # --- the password

    def _ask_bindings(self, remote: Address) -> Asked:
        with self._probe(self.hop.transport, remote) as probe:
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


def _answer_text(remote: Address, reply: Reply, response: Response) -> str:
    server = response.headers.get("Server") or response.headers.get("User-Agent") or ""
    what = "" if response.status < 300 else ", which shows that the way is open"
    who = f" ({server[:60]})" if server else ""
    answer = quoted(response.status, response.reason)
    return f"{host_port(remote)}{who} answers {answer} after {milliseconds(reply.after)}{what}"


_NO_ANSWER: dict[str, tuple[str, str]] = {
    "refused": ("nobody listens at {where} for {how}: the machine is there and refuses",
                "is the port in domain or proxy right, and does the registrar run?"),
    "silent": ("no answer from {where} over {how} within {patience} s",
               "a firewall on the way, a wrong address, or the registrar is down: try from another network, ask the provider"),
    "unreachable": ("there is no way to {where}: {detail}", "is this machine online? a firewall on it may forbid it as well"),
    "closed": ("{where} closes the connection without an answer", "it takes no SIP over {how} from here: ask the provider"),
    "garbled": ("something answers at {where}, but not with SIP: {detail}", "another service has this port: check the account"),
}
"""By what became of a question: what is, and what to do."""
