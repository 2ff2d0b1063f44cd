"""What each argument and option of a verb means, its unit, and what holds without it: the verbs' help is made from this table.

Apart from `verbs.py`, because only the help reads it, and the command line is to start fast.
"""

from __future__ import annotations

_WAITED = "with --wait: seconds until it is given up (exit code 5); without it for ever"
_SINGLE = "the only one of the call, or this one, by its id"
_CONFIG = "the configuration file; without it the usual one"
_ENCODING = "how texts are written that are not UTF-8, as cp1251; without it the system's code page or what fits"

EVERYWHERE = {
    "json": "write JSON for programs; what went wrong as a problem object, in one line on stderr",
    "socket": "the phone's socket; without it OFFHOOK_SOCKET, else the usual one",
}
"""Options that every verb takes."""

USUAL = {
    "account": "the account, by its id; without it the one that fits",
    "after": "begin behind this event, by its id",
    "beep": "let the far end hear that it is recorded",
    "call": "the call: its id, or active, ringing, last; without it the current one",
    "codecs": "codecs separated by commas, the preferred one first; without it the account's or the phone's",
    "config": _CONFIG,
    "count": "end after so many; without it never",
    "detect": "what to listen for once it is answered: dtmf,tones,beep,vad,amd",
    "dry-run": "say what would be taken over, and write nothing",
    "encoding": _ENCODING,
    "header": "a SIP header to add, as X-Name:value; may be given several times",
    "limit": "at most so many; without it 50",
    "no-hold": "leave the active call as it is; without it that is put on hold first",
    "play": "a sound file to play once it is answered",
    "record": "record the call once it is answered",
    "scopes": "what is allowed, separated by commas: read,call,media,record,config,admin,keys",
    "tag": "a word of your own to keep with the call, as order=4711; may be given several times",
    "status": "the SIP status of a refusal, 300 to 699; without it the setting (486)",
    "timeout": _WAITED,
    "types": "the types of events, as call.*,dtmf.received; without it all",
    "user-to-user": "what is handed to the far end in User-to-User (RFC 7433), as 48656c6c6f;encoding=hex",
    "verbose": "show what happens, event by event",
    "wait": "stay until it is done, and show how it ended",
}
"""What an option of this name means, where `SPECIAL` does not say something else."""

_CONTACT = {
    "name": "the name to show",
    "number": "a number or address",
    "first-name": "the first name",
    "last-name": "the last name",
    "phone": "a second number",
    "mobile": "a third number",
    "email": "the e-mail address",
    "address": "the street",
    "city": "the town",
    "state": "the state or region",
    "zip": "the postal code",
    "comment": "a note",
    "info": "a line to show with the name",
    "external-id": "what another system calls this contact",
    "starred": "make it a favourite",
    "not-starred": "make it no favourite",
    "limit": "at most so many; without it 100",
    "after": "begin behind this contact, by its id",
    "format": "export: how it is written; without it as the file's suffix (.vcf, .csv) says, on the terminal vcard",
}

SPECIAL: dict[str, dict[str, str]] = {
    "run": {
        "sound": "miniaudio, sounddevice, null (no sound card), or file:IN.wav,OUT.wav; without it the setting (auto)",
        "media": "carry sound in a process of its own or in a thread; without it the setting (process)",
        "port": "the port for SIP, 0 for any free one; without it the setting",
        "http": "listen for HTTP too, on 127.0.0.1 unless a host is named",
    },
    "doctor": {
        "stun": "a STUN server to ask as well",
        "timeout": "seconds for each question over the network, up to 60; without it 4",
    },
    "exchange": {
        "host": "the address to listen at; without it 127.0.0.1",
        "port": "the port for SIP, 0 for any free one; without it 5070",
        "tls": "listen for TLS and WebSocket too",
        "md5": "ask for passwords by MD5 alone, for phones that fail where SHA-256 is asked for as well: Janus, gnome-calls",
    },
    "dial": {
        "digits": "keys to send once it is answered; a comma is a pause",
        "ring-timeout": "seconds to let it ring; without it the setting",
        "id": "the id the call is to have; without it a new one",
        "beside": "a running call that this one can be joined with, where there are several media workers",
    },
    "call": {
        "media": "pcap: with the packets of its sound, as far as `capture` has kept them",
        "opened": "pcap: with the packets of an encrypted call in the clear; needs the scope keys",
    },
    "decide": {"to": "redirect: where the call goes"},
    "hangup": {"all": "end all calls"},
    "dtmf": {"method": "how keys are sent; without it the setting"},
    "transfer": {"attended": "connect two calls of ours with each other"},
    "info": {"type": "what kind of text it is; without it text/plain"},
    "watches": {"id": "the id the watch is to have; without it a new one"},
    "play": {
        "tone": "one to four frequencies in hertz instead of a file, as 440 or 350+440",
        "duration": "milliseconds of a tone; without it until it is stopped",
        "loop": "begin again at the end of the file",
        "gain": "decibels louder, or quieter if negative: -60 to 20; without it 0",
        "queue": "after what plays already, not in its place",
        "mix": "beside what plays already, not in its place",
        "stop": "end what plays",
        "pause": "let what plays pause",
        "resume": "let it go on",
        "playback": "with --stop, --pause, --resume: this one, by its id; without it all of the call",
    },
    "stream": {
        "dialect": "the messages that are spoken; without it twilio",
        "rate": "samples a second of pcm: 8000, 16000, 24000 or 48000; without it 16000",
        "track": "what the program hears: the far end, what we send, or both; without it inbound",
        "listen-only": "the program cannot speak",
        "parameter": "a word for the program; may be given several times",
        "control": "let the program send digits and hang up (pcm only)",
        "end-call": "hang up when the stream ends by itself",
        "stop": "end this stream, by its id",
    },
    "record": {
        "file": "the file to write, also written behind start; without it a new one in the recordings folder",
        "format": "how it is written; without it as the file's suffix says, else the setting",
        "stereo": "us left, the far end right; without it both mixed",
        "max": "seconds until it ends by itself, up to a day; without it never",
        "recording": f"stop, pause, resume: {_SINGLE}",
    },
    "capture": {
        "seconds": "seconds until it ends by itself, 1 to 3600; without it 600",
        "keys": "keep what opens the packets of an encrypted call, too; needs the scope keys",
    },
    "levels": {
        "interval": "milliseconds between two lines, 100 to 10000; without it 200",
        "timeout": "seconds to show them; without it 3600",
    },
    "tap": {
        "hear": "whose words it hears: near is this phone, far the far end; without it both",
        "speak": "who hears what it says; without it none",
        "stop": "end the tap of this call",
    },
    "conference": {"id": "the id the conference is to have; without it a new one"},
    "accounts": {
        "domain": "the registrar's domain",
        "username": "the user part of its address",
        "auth-username": "the name to authenticate with; without it the user name",
        "display-name": "the name the other side sees",
        "label": "the name you see",
        "proxy": "an outbound proxy: a URI, or HOST:PORT",
        "transport": "how SIP travels; without it udp",
        "dial-plan": "which numbers may be dialled, and what becomes of them; without it all",
        "no-register": "place calls only",
        "keep": "change the configuration file, too",
        "config": "with --keep: the configuration file; without it the one the phone was started with",
        "ask-password": "ask for the password, or read it from a pipe",
    },
    "token": {
        "scopes": f"{USUAL['scopes']}; without it all but keys",
        "calls-per-minute": "most calls, transfers and texts a minute; 0 is no bound, as without it",
        "max-calls": "most calls at once; 0 is no bound, as without it",
        "allow": "numbers it may call; may be given several times; change: none takes all away",
        "deny": "numbers it may not call; may be given several times; change: none takes all away",
    },
    "forward": {"delay": "seconds of ringing before it, up to 300; without it at once"},
    "auto-answer": {"delay": "seconds of ringing before it, up to 300; without it at once"},
    "events": {"follow": "go on when the phone is started again", "timeout": "seconds until the end; without it never"},
    "wait": {
        "timeout": "seconds to wait at most (then exit code 5); without it for ever",
        "call": "the call: its id, or active, ringing, last, current; without it any",
        "account": "registered: the account, by its id; without it all",
        "data": "an event: a field it must have, as digit=#; may be given several times",
        "after": "an event's id: what has come since then counts, too",
    },
    "messages": {"before": "only what is older than this text, by its id"},
    "history": {
        "before": "only what is older than this entry, by its id",
        "missed": "only calls that were missed",
        "direction": "only incoming or outgoing calls",
        "account": "only calls of this account, by its id",
        "remote": "only calls with this in the far end's address or name",
        "tag": "only calls with this tag: its name, or name=value",
        "since": "only calls that began then or later: 2026-01-31, or 2026-01-31T08:00",
        "until": "only calls that began before that",
    },
    "webhooks": {
        "secret": "add, rotate: what requests are signed with; without it a new one, which is shown once",
        "timeout": "add: seconds for an answer, 0.1 to 60; without it 10; test: seconds to wait for it",
        "description": "add: a word about it",
        "skip": "enable: leave out what has come since it was switched off",
    },
    "contacts": _CONTACT,
    "mcp": {"scopes": f"{USUAL['scopes']}; without it read,call,media"},
    "open": {"yes": "do not ask", "dialog": "ask in a window, not on the terminal"},
    "desktop": {"dde": "Windows: links arrive by DDE, where nobody is asked"},
}
"""By verb and option, where `USUAL` does not fit."""


_RINGING = "the call, by its id; without it the one that has rung longest"
_TO = "a number or an address: 1001, sip:ann@example.org"

ARGUMENTS: dict[str, dict[str, str]] = {
    "doctor": {"to": f"{_TO}; what would be in the way of a call there"},
    "drain": {"switch": "on (as without it) or off"},
    "import": {"path": "the file or folder; on Windows without it MicroSIP's own folder"},
    "dial": {"to": _TO},
    "call": {"call": "the call's id, or one of the words above", "id": "the call's id", "file": "the file to write"},
    "answer": {"call": _RINGING},
    "reject": {"call": _RINGING},
    "redirect": {"to": _TO, "call": _RINGING},
    "decide": {
        "action": "answer, reject, redirect, dnd, ring (nothing but ring), default (as the settings say)",
        "call": "the call, by its id; without it the one that has waited longest",
    },
    "codecs": {"names": "codecs separated by commas, the preferred one first"},
    "tag": {"words": "name=value; an empty value takes the tag away, tags not named stay"},
    "dtmf": {"digits": "0-9 * # A-D, in one word; a comma pauses"},
    "transfer": {
        "to": f"{_TO}; with --attended the one call, without it the current one",
        "call": f"{USUAL['call']}; with --attended the other call",
    },
    "info": {"body": "the text to send"},
    "message": {"to": _TO, "text": "the text"},
    "pickup": {"to": "whose phone rings: a number or an address"},
    "volume": {"action": "0 to 100, or up, down", "amount": "up, down: steps of 10, 1 to 10; without it 1"},
    "mic-volume": {"volume": "0 to 100"},
    "devices": {
        "action": "list (as without it), set, test", "kind": "input, output or ring",
        "device": "its id, its number in the list, or a part of its name; without it the system's default",
    },
    "voice": {"parts": "echo (canceller), noise (suppression), gain (level), each with =on or =off"},
    "play": {"file": "the sound file, or where it is on the web"},
    "playbacks": {"call": "only those of this call; without it all"},
    "stream": {"url": "the program's address, as wss://bot.example.org/calls"},
    "record": {
        "action": "start (as without it), stop, pause, resume; or the file, if its name has a dot or a slash",
        "file": "start: the file to write",
    },
    "recordings": {"call": "only those of this call; without it all"},
    "capture": {"action": "start (as without it) or stop"},
    "listen": {"what": "one or more of those above, or off"},
    "tap": {"by": "the call that is to listen", "call": "the call that is heard; without it the current one"},
    "conference": {"action": "one of those above; without it list", "what": "what is written in capitals above"},
    "watches": {"action": "one of those above; without it list", "what": "what is written in capitals above"},
    "accounts": {"action": "one of those above; without it list", "account": "the account, by its id"},
    "password": {"account": "the account, by its id; turn for the TURN server's"},
    "token": {"action": "create, list, change or revoke", "name": "what you call it"},
    "dnd": {"switch": "on (as without it) or off"},
    "forward": {"to": f"{_TO}; or off"},
    "auto-answer": {"mode": "off, header (calls whose caller asks for it) or all"},
    "wait": {"what": "one or more, separated by spaces or commas"},
    "messages": {"action": "list (as without it) or clear"},
    "history": {
        "action": "list (as without it), export, delete or clear",
        "entry": "delete: the entry's id; export: the file to write (.csv, .json, .jsonl), - for the terminal or a pipe",
    },
    "contacts": {"action": "one of those above; without it list", "what": "what is written in capitals above"},
    "webhooks": {"action": "one of those above; without it list", "target": "add: the address; else the webhook's id"},
    "open": {"uri": "the link, as tel:+4930123456"},
    "desktop": {"action": "install, remove or status (as without it)"},
    "dde": {"text": "the string, several as [Mute][Status]"},
    "copydata": {"code": "the command's number, 1 to 10, or its name", "text": "its string"},
    "op": {"name": "one of those `offhook help ops` lists", "fields": "name=text, or name:=JSON"},
    "completion": {"shell": "bash, zsh, fish or powershell; the head of the script says where it goes"},
    "help": {"topic": "a verb, or one of those above"},
}  # fmt: skip
"""By verb and argument, where it is not `call` as it usually is."""


WORDS: dict[str, tuple[str, ...]] = {
    verb: tuple(words.split())
    for verb, words in {
        "drain": "on off",
        "call": "active ringing last list stats trace pcap keys",
        "decide": "answer reject redirect ring dnd default",
        "volume": "up down",
        "devices": "list set test input output ring",
        "voice": "echo=on echo=off noise=on noise=off gain=on gain=off",
        "record": "start stop pause resume",
        "capture": "start stop",
        "listen": "dtmf tones beep vad amd off",
        "conference": "list create join leave mute unmute end",
        "watches": "list presence dialog mwi remove",
        "accounts": "list add change remove register unregister select",
        "password": "turn",
        "token": "create list change revoke",
        "dnd": "on off",
        "forward": "off",
        "auto-answer": "off header all",
        "wait": "calling ringing early incoming active held_local held_remote held_both ended answered registered",
        "messages": "list clear",
        "history": "list export delete clear",
        "contacts": "list search get add update remove import export",
        "webhooks": "list add remove test enable disable rotate",
        "desktop": "install remove status",
        "copydata": "DIAL HANGUP ANSWER STATUS ACTIVECALL MUTE TRANSFER DTMF VOLUME QUIT",
        "completion": "bash zsh fish powershell",
    }.items()
}
"""By verb, the words that can stand behind it: what a shell completes."""


EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": ("run", "run --sound null --http 5080"),
    "doctor": ("doctor", "doctor 1001"),
    "import": ("import MicroSIP.ini --dry-run", "import people.vcf"),
    "exchange": ("exchange --port 5070",),
    "dial": ("dial 1001", "dial sip:ann@example.org --wait --timeout 30", "dial 1001 --digits ,12 --record"),
    "call": ("call active", "call stats c_1", "call pcap c_1 call.pcap --media"),
    "answer": ("answer", "answer c_1 --wait"),
    "reject": ("reject --status 603",),
    "redirect": ("redirect 1002",),
    "decide": ("decide redirect --to 1002",),
    "hangup": ("hangup", "hangup c_1", "hangup --all"),
    "dtmf": ("dtmf 12,34#",),
    "transfer": ("transfer 1002 --wait", "transfer --attended c_1 c_2"),
    "info": ('info "Signal=5" --type application/dtmf-relay',),
    "message": ("message 1001 I am late",),
    "mic-volume": ("mic-volume 80",),
    "devices": ("devices", "devices set output headset", "devices test output"),
    "play": ("play hello.wav --wait", "play --tone 440 --duration 500", "play --stop"),
    "stream": ("stream wss://bot.example.org/calls --end-call",),
    "record": ("record start talk.wav --stereo", "record talk.wav", "record stop"),
    "capture": ("capture --seconds 60", "capture stop"),
    "listen": ("listen dtmf amd", "listen off"),
    "levels": ("levels --timeout 10",),
    "tap": ("tap c_2 c_1 --speak near", "tap --stop c_2"),
    "conference": ("conference create c_1 c_2", "conference join conf_1 c_3"),
    "watches": ("watches dialog 1002", "watches mwi"),
    "accounts": (
        "accounts add work --domain example.org --username 1001 --ask-password --keep", "accounts register work --wait",
    ),
    "password": ("password work",),
    "token": ("token create crm --scopes read,call --max-calls 2",),
    "forward": ("forward 1002 --delay 20", "forward off"),
    "auto-answer": ("auto-answer all --delay 2",),
    "events": ("events --json", 'events --types "call.*" --follow'),
    "wait": ("wait ended --call c_1 --timeout 60", "wait dtmf.received --data digit=1"),
    "history": ("history --limit 10", "history export calls.csv"),
    "contacts": (
        "contacts add 1001 Ann Example", "contacts search ann", "contacts import people.vcf", "contacts export people.csv",
    ),
    "webhooks": ('webhooks add https://example.org/hook --types "call.*"',),
}
"""How a verb is written, where its summary does not show that (a test reads them)."""


def argument(verb: str, name: str) -> str:
    """Return what an argument of a verb means. Every argument of every verb has a meaning: a test looks."""
    return ARGUMENTS.get(verb, {}).get(name) or USUAL[name]


def meaning(verb: str, option: str) -> str:
    """Return what an option of a verb means. Every option of every verb has a meaning: a test looks."""
    return SPECIAL.get(verb, {}).get(option) or USUAL.get(option) or EVERYWHERE[option]
