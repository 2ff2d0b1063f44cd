"""The accounts: adding, registering, and what registrars answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import structs

from offhook.errors import CommandError, InvalidArgument, InvalidState, NotFound, ParseError
from offhook.phone.commands import (
    Accepted,
    AddAccount,
    RegisterAccount,
    RemoveAccount,
    SelectAccount,
    UnregisterAccount,
    UpdateAccount,
)
from offhook.phone.desk import Account, Desk
from offhook.phone.dialplan import compile_plan, own_uri, proxy_uri, target_uri
from offhook.phone.events import (
    AccountRegistered,
    AccountRegisterFailed,
    AccountRegistering,
    AccountRemoved,
    AccountUnregistered,
)
from offhook.phone.failover import Failover
from offhook.phone.model import AccountFlow, AccountView
from offhook.phone.offers import check_codecs
from offhook.phone.outgoing import HIDDEN, LOCAL_IDENTITY, Outgoing
from offhook.phone.playing import music_of
from offhook.phone.settings import AccountSettings
from offhook.sip.checking import fits_line
from offhook.sip.events import (
    Identity,
    Register,
    Registered,
    Registering,
    RegistrationEnded,
    RegistrationFailed,
    RegistrationLost,
    RemoveIdentity,
    SetIdentity,
    Unregister,
)
from offhook.sip.uri import NameAddr, Uri

MAX_ACCOUNTS: Final = 1000
"""Accounts of one phone: a fleet of test users, not a registrar."""

MAX_BACKUPS: Final = 7
"""Servers of one account besides the first: more would take longer to go through than anybody waits."""

PART_WITHIN: Final = 3.0
"""Seconds for which a new address waits until the former one is unregistered: a server that is left may be gone itself."""

_PATH = re.compile(r"/[A-Za-z0-9/._~%!$&'()*+,;=:@?-]{0,255}")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_account(settings: AccountSettings) -> None:
    """Refuse an account that could not work, naming the field."""
    if not _ID.fullmatch(settings.id) or settings.id == LOCAL_IDENTITY:
        raise InvalidArgument.field("account/id", "1-64 characters of A-Z a-z 0-9 _ . -, and not 'local'")
    _check_names(settings)
    if not 1 <= settings.expires <= 86400:
        raise InvalidArgument.field("account/expires", "seconds, 1-86400")
    for field, read, hosts in (
        ("domain", _domain_uri, (settings.domain,)), ("proxy", proxy_uri, (settings.proxy,)),
        ("backups", proxy_uri, settings.backups),
    ):  # fmt: skip
        try:
            for host in filter(None, hosts):
                read(host)
        except ParseError as error:
            raise InvalidArgument.field(f"account/{field}", f"not a host name or address: {error.detail}") from None
    if len(settings.backups) > MAX_BACKUPS or not all(settings.backups):
        raise InvalidArgument.field("account/backups", f"at most {MAX_BACKUPS} servers, as sip:backup.example.org")
    if not 0 <= settings.keep_alive <= 3600:
        raise InvalidArgument.field("account/keep_alive", "seconds, 0-3600")
    if not _PATH.fullmatch(settings.ws_path):
        raise InvalidArgument.field("account/ws_path", "a path, as /ws")
    if settings.dial_plan:
        compile_plan(settings.dial_plan)
    check_codecs(settings.codecs, "account/codecs")
    _check_music(settings.hold_music)


def _domain_uri(text: str) -> Uri:
    return Uri.parse(f"sip:{text}")


def _check_music(text: str) -> None:
    try:
        music_of("", text)
    except InvalidArgument as error:
        raise InvalidArgument.field("account/hold_music", error.errors[0].detail) from None


def _check_names(settings: AccountSettings) -> None:
    for field in ("username", "domain"):
        if not getattr(settings, field):
            raise InvalidArgument.field(f"account/{field}", "must not be empty")
    for field in ("username", "auth_username", "display_name"):
        if not fits_line(getattr(settings, field)):
            raise InvalidArgument.field(f"account/{field}", "text without line breaks")


def same_address(one: AccountSettings, other: AccountSettings) -> bool:
    """Say whether both are registered under the same address."""
    return (one.username, one.domain.lower()) == (other.username, other.domain.lower())


def _checked_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as they are to be; raises InvalidArgument naming the first that cannot be."""
    known = {name: kind for name, kind in get_type_hints(AccountSettings).items() if name != "id"}
    if not changes:
        raise InvalidArgument.field("changes", f"name at least one of {', '.join(known)}")
    found = {}
    for name, value in changes.items():
        if name not in known:
            raise InvalidArgument.field(f"changes/{name[:64]}", f"no such setting; there are: {', '.join(known)}")
        try:
            found[name] = msgspec.convert(value, known[name])
        except msgspec.ValidationError as error:
            raise InvalidArgument.field(f"changes/{name}", str(error).replace("`", "")) from None
    return found


class Accounts:
    """Keeps the accounts and their registrations."""

    def __init__(self, desk: Desk, outgoing: Outgoing) -> None:
        self.desk = desk
        self.outgoing = outgoing
        self.failover = Failover(desk, self.view)
        self.on_registered: list[Callable[[Account], None]] = []
        self.on_removed: list[Callable[[str], None]] = []
        self.on_changed: list[Callable[[AccountSettings, AccountSettings], None]] = []
        local = NameAddr(Uri.sip("offhook", "localhost"))
        desk.sip.execute(SetIdentity(Identity(LOCAL_IDENTITY, local, contact_user="offhook", user_agent=desk.user_agent)), 0.0)

    def dialled(self, to: str, named: str = "") -> tuple[str, ...]:
        """Return the numbers that the accounts, or the one named, make of `to` with their prefix and dial plan."""
        found: list[str] = []
        for each in (account.settings for account in self.desk.accounts.values()):
            if named and named not in {each.id, each.label, each.username}:
                continue
            try:
                found.append(target_uri(to, each).user or "")
            except CommandError:  # this account cannot dial it
                continue
        return tuple(found)

    def view(self, account: Account) -> AccountView:
        """Return the account without its secrets."""
        settings = account.settings
        return AccountView(
            id=settings.id,
            label=settings.label,
            uri=str(own_uri(settings)),
            display_name=settings.display_name,
            transport=settings.transport,
            registration=account.state,
            expires=int(account.bound_until - self.desk.now) if account.is_bound(self.desk.now) else account.expires,
            sip_status=account.sip_status,
            reason=account.reason,
            retry_in=self.desk.left(account.retry_at),
            default=account is self.desk.default_account(),
            server=account.servers[account.server],
            flows=tuple(self._flow(account, number) for number in sorted(account.flows)),
        )

    def _flow(self, account: Account, number: int) -> AccountFlow:
        """Return a flow as it is by now."""
        flow, retry_at = account.flows[number], account.flows_retry_at.get(number)
        return flow if retry_at is None else structs.replace(flow, retry_in=self.desk.left(retry_at))

    def views(self) -> tuple[AccountView, ...]:
        """Return all accounts."""
        return tuple(self.view(account) for account in self.desk.accounts.values())

    def find(self, name: str) -> Account:
        """Return the account by id, label or user name; raises NotFound."""
        for account in self.desk.accounts.values():
            if name and name in (account.settings.id, account.settings.label, account.settings.username):
                return account
        raise NotFound(f"there is no account {name!r}")

    def add(self, command: AddAccount) -> Accepted:
        """Add or replace, and register."""
        settings = command.account
        check_account(settings)
        desk = self.desk
        if settings.id not in desk.accounts and len(desk.accounts) >= MAX_ACCOUNTS:
            raise InvalidState(f"{MAX_ACCOUNTS} accounts are the limit")
        account = desk.accounts.setdefault(settings.id, Account(settings))
        before, account.settings, account.server = account.settings, settings, 0
        account.flows.clear()  # their servers may be others now
        for told in self.on_changed:
            told(before, settings)
        if account.parting is None and account.state != "unregistered" and not same_address(before, settings):
            self._part(account)
        elif account.parting is None:
            self._take_up(account)
        return Accepted(value=self.view(account))

    def update(self, command: UpdateAccount) -> Accepted:
        """Change some settings. The id stays: calls and the history know the account by it."""
        before = self.find(command.account).settings
        return self.add(AddAccount(account=replace(before, **_checked_changes(command.changes))))

    def _take_up(self, account: Account) -> None:
        """Go by the settings as they are now, and register if they say so."""
        self.failover.use(account, 0)
        if account.settings.register:
            self._register(account)
            return
        if account.state != "unregistered":
            self.desk.signal(Unregister(account.settings.id))
        self.outgoing.account_registered(account.settings.id)  # what waited for that is placed without it

    def _part(self, account: Account) -> None:
        """Take back what is registered under the former address, and only then register the new one.

        Both may be the same to the registrar, which tells its bindings apart by our contact: the last word would hold.
        """
        account.bound_until = 0.0
        if account.settings.register:
            account.state, account.failed = "registering", False
        account.parting = self.desk.timers.start(self.desk.now + PART_WITHIN, lambda _now: self._parted(account))
        self.desk.signal(Unregister(account.settings.id))

    def _parted(self, account: Account) -> None:
        """Go on under the new address, as far as the account still waits for that."""
        if account.parts() and self.desk.accounts.get(account.settings.id) is account and not self.desk.stopping:
            self._take_up(account)

    def _register(self, account: Account) -> None:
        account.state, account.failed = "registering", False
        self.desk.signal(Register(account.settings.id, account.settings.expires))

    def remove(self, command: RemoveAccount) -> Accepted:
        """Unregister and forget."""
        account = self.find(command.account)
        name = account.settings.id
        if any(call.account == name for call in self.desk.calls.values()):
            raise InvalidState(f"account {name} has calls; end them first")
        view = self.view(account)
        del self.desk.accounts[name]
        for told in self.on_removed:
            told(name)
        if account.settings.hide_caller_id:
            self.desk.attempt(RemoveIdentity(name + HIDDEN))
        if account.state == "unregistered":
            self.desk.signal(RemoveIdentity(name))
        else:
            self.desk.signal(Unregister(name))  # the identity goes when the registrar has answered: see `ended`
        self.desk.emit(AccountRemoved(account=view))
        return Accepted()

    def register(self, command: RegisterAccount) -> Accepted:
        """Register now."""
        account = self.find(command.account)
        self._parted(account)
        self._register(account)
        return Accepted(value=self.view(account))

    def unregister(self, command: UnregisterAccount) -> Accepted:
        """Stop being registered."""
        account = self.find(command.account)
        if account.parts():
            self.failover.use(account, 0)
        self.failover.unregistered(account)
        self.desk.signal(Unregister(account.settings.id))
        self.outgoing.account_left(account.settings.id)
        return Accepted(value=self.view(account))

    def select(self, command: SelectAccount) -> Accepted:
        """Choose the account that dials."""
        account = self.find(command.account)
        self.desk.settings = replace(self.desk.settings, default_account=account.settings.id)
        return Accepted(value=self.view(account))

    # --- what registrars answer

    def registering(self, event: Registering) -> None:
        """A REGISTER has been sent; a refresh of a good registration is not worth an event."""
        account = self.desk.accounts.get(event.identity)
        if account is not None and account.state != "registered":
            account.state = "registering"
            self.desk.emit(AccountRegistering(account=self.view(account)))

    def registered(self, event: Registered) -> None:
        """Accepted."""
        account = self.desk.accounts.get(event.identity)
        if account is None:
            return
        news = account.state != "registered"
        account.state, account.expires = "registered", event.expires
        account.sip_status, account.reason, account.retry_at, account.failed = 200, "", None, False
        account.bound_until = self.desk.now + event.expires
        self.failover.registered(account)
        if event.moved:
            self.outgoing.account_moved(event.identity)
        if news:
            self.desk.emit(AccountRegistered(account=self.view(account)))
            self.outgoing.account_registered(event.identity)
            for told in self.on_registered:
                told(account)

    def lost(self, event: RegistrationLost) -> None:
        """We were registered, and the way there is gone. What is dialled meanwhile waits for the next attempt."""
        account = self.desk.accounts.get(event.identity)
        if account is None:
            return
        account.state, account.expires, account.failed, account.bound_until = "registering", 0, False, 0.0
        account.sip_status, account.reason, account.retry_at = 0, event.reason, self.desk.now + event.retry_in
        self.desk.emit(AccountRegistering(account=self.view(account)))

    def failed(self, event: RegistrationFailed) -> None:
        """Refused, or no answer."""
        account = self.desk.accounts.get(event.identity)
        if account is None:
            return
        account.state, account.expires, account.failed = "failed", 0, True
        account.sip_status, account.reason = event.status, event.reason
        account.retry_at = None if event.retry_in is None else self.desk.now + event.retry_in
        if self.failover.failed(account):
            return
        self.desk.emit(AccountRegisterFailed(account=self.view(account)))
        if account.is_bound(self.desk.now):
            self.outgoing.account_registered(event.identity)
        else:
            self.outgoing.account_failed(event.identity, event.status, event.reason)

    def ended(self, event: RegistrationEnded) -> None:
        """We asked for it."""
        account = self.desk.accounts.get(event.identity)
        if account is None:
            self.desk.attempt(RemoveIdentity(event.identity))
            return
        if account.parting is not None and not self.desk.stopping:
            self._parted(account)
            return
        account.state, account.expires, account.bound_until = "unregistered", 0, 0.0
        account.flows.clear()
        self.desk.emit(AccountUnregistered(account=self.view(account)))
