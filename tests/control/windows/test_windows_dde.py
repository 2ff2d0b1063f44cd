"""The DDE service before a Windows that is a table of names, conversations and pieces of data."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from offhook.control.windows import dde as module
from offhook.control.windows import ffi
from offhook.control.windows.bridge import Busy
from offhook.control.windows.dde import DdeServer
from offhook.control.windows.messages import MAX_PAYLOAD
from offhook.errors import SetupError

CLIENT = 7
"""A conversation."""


class FakeUser32:
    """What DDEML keeps: names by their handles (whatever their letters), data, and the windows of clients."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.data: dict[int, bytes] = {}
        self.partners = {CLIENT: 500}
        self.alive = {500}
        self.hung: set[int] = set()
        self.disconnected: list[int] = []
        self.advised: list[str] = []
        self.ended = 0
        self.serves = 1

    def name(self, text: str) -> int:
        found = next((at for at, each in enumerate(self.names, 1) if each.lower() == text.lower()), 0)
        if not found:
            self.names.append(text)
        return found or len(self.names)

    def put(self, content: bytes) -> int:
        self.data[len(self.data) + 1] = content
        return len(self.data)

    def DdeInitializeW(self, *_: Any) -> int:
        return 0

    def DdeUninitialize(self, *_: Any) -> int:
        self.ended += 1
        return 1

    def DdeCreateStringHandleW(self, _instance: Any, text: str, _page: int) -> int:
        return self.name(text)

    def DdeFreeStringHandle(self, *_: Any) -> int:
        return 1

    def DdeNameService(self, *_: Any) -> int:
        return self.serves

    def DdeQueryStringW(self, _instance: Any, handle: int, buffer: Any, size: int, _page: int) -> int:
        buffer.value = self.names[handle - 1][:size] if handle else ""
        return len(buffer.value)

    def DdeGetData(self, handle: int, buffer: Any, size: int, _offset: int) -> int:
        if buffer is None:
            return len(self.data[handle])
        ctypes.memmove(buffer, self.data[handle][:size], min(size, len(self.data[handle])))
        return size

    def DdeCreateDataHandle(self, _instance: Any, content: bytes, size: int, *_: Any) -> int:
        return self.put(content[:size])

    def DdeQueryConvInfo(self, conversation: int, _id: int, found: Any) -> int:
        found._obj.hwndPartner = self.partners[conversation]
        return 1

    def GetWindowThreadProcessId(self, window: int, _process: Any) -> int:
        return int(window in self.alive)

    def IsHungAppWindow(self, window: int) -> int:
        return int(window in self.hung)

    def DdeDisconnect(self, conversation: int) -> int:
        self.disconnected.append(conversation)
        return 1

    def DdePostAdvise(self, _instance: Any, _topic: Any, item: int) -> int:
        self.advised.append(self.names[item - 1])
        return 1


class FakeDesk:
    """A phone's side that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.news: list[str] = []
        self.busy = False
        self.room = True

    def _note(self, *what: Any) -> None:
        if self.busy:
            raise Busy("the phone does not answer")
        self.asked.append(what)

    def begin(self, conversation: int) -> bool:
        self._note("begin", conversation)
        return self.room

    def end(self, conversation: int) -> None:
        self._note("end", conversation)

    def run(self, conversation: int, payload: bytes, *, shell: bool = False) -> bool:
        self._note("run", conversation, payload, shell)
        return payload.startswith(b"[")

    def poke(self, conversation: int, item: str, payload: bytes) -> bool:
        self._note("poke", conversation, item, payload)
        return item == "Volume"

    def request(self, conversation: int, item: str) -> str | None:
        self._note("request", conversation, item)
        return {"Status": "ACTIVE", "Devices": "a\nü"}.get(item)

    def advise(self, conversation: int, item: str) -> bool:
        self._note("advise", conversation, item)
        return item == "Status"

    def unadvise(self, conversation: int, item: str) -> None:
        self._note("unadvise", conversation, item)

    def due(self, conversation: int, item: str) -> str | None:
        self._note("due", conversation, item)
        return self.news.pop(0) if self.news else None

    def again(self, item: str) -> None:
        self.asked.append(("again", item))


class Service:
    """A registered service, its phone, and its Windows."""

    def __init__(self, windows: FakeUser32) -> None:
        self.windows = windows
        self.desk = FakeDesk()
        self.server = DdeServer(self.desk)
        self.server._register()

    def asks(self, kind: int, *, item: str = "", topic: str = "control", form: int = 0, data: bytes | None = None) -> int:
        """Return the answer to one transaction of the client."""
        handle = 0 if data is None else self.windows.put(data)
        names = [self.windows.name(text) if text else None for text in (topic, item)]
        return self.server._transaction(kind, form, CLIENT, names[0], names[1], handle, 0, 0)

    def text(self, handle: int) -> bytes:
        return self.windows.data[handle]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    windows = FakeUser32()
    monkeypatch.setattr(module, "user32", windows)
    return Service(windows)


def test_a_service_windows_refuses_is_told_and_leaves_nothing(service: Service) -> None:
    service.windows.serves = 0
    with pytest.raises(SetupError, match="MicroSIP"):
        DdeServer(service.desk)._register()
    assert service.windows.ended == 1


@pytest.mark.parametrize(("name", "answer"), [("MicroSIP", 1), ("MICROSIP", 1), ("Excel", 0)])
def test_who_is_asked_for(service: Service, name: str, answer: int) -> None:
    assert service.asks(ffi.XTYP_CONNECT, item=name, topic="whatever") == answer


def test_a_wild_connect_is_offered_both_topics(service: Service) -> None:
    pairs = service.text(service.asks(ffi.XTYP_WILDCONNECT, item="microsip", topic=""))
    assert len(pairs) == 3 * ctypes.sizeof(ffi.HSZPAIR)
    assert pairs.endswith(bytes(ctypes.sizeof(ffi.HSZPAIR))), "an empty pair ends the list"
    assert len(service.text(service.asks(ffi.XTYP_WILDCONNECT, item="", topic="sheet1"))) == 2 * ctypes.sizeof(ffi.HSZPAIR)
    assert service.asks(ffi.XTYP_WILDCONNECT, item="Excel", topic="") == 0


@pytest.mark.parametrize("busy", [True, False])
def test_a_client_nobody_can_take_in_is_let_go(service: Service, busy: bool) -> None:
    service.desk.busy, service.desk.room = busy, False
    assert service.asks(ffi.XTYP_CONNECT_CONFIRM) == 0
    assert service.windows.disconnected == [CLIENT]


def test_execute_knows_the_topic_of_the_shell(service: Service) -> None:
    assert service.asks(ffi.XTYP_EXECUTE, data=b"[Hold]\0") == ffi.DDE_FACK
    assert service.asks(ffi.XTYP_EXECUTE, topic="SYSTEM", data=b"Hold") == ffi.DDE_FNOTPROCESSED
    assert service.desk.asked == [("run", CLIENT, b"[Hold]\0", False), ("run", CLIENT, b"Hold", True)]
    service.desk.busy = True
    assert service.asks(ffi.XTYP_EXECUTE, data=b"[Hold]") == ffi.DDE_FBUSY


def test_what_is_far_too_long_is_cut_and_judged_by_the_phone(service: Service) -> None:
    """So that ReturnMessage tells of this string, and not of the one before."""
    service.asks(ffi.XTYP_EXECUTE, data=b"[" * (2 * MAX_PAYLOAD))
    service.asks(ffi.XTYP_POKE, item="Volume", form=ffi.CF_TEXT, data=b"1" * (2 * MAX_PAYLOAD))
    assert [len(asked[-1 if asked[0] == "poke" else 2]) for asked in service.desk.asked] == [MAX_PAYLOAD] * 2


def test_poke_and_request_take_text_alone(service: Service) -> None:
    assert service.asks(ffi.XTYP_POKE, item="Volume", form=ffi.CF_TEXT, data=b"50") == ffi.DDE_FACK
    assert service.asks(ffi.XTYP_POKE, item="Volume", form=8, data=b"50") == ffi.DDE_FNOTPROCESSED
    assert service.asks(ffi.XTYP_REQUEST, item="Status", form=8) == 0
    assert service.asks(ffi.XTYP_REQUEST, item="Moon", form=ffi.CF_UNICODETEXT) == 0
    status = service.text(service.asks(ffi.XTYP_REQUEST, item="Status", form=ffi.CF_UNICODETEXT))
    assert status.decode("utf-16-le") == "ACTIVE\0"
    devices = service.text(service.asks(ffi.XTYP_REQUEST, item="Devices", form=ffi.CF_UNICODETEXT))
    assert devices.decode("utf-16-le") == "a\r\nü\0"


def test_news_go_to_who_asked_for_them(service: Service) -> None:
    assert service.asks(ffi.XTYP_ADVSTART, item="Status", form=ffi.CF_UNICODETEXT) == 1
    assert service.asks(ffi.XTYP_ADVSTART, item="Status", form=8) == 0
    assert service.asks(ffi.XTYP_ADVSTART, item="Moon", form=ffi.CF_UNICODETEXT) == 0
    service.desk.news = ["HOLD"]
    assert service.text(service.asks(ffi.XTYP_ADVREQ, item="Status", form=ffi.CF_UNICODETEXT)).decode("utf-16-le") == "HOLD\0"
    assert service.asks(ffi.XTYP_ADVREQ, item="Status", form=ffi.CF_UNICODETEXT) == 0
    assert service.asks(ffi.XTYP_ADVSTOP, item="Status") == 0
    assert service.desk.asked[-1] == ("unadvise", CLIENT, "Status")


@pytest.mark.parametrize("what", ["the client hangs", "the phone is busy"])
def test_who_cannot_be_told_now_is_told_later(service: Service, what: str) -> None:
    service.desk.news = ["HOLD"]
    service.windows.hung = {500} if what == "the client hangs" else set()
    service.desk.busy = what == "the phone is busy"
    assert service.asks(ffi.XTYP_ADVREQ, item="Status", form=ffi.CF_UNICODETEXT) == 0
    assert service.desk.asked == [("again", "Status")]
    assert service.desk.news == ["HOLD"], "nothing is lost"


def test_clients_that_died_are_buried_when_there_is_news(service: Service) -> None:
    service.asks(ffi.XTYP_CONNECT_CONFIRM)
    service.server._news = {"Status"}
    service.server._advise()
    assert (service.windows.disconnected, service.windows.advised) == ([], ["Status"])
    service.windows.alive.clear()
    service.server._advise()
    assert service.windows.disconnected == [], "without news nobody is looked for"
    service.server._news = {"Event"}
    service.server._advise()
    assert service.windows.disconnected == [CLIENT]
    assert service.desk.asked[-1] == ("end", CLIENT)


def test_what_goes_wrong_ends_no_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.desk, "request", lambda *_: 1 / 0)
    assert service.asks(ffi.XTYP_REQUEST, item="Status", form=ffi.CF_TEXT) == 0
    assert service.asks(0x9999) == 0
    service.desk.busy = True
    assert service.asks(ffi.XTYP_DISCONNECT) == 0
