"""Offer and answer (RFC 3264) as pure functions: our wishes and the far end's SDP in, SDP and a StreamConfig out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from offhook.errors import MediaNegotiationFailed, ParseError
from offhook.media.candidates import DISCARD, LocalIce, ice_lines, ice_of
from offhook.media.messages import Direction, StreamConfig
from offhook.media.sdp import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
    connection_for,
    parse_sdp,
    plain_address,
)
from offhook.media.security import NO_SECURITY, PLAIN, PROFILES, Deal, Keys, Security, accepted, answered, offered

# RFC 3551 table 4: payload types that need no rtpmap. G.722 says 8000 although it samples at 16 kHz (RFC 3551 4.5.2).
STATIC_TYPES: dict[str, int] = {"PCMU": 0, "GSM": 3, "PCMA": 8, "G722": 9}
STATIC_NAMES = {number: name for name, number in STATIC_TYPES.items()}
RTCP_MUX = Attribute("rtcp-mux")
EXTENDED_REPORTS = Attribute("rtcp-xr", "rcvr-rtt=all voip-metrics")  # RFC 3611 5.1: what we want to have
FORMAT_TEXT = {"OPUS": "opus/48000/2"}  # RFC 7587 7: whatever is sent, the rtpmap says this. All others: NAME/8000
TELEPHONE_EVENT = "TELEPHONE-EVENT"
TELEPHONE_EVENT_TYPE = 101
FIRST_DYNAMIC_TYPE = 102
PTIME_MS = 20
OFFERS_KEPT = 16  # offers remembered as read: each is looked at when the call comes and again when it is answered

# (lets audio out, lets audio in), seen from whoever states the direction.
FLOWS: dict[Direction, tuple[bool, bool]] = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
DIRECTION_OF = {flows: direction for direction, flows in FLOWS.items()}


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What we bring: the address and even RTP port (RTCP is one above), codecs by preference, telephone events.

    `rtcp_mux` offers RTCP on the RTP port (RFC 5761); who offers it to us gets it in any case. `rtcp` is where RTCP is
    received where that is not the same address and one port above. With `relayed` packets take the relay that was found.
    `extended_reports` asks for RTCP XR (RFC 3611), and gives it to who asks for it.
    """

    address: str
    rtp_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    telephone_event: bool = True
    security: Security = NO_SECURITY
    rtcp_mux: bool = False
    rtcp: tuple[str, int] | None = None
    ice: LocalIce | None = None
    relayed: bool = False
    extended_reports: bool = False


@dataclass(frozen=True, slots=True)
class _Format:
    """One payload type of an m-line. `encoding` is in capitals (RFC 8866 6.6: encoding names are case-insensitive)."""

    payload_type: int
    encoding: str
    clock_rate: int


def reverse(direction: Direction) -> Direction:
    """Return the same flow seen from the other side."""
    sends, receives = FLOWS[direction]
    return DIRECTION_OF[receives, sends]


def combine(one: Direction, other: Direction) -> Direction:
    """Return what both let through, seen from the same side."""
    return DIRECTION_OF[FLOWS[one][0] and FLOWS[other][0], FLOWS[one][1] and FLOWS[other][1]]


def make_offer(
    local: LocalMedia, session_id: int, version: int, direction: Direction = "sendrecv", *, previous: bytes = b""
) -> bytes:
    """Return an offer of one audio stream.

    `version` must grow with every change within a session (RFC 3264 8). Give `previous`, the last offer or answer of either
    side, for a new offer in a running call: its other m-lines stay, refused, for they may never disappear.
    """
    protocol, keys = offered(local.security)
    mux = (RTCP_MUX,) if local.rtcp_mux else ()
    reports = (EXTENDED_REPORTS,) if local.extended_reports else ()
    ways = ice_lines(local.ice) if local.ice is not None else ()
    audio = _our_audio(local, _offered_formats(local), direction, protocol, (*mux, *keys, *reports, *ways))
    media = [audio]
    if previous:
        before = parse_sdp(previous)
        media = [_refusal(line) for line in before.media]
        place = _audio_index(before)
        media[place:place + 1] = [audio]
    return _describe(local, session_id, version, tuple(media)).encode()


def make_answer(
    local: LocalMedia, offer: bytes, session_id: int, version: int, direction: Direction = "sendrecv"
) -> tuple[bytes, StreamConfig]:
    """Return our answer and what the stream is to do.

    `direction` is what we want; the outcome lets through what both want. Raises MediaNegotiationFailed if nothing in the
    offer suits (answer 488), ParseError if it is not SDP.
    """
    theirs = _offer(offer)
    index, chosen, events, (keys, lines) = _choose(local, theirs)
    line = theirs.media[index]
    mux = line.attribute("rtcp-mux") is not None
    # RFC 3264 6.1: sendonly is answered recvonly or inactive, and so on: the offer seen from our side, narrowed by us.
    agreed = combine(reverse(_stated(theirs, line)), direction)
    # RFC 3264 6.1: the answer uses the offer's numbers, and lists formats in the offer's order.
    ice = ice_of(local.ice, theirs, line)
    extras = (RTCP_MUX, *lines) if mux else lines
    if local.extended_reports and theirs.value_of(line, "rtcp-xr") is not None:
        extras = (*extras, EXTENDED_REPORTS)
    if ice is not None and local.ice is not None:
        extras = (*extras, *ice_lines(local.ice))
    ours = _our_audio(local, [*chosen, *events], agreed, line.protocol, extras)
    # RFC 3264 6: the same number of m-lines in the same order, port 0 where refused.
    media = tuple([ours if place == index else _refusal(other) for place, other in enumerate(theirs.media)])
    receive = tuple([(entry.payload_type, entry.encoding) for entry in chosen])
    event = events[0].payload_type if events else None
    config = _config(local, theirs, line, chosen[0], receive, agreed, event, event, keys, mux)
    return _describe(local, session_id, version, media).encode(), config


def check_offer(local: LocalMedia, offer: bytes) -> None:
    """Say before anybody is asked whether an answer could be made; raises as `make_answer` does."""
    _choose(local, _offer(offer))


def accept_answer(local: LocalMedia, offer: bytes, answer: bytes) -> StreamConfig:
    """Return what the stream is to do after `answer` came to our `offer`.

    Raises MediaNegotiationFailed if the audio was refused or the answer names nothing we can speak, ParseError if it is
    not SDP.
    """
    ours, theirs = parse_sdp(offer), parse_sdp(answer)
    index = _audio_index(ours)
    if index >= len(theirs.media) or theirs.media[index].media != "audio":
        raise MediaNegotiationFailed("the answer has no line for our audio")
    mine, line = ours.media[index], theirs.media[index]
    if line.port == 0:
        raise MediaNegotiationFailed("the far end refused audio")
    offered = _formats(mine)
    named = _formats(line)
    chosen = _speakable(local, named)
    if not chosen:
        raise MediaNegotiationFailed(f"the answer names no codec we offered ({_names(line)})")
    # RFC 3264 6.1, 5.1: each side receives under the numbers it wrote, and sends under those the other wrote.
    receive = tuple((entry.payload_type, entry.encoding) for entry in offered if entry.encoding != TELEPHONE_EVENT)
    agreed = combine(reverse(_stated(theirs, line)), _stated(ours, mine))
    events_in = _events(local, offered, chosen[0])
    events_out = _events(local, named, chosen[0]) if events_in else []
    keys = accepted(local.security, mine, theirs, line)
    return _config(
        local, theirs, line, chosen[0], receive, agreed,
        events_out[0].payload_type if events_out else None,
        events_in[0].payload_type if events_out else None,
        keys, mine.attribute("rtcp-mux") is not None and line.attribute("rtcp-mux") is not None,
    )  # fmt: skip


def ice_name(offer: bytes) -> str:
    """Return the far end's ICE name for the audio line in use, "" without ICE."""
    described = _offer(offer)
    index = _audio_index(described)
    return (described.value_of(described.media[index], "ice-ufrag") or "") if index < len(described.media) else ""


def media_address(offer: bytes) -> str:
    """Return the numeric address where the writer of `offer` wants its audio, "" where there is none or it is no SDP."""
    try:
        theirs = _offer(offer)
        index = _audio_index(theirs)
        connection = theirs.connection_of(theirs.media[index]) if index < len(theirs.media) else None
        return "" if connection is None or connection.unspecified else _numeric(connection)
    except (ParseError, MediaNegotiationFailed):
        return ""


def audio_protocol(sdp: bytes) -> str:
    """Return the profile of the audio line in use ("RTP/AVP"), "" without one."""
    described = parse_sdp(sdp)
    index = _audio_index(described)
    return described.media[index].protocol if index < len(described.media) else ""


def remote_direction(sdp: bytes) -> Direction:
    """Return the direction of the audio as the far end states it (seen from there); raises ParseError.

    "sendonly" and "inactive" mean that it holds us. Without any audio line: inactive.
    """
    theirs = parse_sdp(sdp)
    index = _audio_index(theirs)
    if index >= len(theirs.media):
        return "inactive"
    line = theirs.media[index]
    return "inactive" if line.port == 0 else _stated(theirs, line)


_offer = lru_cache(OFFERS_KEPT)(parse_sdp)


# --- choosing ------------------------------------------------------------------------------------------------------


def _audio_index(description: SessionDescription) -> int:
    """Return the place of the audio line in use: the first that is not refused, else the first; the length if none."""
    places = [place for place, line in enumerate(description.media) if line.media == "audio"]
    alive = [place for place in places if description.media[place].port]
    return next(iter(alive or places), len(description.media))


def _choose(local: LocalMedia, theirs: SessionDescription) -> tuple[int, list[_Format], list[_Format], Deal]:
    """Return the place of the line we take, its codecs we speak, its telephone events (none or one), and its encryption."""
    reasons = []
    failure = MediaNegotiationFailed
    for index, line in _by_preference(local, theirs):
        if line.protocol not in PROFILES:
            reasons.append(f"{line.protocol} is not supported")
            continue
        if local.ice is None and (foreign := _foreign_address(local, theirs.connection_of(line))):
            reasons.append(f"the far end's media is on {foreign}, to which there is no way from here")
            continue
        named = _formats(line)
        chosen = _speakable(local, named)
        if not chosen:
            reasons.append(f"no codec in common ({_names(line)})")
            continue
        try:
            return index, chosen, _events(local, named, chosen[0]), answered(local.security, theirs, line)
        except MediaNegotiationFailed as error:
            reasons.append(error.detail)
            failure = type(error)
    raise failure("; ".join(reasons) or "the offer has no audio")


def _foreign_address(local: LocalMedia, connection: Connection | None) -> str:
    """Return the far end's address if it is of another family than ours, else ""."""
    if connection is None or connection.unspecified or (":" in connection.address) == (":" in local.address):
        return ""
    return f"{'IPv6' if ':' in connection.address else 'IPv4'} ({connection.address})"


def _by_preference(local: LocalMedia, theirs: SessionDescription) -> list[tuple[int, MediaDescription]]:
    """Return the audio lines with their places. Of two that offer the same call, encrypted and not, the encrypted is first."""
    lines = [(place, line) for place, line in enumerate(theirs.media) if line.media == "audio" and line.port]
    if len(lines) > 1 and local.security.policy != "off":
        lines.sort(key=lambda each: each[1].protocol in PLAIN)
    return lines


def _speakable(local: LocalMedia, formats: list[_Format]) -> list[_Format]:
    wanted = _clock_rates(local.codecs)
    return [entry for entry in formats if wanted.get(entry.encoding) == entry.clock_rate]


@lru_cache
def _clock_rates(codecs: tuple[str, ...]) -> dict[str, int]:
    return {name.upper(): _clock_rate(name) for name in codecs}


def _events(local: LocalMedia, formats: list[_Format], codec: _Format) -> list[_Format]:
    """Return the telephone-event format that runs on the codec's clock (RFC 4733 2.1), as a list of none or one."""
    if not local.telephone_event:
        return []
    return [item for item in formats if (item.encoding, item.clock_rate) == (TELEPHONE_EVENT, codec.clock_rate)][:1]


def _formats(line: MediaDescription) -> list[_Format]:
    """Return the line's payload types, each once, that have a meaning: by rtpmap, or static."""
    maps = line.rtpmaps()
    found = []
    for number in dict.fromkeys(line.payload_types):
        entry = maps.get(number)
        if entry is not None:
            found.append(_Format(number, entry.encoding.upper(), entry.clock_rate))
        elif number in STATIC_NAMES:
            found.append(_Format(number, STATIC_NAMES[number], 8000))
    return found


def _names(line: MediaDescription) -> str:
    return "offered: " + (", ".join(entry.encoding for entry in _formats(line)) or "nothing known")


def _stated(description: SessionDescription, line: MediaDescription) -> Direction:
    """Return the direction the writer of `description` states, with the old way of holding taken into account."""
    direction = description.direction_of(line)
    connection = description.connection_of(line)
    if connection is not None and connection.unspecified and line.attribute("candidate") is None:
        # RFC 3264 8.4: an address of 0.0.0.0 means that nothing is to be sent there, whatever the attribute says.
        return combine(direction, "sendonly")
    return direction


# --- writing -------------------------------------------------------------------------------------------------------


def _clock_rate(codec: str) -> int:
    return int(_format_text(codec).split("/")[1])


def _format_text(codec: str) -> str:
    return FORMAT_TEXT.get(codec.upper(), f"{codec}/8000")


def _offered_formats(local: LocalMedia) -> list[_Format]:
    number = FIRST_DYNAMIC_TYPE
    formats = []
    for name in local.codecs:
        static = STATIC_TYPES.get(name.upper())
        formats.append(_Format(number if static is None else static, name.upper(), _clock_rate(name)))
        number += static is None
    if local.telephone_event:
        formats.append(_Format(TELEPHONE_EVENT_TYPE, TELEPHONE_EVENT, 8000))
    return formats


def _our_audio(
    local: LocalMedia, formats: list[_Format], direction: Direction, protocol: str, extras: tuple[Attribute, ...] = ()
) -> MediaDescription:
    attributes = [Attribute("rtpmap", f"{item.payload_type} {_rtpmap_text(item)}") for item in formats]
    # RFC 4733 2.4.1: without this line the far end would not know that A to D are understood as well.
    events = [item for item in formats if item.encoding == TELEPHONE_EVENT]
    attributes += [Attribute("fmtp", f"{item.payload_type} 0-15") for item in events]
    if local.rtcp is not None:
        attributes.append(_rtcp_line(*local.rtcp))
    attributes += [Attribute("ptime", str(PTIME_MS)), Attribute(direction), *extras]
    numbers = tuple(str(item.payload_type) for item in formats)
    return MediaDescription("audio", local.rtp_port, protocol, numbers, attributes=tuple(attributes))


def _rtcp_line(address: str, port: int) -> Attribute:
    connection = connection_for(address)
    return Attribute("rtcp", f"{port} {connection.network} {connection.address_type} {address}")  # RFC 3605 2.1


def _rtpmap_text(item: _Format) -> str:
    if item.encoding == TELEPHONE_EVENT:
        return f"telephone-event/{item.clock_rate}"
    return _format_text(item.encoding)


def _refusal(line: MediaDescription) -> MediaDescription:
    return MediaDescription(line.media, 0, line.protocol, line.formats)


def _describe(
    local: LocalMedia, session_id: int, version: int, media: tuple[MediaDescription, ...]
) -> SessionDescription:
    connection = connection_for(local.address)
    origin = Origin("-", session_id, version, local.address, address_type=connection.address_type)
    return SessionDescription(origin, media, connection=connection)


# --- the outcome ---------------------------------------------------------------------------------------------------


def _config(
    local: LocalMedia,
    theirs: SessionDescription,
    line: MediaDescription,
    codec: _Format,
    receive: tuple[tuple[int, str], ...],
    direction: Direction,
    event_out: int | None,
    event_in: int | None,
    keys: Keys,
    mux: bool,
) -> StreamConfig:
    connection = theirs.connection_of(line)
    if connection is None:
        raise ParseError("SDP has no c= line for the audio")
    ice = ice_of(local.ice, theirs, line)
    remote = _numeric(connection), line.port
    if ice is not None and (connection.unspecified or line.port == DISCARD):
        remote = next(((each.address, each.port) for each in ice.candidates), remote)  # a name for it; ICE finds the way
    return StreamConfig(
        remote=remote,
        remote_rtcp=remote if mux else _rtcp(line, remote),
        codec=codec.encoding,
        payload_type=codec.payload_type,
        receive_types=receive,
        clock_rate=codec.clock_rate,
        ptime_ms=PTIME_MS,
        telephone_event=event_out,
        telephone_event_in=event_in,
        direction=direction,
        security=keys,
        rtcp_mux=mux,
        ice=ice,
        relayed=local.relayed and ice is None,
        extended_reports=_wanted_reports(theirs, line) if local.extended_reports else (),
    )


def _wanted_reports(theirs: SessionDescription, line: MediaDescription) -> tuple[str, ...]:
    """Return which of the extended reports we can give the far end asks for. RFC 3611 5.1: words, some with parameters."""
    words = {word.partition("=")[0] for word in (theirs.value_of(line, "rtcp-xr") or "").lower().split()}
    return tuple(name for name in ("rcvr-rtt", "voip-metrics") if name in words)


def _numeric(connection: Connection) -> str:
    """Return the address; names are refused, for nothing behind this point may wait for a name server."""
    host = connection.address.partition("/")[0]
    address = plain_address(host)
    if not address:
        raise MediaNegotiationFailed(f"the far end gives a media address that is no IP address: {host}")
    return address


def _rtcp(line: MediaDescription, remote: tuple[str, int]) -> tuple[str, int]:
    """Return where RTCP goes: one above the RTP port, or where RFC 3605's `a=rtcp` says (its address is not followed)."""
    host, port = remote
    text = (line.attribute("rtcp") or "").partition(" ")[0]
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65_536:
        return host, int(text)
    return host, min(port + 1, 65_535)
