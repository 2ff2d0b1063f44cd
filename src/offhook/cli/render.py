"""What people read: one clear line for each answer and each event."""

from __future__ import annotations

from offhook.shown import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def status_line(view: dict[str, Any]) -> str:
    """Return "idle", or "active: sip:1001@pbx (c_1)", and how many calls there are if it is more than one."""
    text = str(view["name"]).lower()
    if view.get("remote"):
        text += f": {view['remote']}"
    if view.get("call"):
        text += f" ({view['call']})"
    if view.get("calls", 0) > 1:
        text += f", {view['calls']} calls"
    return plain(text)


def call_line(call: dict[str, Any]) -> str:
    """Return one line about a call."""
    arrow = "to" if call["direction"] == "outgoing" else "from"
    text = f"{call['id']}  {call['state'].replace('_', ' ')} {arrow} {party(call['remote'])}"
    extras = [call["media"]["codec"]] if call["media"].get("codec") else []
    extras += ["muted"] if call.get("muted") else []
    extras += ["recording"] if call.get("recording") else []
    extras += [end_text(call["end"])] if call.get("end") else []
    return plain(text + (f"  ({', '.join(extras)})" if extras else ""))


def stats_text(found: dict[str, Any]) -> str:
    """Return a few lines about the sound of a call: what we hear, what the far end hears, and the delay."""
    media, stats = found["media"], found["stats"]
    head = f"{found['call']}  {found['state'].replace('_', ' ')}  {media['codec'] or 'no sound'}  {media['direction']}"
    if stats is None:
        return plain(head) + "\nno figures yet"
    expected = stats["packets_received"] + stats["packets_lost"]
    share = 100 * stats["packets_lost"] / expected if expected else 0.0
    here = [f"MOS {stats['mos']:.2f} (R {stats['rating']:.0f})", f"lost {stats['packets_lost']} of {expected} ({share:.1f} %)"]
    seldom = (("late", "packets_late"), ("reordered", "packets_reordered"), ("stretched", "stretched"), ("shrunk", "shrunk"))
    here += [f"{word} {stats[name]}" for word, name in seldom if stats[name]]
    if stats["bursts"]:
        here.append(f"{stats['bursts']} bursts of {stats['burst_ms']} ms with {100 * stats['burst_density']:.0f} % lost")
    here += [f"jitter {stats['jitter_ms']:.1f} ms", f"buffer {stats['buffer_ms']:.0f} ms"]
    there = "nothing heard of it yet"
    if stats["remote_mos"] is not None:
        parts = [f"MOS {stats['remote_mos']:.2f} (R {stats['remote_rating']:.0f})"]
        lost, jitter = stats["remote_packets_lost"], stats["remote_jitter_ms"]
        parts += [f"lost {lost} of {stats['packets_sent']}"] if lost is not None else []
        parts += [f"jitter {jitter:.1f} ms"] if jitter is not None else []
        there = ", ".join(parts)
    delay = f"mouth to ear {stats['delay_ms']:.0f} ms"
    delay += f", round trip {stats['rtt_ms']:.0f} ms" if stats["rtt_ms"] is not None else ""
    return "\n".join((plain(head), f"we hear      {', '.join(here)}", f"they hear    {there}", f"delay        {delay}"))


def watch_line(watch: dict[str, Any]) -> str:
    """Return one line about something that is watched."""
    presence, mwi = watch["presence"], watch["mwi"]
    if presence is not None:
        known = " ".join([presence["status"], *presence["activities"], presence["note"]])
    elif mwi is not None:
        # RFC 3842 5.2: a server need not say how many there are
        uncounted = "new messages" if mwi["waiting"] else "no messages"
        known = f"{mwi['new']} new, {mwi['old']} old messages" if mwi["new"] or mwi["old"] else uncounted
    elif watch["kind"] == "dialog" and watch["line"] != "unknown":
        known = " ".join([watch["line"], *(dialog["remote"] for dialog in watch["dialogs"])])
    else:
        known = f"{watch['state']} {watch['reason']}"
    return plain(f"{watch['id']}  {watch['kind']} of {watch['target']}: {known.strip()}")


def conference_line(conference: dict[str, Any]) -> str:
    """Return one line about a conference."""
    muted = conference["muted"]
    members = (f"{call} (muted)" if call in muted else call for call in conference["members"])
    return plain(f"{conference['id']}: {', '.join(members) or 'nobody'}")


def stream_line(stream: dict[str, Any]) -> str:
    """Return one line about an audio stream."""
    return f"{stream['id']}  {stream['state']}  {stream['call']} to {stream['url']}  ({stream['dialect']}, {stream['track']})"


def playback_line(playback: dict[str, Any]) -> str:
    """Return one line about a playback."""
    what = playback["source"] or playback["kind"]
    again = "  (loop)" if playback["loop"] else ""
    return plain(f"{playback['id']}  {playback['state']}  {what} into {playback['call']}{again}")


def recording_line(recording: dict[str, Any]) -> str:
    """Return one line about a recording."""
    length = f"  {recording['duration_ms'] / 1000:.1f} s, {recording['size']} bytes" if recording["size"] else ""
    return plain(f"{recording['id']}  {recording['state']}  {recording['call']} into {recording['file']}{length}")


def tap_line(tap: dict[str, Any]) -> str:
    """Return one line about a tap."""
    return plain(f"{tap['by']} hears {tap['hear']} of {tap['call']}, speaks to {tap['speak']}")


def party(remote: dict[str, Any]) -> str:
    """Return a far end's name and address."""
    display = remote.get("display")
    return f"{display} <{remote['uri']}>" if display else str(remote["uri"])


def end_text(end: dict[str, Any]) -> str:
    """Return how a call ended."""
    by = {"local": "by us", "remote": "by the far end", "network": "by the network"}.get(end["by"], end["by"])
    reason = " ".join(str(part) for part in (end.get("sip_status") or "", end.get("reason") or "") if part)
    return f"ended {by}: {reason}" if reason else f"ended {by}"


def account_line(account: dict[str, Any]) -> str:
    """Return one line about an account."""
    state = account["registration"]
    if account.get("sip_status") and state == "failed":
        state += f" ({account['sip_status']} {account.get('reason', '')})".replace(" )", ")")
    elif account.get("reason") and state == "failed":
        state += f" ({account['reason']})"
    if account.get("retry_in"):
        state += f", next attempt in {account['retry_in']:.0f} s"
    flows = "; ".join(flow_text(flow) for flow in account.get("flows") or ())
    line = f"{account['id']}  {account['uri']}  {state}{'  default' if account.get('default') else ''}"
    return plain(f"{line}  ({flows})" if flows else line)


def flow_text(flow: dict[str, Any]) -> str:
    """Return how one of an account's two flows is doing, in words."""
    way = flow["server"] or "the domain's server"
    if flow["state"] == "registered":
        return f"flow {flow['number']} stands, by {way} at {flow['remote']}"
    if flow["state"] == "registering":
        return f"flow {flow['number']} is being made, by {way}"
    again = f", next attempt in {flow['retry_in']:.0f} s" if flow.get("retry_in") else ""
    return f"flow {flow['number']} is down, by {way}: {flow['reason'] or 'not wanted'}{again}"


def device_line(device: dict[str, Any]) -> str:
    """Return one line about a sound device."""
    default = " (default)" if device["default"] else ""
    line = f"{device['kind']} {device['index']}: {device['name']} [{device['id']}]{default}"
    if device.get("latency_ms"):
        line += f", in use: {device['latency_ms']} ms"
        counts = [f"{device[name]} {name}" for name in ("underruns", "overruns") if device.get(name)]
        line += f" ({', '.join(counts)})" if counts else ""
    return plain(line)


def voice_line(audio: dict[str, Any]) -> str:
    """Return one line about what is done to the microphone."""
    parts = {"echo_cancellation": "echo cancellation", "noise_suppression": "noise suppression", "gain_control": "gain control"}
    return ", ".join(f"{words} {'on' if audio[name] else 'off'}" for name, words in parts.items())


def audio_line(audio: dict[str, Any]) -> str:
    """Return the volumes in one line."""
    return f"speaker {audio['output_volume']}, microphone {audio['mic_volume']}{' muted' if audio['mic_muted'] else ''}"


def _here(moment: str) -> str:
    """Return a time as the clock on the wall shows it."""
    from datetime import datetime

    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def text_line(entry: dict[str, Any]) -> str:
    """Return one line about a text."""
    when = _here(entry["at"])
    arrow = "from" if entry["direction"] == "incoming" else "to"
    why = f"  (failed: {entry['sip_status']} {entry['reason']})" if entry["state"] == "failed" else ""
    remote = party({"uri": entry["remote_uri"], "display": entry["remote_display"]})
    return plain(f"{when}  {arrow} {remote}: {entry['text']}{why}")


def history_line(entry: dict[str, Any]) -> str:
    """Return one line about a past call: when, which way, with whom, and how long or why not."""
    if "remote_uri" in entry and entry.get("started"):
        when = _here(entry["started"])
        arrow = {"incoming": "from", "outgoing": "to"}.get(str(entry.get("direction", "")), "with")
        how = "missed" if entry.get("missed") else f"{entry.get('duration') or 0:.0f} s"
        status = f"  ({entry['sip_status']})" if entry.get("sip_status") else ""
        remote = party({"uri": entry["remote_uri"], "display": entry.get("remote_display")})
        kept = f"  recorded in {entry['recording']}" if entry.get("recording") else ""
        tags = "".join(f"  {name}={value}" for name, value in entry.get("tags", ()))
        return plain(f"{entry.get('id', '')}  {when}  {arrow} {remote}  {how}{status}{kept}{tags}")
    return plain("  ".join(f"{name}={value}" for name, value in entry.items() if value not in (None, "", [], {})))


def level_line(event: dict[str, Any]) -> str:
    """Return one line about how loud a call is: a character for each 4 dB above -60."""
    data = event["data"]

    def bar(level: float) -> str:
        return ("#" * max(0, min(15, round((level + 60) / 4)))).ljust(15, ".")
    near, far = data["near_db"], data["far_db"]
    return plain(f"{data['call']['id']}  we send {near:6.1f} dB {bar(near)}  we hear {far:6.1f} dB {bar(far)}")


def event_line(event: dict[str, Any]) -> str:
    """Return one line about an event: when, what, and about what."""
    data = event.get("data") or {}
    call, account = data.get("call"), data.get("account")
    if isinstance(call, dict):
        about = call_line(call)
    elif isinstance(account, dict):
        about = account_line(account)
    elif isinstance(data.get("watch"), dict):
        about = watch_line(data["watch"])
    elif isinstance(data.get("device"), dict):
        about = device_line(data["device"])
    else:
        about = ""
    rest = {name: value for name, value in data.items() if not isinstance(value, dict | list) and value not in (None, "")}
    extra = " ".join(f"{name}={value}" for name, value in rest.items())
    time = str(event.get("time", ""))[11:23]
    return plain("  ".join(part for part in (time, str(event["type"]), about, extra) if part))
