r"""Who may use an object of Windows: our user's SID, owner-only descriptors for pipes and files, and who else may read a file.

Descriptors are written in SDDL, Windows' own text form of them ("O:owner D:list"; an entry is "(A;flags;rights;;;who)").
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
from ctypes import wintypes
from typing import Final

_TOKEN_QUERY: Final = 0x0008
_TOKEN_USER: Final = 1
_SE_FILE_OBJECT: Final = 1
_SE_KERNEL_OBJECT: Final = 6
_OWNER: Final = 0x1
_DACL: Final = 0x4
_PROTECTED: Final = 0x80000000
_REVISION: Final = 1
_ACCESS_DENIED: Final = 5
_ALREADY_EXISTS: Final = 183

_TRUSTED: Final = frozenset({"SY", "S-1-5-18", "BA", "S-1-5-32-544", "CO", "S-1-3-0", "OW", "S-1-3-4", "LA"})
"""Who may read everything anyway (the system, administrators), and words for the owner."""

WRITE: Final = 0x5000_0000 | 0x000C_0000 | 0x0000_0046
"""To change a file, or what is in a folder: generic write and all, write DAC and owner, write, append, delete a child."""

_RIGHTS: Final = {
    "GA": 0x1000_0000, "GR": 0x8000_0000, "GW": 0x4000_0000, "GX": 0x2000_0000,
    "FA": 0x1F_01FF, "FR": 0x12_0089, "FW": 0x12_0116, "FX": 0x12_00A0,
    "RC": 0x2_0000, "SD": 0x1_0000, "WD": 0x4_0000, "WO": 0x8_0000,
    "CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10, "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100,
}  # fmt: skip
_UNKNOWN: Final = 0xFFFF_FFFF  # a right we do not know is all of them

_ENTRY: Final = r"\(A;([A-Z]*);([^;]*);[^;]*;[^;]*;([^;)]+)[^)]*\)"
"""An entry that allows something: its flags, the rights, who."""

_known: dict[str, str] = {}

_advapi: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)

_pointer: Final = ctypes.POINTER(ctypes.c_void_p)
_text: Final = ctypes.POINTER(wintypes.LPWSTR)
_kernel.GetCurrentProcess.restype = wintypes.HANDLE
_kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel.LocalFree.argtypes = (ctypes.c_void_p,)
_kernel.LocalFree.restype = ctypes.c_void_p
_kernel.CreateMutexW.argtypes = (ctypes.c_void_p, wintypes.BOOL, wintypes.LPCWSTR)
_kernel.CreateMutexW.restype = wintypes.HANDLE
_advapi.OpenProcessToken.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE))
_advapi.GetTokenInformation.argtypes = (
    wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD, ctypes.POINTER(wintypes.DWORD)
)  # fmt: skip
_advapi.ConvertSidToStringSidW.argtypes = (ctypes.c_void_p, _text)
_advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = (
    wintypes.LPCWSTR, wintypes.DWORD, _pointer, ctypes.c_void_p
)  # fmt: skip
_advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW.argtypes = (
    ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD, _text, ctypes.c_void_p
)  # fmt: skip
_advapi.GetSecurityInfo.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.DWORD, *[ctypes.c_void_p] * 4, _pointer)
_advapi.GetNamedSecurityInfoW.argtypes = (wintypes.LPCWSTR, ctypes.c_int, wintypes.DWORD, *[ctypes.c_void_p] * 4, _pointer)
_advapi.SetFileSecurityW.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p)


def user_sid() -> str:
    """Return the SID of the user this process runs as, "S-1-5-21-…". Raises OSError."""
    if "user" not in _known:
        _known["user"] = _ask_user_sid()
    return _known["user"]


def _ask_user_sid() -> str:
    token = wintypes.HANDLE()
    _check(_advapi.OpenProcessToken(_kernel.GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)))
    try:
        size = wintypes.DWORD()
        _advapi.GetTokenInformation(token, _TOKEN_USER, None, 0, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        _check(_advapi.GetTokenInformation(token, _TOKEN_USER, found, size, ctypes.byref(size)))
        text = wintypes.LPWSTR()
        # TOKEN_USER begins with a pointer to the SID.
        _check(_advapi.ConvertSidToStringSidW(ctypes.cast(found, _pointer)[0], ctypes.byref(text)))
        return _taken(text)
    finally:
        _kernel.CloseHandle(token)


class OwnerOnly(ctypes.Structure):
    """SECURITY_ATTRIBUTES for an object that this user alone may use. Keep it while in use."""

    _fields_ = (("size", wintypes.DWORD), ("descriptor", ctypes.c_void_p), ("inherit", wintypes.BOOL))

    def __init__(self) -> None:
        # Named as the owner, as an administrator's objects otherwise belong to the whole group of administrators.
        self._kept = _Descriptor(f"O:{user_sid()}D:P(A;;GA;;;{user_sid()})")
        super().__init__(ctypes.sizeof(OwnerOnly), self._kept.address, False)

    @property
    def address(self) -> int:
        """Where it is, for functions that want a pointer."""
        return ctypes.addressof(self)


def claim(name: str) -> int | None:
    """Return a handle that stands for having this name alone on the machine, None if somebody has it. It goes with us.

    Raises OSError if the system refuses for another reason.
    """
    mine = OwnerOnly()
    ctypes.set_last_error(0)
    handle: int | None = _kernel.CreateMutexW(mine.address, False, "Global\\" + name.replace("\\", "-"))
    error = ctypes.get_last_error()
    if handle is None and error != _ACCESS_DENIED:  # denied: it is another user's
        raise ctypes.WinError(error)
    if handle is not None and error == _ALREADY_EXISTS:
        _kernel.CloseHandle(handle)
        return None
    return handle


def is_ours(handle: int) -> bool:
    """Say whether the object behind a handle, for instance a pipe, belongs to this user. Raises OSError."""
    descriptor = ctypes.c_void_p()
    _error(_advapi.GetSecurityInfo(handle, _SE_KERNEL_OBJECT, _OWNER, None, None, None, None, ctypes.byref(descriptor)))
    return _written(descriptor, _OWNER) == f"O:{user_sid()}"


def keep_private(path: str) -> None:
    """Let only us, the system and administrators use a file, or a folder with what will be made in it. Raises OSError."""
    everything = [f"FA;;;{who}" for who in (user_sid(), "SY", "BA")]
    describe(path, "D:P" + "".join(f"(A;OICI;{each})" for each in everything))


def describe(path: str, entries: str) -> None:
    """Give a file or folder this access list, in SDDL, in place of the one it has or has inherited. Raises OSError."""
    made = _Descriptor(entries)
    _check(_advapi.SetFileSecurityW(path, _DACL | _PROTECTED, made.address))


def strangers(place: str | int, rights: int = -1) -> list[str]:
    """Return who else has some of these rights (by default: any) to a file or folder, given by its path or an open handle.

    They are SIDs, or SDDL's short names ("WD" is everyone). Raises OSError.
    """
    import re  # not above: a client of the phone, which has to be quick, never comes here

    descriptor = ctypes.c_void_p()
    ask = _advapi.GetNamedSecurityInfoW if isinstance(place, str) else _advapi.GetSecurityInfo
    _error(ask(place, _SE_FILE_OBJECT, _DACL, None, None, None, None, ctypes.byref(descriptor)))
    text = _written(descriptor, _DACL)
    if "NO_ACCESS_CONTROL" in text or not text:
        return ["WD"]  # no list at all: everybody may do everything
    # IO: for what is made within, and not for this itself.
    allowed = {who for flags, right, who in re.findall(_ENTRY, text) if "IO" not in flags and _mask(right) & rights}
    return sorted(allowed - _TRUSTED - {user_sid()})


def _mask(rights: str) -> int:
    """Return SDDL's rights as a number: "FA", "FRFX", "0x1200a9"."""
    if rights.startswith("0x"):
        return int(rights, 16)
    mask = 0
    for at in range(0, len(rights), 2):
        mask |= _RIGHTS.get(rights[at : at + 2], _UNKNOWN)
    return mask


class _Descriptor:
    """A security descriptor made of its text. `address` is where it is while this lives."""

    def __init__(self, text: str) -> None:
        made = ctypes.c_void_p()
        self.address = 0
        _check(_advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW(text, _REVISION, ctypes.byref(made), None))
        self.address = made.value or 0

    def __del__(self) -> None:
        _kernel.LocalFree(self.address)


def _written(descriptor: ctypes.c_void_p, parts: int) -> str:
    """Return a descriptor's text, and give back its memory."""
    text = wintypes.LPWSTR()
    convert = _advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW
    try:
        _check(convert(descriptor, _REVISION, parts, ctypes.byref(text), None))
    finally:
        _kernel.LocalFree(descriptor)
    return _taken(text)


def _taken(text: wintypes.LPWSTR) -> str:
    found = text.value or ""
    _kernel.LocalFree(ctypes.cast(text, ctypes.c_void_p))
    return found


def _check(done: int) -> None:
    if not done:
        raise ctypes.WinError(ctypes.get_last_error())


def _error(code: int) -> None:
    if code:
        raise ctypes.WinError(code)
