"""THE list of verbs: what each takes, what it is for, and what it does. The help is made from it."""

from __future__ import annotations

from offhook.cli import helping, webhooks
from offhook.cli.actions import accounts, calls, elsewhere, events, older, sound
from offhook.cli.actions.common import simple
from offhook.cli.parsing import Verb

_WAIT = {"wait": "flag", "timeout": "SECONDS"}
_EXTRA = {"header": "HEADER...", "user_to_user": "DATA"}

CONTACT_FIELDS = ("name", "number", "first_name", "last_name", "phone", "mobile", "email", "address", "city", "state", "zip",
                  "comment", "info", "external_id")  # fmt: skip
"""The options of `contacts` that are a contact's fields (a test compares them with the phone's)."""

_ONCE_ANSWERED = {"detect": "WHAT", "record": "flag", "play": "FILE"}

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("run", "", "start the phone here, until it is told to quit", elsewhere.run, group="the phone",
             config="FILE", sound="auto|null|NAME", media="process|thread", port="PORT", http="[HOST:]PORT",
             verbose="flag"),
        Verb("status", "", "idle, ringing, active, hold or disconnected", calls.status, group="the phone"),
        Verb("doctor", "[to]", "say what is not in order, and what to do; also for a call to somebody", elsewhere.doctor,
             group="the phone", config="FILE", stun="HOST[:PORT]", timeout="SECONDS"),
        Verb("drain", "[switch]", "take no new calls, let the running ones go on; `drain off` ends it", accounts.drain,
             group="the phone"),
        Verb("reload", "", "read the configuration file again", accounts.reload, group="the phone"),
        Verb("quit", "", "hang up every call, unregister, end the phone", simple("quit", "quitting", fields=""),
             group="the phone"),
        Verb("import", "[path]", "take over MicroSIP.ini, Contacts.xml, CSV, JSON, vCards, call lists, or a folder with them",
             elsewhere.import_, group="the phone", dry_run="flag", config="FILE", encoding="NAME"),
        Verb("exchange", "", "start a practice exchange to call", elsewhere.exchange, group="the phone",
             host="ADDRESS", port="PORT", tls="flag", verbose="flag", md5="flag"),
        Verb("dial", "to", "call a number or URI", calls.dial, group="calls", **_WAIT, account="ACCOUNT", no_hold="flag",
             **_EXTRA, digits="DIGITS", ring_timeout="SECONDS", id="CALL", beside="CALL",
             codecs="NAMES", tag="NAME=VALUE...", **_ONCE_ANSWERED),
        Verb("calls", "", "list the calls", calls.list_calls, group="calls"),
        Verb("call", "[call] [id] [file]", "show a call (call ID), all (call list); of one: stats ID (sound), trace ID (SIP), "
             "pcap ID FILE, keys ID FILE", calls.get_call, group="calls", media="flag", opened="flag"),
        Verb("answer", "[call]", "answer the ringing call", calls.answer, group="calls", **_WAIT, **_EXTRA,
             codecs="NAMES", no_hold="flag", **_ONCE_ANSWERED),
        Verb("reject", "[call]", "refuse the ringing call", calls.reject, group="calls", status="STATUS", **_EXTRA),
        Verb("redirect", "to [call]", "send the ringing call elsewhere", simple("redirect", "redirected", fields="to call"),
             group="calls"),
        Verb("decide", "action [call]", "decide about a call that waits for it: answer, reject, redirect, ring, dnd, default",
             calls.decide, group="calls", status="STATUS", to="TO"),
        Verb("hangup", "[call]", "end a call; --all: every call", calls.hangup, group="calls", all="flag", **_EXTRA),
        Verb("hold", "[call]", "put a call on hold", simple("hold", "holding", "on hold"), group="calls", **_WAIT),
        Verb("resume", "[call]", "take a call off hold", simple("resume", "resuming", "resumed"), group="calls", **_WAIT),
        Verb("codecs", "names [call]", "go on with other codecs, the preferred one first: codecs opus,G722", calls.codecs,
             group="calls", **_WAIT),
        Verb("tag", "words...", "keep words of your own with a call: tag order=4711; an empty one takes it away: tag order=",
             calls.tag, group="calls", call="CALL"),
        Verb("mute", "[call]", "silence the microphone", simple("mute", "muted"), group="calls"),
        Verb("unmute", "[call]", "undo mute", simple("unmute", "not muted"), group="calls"),
        Verb("dtmf", "digits [call]", "send digits; a comma pauses", simple("send_dtmf", "sending digits", "sent",
             fields="digits call method"), group="calls", **_WAIT, method="auto|rtp|info|inband"),
        Verb("transfer", "[to] [call]", "hand the call over to somebody else; --attended [CALL [WITH]]: connect two calls",
             calls.transfer, group="calls", **_WAIT, attended="flag"),
        Verb("info", "body [call]", "send a SIP INFO in the call", calls.info, group="calls", **_WAIT, type="TYPE"),
        Verb("message", "to text...", "send a text", simple("send_message", "sending", "accepted", fields="to text account"),
             group="calls", **_WAIT, account="ACCOUNT"),
        Verb("volume", "[action] [amount]", "show or change the loudspeaker: volume, volume 80, volume up 2, volume down",
             sound.volume, group="sound"),
        Verb("mic-volume", "[volume]", "show or set the microphone", sound.mic_volume, group="sound"),
        Verb("devices", "[action] [kind] [device]", "list sound devices, or: devices set input|output|ring DEVICE, "
             "devices test input|output|ring", sound.devices, group="sound", **_WAIT),
        Verb("voice", "[parts...]", "show or choose what is done to the microphone: voice echo=on noise=off gain=off",
             sound.voice, group="sound"),
        Verb("play", "[file]", "play a sound file (also https://…) or a tone into the call", sound.play, group="sound", **_WAIT,
             call="CALL", tone="HZ", duration="MS", loop="flag", gain="DB", queue="flag", mix="flag", stop="flag", pause="flag",
             resume="flag", playback="PLAYBACK"),
        Verb("playbacks", "[call]", "list what plays into calls, and what waits", sound.playbacks, group="sound"),
        Verb("stream", "[url]", "carry the call's sound to a program's WebSocket, or end that: --stop STREAM", sound.stream,
             group="sound", **_WAIT, call="CALL", dialect="twilio|pcm", rate="HZ", track="inbound|outbound|both",
             listen_only="flag", parameter="NAME=VALUE...", control="flag", end_call="flag", stop="STREAM"),
        Verb("streams", "", "list what is carried to programs", sound.streams, group="sound"),
        Verb("record", "[action] [file]", "record the call: record, record start FILE; stop, pause, resume", sound.record,
             group="sound", call="CALL", file="FILE", format="wav|flac|mp3|opus", stereo="flag", max="SECONDS", beep="flag",
             recording="RECORDING"),
        Verb("recordings", "[call]", "list recordings, the latest finished ones included", sound.recordings, group="sound"),
        Verb("capture", "[action]", "keep the packets of the call's sound for `call pcap`: start, stop; --keys: and what opens "
             "them", sound.capture, group="sound", call="CALL", seconds="SECONDS", keys="flag"),
        Verb("listen", "[what...]", "listen for dtmf, tones, beep, vad (speech), amd (who answered); `listen off` ends it",
             sound.listen, group="sound", call="CALL"),
        Verb("levels", "[call]", "show how loud a call is, both ways, as it goes on", sound.levels, group="sound",
             interval="MS", timeout="SECONDS", count="N"),
        Verb("tap", "[by] [call]", "let the call BY hear another, whisper or barge in: --speak near|far|both; or: --stop BY",
             sound.tap, group="sound", hear="near|far|both|none", speak="near|far|both|none", stop="CALL"),
        Verb("taps", "", "list which calls hear others", sound.taps, group="sound"),
        Verb("conference", "[action] [what...]", "list conferences, or: create CALL..., join CONFERENCE CALL, "
             "leave|mute|unmute CALL, end CONFERENCE", calls.conference, group="sound", id="CONFERENCE"),
        Verb("watches", "[action] [what...]", "list what is watched, or: presence WHOM, dialog WHOM, mwi [MAILBOX], "
             "remove WATCH", calls.watches, group="calls", account="ACCOUNT", id="WATCH"),
        Verb("pickup", "to", "take the call that rings at somebody else's phone", simple("pickup", "taking the call", "taken",
             fields="to account"), group="calls", **_WAIT, account="ACCOUNT"),
        Verb("accounts", "[action] [account]", "list accounts, or add, change, remove, register, unregister, select one; "
             "--keep: in the file, too", accounts.accounts, group="accounts and settings", **_WAIT, domain="DOMAIN",
             username="USER", auth_username="USER", display_name="NAME", label="TEXT", proxy="URI",
             transport="auto|udp|tcp|tls|ws|wss", dial_plan="PLAN", no_register="flag", keep="flag", config="FILE",
             ask_password="flag"),  # noqa: S106 - the name of an option
        Verb("password", "account", "keep an account's password (or that of `turn`), read from the terminal or a pipe",
             elsewhere.password, group="accounts and settings", config="FILE"),
        Verb("token", "action [name]", "who may use HTTP: token create NAME --scopes read,call, token list, token change NAME, "
             "token revoke NAME", elsewhere.token, group="accounts and settings", scopes="SCOPES", calls_per_minute="N",
             max_calls="N", allow="PATTERN...", deny="PATTERN..."),
        Verb("dnd", "[switch]", "do not disturb; `dnd off` ends it", accounts.dnd, group="accounts and settings"),
        Verb("forward", "to", "send incoming calls elsewhere; `forward off` ends it", accounts.forward,
             group="accounts and settings", delay="SECONDS"),
        Verb("auto-answer", "mode", "answer by itself: off, header or all", accounts.auto_answer,
             group="accounts and settings", delay="SECONDS"),
        Verb("events", "", "show events as they come", events.events, group="events and history", types="TYPES...",
             follow="flag", after="EVENT", count="N", timeout="SECONDS"),
        Verb("wait", "what...", "stay until the first of these: a call's state (active …), registered, "
             "op_k7q2-7 (is over), dtmf.* (an event)", events.wait, group="events and history", timeout="SECONDS",
             call="CALL", account="ACCOUNT", data="FIELD=VALUE...", after="EVENT"),
        Verb("messages", "[action]", "show texts that came and went, or forget them: messages clear", events.messages,
             group="events and history", limit="N", before="MESSAGE"),
        Verb("history", "[action] [entry]", "show past calls, or: history export [FILE] (CSV, JSON), delete ENTRY, clear",
             events.history, group="events and history", limit="N", before="ENTRY", missed="flag",
             direction="incoming|outgoing", account="ACCOUNT", remote="TEXT", tag="NAME[=VALUE]", since="TIME", until="TIME"),
        Verb("contacts", "[action] [what...]", "people: list, search WORDS, get ID, add NUMBER NAME, update ID --name …, "
             "remove ID, import FILE, export [FILE]", elsewhere.contacts, group="contacts", limit="N", after="ID",
             **dict.fromkeys(CONTACT_FIELDS, "TEXT"), starred="flag", not_starred="flag", dry_run="flag", encoding="NAME",
             format="vcard|csv"),
        Verb("webhooks", "[action] [target]", "events to web addresses: list, add URL, remove|test|enable|disable|rotate ID",
             webhooks.webhooks, group="events and history", types="TYPES...", secret="SECRET", timeout="SECONDS",  # noqa: S106
             description="TEXT", skip="flag"),
        Verb("mcp", "", "be tools for a language model (Model Context Protocol) on stdin and stdout", elsewhere.mcp,
             group="other forms", scopes="SCOPES"),
        Verb("open", "uri", "dial a tel:, sip:, sips: or callto: URI, after asking", elsewhere.open_uri, group="other forms",
             yes="flag", dialog="flag", **_WAIT),
        Verb("desktop", "[action]", "tel: sip: sips: callto: links dial: install, remove, status", elsewhere.desktop,
             group="other forms", dde="flag"),
        Verb("dde", "text...", "carry out a DDE string such as [Dial(1001)]", older.dde, group="other forms"),
        Verb("copydata", "code [text...]", "carry out a WM_COPYDATA command and show its LRESULT", older.copydata,
             group="other forms"),
        Verb("op", "name [fields...]", "send any operation: op dial to=1001, op set_volume volume:=80", older.operation,
             group="other forms"),
        Verb("completion", "shell", "print a script that completes the command line: bash, zsh, fish, powershell",
             elsewhere.completion, group="other forms"),
        Verb("help", "[topic]", "help on a verb, or: help ops, help types (of events), config, service, codes",
             helping.show_help, group="other forms"),
    )
}  # fmt: skip
"""Every verb by its name."""
