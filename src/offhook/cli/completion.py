"""`offhook completion SHELL`: a script that completes verbs, options and their values, made from the tables behind the help."""

from __future__ import annotations

import sys

from offhook.cli.options import WORDS, meaning
from offhook.cli.outcome import DONE
from offhook.cli.parsing import GLOBAL_OPTIONS, usage_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.cli.parsing import Invocation, Verb

FILES = frozenset({"FILE", "PATH"})
"""Words for values that are names of files."""

WITH_FILES = frozenset({"import", "play", "record", "call", "history", "contacts"})
"""Verbs whose arguments may name a file."""


def show_completion(use: Invocation) -> int:
    """Print the script for a shell."""
    make = _SHELLS.get(use.text("shell"))
    if make is None:
        raise usage_error(use.verb, f"write one of: {', '.join(_SHELLS)}", "shell")
    from offhook.cli.verbs import VERBS

    sys.stdout.write(make(list(VERBS.values())))
    return DONE


def _options(verb: Verb) -> dict[str, str]:
    return {**verb.options, **{name: kind for name, kind in GLOBAL_OPTIONS.items() if name not in verb.options}}


def _words(verb: Verb) -> tuple[str, ...]:
    """Return the words that may stand behind a verb."""
    if verb.name == "help":
        from offhook.cli.helping import TOPICS
        from offhook.cli.verbs import VERBS

        return (*VERBS, *TOPICS)
    return WORDS.get(verb.name, ())


def _values(kind: str) -> tuple[str, ...]:
    """Return what an option's value can be, as far as its kind lists it: `auto|rtp`, and not `[HOST:]PORT`."""
    return tuple(word for word in kind.split("|") if word.islower()) if "|" in kind else ()


def _meaning(verb: Verb, name: str) -> str:
    return "show this help" if name == "help" else meaning(verb.name, name)


# --- bash ----------------------------------------------------------------------------------------------------------

_BASH = """\
# offhook for bash: put this into ~/.local/share/bash-completion/completions/offhook, or: source <(offhook completion bash)
_offhook() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words="" files=""
    if [[ $current == "=" ]]; then current=""
    elif [[ $before == "=" ]]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
    COMPREPLY=()
    if (( COMP_CWORD == 1 )); then
        words="{verbs} --help --version"
    else
        case "${{COMP_WORDS[1]}} $before" in
{values}
        *)
            case "${{COMP_WORDS[1]}}" in
{verb_words}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ -n $files ]]; then compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY+=($(compgen -f -- "$current")); fi
}}
complete -F _offhook offhook
"""


def _bash(verbs: list[Verb]) -> str:
    values, verb_words = [], []
    for verb in verbs:
        options = _options(verb)
        for name, kind in options.items():
            if kind != "flag":
                found = f'words="{" ".join(_values(kind))}"' + (" files=1" if kind in FILES else "")
                values.append(f'        "{verb.name} --{name}") {found} ;;')
        words = " ".join((*_words(verb), *(f"--{name}" for name in options)))
        files = " [[ $current == -* ]] || files=1;" if verb.name in WITH_FILES else ""
        verb_words.append(f'            {verb.name}) words="{words}";{files} ;;'.replace(";; ;;", ";;").replace("; ;;", " ;;"))
    names = " ".join(verb.name for verb in verbs)
    return _BASH.format(verbs=names, values="\n".join(values), verb_words="\n".join(verb_words))


# --- zsh -----------------------------------------------------------------------------------------------------------

_ZSH = """\
#compdef offhook
# offhook for zsh: put this into a folder of $fpath as _offhook, or behind compinit: source <(offhook completion zsh)
_offhook() {{
    if (( CURRENT == 2 )); then
        local -a verbs=(
{verbs}
        )
        _describe verb verbs
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    case $verb in
{cases}
    esac
}}
if [[ $funcstack[1] == _offhook ]]; then _offhook "$@"; else compdef _offhook offhook; fi
"""


def _zsh(verbs: list[Verb]) -> str:
    names = "\n".join(f"            {_quoted(f'{verb.name}:{verb.summary}')}" for verb in verbs)
    return _ZSH.format(verbs=names, cases="\n".join(map(_zsh_case, verbs)))


def _zsh_case(verb: Verb) -> str:
    specs = []
    for name, kind in _options(verb).items():
        again = "\\*" if kind.endswith("...") else ""
        action = "_files" if kind in FILES else f"({' '.join(_values(kind))})"
        label = kind.replace(":", "\\:")
        value = "" if kind == "flag" else f":{label}:{action}"
        text = _meaning(verb, name).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
        specs.append(again + _quoted(f"--{name}[{text}]{value}"))
    listed = f"({' '.join(_words(verb))})"
    if verb.name in WITH_FILES:
        listed = "_files" if listed == "()" else f"{{_alternative 'words:word:{listed}' 'files:file:_files'}}"
    specs.append(_quoted(f"*:argument:{listed}"))
    return f"    {verb.name}) _arguments {' '.join(specs)} ;;"


def _quoted(text: str) -> str:
    """Return a word in single quotes, as sh, zsh and fish read it."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ----------------------------------------------------------------------------------------------------------

_FISH = """\
# offhook for fish: put this into ~/.config/fish/completions/offhook.fish
function __offhook_verb
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end
complete -c offhook -f
"""


def _fish(verbs: list[Verb]) -> str:
    lines = []
    for verb in verbs:
        lines.append(f"complete -c offhook -n __fish_is_first_arg -a {verb.name} -d {_quoted(verb.summary)}")
        here = f"complete -c offhook -n '__offhook_verb {verb.name}'"
        if _words(verb):
            lines.append(f"{here} -a {_quoted(' '.join(_words(verb)))}")
        if verb.name in WITH_FILES:
            lines.append(f"{here} -F")
        for name, kind in _options(verb).items():
            values = " ".join(_values(kind))
            value = "" if kind == "flag" else " -r -F" if kind in FILES else f" -x -a {_quoted(values)}" if values else " -x"
            lines.append(f"{here} -l {name}{value} -d {_quoted(_meaning(verb, name))}")
    return _FISH + "\n".join(lines) + "\n"


# --- PowerShell ----------------------------------------------------------------------------------------------------

_POWERSHELL = """\
# offhook for PowerShell: add to the file that $PROFILE names:  offhook completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName offhook -ScriptBlock {{
    param($current, $line, $place)
    $verbs = [ordered]@{{
{verbs}
    }}
    $values = @{{
{values}
    }}
    $given = @($line.CommandElements | ForEach-Object {{ "$_" }})
    if ($current) {{ $given = @($given | Select-Object -SkipLast 1) }}
    if ($given.Count -lt 2) {{ $words = @($verbs.Keys) }}
    elseif ($values.ContainsKey("$($given[1]) $($given[-1])")) {{ $words = $values["$($given[1]) $($given[-1])"] -split ' ' }}
    elseif ($verbs.Contains($given[1])) {{ $words = $verbs[$given[1]] -split ' ' }}
    else {{ $words = @() }}
    $words | Where-Object {{ $_ -and $_.StartsWith($current) }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"""


def _powershell(verbs: list[Verb]) -> str:
    words, values = [], []
    for verb in verbs:
        options = _options(verb)
        words.append(f"        '{verb.name}' = '{' '.join((*_words(verb), *(f'--{name}' for name in options)))}'")
        chosen = {name: _values(kind) for name, kind in options.items() if _values(kind)}
        values += [f"        '{verb.name} --{name}' = '{' '.join(found)}'" for name, found in chosen.items()]
    return _POWERSHELL.format(verbs="\n".join(words), values="\n".join(values))


_SHELLS: dict[str, Callable[[list[Verb]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}
