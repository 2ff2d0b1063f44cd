"""The practice exchange: a small registrar and proxy with lines to call, real SIP on loopback."""
