#!/usr/bin/env bash
# `demo.sh [SECONDS [REGISTRY]]` runs the demo that long, or until Ctrl-C; both end well. REGISTRY is
# static or consul.
set -euo pipefail

args=()
[[ -z ${1:-} ]] || args+=(--seconds "$1")
[[ -z ${2:-} ]] || args+=(--registry "$2")

source tools/step.sh

# Not for release: that takes a minute longer, and the demo is not what is measured.
step "the demo" cargo_build "the demo" --package tidegate-demo

note "starting Envoy with its filter, the services and their clients"
run=("${CARGO_TARGET_DIR:-target}/debug/demo" ${args[@]+"${args[@]}"})

# Without a terminal the demo takes the place of this script, so that it gets make's signals.
[[ -t 0 ]] || exec "${run[@]}"

# At a terminal it is a job of its own: Ctrl-C then reaches it and not make, which would call it
# an error. With the trap, the shell does not follow a job that died of it.
trap : INT
set -m
status=0
"${run[@]}" || status=$?
((status == 0 || status == 130)) || exit "$status"
