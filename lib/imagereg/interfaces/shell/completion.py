r"""Scripts that complete what is typed after the commands, in bash, fish and zsh.

Names and choices stand in the scripts: no program runs while somebody types.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from imagereg.parameters import Spec


class _Dialect(NamedTuple):
    """How a shell writes a table: the functions around it, a case, what stands between labels."""

    functions: str
    case: str
    mark: str


_POSIX = _Dialect(r"""
_imagereg_names() {
    case $1 in
%(names)s
    esac
}

# The choices of a parameter, by its name; status 1 where any text will do, which may name a file.
_imagereg_choices() {
    case $1 in
%(choices)s
        *) return 1 ;;
    esac
}
""", "        %(labels)s) %(body)s ;;", "|")
_FISH = _Dialect(r"""
function _imagereg_names
    switch $argv[1]
%(names)s
    end
end

# The choices of a parameter, by its name; status 1 where any text will do, which may name a file.
function _imagereg_choices
    switch $argv[1]
%(choices)s
        case '*'
            return 1
    end
end
""", "        case %(labels)s\n            %(body)s", " ")
_SHELLS = {
    "bash": r"""# For ~/.bashrc: eval "$(tweakreg --completion bash)"
%(data)s
_imagereg() {
    local command=${1##*/} word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]}
    local start= name= quote= candidate candidates
    COMPREPLY=()
    if [[ $word == = ]]; then  # which readline takes for a word of its own
        name=$last word=
    elif [[ $last == = ]]; then
        name=${COMP_WORDS[COMP_CWORD-2]}
    elif [[ $word == [[:alpha:]]*=* ]]; then
        start=${word%%%%=*}= name=${word%%%%=*} word=${word#*=}
    fi
    [[ $word == [\"\']* ]] && quote=${word:0:1}
    word=${word#[\"\']} word=${word//\\/}
    if [[ $name ]]; then
        candidates=$(_imagereg_choices "${name##*.}") || return
        compopt +o default 2>/dev/null
    elif [[ $last == --completion ]]; then
        candidates=$'bash\nfish\nzsh'
    elif [[ $last == --help ]]; then
        candidates=$(_imagereg_names "$command"; echo all) candidates=${candidates//=/}
    elif [[ $word == -* ]]; then
        candidates=$(printf '%%s\n' %(options)s)
    else
        candidates=$(_imagereg_names "$command"; compgen -f -- "$word")
    fi
    while IFS= read -r candidate; do
        [[ $candidate && $candidate == "$word"* ]] || continue
        [[ $candidate == *= ]] && compopt -o nospace 2>/dev/null
        [[ ! $name && -d $candidate ]] && candidate+=/ && compopt -o nospace 2>/dev/null
        [[ $quote || $candidate == *= ]] || printf -v candidate %%q "$candidate"
        COMPREPLY+=("$start$candidate")
    done <<< "$candidates"
}
complete -o default -F _imagereg %(tasks)s
""",
    "zsh": r"""#compdef %(tasks)s
# For ~/.zshrc, after compinit: eval "$(tweakreg --completion zsh)"
%(data)s
_imagereg() {
    local -a found
    local text
    if compset -P '[[:alpha:]]*='; then
        text=$(_imagereg_choices ${${IPREFIX%%=}##*.}) || { _files; return }
        found=("${(@f)text}")
        [[ -n $text ]] && compadd -a found
    elif [[ $words[CURRENT-1] == --completion ]]; then
        compadd bash fish zsh
    elif [[ $words[CURRENT-1] == --help ]]; then
        found=(${(f)"$(_imagereg_names ${words[1]:t})"})
        compadd all ${found%%=}
    elif [[ $PREFIX == -* ]]; then
        compadd -- %(options)s
    else
        found=(${(f)"$(_imagereg_names ${words[1]:t})"})
        compadd -S '' -a found
        _files
    fi
}
compdef _imagereg %(tasks)s
""",
    "fish": r"""# For ~/.config/fish/config.fish: tweakreg --completion fish | source
%(data)s
# The name before the equals sign of a word, without that of a parameter set.
function _imagereg_parameter
    string match -qr '^[[:alpha:]][^=]*=' -- $argv[1]
    and string replace -r '=.*' '' -- $argv[1] | string replace -r '.*\.' ''
end

# Whether no file can stand where the cursor is.
function _imagereg_has_list
    set -l name (_imagereg_parameter (commandline -ct))
    contains -- (commandline -opc)[-1] --completion --help
    or begin
        test -n "$name"
        and _imagereg_choices $name >/dev/null
    end
end

function _imagereg
    set -l words (commandline -opc)
    set -l command (basename $words[1])
    set -l word (commandline -ct)
    set -l name (_imagereg_parameter $word)
    if test -n "$name"
        set -l start (string replace -r '=.*' '=' -- $word)
        for choice in (_imagereg_choices $name)
            echo $start$choice
        end
    else if test $words[-1] = --completion
        printf '%%s\n' bash fish zsh
    else if test $words[-1] = --help
        _imagereg_names $command | string replace = ''
        echo all
    else if string match -q -- '-*' $word
        printf '%%s\n' %(options)s
    else
        _imagereg_names $command
    end
end

for task in %(tasks)s
    complete -c $task -a '(_imagereg)'
    complete -c $task -f -n _imagereg_has_list
end
""",
}
SHELLS = tuple(sorted(_SHELLS))


def script(shell: str, specs: Sequence[Spec], options: Iterable[str]) -> str:
    """Return the completion script for a shell.

    Parameters
    ----------
    shell : str
        One of `SHELLS`.
    specs : sequence of Spec
        Of the task, and of its parameter sets: there is a command for each.
    options : iterable of str
        Options that begin with dashes.
    """
    dialect = _FISH if shell == "fish" else _POSIX
    name_cases = [_case(dialect, [spec.task], _names(spec, specs)) for spec in specs]
    # Parameters with the same choices share a case; the inner dict is an ordered set of names.
    names_by_choices: dict[tuple[str, ...], dict[str, None]] = {}
    for parameter in itertools.chain(*specs):
        if parameter.base != "string":
            choices = ("yes", "no") if parameter.base == "boolean" else parameter.choices
            names_by_choices.setdefault(choices, {})[parameter.name] = None
    choice_cases = [_case(dialect, names, choices) for choices, names in names_by_choices.items()]
    tables = {"names": "\n".join(name_cases), "choices": "\n".join(choice_cases)}
    data = dialect.functions.strip() % tables
    tasks = " ".join(spec.task for spec in specs)
    return _SHELLS[shell] % {"data": data, "tasks": tasks, "options": _words(options)}


def _names(spec: Spec, specs: Sequence[Spec]) -> list[str]:
    """Return what may stand before a value on the command line of a task, with the equals sign."""
    names = list(spec.names)
    psets = [other for other in specs if other.task in spec.psets]
    if psets:
        names += psets[0].names
        names += [pset.task for pset in psets]
        names += [f"{pset.task}.{name}" for pset in psets for name in pset.names]
    return [f"{name}=" for name in names]


def _case(dialect: _Dialect, labels: Iterable[str], values: Sequence[str]) -> str:
    """Return the case of a table that prints values for some labels."""
    return dialect.case % {"labels": dialect.mark.join(labels), "body": _printed(values)}


def _printed(values: Sequence[str]) -> str:
    return f"printf '%s\\n' {_words(values)}" if values else ":"


def _words(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))
