"""Offer and answer (RFC 3264) as pure functions: our wishes and the far end's SDP in, SDP and a StreamConfig out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from offhook.errors import MediaNegotiationFailed, ParseError
from offhook.media.bundle import NO_NAME, OWN_NAME, LineName, name_of
from offhook.media.candidates import DISCARD, UNKNOWN_ICE, LocalIce, ice_lines, ice_of, said_in
from offhook.media.formats import (
    Format,
    answered_formats,
    event_types,
    events_beside,
    events_for,
    format_lines,
    formats_of,
    names_of,
    noise_for,
    offered_formats,
    ptime_of,
    speakable,
)
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
from offhook.media.security import NO_SECURITY, PLAIN, PROFILES, WEB_PROFILE, Deal, Keys, Security, accepted, answered, offered

RTCP_MUX = Attribute("rtcp-mux")
EXTENDED_REPORTS = Attribute("rtcp-xr", "rcvr-rtt=all voip-metrics")  # RFC 3611 5.1: what we want to have
PTIME_MS = 20
NOWHERE = ("0.0.0.0", 0)  # the far end's address before it has named one
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
    `comfort_noise` lets pauses be described instead of sent (RFC 3389).
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
    comfort_noise: bool = False


def reverse(direction: Direction) -> Direction:
    """Return the same flow seen from the other side."""
    sends, receives = FLOWS[direction]
    return DIRECTION_OF[receives, sends]


def combine(one: Direction, other: Direction) -> Direction:
    """Return what both let through, seen from the same side."""
    return DIRECTION_OF[FLOWS[one][0] and FLOWS[other][0], FLOWS[one][1] and FLOWS[other][1]]


def make_offer(
    local: LocalMedia, session_id: int, version: int, direction: Direction = "sendrecv", *, previous: bytes = b"",
    earlier: tuple[Format, ...] = (),
) -> bytes:  # fmt: skip
    """Return an offer of one audio stream.

    `version` must grow with every change within a session (RFC 3264 8). Give `previous`, the last offer or answer of either
    side, for a new offer in a running call: its other m-lines stay, refused, for they may never disappear. `earlier` are the
    formats of those before, whose numbers must not change their meaning.
    """
    protocol, keys = offered(local.security)
    mux = (RTCP_MUX,) if local.rtcp_mux else ()
    reports = (EXTENDED_REPORTS,) if local.extended_reports else ()
    ways = ice_lines(local.ice) if local.ice is not None else ()
    said = parse_sdp(previous) if previous else None
    before = said.media if said is not None else ()
    place = _audio_index(before)
    former = before[place] if place < len(before) else None
    name = name_of(said, former) if said is not None and former is not None else _new_name(local)
    formats = offered_formats(local.codecs, local.telephone_event, former, local.comfort_noise, earlier)
    media = [_refusal(line) for line in before]
    extras = (*name.of_line, *mux, *keys, *reports, *ways)
    media[place:place + 1] = [_our_audio(local, formats, direction, protocol, extras)]
    return _describe(local, session_id, version, tuple(media), name).encode()


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
    name = name_of(theirs, line)
    extras = (*name.of_line, RTCP_MUX, *lines) if mux else (*name.of_line, *lines)
    if local.extended_reports and theirs.value_of(line, "rtcp-xr") is not None:
        extras = (*extras, EXTENDED_REPORTS)
    if ice is not None and local.ice is not None:
        extras = (*extras, *ice_lines(local.ice))
    noise = noise_for(formats_of(line), chosen[0]) if local.comfort_noise else []
    ours = _our_audio(local, answered_formats([*chosen, *events, *noise]), agreed, line.protocol, extras)
    # RFC 3264 6: the same number of m-lines in the same order, port 0 where refused.
    media = tuple([ours if place == index else _refusal(other) for place, other in enumerate(theirs.media)])
    receive = tuple([(entry.payload_type, entry.codec) for entry in chosen])
    event = events[0] if events else None
    config = _config(local, theirs, line, chosen[0], receive, agreed, event, event_types(events), keys, mux)
    return _describe(local, session_id, version, media, name).encode(), config


def check_offer(local: LocalMedia, offer: bytes) -> None:
    """Say before anybody is asked whether an answer could be made; raises as `make_answer` does."""
    _choose(local, _offer(offer))


def accept_answer(local: LocalMedia, offer: bytes, answer: bytes, *, held: bool = False) -> StreamConfig:
    """Return what the stream is to do after `answer` came to our `offer`. `held`: the far end holds us already.

    Raises MediaNegotiationFailed if the audio was refused or the answer names nothing we can speak, ParseError if it is
    not SDP.
    """
    ours, theirs = parse_sdp(offer), parse_sdp(answer)
    index = _audio_index(ours.media)
    if index >= len(theirs.media) or theirs.media[index].media != "audio":
        raise MediaNegotiationFailed("the answer has no line for our audio")
    mine, line = ours.media[index], theirs.media[index]
    if line.port == 0:
        raise MediaNegotiationFailed("the far end refused audio")
    local = replace(local, ice=said_in(local.ice, ours, mine))
    offered = formats_of(mine)
    named = formats_of(line)
    chosen = speakable(local.codecs, named, line)
    if not chosen:
        raise MediaNegotiationFailed(f"the answer names no codec we offered ({names_of(line)})")
    # RFC 3264 6.1, 5.1: each side receives under the numbers it wrote, and sends under those the other wrote.
    # Some send under their own all the same: heard, too, where the number means nothing else to us.
    spoken_for = {entry.payload_type for entry in offered}
    own = [entry for entry in chosen if entry.payload_type not in spoken_for]
    receive = tuple((entry.payload_type, entry.codec) for entry in (*speakable(local.codecs, offered, mine), *own))
    # RFC 3264 6.1: sendonly is answered recvonly or inactive. Who answers sendonly (Yate) says our word again, and listens.
    echoed = not held and mine.attribute("sendonly") is not None and theirs.direction_of(line) == "sendonly"
    agreed = combine(reverse(_stated(theirs, line, "recvonly" if echoed else None)), _stated(ours, mine))
    codings = {entry.coding for entry in offered}
    common = [entry for entry in named if entry.coding in codings]
    events_out = _events(local, common, chosen[0])
    # RFC 4733 2.1: keys run on the clock of the codec that the far end uses at the moment, which need not be ours.
    named_codings = {entry.coding for entry in named}
    events_in = [entry for entry in offered if entry.coding in named_codings]
    events_in += [entry for entry in common if entry.payload_type not in spoken_for]
    keys = accepted(local.security, mine, theirs, line)
    return _config(
        local, theirs, line, chosen[0], receive, agreed,
        events_out[0] if events_out else None, event_types(events_in),
        keys, mine.attribute("rtcp-mux") is not None and line.attribute("rtcp-mux") is not None,
    )  # fmt: skip


def receivable(local: LocalMedia, offer: bytes) -> tuple[tuple[int, str], ...]:
    """Return the payload types that the far end may use as soon as it has `offer`, which is ours, with their codecs.

    RFC 3264 8.3.2: they have to be understood from then on; its answer may come after its first packets.
    """
    described = parse_sdp(offer)
    line = described.media[_audio_index(described.media)]
    return tuple((entry.payload_type, entry.codec) for entry in speakable(local.codecs, formats_of(line), line))


def before_answer(local: LocalMedia, offer: bytes) -> StreamConfig | None:
    """Return what the stream is to do until somebody answers `offer`, which is ours: hear what comes, and send nothing.

    RFC 3264 5.1: what the far end sends may come before its answer. None where the answer has to bring keys or a way first.
    """
    if local.security.policy != "off" or local.ice is not None or local.relayed:
        return None
    described = parse_sdp(offer)
    line = described.media[_audio_index(described.media)]
    offered = formats_of(line)
    usable = speakable(local.codecs, offered, line)
    return StreamConfig(
        remote=NOWHERE,
        remote_rtcp=NOWHERE,
        codec=usable[0].codec,
        payload_type=usable[0].payload_type,
        receive_types=tuple((entry.payload_type, entry.codec) for entry in usable),
        clock_rate=usable[0].clock_rate,
        receive_events=event_types(offered),
        direction="recvonly",
    )


def used_formats(sdp: bytes, earlier: tuple[Format, ...] = ()) -> tuple[Format, ...]:
    """Return the formats of the audio line in use after the `earlier` ones, one for each number."""
    described = parse_sdp(sdp)
    index = _audio_index(described.media)
    named = formats_of(described.media[index]) if index < len(described.media) else []
    return tuple({entry.payload_type: entry for entry in (*named, *earlier)}.values())


def ice_name(offer: bytes) -> str:
    """Return the far end's ICE name for the audio line in use, "" without ICE."""
    described = _offer(offer)
    index = _audio_index(described.media)
    return (described.value_of(described.media[index], "ice-ufrag") or "") if index < len(described.media) else ""


def is_web(offer: bytes) -> bool:
    """Return whether the writer of `offer` speaks a handshake and ICE, and nothing else, as browsers do; False for no SDP."""
    try:
        theirs = _offer(offer)
    except ParseError:
        return False
    lines = (line for line in theirs.media if line.media == "audio" and line.port)
    return any(line.protocol == WEB_PROFILE and ice_of(UNKNOWN_ICE, theirs, line) is not None for line in lines)


def media_address(offer: bytes) -> str:
    """Return the numeric address where the writer of `offer` wants its audio, "" where there is none or it is no SDP."""
    try:
        theirs = _offer(offer)
        index = _audio_index(theirs.media)
        connection = theirs.connection_of(theirs.media[index]) if index < len(theirs.media) else None
        return "" if connection is None or connection.unspecified else _numeric(connection)
    except (ParseError, MediaNegotiationFailed):
        return ""


def audio_protocol(sdp: bytes) -> str:
    """Return the profile of the audio line in use ("RTP/AVP"), "" without one."""
    described = parse_sdp(sdp)
    index = _audio_index(described.media)
    return described.media[index].protocol if index < len(described.media) else ""


def refuses_audio(answer: bytes) -> bool:
    """Return whether an answer takes no audio at all; False for what is no SDP."""
    try:
        described = parse_sdp(answer)
    except ParseError:
        return False
    index = _audio_index(described.media)
    return index >= len(described.media) or described.media[index].port == 0


_offer = lru_cache(OFFERS_KEPT)(parse_sdp)


# --- choosing ------------------------------------------------------------------------------------------------------


def _audio_index(media: tuple[MediaDescription, ...]) -> int:
    """Return the place of the audio line in use: the first that is not refused, else the first; the length if none."""
    places = [place for place, line in enumerate(media) if line.media == "audio"]
    alive = [place for place in places if media[place].port]
    return next(iter(alive or places), len(media))


def _choose(local: LocalMedia, theirs: SessionDescription) -> tuple[int, list[Format], list[Format], Deal]:
    """Return the place of the line we take, its codecs we speak, its telephone events (ours first), and its encryption."""
    reasons = []
    failure = MediaNegotiationFailed
    for index, line in _by_preference(local, theirs):
        if line.protocol not in PROFILES:
            reasons.append(f"{line.protocol} is not supported")
            continue
        if (foreign := _foreign_address(local, theirs.connection_of(line))) and not _near(local, theirs, line):
            reasons.append(f"the far end's media is on {foreign}, to which there is no way from here")
            continue
        named = formats_of(line)
        chosen = speakable(local.codecs, named, line)
        if not chosen:
            reasons.append(f"no codec in common ({names_of(line)})")
            continue
        try:
            events = events_beside(named, chosen) if local.telephone_event else []
            return index, chosen, events, answered(local.security, theirs, line)
        except MediaNegotiationFailed as error:
            reasons.append(error.detail)
            failure = type(error)
    raise failure("; ".join(reasons) or "the offer has no audio")


def _foreign_address(local: LocalMedia, connection: Connection | None) -> str:
    """Return the far end's address if it is of another family than ours, else ""."""
    if connection is None or connection.unspecified or (":" in connection.address) == (":" in local.address):
        return ""
    return f"{'IPv6' if ':' in connection.address else 'IPv4'} ({connection.address})"


def _near(local: LocalMedia, theirs: SessionDescription, line: MediaDescription) -> tuple[str, int] | None:
    """Return an address of our own family under which ICE may reach the line, None without one."""
    ice = ice_of(local.ice, theirs, line)
    ours = ":" in local.address
    usable = ice.candidates if ice is not None else ()
    return next(((each.address, each.port) for each in usable if (":" in each.address) == ours and each.component == 1), None)


def _by_preference(local: LocalMedia, theirs: SessionDescription) -> list[tuple[int, MediaDescription]]:
    """Return the audio lines with their places. Of two that offer the same call, encrypted and not, the encrypted is first."""
    lines = [(place, line) for place, line in enumerate(theirs.media) if line.media == "audio" and line.port]
    if len(lines) > 1 and local.security.policy != "off":
        lines.sort(key=lambda each: each[1].protocol in PLAIN)
    return lines


def _events(local: LocalMedia, formats: list[Format], codec: Format) -> list[Format]:
    return events_for(formats, codec) if local.telephone_event else []


def _stated(description: SessionDescription, line: MediaDescription, meant: Direction | None = None) -> Direction:
    """Return the direction the writer of `description` states (or means), with the old way of holding taken into account."""
    direction = meant or description.direction_of(line)
    connection = description.connection_of(line)
    if connection is not None and connection.unspecified and description.value_of(line, "ice-ufrag") is None:
        # RFC 3264 8.4: an address of 0.0.0.0 means that nothing is to be sent there, whatever the attribute says.
        return combine(direction, "sendonly")
    return direction


# --- writing -------------------------------------------------------------------------------------------------------


def _our_audio(
    local: LocalMedia, formats: list[Format], direction: Direction, protocol: str, extras: tuple[Attribute, ...] = ()
) -> MediaDescription:
    attributes = format_lines(formats)
    if local.rtcp is not None:
        attributes.append(_rtcp_line(*local.rtcp))
    attributes += [Attribute("ptime", str(PTIME_MS)), Attribute(direction), *extras]
    numbers = tuple(str(item.payload_type) for item in formats)
    return MediaDescription("audio", local.rtp_port, protocol, numbers, attributes=tuple(attributes))


def _new_name(local: LocalMedia) -> LineName:
    """Return the name of our line in a first offer. Handshake and ICE together are what browsers speak, and they want one."""
    security = local.security
    web = local.ice is not None and security.policy != "off" and security.keying == "dtls"
    return LineName(OWN_NAME, bundled=True) if web else NO_NAME


def _rtcp_line(address: str, port: int) -> Attribute:
    connection = connection_for(address)
    return Attribute("rtcp", f"{port} {connection.network} {connection.address_type} {address}")  # RFC 3605 2.1


def _refusal(line: MediaDescription) -> MediaDescription:
    return MediaDescription(line.media, 0, line.protocol, line.formats or ("0",))  # RFC 8866 9: at least one format


def _describe(
    local: LocalMedia, session_id: int, version: int, media: tuple[MediaDescription, ...], name: LineName
) -> SessionDescription:
    connection = connection_for(local.address)
    origin = Origin("-", session_id, version, local.address, address_type=connection.address_type)
    return SessionDescription(origin, media, connection=connection, attributes=name.of_session)


# --- the outcome ---------------------------------------------------------------------------------------------------


def _config(
    local: LocalMedia,
    theirs: SessionDescription,
    line: MediaDescription,
    codec: Format,
    receive: tuple[tuple[int, str], ...],
    direction: Direction,
    event_out: Format | None,
    events_in: tuple[tuple[int, int], ...],
    keys: Keys,
    mux: bool,
) -> StreamConfig:
    connection = theirs.connection_of(line)
    if connection is None:
        raise ParseError("SDP has no c= line for the audio")
    ice = ice_of(local.ice, theirs, line)
    remote = _numeric(connection), line.port
    if ice is not None and (connection.unspecified or line.port == DISCARD):
        # A name for it; ICE finds the way. Without any address it is called by one that nobody has (RFC 5737, RFC 3849).
        nobody = ("2001:db8::1" if ":" in local.address else "192.0.2.1", DISCARD)
        remote = next(((each.address, each.port) for each in ice.candidates), nobody)
    elif ice is not None and _foreign_address(local, connection):
        remote = _near(local, theirs, line) or remote
    return StreamConfig(
        remote=remote,
        remote_rtcp=remote if mux else _rtcp(line, remote),
        codec=codec.codec,
        payload_type=codec.payload_type,
        receive_types=receive,
        clock_rate=codec.clock_rate,
        ptime_ms=ptime_of(line),
        telephone_event=event_out.payload_type if event_out else None,
        event_clock=event_out.clock_rate if event_out else 8000,
        receive_events=events_in,
        fmtp=codec.fmtp,
        comfort_noise=local.comfort_noise and bool(noise_for(formats_of(line), codec)),
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
