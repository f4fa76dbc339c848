#!/usr/bin/env bash
# `step.sh WHAT COMMAND...` runs a command, says what it is for and how long it took.
# Sourced, it gives a script the functions `step`, `note` and `have`.
set -euo pipefail

bold='' plain=''
if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1;36m' plain=$'\e[0m'
fi

# Says one thing to the person, apart from the output of the commands.
note() {
    printf '    %s\n' "$*" >&2
}

have() {
    command -v "$1" >/dev/null
}

# Not `"$@" || status=$?`: that would switch off `set -e` inside a function.
step() {
    local what=$1 begin status
    shift
    printf '%s==>%s %s\n' "$bold" "$plain" "$what" >&2
    begin=$(date +%s)
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    if ((status == 0)); then
        note "$what: $(($(date +%s) - begin)) s"
    else
        note "$what: failed after $(($(date +%s) - begin)) s"
    fi
    return "$status"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    step "$@"
fi
