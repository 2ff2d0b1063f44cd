"""What the SIP endpoint needs to know of an account."""

from __future__ import annotations

from msgspec import structs

from offhook.phone.dialplan import own_uri, proxy_uri
from offhook.phone.outgoing import HIDDEN
from offhook.phone.settings import AccountSettings
from offhook.sip.events import ConnectionTerms, Identity
from offhook.sip.uri import NameAddr, Uri


def identity_of(settings: AccountSettings, user_agent: str, instance: str = "", server: int = 0) -> Identity:
    """Return what the SIP endpoint needs to know of an account, to be used with one of its servers."""
    servers = tuple(proxy_uri(each) if each else None for each in (settings.proxy, *settings.backups))
    return Identity(
        id=settings.id,
        address=NameAddr(own_uri(settings), settings.display_name),
        auth_username=settings.auth_username or settings.username,
        password=settings.password,
        proxy=servers[server],
        transport=settings.transport,
        contact_user=settings.username,
        user_agent=user_agent,
        terms=ConnectionTerms(
            settings.tls_name, settings.tls_ca, settings.tls_certificate, settings.tls_key, settings.tls_verify,
            settings.ws_path,
        ),
        instance=instance if settings.outbound else "",
        keep_alive=float(settings.keep_alive),
        rewrite_contact=settings.rewrite_contact,
        proxies=servers if settings.outbound else (),
    )


def hidden_identity_of(settings: AccountSettings, user_agent: str, server: int = 0) -> Identity:
    """Return the identity for calls that hide who calls: RFC 3323 4.1.1.3's anonymous From, Contact too; same credentials."""
    anonymous = NameAddr(Uri.sip("anonymous", "anonymous.invalid"), "Anonymous")
    shown = identity_of(settings, user_agent, server=server)
    return structs.replace(shown, id=settings.id + HIDDEN, address=anonymous, contact_user="anonymous")
