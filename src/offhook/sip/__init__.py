"""SIP: bytes to dialogs and back. Pure: no clock, no socket, no randomness; a body is opaque bytes here."""
