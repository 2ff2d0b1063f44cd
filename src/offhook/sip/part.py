"""What belongs to one session, and ends with it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offhook.sip.session import Session


class Part:
    """A part of a session. It does not keep the session alive: a cycle would stay in memory long after the call.

    Whatever may call the part keeps the session itself: its dialogs, and its requests until they are answered.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)

    @property
    def session(self) -> Session:
        """The session this is a part of."""
        session = self._session()
        assert session is not None, "a part is not used after its session"
        return session
