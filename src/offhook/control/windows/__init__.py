"""The phone as Windows programs drive it: a window of class MicroSIP and a DDE service of that name.

`window.py` and `dde.py` carry messages between Windows and the phone's loop, each on a thread of its own; `ffi.py` declares
what they call. What a message means is said in `control.legacy`, what it does here in `messages.py`, `subscribers.py` and
`conversations.py`, which know nothing of Windows.
"""
