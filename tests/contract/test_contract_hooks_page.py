"""What docs/hooks.md tells receivers to do: its recipes are run, its tables compared with the code."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offhook.control import signing
from offhook.control.decisions import decision_from
from offhook.control.hooks import OCCASIONS, PLACES
from offhook.storage import config

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text()
BODY = b'{"id":"k7q2-1","x":"\xc3\xa9"}'


def block(language: str, containing: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in blocks if containing in text)


def signed(*secrets: str) -> dict[str, str]:
    return signing.headers([signing.key_of(secret) for secret in secrets], "k7q2-1", int(time.time()), BODY)


def test_the_python_recipe() -> None:
    found: dict[str, Any] = {}
    exec(block("python", "is_genuine"), found)
    one, other = signing.new_secret(), signing.new_secret()
    genuine = found["is_genuine"]
    assert genuine(one, signed(one), BODY)
    assert genuine(one, signed(other, one), BODY)
    assert not genuine(one, signed(other), BODY)
    assert not genuine(one, signed(one), BODY + b" ")
    assert not genuine(one, {**signed(one), "webhook-timestamp": "1700000000"}, BODY)


def test_the_shell_recipe(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    (tmp_path / "body").write_bytes(BODY)
    one, other = signing.new_secret(), signing.new_secret()
    for headers, verdict in [(signed(one), "genuine"), (signed(other, one), "genuine"), (signed(other), "forged")]:
        names = {name: headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")}
        told = subprocess.run(
            ["/bin/sh", "-c", block("sh", "openssl")], cwd=tmp_path, env={**names, "secret": one, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout == f"{verdict}\n"


_NODE = """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
const told = given.map(([secret, headers, body]) => isGenuine(secret, headers, Buffer.from(body, "base64")));
process.stdout.write(JSON.stringify(told));
"""
_PERL = """
use JSON::PP;
print encode_json([map { is_genuine($_->[0], $_->[1], decode_base64($_->[2])) ? JSON::PP::true : JSON::PP::false }
    @{decode_json(join '', <STDIN>)}]);
"""


@pytest.mark.parametrize(("language", "program", "ending", "harness"), [
    ("js", "node", "mjs", _NODE), ("perl", "perl", "pl", _PERL),
])  # fmt: skip
def test_the_recipes_of_other_languages(language: str, program: str, ending: str, harness: str, tmp_path: Path) -> None:
    where = shutil.which(program)
    if where is None:
        pytest.skip(f"no {program}")
    script = tmp_path / f"receiver.{ending}"
    script.write_text(block(language, "webhook-timestamp") + harness)
    one, other = signing.new_secret(), signing.new_secret()
    cases = [(signed(one), BODY), (signed(other, one), BODY), (signed(other), BODY), (signed(one), BODY + b" "),
             ({**signed(one), "webhook-timestamp": "1700000000"}, BODY)]  # fmt: skip
    given = json.dumps([(one, headers, base64.b64encode(body).decode()) for headers, body in cases])
    told = subprocess.run([where, script], input=given, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(told.stdout) == [True, True, False, False, False]


def test_the_tables_are_whole() -> None:
    for name in OCCASIONS:
        key = "cmd" + name.removeprefix("on").title().replace("_", "")
        assert f"| `{name}` | `{key}` |" in PAGE
    for place in PLACES:
        assert f"`{{{place}}}`" in PAGE


def test_the_example_files_are_good() -> None:
    assert config.parse(block("toml", "on_call_end")).hooks.on_call_end == ("/usr/local/bin/log-call", "--", "{number}")
    assert config.parse(block("toml", "decide =")).hooks.decide == ("/usr/local/bin/decide", "{number}")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's script")
@pytest.mark.parametrize(("number", "action"), [("1000", {"ring"}), ("1001", {"redirect", "default"})])
def test_the_deciding_script(tmp_path: Path, number: str, action: set[str]) -> None:
    script = tmp_path / "decide"
    script.write_text(block("sh", "#!/bin/sh"))
    told = subprocess.run(["/bin/sh", str(script), number], capture_output=True, text=True, check=True).stdout
    assert decision_from(told, "c").action in action
