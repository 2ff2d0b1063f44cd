"""`offhook completion`: the scripts know every verb, option and value, and the shells themselves complete with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.cli.completion import WITH_FILES
from offhook.cli.options import ARGUMENTS, WORDS
from offhook.cli.verbs import VERBS

SHELLS = ("bash", "zsh", "fish", "powershell")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_option_is_completed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for verb in VERBS.values():
        assert re.search(rf"\b{verb.name}\b", text), verb.name
        for option in verb.options:
            assert re.search(rf"(--|-l ){option}\b", text), option


@pytest.mark.parametrize("verb", WORDS)
def test_the_words_are_those_of_the_help(verb: str) -> None:
    text = " ".join((VERBS[verb].summary, *ARGUMENTS.get(verb, {}).values(), *ARGUMENTS["call"].values()))
    if verb not in ("call", "wait", "voice", "copydata"):  # whose words are the phone's, or made of two
        assert [word for word in WORDS[verb] if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)] == []
    assert set(VERBS) >= WITH_FILES


@pytest.mark.parametrize("line", ["completion", "completion tcsh"])
def test_no_other_shell(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err


ASKED = (
    ("di", "dial"), ("dial --ring", "--ring-timeout"), ("dtmf 1 --method inb", "inband"), ("accounts sel", "select"),
    ("run --config off", "offhook.toml"), ("help typ", "types"), ("import my", "my people.vcf"), ("contacts se", "search"),
)


def ran(*command: str, folder: Path) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("offhook.toml", "my people.vcf"):
        (tmp_path / name).touch()
    return tmp_path


def test_bash_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script").write_text(script("bash", capsys), "utf-8")
    ask = 'for line in "$@"; do COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _offhook; echo "${COMPREPLY[*]}"; done'
    lines = [f"offhook {line}" for line, _ in ASKED]
    found = ran("bash", "--norc", "-c", f"source ./script; {ask}", "bash", *lines, "offhook dial --no", folder=folder)
    assert found.splitlines() == [*(word for _, word in ASKED), "--no-hold"]


def test_fish_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "script").write_text(script("fish", capsys), "utf-8")
    for line, word in ASKED:
        found = ran("fish", "--no-config", "-c", f"source ./script; complete -C 'offhook {line}'", folder=folder)
        assert word in {each.partition("\t")[0].replace("\\ ", " ") for each in found.splitlines()}, line


@pytest.mark.slow
def test_zsh_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "_offhook").write_text(script("zsh", capsys), "utf-8")
    for line, word in ASKED[1:4]:
        asking = f"""
            zmodload zsh/zpty
            zpty z zsh -f -i
            zpty -w z 'PS1= PROMPT_EOL_MARK=; autoload -U compinit; compinit -D; source ./_offhook'
            zpty -w z 'zle -C of complete-word _main_complete'
            zpty -w z 'asked() {{ BUFFER="offhook {line}"; CURSOR=$#BUFFER; zle of; print "<$BUFFER>"; exit }}; zle -N asked'
            zpty -w z 'bindkey "^T" asked; print RE""ADY'
            zpty -r z out '*READY*'
            zpty -w -n z $'\\x14'
            zpty -r z out '*<*>*'
            print -r -- $out
        """
        found = ran("zsh", "-f", "-c", asking, folder=folder)
        assert word in found.partition("<")[2].partition(">")[0], line
