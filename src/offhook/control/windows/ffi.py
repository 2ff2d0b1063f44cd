"""What this package calls of Windows, declared for ctypes and nothing more. Importable everywhere, callable on Windows."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import c_int, c_size_t, c_ssize_t, c_void_p
from ctypes.wintypes import ATOM, BOOL, BYTE, DWORD, HANDLE, HWND, LPARAM, LPCWSTR, MSG, UINT, WPARAM
from typing import Any, Final

LRESULT: Final = c_ssize_t
ULONG_PTR: Final = c_size_t

# Window messages (winuser.h)
WM_CLOSE: Final = 0x0010
WM_ENDSESSION: Final = 0x0016
WM_COPYDATA: Final = 0x004A
WM_APP: Final = 0x8000
SMTO_ABORTIFHUNG: Final = 0x0002
MSGFLT_DISALLOW: Final = 2
HWND_MESSAGE: Final = -3

# DDE (ddeml.h)
CP_WINUNICODE: Final = 1200
CF_TEXT: Final = 1
CF_UNICODETEXT: Final = 13
APPCLASS_STANDARD: Final = 0x0000
CBF_FAIL_SELFCONNECTIONS: Final = 0x1000
CBF_SKIP_REGISTRATIONS: Final = 0x80000
CBF_SKIP_UNREGISTRATIONS: Final = 0x100000
DNS_REGISTER: Final = 1
DNS_UNREGISTER: Final = 2
QID_SYNC: Final = 0xFFFFFFFF
DDE_FACK: Final = 0x8000
DDE_FBUSY: Final = 0x4000
DDE_FNOTPROCESSED: Final = 0x0000
XTYP_CONNECT: Final = 0x1062
XTYP_CONNECT_CONFIRM: Final = 0x8072
XTYP_WILDCONNECT: Final = 0x20E2
XTYP_DISCONNECT: Final = 0x80C2
XTYP_ADVSTART: Final = 0x1030
XTYP_ADVREQ: Final = 0x2022
XTYP_ADVSTOP: Final = 0x8040
XTYP_EXECUTE: Final = 0x4050
XTYP_POKE: Final = 0x4090
XTYP_REQUEST: Final = 0x20B0

ERROR_ACCESS_DENIED: Final = 5
ERROR_ALREADY_EXISTS: Final = 183
ERROR_INVALID_WINDOW_HANDLE: Final = 1400


class COPYDATASTRUCT(ctypes.Structure):
    """What WM_COPYDATA's lParam points at."""

    _fields_ = (("dwData", ULONG_PTR), ("cbData", DWORD), ("lpData", c_void_p))


class HSZPAIR(ctypes.Structure):
    """A service and a topic, for wild connects."""

    _fields_ = (("hszSvc", c_void_p), ("hszTopic", c_void_p))


class SECURITY_QUALITY_OF_SERVICE(ctypes.Structure):  # noqa: N801 - its name in Windows
    """Part of CONVCONTEXT."""

    _fields_ = (("Length", DWORD), ("ImpersonationLevel", c_int), ("ContextTrackingMode", BYTE), ("EffectiveOnly", BYTE))


class CONVCONTEXT(ctypes.Structure):
    """Part of CONVINFO."""

    _fields_ = (
        ("cb", UINT), ("wFlags", UINT), ("wCountryID", UINT), ("iCodePage", c_int), ("dwLangID", DWORD), ("dwSecurity", DWORD),
        ("qos", SECURITY_QUALITY_OF_SERVICE),
    )  # fmt: skip


class CONVINFO(ctypes.Structure):
    """What DdeQueryConvInfo tells of a conversation."""

    _fields_ = (
        ("cb", DWORD), ("hUser", ULONG_PTR), ("hConvPartner", c_void_p), ("hszSvcPartner", c_void_p),
        ("hszServiceReq", c_void_p), ("hszTopic", c_void_p), ("hszItem", c_void_p), ("wFmt", UINT), ("wType", UINT),
        ("wStatus", UINT), ("wConvst", UINT), ("wLastError", UINT), ("hConvList", c_void_p), ("ConvCtxt", CONVCONTEXT),
        ("hwnd", HWND), ("hwndPartner", HWND),
    )  # fmt: skip


# Windows calls back by its own convention (stdcall), which other systems' ctypes does not know.
_callback: Any = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
_library: Any = getattr(ctypes, "WinDLL", ctypes.CDLL)

WNDPROC: Any = _callback(LRESULT, HWND, UINT, WPARAM, LPARAM)
DDECALLBACK: Any = _callback(c_void_p, UINT, UINT, c_void_p, c_void_p, c_void_p, c_void_p, ULONG_PTR, ULONG_PTR)


class WNDCLASSW(ctypes.Structure):
    """A window class."""

    _fields_ = (
        ("style", UINT), ("lpfnWndProc", WNDPROC), ("cbClsExtra", c_int), ("cbWndExtra", c_int), ("hInstance", HANDLE),
        ("hIcon", HANDLE), ("hCursor", HANDLE), ("hbrBackground", HANDLE), ("lpszMenuName", LPCWSTR),
        ("lpszClassName", LPCWSTR),
    )  # fmt: skip


class Library:
    """A system library. Each function is `name: (result, *arguments)`, and looked up when it is first used."""

    def __init__(self, name: str, functions: Mapping[str, tuple[Any, ...]]) -> None:
        self._name = name
        self._functions = functions
        self._loaded: Any = None

    def __getattr__(self, name: str) -> Any:
        result, *arguments = self._functions[name]
        if self._loaded is None:
            self._loaded = _library(self._name, use_last_error=True)
        function = getattr(self._loaded, name)
        function.restype, function.argtypes = result, arguments
        setattr(self, name, function)
        return function


user32: Final = Library("user32", {
    "ChangeWindowMessageFilterEx": (BOOL, HWND, UINT, DWORD, c_void_p),
    "CreateWindowExW": (HWND, DWORD, LPCWSTR, LPCWSTR, DWORD, c_int, c_int, c_int, c_int, HWND, HANDLE, HANDLE, c_void_p),
    "DefWindowProcW": (LRESULT, HWND, UINT, WPARAM, LPARAM),
    "DestroyWindow": (BOOL, HWND),
    "DispatchMessageW": (LRESULT, ctypes.POINTER(MSG)),
    "FindWindowExW": (HWND, HWND, HWND, LPCWSTR, LPCWSTR),
    "GetMessageW": (c_int, ctypes.POINTER(MSG), HWND, UINT, UINT),
    "GetPropW": (HANDLE, HWND, LPCWSTR),
    "GetWindowThreadProcessId": (DWORD, HWND, ctypes.POINTER(DWORD)),
    "IsHungAppWindow": (BOOL, HWND),
    "PeekMessageW": (BOOL, ctypes.POINTER(MSG), HWND, UINT, UINT, UINT),
    "PostThreadMessageW": (BOOL, DWORD, UINT, WPARAM, LPARAM),
    "RegisterClassW": (ATOM, ctypes.POINTER(WNDCLASSW)),
    "RemovePropW": (HANDLE, HWND, LPCWSTR),
    "SendMessageTimeoutW": (LRESULT, HWND, UINT, WPARAM, LPARAM, UINT, UINT, ctypes.POINTER(ULONG_PTR)),
    "SetPropW": (BOOL, HWND, LPCWSTR, HANDLE),
    "UnregisterClassW": (BOOL, LPCWSTR, HANDLE),
    # DDEML lives in user32 as well.
    "DdeClientTransaction": (c_void_p, c_void_p, DWORD, c_void_p, c_void_p, UINT, UINT, DWORD, ctypes.POINTER(DWORD)),
    "DdeCreateDataHandle": (c_void_p, DWORD, c_void_p, DWORD, DWORD, c_void_p, UINT, UINT),
    "DdeCreateStringHandleW": (c_void_p, DWORD, LPCWSTR, c_int),
    "DdeDisconnect": (BOOL, c_void_p),
    "DdeFreeStringHandle": (BOOL, DWORD, c_void_p),
    "DdeGetData": (DWORD, c_void_p, c_void_p, DWORD, DWORD),
    "DdeInitializeW": (UINT, ctypes.POINTER(DWORD), DDECALLBACK, DWORD, DWORD),
    "DdeNameService": (c_void_p, DWORD, c_void_p, c_void_p, UINT),
    "DdePostAdvise": (BOOL, DWORD, c_void_p, c_void_p),
    "DdeQueryConvInfo": (UINT, c_void_p, DWORD, ctypes.POINTER(CONVINFO)),
    "DdeQueryStringW": (DWORD, DWORD, c_void_p, c_void_p, DWORD, c_int),
    "DdeUninitialize": (BOOL, DWORD),
})

kernel32: Final = Library("kernel32", {
    "CloseHandle": (BOOL, HANDLE),
    "CreateMutexW": (HANDLE, c_void_p, BOOL, LPCWSTR),
    "GetCurrentProcessId": (DWORD,),
    "GetCurrentThreadId": (DWORD,),
    "GetModuleHandleW": (HANDLE, LPCWSTR),
    "GlobalAddAtomW": (ATOM, LPCWSTR),
    "GlobalDeleteAtom": (ATOM, ATOM),
    "ProcessIdToSessionId": (BOOL, DWORD, ctypes.POINTER(DWORD)),
})

_last_error: Any = getattr(ctypes, "get_last_error", lambda: 0)


def last_error() -> int:
    """Return the error number the latest call of this thread left behind."""
    return int(_last_error())
