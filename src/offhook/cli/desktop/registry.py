"""The user's part of the Windows registry, as few words as it takes; nothing of the machine's is touched."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Registry(Protocol):
        """Values below HKEY_CURRENT_USER; `name` "" is a key's own."""

        def get(self, path: str, name: str) -> str | None:
            """Return a text, None if there is none."""
            ...

        def set(self, path: str, name: str, value: str) -> None:
            """Write a text, and make its key."""
            ...

        def delete(self, path: str, name: str) -> None:
            """Take a value away; one that is not there is no error."""
            ...

        def delete_key(self, path: str) -> None:
            """Take a key away, with all below it; one that is not there is no error."""
            ...


if sys.platform == "win32":  # nowhere else is there a winreg; a test runs this under Wine
    import contextlib
    import winreg

    class WindowsRegistry:
        """The real one."""

        def get(self, path: str, name: str) -> str | None:
            """Return a text."""
            with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
                value, kind = winreg.QueryValueEx(key, name)
                return value if kind in (winreg.REG_SZ, winreg.REG_EXPAND_SZ) and isinstance(value, str) else None
            return None

        def set(self, path: str, name: str, value: str) -> None:
            """Write a text."""
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, path) as key:
                winreg.SetValueEx(key, name, 0, winreg.REG_SZ, value)

        def delete(self, path: str, name: str) -> None:
            """Take a value away."""
            with (
                contextlib.suppress(OSError),
                winreg.OpenKey(winreg.HKEY_CURRENT_USER, path, 0, winreg.KEY_SET_VALUE) as key,
            ):
                winreg.DeleteValue(key, name)

        def delete_key(self, path: str) -> None:
            """Take a key and all below it away."""
            with contextlib.suppress(OSError):
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
                    below = [winreg.EnumKey(key, number) for number in range(winreg.QueryInfoKey(key)[0])]
                for name in below:
                    self.delete_key(f"{path}\\{name}")
                winreg.DeleteKey(winreg.HKEY_CURRENT_USER, path)
