#!/usr/bin/env bash
# `demo.sh [SECONDS]` runs the demo that long, or until Ctrl-C; both end well.
set -euo pipefail

args=()
[[ -z ${1:-} ]] || args=(--seconds "$1")

# At a terminal the demo is a job of its own: Ctrl-C then reaches it and not make, which
# would call it an error. With the trap, the shell does not follow a job that died of it.
trap : INT
[[ ! -t 0 ]] || set -m

status=0
cargo run --release -q -p tidegate-tests --bin demo -- ${args[@]+"${args[@]}"} || status=$?
((status == 0 || status == 130)) || exit "$status"
