"""Every key of MicroSIP.ini: which setting it becomes, or why none. The tables of docs/from-microsip.md are made of this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.storage.config import SettingValue
from offhook.storage.takeover.findings import Why

Convert: TypeAlias = Callable[[str], SettingValue | None]
"""Returns the value here, None where this one means what is the case anyway; ValueError says why it fits nowhere."""


def text(value: str) -> SettingValue | None:
    """As it is; empty is the default."""
    return value or None


def switch(value: str) -> SettingValue | None:
    """1 or 0."""
    if value not in ("0", "1", ""):
        raise ValueError("it is neither 0 nor 1")
    return None if not value else value == "1"


def whole(value: str) -> SettingValue | None:
    """A whole number."""
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise ValueError("it is no whole number")
    return int(value)


def seconds(value: str) -> SettingValue | None:
    """A number of seconds."""
    found = whole(value)
    return None if found is None else float(str(found))


def one_of(**meanings: str) -> Convert:
    """One of a few words; the word "empty" stands for an empty value."""

    def convert(value: str) -> SettingValue | None:
        found = meanings.get(value.lower() or "empty")
        if found is None:
            raise ValueError("it is none of the values MicroSIP knows")
        return found

    return convert


def numbered(*meanings: str) -> Convert:
    """The meanings of 0, 1, 2 …"""

    def convert(value: str) -> SettingValue | None:
        place = int(value) if value.isascii() and value.isdecimal() and len(value) < 4 else len(meanings)
        if place >= len(meanings):
            raise ValueError("it is none of the values MicroSIP knows")
        return meanings[place]

    return convert


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `into` is "table.key" here ("" if none), `words` what is to be said about it, `why` it is not taken.

    With `convert` the value goes straight there; a key that is taken without one belongs to several (see `microsip.py`).
    """

    name: str
    into: str = ""
    words: str = ""
    why: Why = ""
    convert: Convert | None = None


def _unsupported(words: str, *names: str) -> tuple[Key, ...]:
    return tuple(Key(name, why="unsupported", words=words) for name in names)


def _needless(words: str, *names: str) -> tuple[Key, ...]:
    return tuple(Key(name, why="needless", words=words) for name in names)


HOOKS: Final = {
    "cmdoutgoingcall": "on_outgoing_call", "cmdincomingcall": "on_incoming_call", "cmdcallring": "on_call_ring",
    "cmdcallanswer": "on_call_answer", "cmdcallanswervideo": "on_call_answer_video", "cmdcallstart": "on_call_start",
    "cmdcallbusy": "on_call_busy", "cmdcallend": "on_call_end",
}  # fmt: skip
"""MicroSIP's eight occasions and ours."""

_HOOK_WORDS: Final = "the program and its arguments; the number comes last, as there (docs/hooks.md)"

SETTINGS: Final[tuple[Key, ...]] = (
    Key("accountId", "phone.default_account", "the id that this account has here; 0, the local account, is always there"),
    Key("audioOutputDevice", "phone.output_device", convert=text),
    Key("audioInputDevice", "phone.input_device", convert=text),
    Key("audioRingDevice", "phone.ring_device", convert=text),
    Key("volumeOutput", "phone.output_volume", convert=whole),
    Key("volumeInput", "phone.mic_volume", convert=whole),
    Key("EC", "phone.echo_cancellation", convert=switch),
    Key("VAD", "phone.comfort_noise", "pauses are described, where the far end takes that", convert=switch),
    Key("audioCodecs", "media.codecs", "those that this phone has, in this order"),
    Key("DTMFMethod", "phone.dtmf_method", "0 auto, 1 inband, 2 rtp, 3 info",
        convert=numbered("auto", "inband", "rtp", "info")),
    Key("autoAnswer", "phone.auto_answer", '"all" and "header" as there; "button" as the button (AA) stood'),
    Key("AA", "phone.auto_answer", "with autoAnswer=button"),
    Key("autoAnswerDelay", "phone.auto_answer_delay", convert=seconds),
    Key("autoAnswerCalls", "phone.auto_answer_calls", "empty is idle", convert=one_of(empty="idle", hold="hold", all="all")),
    Key("forwarding", "phone.forwarding", '"all", or "button" with the button (FWD) pressed: to forwardingNumber'),
    Key("forwardingNumber", "phone.forwarding", "see forwarding"),
    Key("FWD", "phone.forwarding", "see forwarding"),
    Key("forwardingDelay", "phone.forwarding_delay", convert=seconds),
    Key("denyIncoming", "phone.dnd", '"all", or "button" with the button (DND) pressed; the finer rules: `[hooks] decide`'),
    Key("DND", "phone.dnd", "see denyIncoming"),
    Key("callWaiting", "phone.call_waiting", convert=switch),
    Key("maxConcurrentCalls", "phone.max_calls", convert=whole),
    Key("autoHangUpTime", "phone.auto_hangup", convert=seconds),
    Key("autoRecording", "phone.auto_recording", convert=switch),
    Key("recordingPath", "phone.recording_dir", "if there is such a folder on this machine"),
    Key("sourcePort", "sip.port", "0 is any port there, and nothing here", convert=lambda value: whole(value) or None),
    Key("userAgent", "sip.user_agent", convert=text),
    Key("rtpPortMin", "media.rtp_ports", "with rtpPortMax"),
    Key("rtpPortMax", "media.rtp_ports", "with rtpPortMin"),
    Key("dnsSrvNs", "sip.nameservers"),
    Key("featureCodeCP", "account.pickup_prefix", "for every account"),
    Key("usersDirectory", "contacts.directory", "certificates are checked here; http only if no password is in it"),
    *(Key(name, f"hooks.{HOOKS[name.lower()]}", _HOOK_WORDS) for name in (
        "cmdOutgoingCall", "cmdIncomingCall", "cmdCallRing", "cmdCallAnswer", "cmdCallAnswerVideo", "cmdCallStart",
        "cmdCallBusy", "cmdCallEnd",
    )),
    *_unsupported("recordings are WAV files unless `recording_format` says otherwise (docs/sound.md)", "recordingFormat"),
    *_unsupported("a level that is too low is raised by phone.gain_control, or in the system's sound settings",
                  "micAmplification", "swLevelAdjustment"),
    *_unsupported("no choice of callers here: `[hooks] decide` or an answering program can do it (docs/hooks.md)",
                  "autoAnswerNumber", "noIgnoreCall"),
    *_unsupported("the exchange's codes for transfers are sent as digits: offhook dtmf '##1002'; better: offhook transfer",
                  "featureCodeBT", "featureCodeAT", "enableFeatureCodeBT", "enableFeatureCodeAT"),
    *_needless("offhook pickup is always there", "enableFeatureCodeCP"),
    *_unsupported("there is no video", "disableVideo", "videoCaptureDevice", "videoCodec", "videoH264", "videoH263", "videoVP8",
                  "videoVP9", "videoBitrate"),
    *_unsupported("there is no port knocking", "portKnockerHost", "portKnockerPorts"),
    *_unsupported("often not needed: `offhook doctor --stun HOST` shows how others see you; else `[nat]` has `stun` and "
                  "`policy` (docs/nat.md)", "STUN", "enableSTUN"),
    *_unsupported("there is no own ringing sound", "ringingSound", "volumeRing"),
    *_unsupported("calls are merged by command: offhook conference create", "AC"),
    *_needless("the name service is asked for SRV as RFC 3263 says", "dnsSrv"),
    *_needless("always so here", "rport", "forceCodec", "opusStereo", "networkChanges", "disableMessaging", "localDTMF"),
    *_needless("several calls at once are no special case here", "singleMode"),
    *_needless("calls without an account are always possible", "enableLocalAccount"),
    *_needless("the journal has it all: offhook events", "enableLog", "crashReport"),
    *_needless("of the window, which this phone has not", "defaultAction", "enableMediaButtons", "headsetSupport",
               "bringToFrontOnIncoming", "randomAnswerBox", "disableNameLookup", "multiMonitor", "noResize", "minimized",
               "alwaysOnTop", "activeTab", "enableShortcuts", "shortcutsBottom", "buttonAC", "buttonCONF", "recordingButton",
               "silent", "mainX", "mainY", "mainW", "mainH", "messagesX", "messagesY", "messagesW", "messagesH", "ringinX",
               "ringinY", "callsWidth0", "callsWidth1", "callsWidth2", "callsWidth3", "callsWidth4", "contactsWidth0",
               "contactsWidth1", "contactsWidth2"),
    *_needless("of the program itself", "updatesInterval", "checkUpdatesTime", "lastCallNumber", "lastCallHasVideo", "version",
               "callsLastKey"),
)  # fmt: skip
"""[Settings]."""

ACCOUNT: Final[tuple[Key, ...]] = (
    Key("label", "account.label", "the account's id is made of it", convert=text),
    Key("domain", "account.domain", "else server"),
    Key("server", "account.proxy", "if it is not the domain, and there is no proxy"),
    Key("proxy", "account.proxy", "the first one; the others are `account.backups`"),
    Key("username", "account.username", convert=text),
    Key("password", words="into the system's keyring or secrets.json; one that MicroSIP has encrypted cannot be read"),
    Key("passwordSize", why="secret", words="it belongs to an encrypted password"),
    Key("authID", "account.auth_username", convert=text),
    Key("displayName", "account.display_name", convert=text),
    Key("dialingPrefix", "account.dialing_prefix", convert=text),
    Key("dialPlan", "account.dial_plan", "the same syntax", convert=text),
    Key("SRTP", "account.srtp", "mandatory, dtls and dtls-sdes are required, optional is optional; dtls needs `offhook[dtls]`"),
    Key("keepAlive", "account.keep_alive", convert=whole),
    Key("publish", "account.publish_presence", convert=switch),
    Key("voicemailNumber", "account.mwi", "the mailbox is watched; it is dialled like any number"),
    Key("hideCID", "account.hide_caller_id", convert=lambda value: value not in ("", "0") or None),
    Key("transport", "account.transport", "one that is not known is not replaced: the account then does not register"),
    Key("registerRefresh", "account.expires", convert=whole),
    *_unsupported("session timers are the whole phone's: [phone] session_expires = 0 ends them", "disableSessionTimer"),
    *_unsupported("often not needed: the registrar tells the phone how it is seen from outside; else `nat` of the account, and "
                  "`[nat]` (docs/nat.md)", "publicAddr", "ICE"),
    *_needless("always so here, unless `rewrite_contact = false`", "allowRewrite"),
    *_needless("always so here", "rememberPassword"),
)
"""[Account1], [Account2] …"""

SECTIONS: Final = (("Settings", SETTINGS), ("AccountN", ACCOUNT))


def table() -> str:
    """Return the table of docs/from-microsip.md."""
    lines = []
    for section, keys in SECTIONS:
        lines += [f"### [{section}]", "", "| key | becomes | |", "|---|---|---|"]
        lines += [f"| `{key.name}` | `{key.into}` | {key.words} |" for key in keys if not key.why and key.into]
        lines += [f"| `{key.name}` | | {key.words} |" for key in keys if not key.why and not key.into]
        left: dict[str, list[str]] = {}
        for key in keys:
            if key.why:
                left.setdefault(key.words, []).append(f"`{key.name}`")
        lines += [f"| {' '.join(names)} | not taken | {words} |" for words, names in left.items()]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(table(), end="")
