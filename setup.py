"""Builds the package: plain Python, or with OFFHOOK_COMPILE=1 the rooms on the path of every packet and call as machine code.

It is the same source either way. mypyc, which belongs to mypy, makes C of it, and a C compiler machine code; who installs the
wheel needs neither. One library for each room: offhook_sip, offhook_media, offhook_phone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

ROOMS = ("sip", "media", "phone")
NEEDS = ["mypy>=1.18", "msgspec>=0.18.6", "numpy>=1.26", "audioop-lts>=0.2.1; python_version >= '3.13'"]
"""What a build needs beside a C compiler: the types of what the rooms import are compiled, too."""

# What stays plain: where C does the work already nothing is gained, and what msgspec reads has to be a class of Python's own.
PLAIN_FOLDERS = (
    "media/codecs", "media/detect", "media/voice", "media/messages", "sip/events", "phone/commands", "phone/events",
)
PLAIN_FILES = (
    "media/rates.py", "media/reels.py", "media/resample.py",  # numpy does the work
    "sip/door.py", "sip/locating.py", "media/containers.py", "phone/model.py", "phone/records.py",
    "phone/settings.py", "phone/web_requests.py",  # define structs, or what stands in them
    "sip/session.py", "sip/calling.py", "sip/answering.py",  # weakly referred to, which a compiled class does not bear
)


def sources(room: str) -> list[str]:
    """Return the files of a room that are compiled, as paths from here."""
    source = Path("src/offhook")
    found = []
    for path in sorted((source / room).rglob("*.py")):
        inside = path.relative_to(source).as_posix()
        if path.name != "__init__.py" and inside not in PLAIN_FILES and not inside.startswith(PLAIN_FOLDERS):
            found.append(path.as_posix())
    return found


def extensions() -> list[Extension]:
    """Return what mypyc makes of the rooms."""
    from mypyc.build import mypycify

    rooms: list[tuple[list[str], str | None]] = [(sources(room), f"offhook_{room}") for room in ROOMS]
    files = [file for compiled, _ in rooms for file in compiled]
    made: list[Extension] = mypycify(files, separate=rooms, opt_level="2", debug_level="0")
    return made


if os.environ.get("OFFHOOK_COMPILE") != "1":
    setup()
elif {"bdist_wheel", "build_ext"} & set(sys.argv):
    setup(ext_modules=extensions(), options={"build_ext": {"parallel": len(ROOMS)}})
else:
    setup(setup_requires=NEEDS)  # asked what it needs, or for the package's description
