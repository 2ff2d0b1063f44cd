"""G.711: mu-law (PCMU) and A-law (PCMA), ITU-T G.711, RFC 3551 4.5.14."""

from __future__ import annotations

from offhook.media import pcm


class _G711:
    clock_rate = rate = 8000
    frame_payload = 160
    remembers = False
    units = staticmethod(len)
    expect_loss = steer = ask = conceal = recover = resume = None


class Pcmu(_G711):
    """G.711 mu-law, the codec of North America and Japan; static payload type 0."""

    name = "PCMU"
    payload_type = 0
    encode = staticmethod(pcm.linear_to_ulaw)
    decode = staticmethod(pcm.ulaw_to_linear)


class Pcma(_G711):
    """G.711 A-law, the codec of the rest of the world; static payload type 8."""

    name = "PCMA"
    payload_type = 8
    encode = staticmethod(pcm.linear_to_alaw)
    decode = staticmethod(pcm.alaw_to_linear)
