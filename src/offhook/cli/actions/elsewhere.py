"""Verbs with more behind them than one request; their code is read only when one of them is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]



def open_uri(use: Invocation) -> int:
    """Dial a link that another program hands over, after asking."""
    from offhook.cli.opening import open_link

    return open_link(use)


def desktop(use: Invocation) -> int:
    """Say who opens links, or change it."""
    from offhook.cli.desktop import desktop as act

    return act(use)


def contacts(use: Invocation) -> int:
    """List, search or change the contacts."""
    from offhook.cli.contacts import contacts as act

    return act(use)


def import_(use: Invocation) -> int:
    """Take over what another phone left."""
    from offhook.cli.importing import take_over

    return take_over(use)


def password(use: Invocation) -> int:
    """Keep the password of an account where the configuration finds it."""
    from offhook.cli.keep import keep_password

    return keep_password(use)


def token(use: Invocation) -> int:
    """Make, show or end tokens of the HTTP surface."""
    from offhook.cli.tokens import run

    return run(use)


def doctor(use: Invocation) -> int:
    """Say what is not in order and what to do."""
    from offhook.cli.doctor import examine

    return examine(use)


def run(use: Invocation) -> int:
    """Be the phone until it is told to quit."""
    from offhook.cli.serve import run_phone

    return run_phone(use)


def mcp(use: Invocation) -> int:
    """Be tools for a language model until stdin ends."""
    from offhook.cli.serve import run_mcp

    return run_mcp(use)


def exchange(use: Invocation) -> int:
    """Be the practice exchange until interrupted."""
    from offhook.cli.serve import run_exchange

    return run_exchange(use)


def completion(use: Invocation) -> int:
    """Print what completes the command line in a shell."""
    from offhook.cli.completion import show_completion

    return show_completion(use)
