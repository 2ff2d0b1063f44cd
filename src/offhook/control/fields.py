"""What the fields of commands mean and which values the phone takes, in JSON Schema's words: one table for every description.

The numbers are the phone's own constants, and a test asks a phone whether it draws the lines where this table says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from offhook.control.conditions import Condition
from offhook.phone import commands as c
from offhook.phone.captures import MOST_SECONDS
from offhook.phone.contacts import MAX_BATCH, MAX_COMMENT, MAX_FIELD, MAX_PAGE, MAX_SEARCH
from offhook.phone.contacts import TEXTS as CONTACT_TEXTS
from offhook.phone.devices import LEAST_INTERVAL_MS, MOST_INTERVAL_MS, MOST_METERED
from offhook.phone.dialplan import MAX_PLAN, MAX_TARGET
from offhook.phone.digits import DURATION_MS, GAP_MS, MAX_DIGITS
from offhook.phone.headers import MAX_HEADERS, MAX_USER_TO_USER
from offhook.phone.meters import LEAST_CALL_INTERVAL_MS
from offhook.phone.model import ContactDetails
from offhook.phone.outgoing import MAX_RING
from offhook.phone.playing import MAX_GAIN_DB, MAX_PLAY_MS, MIN_GAIN_DB
from offhook.phone.preferences import MAX_DELAY
from offhook.phone.recording import MAX_RECORD
from offhook.phone.settings import AccountSettings
from offhook.phone.sound import MAX_STEPS
from offhook.phone.streams import MAX_PARAMETERS
from offhook.phone.tags import MAX_TAGS
from offhook.phone.texts import MAX_TEXT
from offhook.phone.urls import MAX_URL

Keywords: TypeAlias = Mapping[str, Any]

_PERCENT: Final[Keywords] = {"minimum": 0, "maximum": 100}
_TARGET: Final[Keywords] = {"minLength": 1, "maxLength": MAX_TARGET}
_STEPS: Final[Keywords] = {"minimum": 1, "maximum": MAX_STEPS}
_DELAY: Final[Keywords] = {"minimum": 0, "maximum": MAX_DELAY}
_HEADERS: Final = {"headers": {"maxItems": MAX_HEADERS}, "user_to_user": {"maxLength": MAX_USER_TO_USER}}
_KEYS: Final = "[0-9*#A-Da-d,]"

LIMITS: Final[Mapping[type, Mapping[str, Keywords]]] = {
    c.Dial: {
        "to": _TARGET,
        "id": {"pattern": "^([A-Za-z0-9_.-]{1,64})?$"},
        **_HEADERS,
        "tags": {"maxItems": MAX_TAGS},
        "ring_timeout": {"minimum": 0, "maximum": MAX_RING},
        "digits": {"pattern": rf"^(\s*{_KEYS}{{1,{MAX_DIGITS}}}\s*)?$"},
    },
    c.Answer: _HEADERS,
    c.Hangup: _HEADERS,
    c.TagCall: {"tags": {"minItems": 1, "maxItems": MAX_TAGS}},
    c.Reject: {**_HEADERS, "status": {"minimum": 0, "maximum": 699, "not": {"minimum": 1, "maximum": 299}}},
    c.Redirect: {"to": _TARGET},
    c.SendDtmf: {
        "digits": {"pattern": rf"^\s*{_KEYS}{{1,{MAX_DIGITS}}}\s*$"},
        "duration_ms": {"minimum": DURATION_MS.start, "maximum": DURATION_MS.stop - 1},
        "gap_ms": {"minimum": GAP_MS.start, "maximum": GAP_MS.stop - 1},
    },
    c.Transfer: {"to": _TARGET},
    c.SendInfo: {"body": {"maxLength": MAX_TEXT}, "content_type": {"pattern": "^[!-.0-~]+/[!-~]+$", "maxLength": 128}},
    c.SendMessage: {"to": _TARGET, "text": {"minLength": 1, "maxLength": MAX_TEXT}},
    c.Play: {
        "tone": {"pattern": r"^([0-9.]+(\+[0-9.]+){0,3})?$"},
        "duration_ms": {"minimum": 0, "maximum": MAX_PLAY_MS},
        "gain_db": {"minimum": MIN_GAIN_DB, "maximum": MAX_GAIN_DB},
        "url": {"maxLength": MAX_URL},
    },
    c.Record: {"max_seconds": {"minimum": 0, "maximum": MAX_RECORD}},
    c.Capture: {"seconds": {"minimum": 1, "maximum": MOST_SECONDS}},
    c.StreamAudio: {"url": {"minLength": 1, "maxLength": MAX_URL}, "parameters": {"maxItems": MAX_PARAMETERS}},
    c.CreateConference: {"id": {"pattern": "^([A-Za-z0-9_-]{1,64})?$"}},
    c.CreateWatch: {"to": {"maxLength": MAX_TARGET}, "id": {"pattern": "^([A-Za-z0-9_-]{1,64})?$"}},
    c.Pickup: {"to": _TARGET},
    c.SetVolume: {"volume": _PERCENT},
    c.SetMicVolume: {"volume": _PERCENT},
    c.MeterAudio: {
        "interval_ms": {"minimum": LEAST_INTERVAL_MS, "maximum": MOST_INTERVAL_MS},
        "seconds": {"minimum": 0, "maximum": MOST_METERED},
    },
    c.MeterCall: {
        "interval_ms": {"minimum": LEAST_CALL_INTERVAL_MS, "maximum": MOST_INTERVAL_MS},
        "seconds": {"minimum": 0, "maximum": MOST_METERED},
    },
    c.VolumeUp: {"steps": _STEPS},
    c.VolumeDown: {"steps": _STEPS},
    c.SetForwarding: {"to": {"maxLength": MAX_TARGET}, "delay": _DELAY},
    c.SetAutoAnswer: {"delay": _DELAY},
    c.ListContacts: {"search": {"maxLength": MAX_SEARCH}, "limit": {"minimum": 1, "maximum": MAX_PAGE}},
    c.ImportContacts: {"contacts": {"maxItems": MAX_BATCH}},
    ContactDetails: {
        **{name: {"maxLength": MAX_FIELD} for name in CONTACT_TEXTS},
        "name": {"minLength": 1, "maxLength": MAX_FIELD},
        "comment": {"maxLength": MAX_COMMENT},
    },
    AccountSettings: {
        "id": {"pattern": "^[A-Za-z0-9_.-]{1,64}$", "not": {"const": "local"}},
        "domain": {"minLength": 1},
        "username": {"minLength": 1},
        "expires": {"minimum": 1, "maximum": 86400},
        "dial_plan": {"maxLength": MAX_PLAN},
    },
}
"""By command and field; what is beyond is refused as invalid-argument."""

_CALL: Final = "A call's id, or `active`, `ringing`, `last`; empty: the current call, the one STATUS speaks of."
_ACCOUNT: Final = "An account's id."

_MEANINGS: Final[Mapping[str, str]] = {
    "call": _CALL,
    "account": _ACCOUNT,
    "to": "A number, or an address such as sip:1001@example.org.",
    "headers": "SIP headers to add, as pairs or as an object (a name may come twice in pairs): X-…, and those in sent_headers.",
    "user_to_user": "What is handed to the far end in User-to-User (RFC 7433), as 48656c6c6f;encoding=hex.",
    "tags": "Words of your own that stay with the call, as pairs or as an object.",
    "digits": "Keys 0-9 * # A-D; a comma is a pause.",
    "duration_ms": "Milliseconds.",
    "gap_ms": "Milliseconds between two digits.",
    "volume": "0 is silent, 100 is unchanged.",
    "steps": "Steps of 10.",
    "device": "A sound device: its id, its index, or a unique part of its name; empty: the system's default.",
    "paused": "False goes on.",
    "enabled": "On or off.",
    "detect": "What to listen for: digits in the sound, tones, beeps, speech (vad), who answered (amd).",
    "record": "Record the call once it is answered.",
    "play": "A sound file on the phone's machine to play once it is answered.",
    "hold_others": "Put the active call on hold first.",
    "delay": "Seconds to wait first.",
    "conference": "A conference's id.",
    "contact": "A contact's id.",
    "details": "What is known of the contact.",
}
"""What a field of this name means wherever it stands."""

_SPECIAL: Final[Mapping[type, Mapping[str, str]]] = {
    c.Dial: {
        "account": "The account to call with: its id, label or user name; empty: the one that fits.",
        "id": "The call's id, if you want to choose it; not one of active, ringing, last.",
        "hold_others": "Put the active call on hold first.",
        "only_if_idle": "Refuse with line-busy while any call rings, is active or on hold.",
        "beside": "A running call whose sound is to be in the same media worker, so that both can be joined (media.workers).",
        "ring_timeout": "Seconds to let it ring; 0: the setting, or for ever.",
        "digits": "Keys to send once it is answered; a comma is a pause.",
        "codecs": "Codecs to offer, the preferred one first, in place of the account's or the phone's: `opus`, `PCMA` …",
    },
    c.Answer: {"codecs": "Codecs to accept, and no others; empty: the account's or the phone's."},
    c.SetCodecs: {"codecs": "Codecs to offer, the preferred one first: `opus`, `G722` …; empty: the account's or the phone's."},
    c.TagCall: {
        "tags": "Words of your own, as pairs or as an object; an empty value takes one away, those not named stay.",
        "call": "A call's id, also of one that has ended, or `active`, `ringing`, `last`; empty: the current call.",
    },
    c.Reject: {"status": "The SIP status to refuse with, 300-699; 0: the setting (486 Busy Here)."},
    c.Decide: {
        "action": "What becomes of the call.",
        "call": "A call's id; empty: the oldest that waits for a decision.",
        "status": "The SIP status of a reject, 300-699; 0: the setting (486 Busy Here).",
        "to": "Where a redirect goes.",
    },
    c.TransferAttended: {
        "call": "The call whose far end is connected with that of `with_call`; empty: the only other one that is answered.",
        "with_call": "The call whose place it takes; a call's id or a word for one; empty: the current call.",
    },
    c.HangupAll: {"which": "Which calls to end."},
    c.Mute: {"call": "A call's id, or a word for one; empty: all calls, present and future."},
    c.Unmute: {"call": "A call's id, or a word for one; empty: all calls, present and future."},
    c.SendDtmf: {
        "method": "How to send them; empty: the setting.",
        "duration_ms": "Milliseconds for which each key is pressed.",
    },
    c.SendInfo: {"body": "The text to send.", "content_type": "What kind of text it is."},
    c.SendMessage: {"text": "The text to send.", "account": "The account to send with; empty: the one that fits."},
    c.Play: {
        "file": "A sound file on the phone's machine: WAV, MP3, FLAC, Ogg.",
        "url": "A sound file on the web: https://, http://.",
        "tone": "One to four frequencies of 50-3800 Hz: 440, 350+440.",
        "duration_ms": "Milliseconds of a tone or of silence; 0: until stopped.",
        "loop": "Begin again at the end of the file.",
        "gain_db": "Decibels louder, or quieter if negative.",
        "mode": "In place of what plays already, after it, or beside it.",
    },
    c.StopPlay: {"playback": "A playback's id; empty: all of the call."},
    c.PausePlay: {"playback": "A playback's id; empty: all of the call."},
    c.ListPlaybacks: {"call": "A call's id, or a word for one; empty: all calls."},
    c.Record: {
        "file": "The file to write on the phone's machine; empty: a new name in the recordings folder.",
        "channels": "Both sides mixed, or us left and the far end right.",
        "max_seconds": "Seconds after which it ends by itself; 0: never.",
        "beep": "Let the far end hear that it is recorded.",
        "format": "How it is written; empty: as the file's suffix says, else as the setting says.",
    },
    c.StopRecord: {"recording": "A recording's id; empty or `current`: the only one of the call."},
    c.PauseRecord: {"recording": "A recording's id; empty or `current`: the only one of the call."},
    c.ListRecordings: {"call": "A call's id (also of one that is over), or a word for one; empty: all calls."},
    c.Capture: {
        "seconds": "Seconds after which it ends by itself.",
        "keys": "Keep the keys that open the packets of an encrypted call, too; needs the scope keys.",
    },
    c.Detect: {"what": "What to listen for; an empty list ends it."},
    c.Tap: {
        "call": "The call that is listened to; empty: the current call.",
        "by": "The call that listens: its id, or a word for it.",
        "hear": "Whose words it hears: near is this phone, far the far end.",
        "speak": "Who hears what it says.",
    },
    c.StopTap: {"by": "The call that listens."},
    c.Loopback: {"enabled": "False ends it."},
    c.OpenAudio: {
        "rate": "Samples a second.",
        "hear": "Hear what the far end says.",
        "speak": "Speak to the far end.",
        "near": "Hear what we send, in place of the far end.",
    },
    c.CloseAudio: {"audio": "The link's id."},
    c.StreamAudio: {
        "url": "The program's WebSocket: ws:// or wss://.",
        "dialect": "The messages that are spoken.",
        "rate": "Samples a second; 0: 16000, in the twilio dialect 8000.",
        "track": "What the program hears: the far end, what we send, or (twilio only) both.",
        "speak": "Let it speak in the call.",
        "parameters": "Words for the program, as pairs or as an object.",
        "control": "Let it send digits and hang up (pcm only).",
        "end_call": "Hang up when the stream ends, unless it was stopped.",
    },
    c.StopAudioStream: {"stream": "The stream's id."},
    c.CreateConference: {"id": "Its name, if you want to choose it.", "calls": "The calls to begin with."},
    c.CreateWatch: {
        "kind": "Presence, the calls of somebody (a busy lamp), or which messages wait in a mailbox.",
        "to": "Whom to watch: a number or an address; empty, for mwi: the account's own mailbox.",
        "account": "The account to ask with; empty: the one that fits.",
        "id": "The watch's id, if you want to choose it.",
    },
    Condition: {
        "call": "A call's id, or `active`, `ringing`, `last`, `current`; without it any call.",
    },
    c.DeleteWatch: {"watch": "A watch's id."},
    c.Pickup: {
        "to": "At whose phone it rings: a number, an address, or the id of a watch of its dialogs.",
        "account": "The account to call with; empty: the one that fits.",
    },
    c.Drain: {"enabled": "False takes new calls again."},
    c.SetDevice: {"kind": "Which of the three."},
    c.SetVoice: {
        "echo_cancellation": "Take out what the microphone hears of the loudspeaker; null: as it is.",
        "noise_suppression": "Turn the noise of the room down; null: as it is.",
        "gain_control": "Bring speech to an even level; null: as it is.",
    },
    c.MeterAudio: {
        "interval_ms": "Milliseconds between two `audio.level` events.",
        "seconds": "How long levels are told; 0: no more from now on.",
    },
    c.MeterCall: {
        "interval_ms": "Milliseconds between two `call.level` events.",
        "seconds": "How long levels are told; 0: no more from now on.",
    },
    c.TestDevice: {"kind": "What is to be heard, or to hear."},
    c.AddAccount: {"account": "The account."},
    c.UpdateAccount: {"changes": "The settings that are to be different, by their names."},
    c.ListContacts: {
        "search": "Words that must all occur, in whichever field; empty: everybody.",
        "limit": "At most so many.",
        "after": "The id of the last contact already seen.",
    },
    c.ImportContacts: {"contacts": "The contacts; send more than 500 in several commands."},
    ContactDetails: {
        "name": "The name to show.",
        "number": "A number, or an address such as sip:1001@example.org.",
        "phone": "A second number.",
        "mobile": "A third number.",
        "info": "A line to show with the name.",
        "external_id": "What another system calls this contact.",
        "presence": "Whether to watch what this person does.",
        "starred": "Whether it is one of the favourites.",
    },
    c.SetForwarding: {"to": "A number or an address; empty ends it.", "delay": "Seconds of ringing before it; 0: at once."},
    c.SetAutoAnswer: {
        "mode": "Nobody, callers whose request asks for it, or everybody.",
        "delay": "Seconds of ringing before it.",
    },
    AccountSettings: {
        "id": "Its name in this phone: letters, digits, _ . -, and not `local`.",
        "codecs": "Its own codecs, the preferred one first; empty: the phone's.",
        "domain": "The registrar's domain.",
        "username": "The user part of its address.",
        "password": "Kept in the system's keyring; never shown again.",
        "auth_username": "The name to authenticate with; empty: the user name.",
        "display_name": "The name the other side sees.",
        "label": "The name you see.",
        "proxy": "An outbound proxy: a URI, or host:port; empty: none.",
        "transport": "How SIP travels; auto: as the name service says.",
        "backups": "Further servers, used in this order while the first one cannot be reached, or two at once (see outbound): "
                   "URIs, or host:port.",
        "keep_alive": "Seconds between signs of life on a connection; 0: none.",
        "rewrite_contact": "Over UDP, tell the server the address it sees us under in place of our own.",
        "outbound": "Tell the registrar which of a user's phones this is, and register twice if it knows that (RFC 5626).",
        "tls_ca": "A PEM file or folder of who may vouch for the server; empty: whom the system trusts.",
        "tls_certificate": "Our own certificate, a PEM file; empty: none is shown.",
        "tls_key": "The key of our certificate, a PEM file; empty: it is in the same file.",
        "tls_name": "The name the server's certificate must bear; empty: the domain, or the host of the proxy.",
        "tls_verify": "False: whoever answers is believed.",
        "ws_path": "The path of the server's WebSocket.",
        "expires": "Seconds a registration is asked for.",
        "register": "False: calls can be placed, but none are received through the registrar.",
        "dial_plan": "Which numbers may be dialled and what becomes of them, in MicroSIP's syntax; empty: all.",
        "dialing_prefix": "Put before numbers it applies to.",
        "hide_caller_id": "Do not say who calls.",
        "mwi": "Watch its mailbox: the event watch.mwi says which messages wait.",
        "publish_presence": "Tell its server whether we are on the phone.",
        "pickup_prefix": "What the PBX wants before the number whose ringing call is to be taken.",
        "srtp": "Encrypted sound: never, where the far end can, or no call without; `default`: as the section [srtp] says.",
        "hold_music": "What the far end hears on hold: a sound file, or tone:440; empty: as [phone] says.",
        "nat": "How sound gets through NATs, as `policy` in [nat] says it; `default`: as there.",
        "keying": "Where keys come from: signalling (`sdes`) or a handshake in the media (`dtls`); `default`: as [srtp] says.",
    },
}


def limits(shape: type, name: str) -> Keywords:
    """Return JSON Schema's keywords for what a field may be beyond its type."""
    return LIMITS.get(shape, {}).get(name, {})


def meaning(shape: type, name: str) -> str:
    """Return what a field means; "" if nothing is known."""
    return _SPECIAL.get(shape, {}).get(name) or _MEANINGS.get(name, "")
