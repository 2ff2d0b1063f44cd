"""Which descriptors can be read: epoll itself on Linux, `select` in portions on Windows, `selectors` elsewhere."""

from __future__ import annotations

import select
import selectors
import sys
from typing import Final

PORTION: Final = 500
"""Sockets one `select` of Windows is asked about; Python's holds 512."""

if sys.platform == "linux":

    class Poller:
        """Watches descriptors."""

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def add(self, descriptor: int) -> None:
            """Watch this one."""
            self._epoll.register(descriptor, select.EPOLLIN)

        def remove(self, descriptor: int) -> None:
            """Watch it no longer; before it is closed."""
            self._epoll.unregister(descriptor)

        def ready(self, timeout_s: float) -> list[int]:
            """Wait at most so long and return what can be read."""
            return [descriptor for descriptor, _ in self._epoll.poll(timeout_s)]

        def close(self) -> None:
            """Close the poller, not what it watches."""
            self._epoll.close()

elif sys.platform == "win32":

    class Poller:
        """Watches sockets."""

        def __init__(self) -> None:
            self._sockets: list[int] = []

        def add(self, descriptor: int) -> None:
            """Watch this one."""
            self._sockets.append(descriptor)

        def remove(self, descriptor: int) -> None:
            """Watch it no longer; before it is closed."""
            self._sockets.remove(descriptor)

        def ready(self, timeout_s: float) -> list[int]:
            """Wait at most so long (with many sockets: not at all) and return what can be read."""
            if not self._sockets:
                return []  # which select refuses
            if len(self._sockets) <= PORTION:
                return select.select(self._sockets, (), (), timeout_s)[0]
            found: list[int] = []
            for at in range(0, len(self._sockets), PORTION):
                found += select.select(self._sockets[at : at + PORTION], (), (), 0)[0]
            return found

        def close(self) -> None:
            """Close the poller, not what it watches."""
            self._sockets.clear()

else:

    class Poller:
        """Watches descriptors."""

        def __init__(self) -> None:
            self._selector = selectors.DefaultSelector()

        def add(self, descriptor: int) -> None:
            """Watch this one."""
            self._selector.register(descriptor, selectors.EVENT_READ)

        def remove(self, descriptor: int) -> None:
            """Watch it no longer; before it is closed."""
            self._selector.unregister(descriptor)

        def ready(self, timeout_s: float) -> list[int]:
            """Wait at most so long and return what can be read."""
            return [key.fd for key, _ in self._selector.select(timeout_s)]

        def close(self) -> None:
            """Close the poller, not what it watches."""
            self._selector.close()
