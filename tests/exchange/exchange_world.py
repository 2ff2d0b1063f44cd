"""A virtual network for exchange tests: one Switch, any number of SIP endpoints, a clock that jumps, and loss."""

from __future__ import annotations

import heapq
import random
from collections import deque
from itertools import count

from offhook.exchange.authority import ALGORITHMS, practice_accounts
from offhook.exchange.proxy import Note
from offhook.exchange.switch import Switch, SwitchOutput
from offhook.media.candidates import LocalIce
from offhook.media.messages import Candidate, MediaCommand, MediaReport, OpenStream, PortsReady
from offhook.media.negotiate import LocalMedia
from offhook.media.security import Security, for_page
from offhook.sip import events as sip
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Address, Body, Datagram, Flow, Identity, Resolve, Resolved, Transmit
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message
from offhook.sip.uri import NameAddr, Uri

PRINT = "sha-256 " + ":".join(["AB"] * 32)
EXCHANGE: Address = ("10.0.0.1", 5070)
LATENCY = 0.01
OFFER = b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n" \
        b"a=rtpmap:101 telephone-event/8000\r\n"
SDP = Body("application/sdp", OFFER)


class SeededIds:
    """Repeatable identifiers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token(self, length: int) -> str:
        return "".join(self._random.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=length))

    def integer(self, bits: int) -> int:
        return self._random.getrandbits(bits)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class OneCertificate:
    """Counts how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def fingerprint(self) -> str:
        self.asked += 1
        return PRINT

    def pem(self) -> bytes:
        return b"pem"


def page(name: str = "abcd") -> LocalMedia:
    """Return what a phone in a web page brings."""
    ice = LocalIce(name, "e" * 22, (Candidate("1", 1, 9, "10.0.0.9", 4000, "host"),), controlling=True)
    security = for_page(Security("required", fingerprint=PRINT))
    return LocalMedia("10.0.0.9", 4000, security=security, ice=ice, rtcp_mux=True)


class Phone:
    """An endpoint with one account, at its own address. `events` collects what it reports."""

    def __init__(self, world: World, address: Address, user: str, password: str) -> None:
        self.world = world
        self.address = address
        self.user = user
        self.endpoint = Endpoint(SeededIds(hash(address) & 0xFFFF))
        self.events: list[sip.SipEvent] = []
        self.auto: str = ""
        self.execute(sip.SetIdentity(Identity(user, NameAddr(Uri.sip(user, *EXCHANGE)), password=password, contact_user=user)))

    def execute(self, command: sip.SipCommand) -> None:
        self.endpoint.execute(command, self.world.now)
        self.world.settle()

    def register(self, expires: int = 300) -> None:
        self.execute(sip.Register(self.user, expires))

    def call(self, target: str, session: str = "c1", offer: Body = SDP) -> None:
        self.execute(sip.Invite(session, self.user, Uri.sip(target, *EXCHANGE), offer))

    def drain(self) -> None:
        while (output := self.endpoint.poll()) is not None:
            if isinstance(output, Transmit):
                self.world.send(self.address, output.flow.remote, output.data)
            elif isinstance(output, Resolve):
                flow = Flow("udp", self.address, (output.host, output.port or 5060))
                self.endpoint.receive(Resolved(output.query, (flow,)), self.world.now)
            elif not isinstance(output, sip.CloseFlow):
                self.events.append(output)
                self._react(output)

    def _react(self, event: sip.SipEvent) -> None:
        if isinstance(event, sip.SessionIncoming) and self.auto == "answer":
            self.endpoint.execute(sip.Accept(event.session, SDP), self.world.now)
        elif isinstance(event, sip.SessionIncoming) and self.auto == "ring":
            self.endpoint.execute(sip.Progress(event.session), self.world.now)
        elif isinstance(event, sip.SessionIncoming) and self.auto.isdigit():
            self.endpoint.execute(sip.Refuse(event.session, int(self.auto)), self.world.now)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def ended(self) -> sip.SessionEnded:
        (found,) = [event for event in self.events if isinstance(event, sip.SessionEnded)]
        return found


class World:
    """The network. `media` collects what the lines ask of the media engine, `notes` what the exchange says."""

    def __init__(self, loss: float = 0.0, seed: int = 1, algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        self.now = 100.0
        self.switch = Switch(EXCHANGE, practice_accounts(), SeededIds(seed), music="/melody.wav",
                             recording=lambda name: f"/{name}.wav", algorithms=algorithms, certificate=OneCertificate())
        self.phones: dict[Address, Phone] = {}
        self.raw: dict[Address, list[bytes]] = {}
        self.media: list[MediaCommand] = []
        self.notes: list[str] = []
        self.outputs: deque[SwitchOutput] = deque()
        self._loss = loss
        self._random = random.Random(seed)
        self._wire: list[tuple[float, int, Address, Address, bytes]] = []
        self._order = count()
        self._port = 20000
        self.report(PortsReady((10000, 10002, 10004, 10006)))

    def phone(self, user: str, host: str = "", password: str = "") -> Phone:
        address = (host or f"10.0.1.{len(self.phones) + 1}", 5060)
        phone = Phone(self, address, user, password or f"practice-{user}")
        self.phones[address] = phone
        return phone

    def report(self, report: MediaReport) -> None:
        self.switch.receive(report, self.now)
        self.settle()

    def send(self, source: Address, target: Address, data: bytes) -> None:
        if self._random.random() >= self._loss:
            heapq.heappush(self._wire, (self.now + LATENCY, next(self._order), source, target, data))

    def settle(self) -> None:
        while (output := self.switch.poll()) is not None:
            if isinstance(output, Transmit):
                self.send(EXCHANGE, output.flow.remote, output.data)
            elif isinstance(output, Note):
                self.notes.append(output.text)
            elif isinstance(output, Resolve | sip.CloseFlow):
                self.outputs.append(output)
            else:
                self.media.append(output)
                if isinstance(output, OpenStream):
                    self._port += 2
                    self.switch.receive(PortsReady((self._port,)), self.now)
        for phone in self.phones.values():
            phone.drain()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (at := self._next()) is not None and at <= end:
            self.now = max(self.now, at)
            self._step()
            self.settle()
        self.now = end

    def _next(self) -> float | None:
        times = [self._wire[0][0]] if self._wire else []
        machines = [self.switch.deadline(), *(phone.endpoint.deadline() for phone in self.phones.values())]
        return min((*times, *(at for at in machines if at is not None)), default=None)

    def _step(self) -> None:
        while self._wire and self._wire[0][0] <= self.now:
            _, _, source, target, data = heapq.heappop(self._wire)
            item = Datagram(Flow("udp", target, source), data)
            if target == EXCHANGE:
                self.switch.receive(item, self.now)
            elif target in self.phones:
                self.phones[target].endpoint.receive(item, self.now)
            else:
                self.raw.setdefault(target, []).append(data)
            self.settle()
        machines: tuple[Switch | Endpoint, ...] = (self.switch, *(phone.endpoint for phone in self.phones.values()))
        for machine in machines:
            deadline = machine.deadline()
            if deadline is not None and deadline <= self.now:
                machine.timeout(self.now)

    # --- crafted messages --------------------------------------------------------------------------------------------

    def ask(self, request: Request, source: Address = ("10.0.2.1", 5060)) -> Response | None:
        """Send one crafted request and return the last response to it."""
        self.raw.pop(source, None)
        self.send(source, EXCHANGE, request.encode())
        self.run(0.1)
        answers = [parse_message(data) for data in self.raw.get(source, [])]
        responses = [answer for answer in answers if isinstance(answer, Response)]
        return responses[-1] if responses else None


_CSEQ = count(1)


def craft(method: str, user: str | None, *, caller: str = "1001", headers: tuple[tuple[str, str], ...] = (),
          tag: str = "", host: str = "10.0.2.1", body: bytes = b"", call_id: str = "crafted", uri: str = "") -> Request:
    """Return a plain request from `caller` to `user` at the exchange."""
    number = next(_CSEQ)
    target = Uri.parse(uri) if uri else Uri.sip(user, *EXCHANGE)
    to = f"<{Uri.sip(user, *EXCHANGE)}>" + (f";tag={tag}" if tag else "")
    request = Request(method, target, [
        ("Via", f"SIP/2.0/UDP {host}:5060;branch=z9hG4bKcraft{number};rport"), ("Max-Forwards", "70"),
        ("From", f"<sip:{caller}@{EXCHANGE[0]}:{EXCHANGE[1]}>;tag=from{number}"), ("To", to),
        ("Call-ID", call_id), ("CSeq", f"{number} {method}")], body)
    for name, value in headers:
        request.headers.set(name, value)
    return request
