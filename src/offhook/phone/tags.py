"""Tags: words of a program's own that stay with a call, such as an order's number, a campaign, a note."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument
from offhook.phone.model import HeaderList
from offhook.sip.checking import fits_line

MAX_TAGS: Final = 32
MAX_NAME: Final = 64
"""Characters of a tag's name."""
MAX_TEXT: Final = 4096
"""Characters of all tags of a call, with their names: each of its events carries them."""


def check_tags(tags: HeaderList) -> None:
    """Refuse tags that are too many, too long, or without a name in one line."""
    if not all(name and len(name) <= MAX_NAME and fits_line(name) for name, _ in tags):
        raise InvalidArgument.field("tags", f"a tag's name has 1-{MAX_NAME} characters, in one line")
    if len(tags) > MAX_TAGS or sum(len(name) + len(value) for name, value in tags) > MAX_TEXT:
        raise InvalidArgument.field("tags", f"a call has {MAX_TAGS} tags at most, and {MAX_TEXT} characters in all of them")


def merged(tags: HeaderList, changes: HeaderList) -> HeaderList:
    """Return the tags with those of the same name replaced, and without those whose new value is empty."""
    named = {name for name, _ in changes}
    return (*(tag for tag in tags if tag[0] not in named), *(tag for tag in changes if tag[1]))
