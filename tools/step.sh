#!/usr/bin/env bash
# `step.sh WHAT COMMAND...` runs a command, says what it is for and how long it took.
# Sourced, it gives a script the functions `step`, `patiently`, `cargo_build`, `note` and `have`.
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

# patiently WHAT COMMAND...: says now and then that the command still runs.
patiently() {
    local what=$1 begin
    shift
    begin=$(date +%s)
    # It waits on a pipe that stays silent, not in a `sleep`, which would outlive it; and apart from the
    # output, which would otherwise stay open.
    (
        exec {silent}<> <(:) >/dev/null
        while kill -0 $$ 2>/dev/null; do
            read -rt 15 -u "$silent" || note "$what: still at it after $(($(date +%s) - begin)) s"
        done
    ) &
    # shellcheck disable=SC2064 # this ticker
    trap "kill $!" EXIT
    "$@"
}

# cargo_build WHAT OPTION...: on a terminal cargo shows what it compiles; elsewhere a line says now
# and then that it does.
cargo_build() {
    local what=$1
    shift
    # shellcheck disable=SC2086 # CARGO_FLAGS: none, or several
    if [[ -t 2 ]]; then
        cargo build ${CARGO_FLAGS:-} "$@"
    else
        (patiently "$what" cargo build ${CARGO_FLAGS:-} --quiet "$@")
    fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    step "$@"
fi
