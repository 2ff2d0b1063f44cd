"""What every command is, and what its answer is."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, TypeAlias

from msgspec import Struct

Scope: TypeAlias = Literal["read", "call", "media", "record", "config", "admin", "keys"]
"""What a client must be allowed to do. They do not contain each other. `keys` are those of encrypted sound."""


class Accepted(Struct, frozen=True):
    """The answer to a command that was carried out, or is under way.

    `call` is the call it concerned. `operation` names work that needs the far end: an OperationSucceeded or OperationFailed
    with the same id follows ("" when all is done already). `value` is what was asked for (a view, a list …).
    """

    call: str = ""
    operation: str = ""
    value: Any = None


class Command(Struct, frozen=True):
    """What every command is: immutable data with an operation name."""

    operation: ClassVar[str]
    scope: ClassVar[Scope] = "call"

    def __init_subclass__(cls) -> None:
        cls.operation = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
