"""The tables of the source, as data: what it states is binding, word for word."""

from __future__ import annotations

DDE_TABLE: tuple[tuple[str, str, str], ...] = (
    ("Dial", "number", "Initiate a call. If call active, puts current on hold."),
    ("CallTo", "number", "Same as Dial, but does not hold existing call."),
    ("Hangup", "(none)", "Terminates active call."),
    ("Answer", "(none)", "Answers incoming call."),
    ("Reject", "(none)", "Rejects incoming."),
    ("Hold", "(none)", "Holds/unholds current call (toggle)."),
    ("Transfer", "number", "Blind transfer active call to number."),
    ("SendDTMF", "digits", "Sends DTMF (RFC 2833). Use , for pause."),
    ("Mute", "(none)", "Toggles microphone mute."),
    ("VolumeUp", "steps", "Increases speaker volume by steps (1–10)."),
    ("VolumeDown", "steps", "Decreases speaker volume."),
    ("SetVolume", "0-100", "Absolute volume."),
    ("SetMicVolume", "0-100", "Absolute mic level."),
    ("SetDevice", "input/output, deviceID", "Switch audio device (see below)."),
    ("Status", "(none)", "Returns current call status as DDE string."),
    ("Close", "(none)", "Exits MicroSIP."),
)

COPYDATA_TABLE: tuple[tuple[str, str, str], ...] = (
    ("DIAL", '"sip:123@domain" or "1001"', "Initiates call. Returns 1 if successful, 0 if line busy or invalid."),
    ("HANGUP", "(empty)", "Hangs up active call."),
    ("ANSWER", "(empty)", "Answers incoming call."),
    ("STATUS", "(empty)", "Returns integer: 0=idle, 1=ringing, 2=active, 3=hold, 4=disconnected."),
    ("ACTIVECALL", "(empty)", "Returns remote party URI of active call."),
    ("MUTE", '"1" or "0"', "Mute/unmute microphone."),
    ("TRANSFER", '"1002" or "sip:1002@pbx"', "Blind transfer of active call."),
    ("DTMF", '"123#"', "Sends DTMF tones over active call."),
    ("VOLUME", '"50" (0–100)', "Sets speaker volume."),
    ("QUIT", "(empty)", "Exits MicroSIP."),
)

COMMAND_LINE = "MicroSIP.exe dtmf:12345"
"""The one command line the source prints: sends 1 2 3 4 5, only during an active call."""
