#!/usr/bin/env bash
# `wasm.sh` builds the modules in FILTERS and the probes in PROBES into dist/.
# Filters are packed and, where wasm-opt is at hand, optimized; probes stay as the linker
# left them, as they stand for filters from elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/step.sh

readonly TARGET=wasm32-wasip1
readonly BUILT=${CARGO_TARGET_DIR:-target}/$TARGET
read -ra filters <<<"${FILTERS:-}"
read -ra probes <<<"${PROBES:-}"

# Filters that are compiled for size as a whole: profile `small`.
readonly SMALL=" discovery "

# Largest size of a filter in KiB.
limit() {
    case $1 in
        discovery) echo 400 ;;
        fused) echo 450 ;;
        *) echo 250 ;;
    esac
}

build() {
    local packages=("${probes[@]/#/--package=tidegate-probe-}") small=() name
    for name in "${filters[@]}"; do
        if is_small "$name"; then small+=("--package=tidegate-$name"); else packages+=("--package=tidegate-$name"); fi
    done
    # Panic messages name source files: say the same on every machine.
    export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    if ((${#packages[@]})); then cargo build --quiet --release --target "$TARGET" "${packages[@]}"; fi
    if ((${#small[@]})); then cargo build --quiet --profile small --target "$TARGET" "${small[@]}"; fi
    cargo build --quiet --package tidegate-pack
}

is_small() {
    [[ $SMALL == *" $1 "* ]]
}

collect() {
    local name profile
    mkdir -p dist/probes
    for name in "${probes[@]}"; do
        cp "$BUILT/release/tidegate_probe_${name//-/_}.wasm" "dist/probes/$name.wasm"
    done
    for name in "${filters[@]}"; do
        profile=release
        if is_small "$name"; then profile=small; fi
        "${CARGO_TARGET_DIR:-target}/debug/tidegate-pack" "$BUILT/$profile/tidegate_${name//-/_}.wasm" "dist/tidegate-$name.wasm"
        optimize "dist/tidegate-$name.wasm"
    done
}

# An old wasm-opt may not know what the compiler emits. The packed module is good as it is.
optimize() {
    local tool=${WASM_OPT:-wasm-opt}
    if ! have "$tool"; then
        note "no wasm-opt: ${1##*/} stays as packed"
    elif "$tool" -O3 -g --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
        --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext \
        "$1" -o "$1.opt" 2>"$1.log"; then
        mv "$1.opt" "$1"
    else
        note "wasm-opt cannot read it, ${1##*/} stays as packed: $(head -n 1 "$1.log")"
    fi
    rm -f "$1.opt" "$1.log"
}

# Prints the sizes; fails when one is above its limit.
sizes() {
    local name above=0
    printf '%-26s %9s %8s %10s\n' module bytes KiB 'limit KiB'
    for name in "${filters[@]}"; do
        row "dist/tidegate-$name.wasm" "$(limit "$name")" || above=1
    done
    for name in "${probes[@]}"; do
        row "dist/probes/$name.wasm" -
    done
    return "$above"
}

row() {
    local bytes
    bytes=$(wc -c <"$1")
    awk -v name="${1#dist/}" -v bytes="$bytes" -v limit="$2" 'BEGIN {
        above = limit != "-" && bytes > limit * 1024
        printf "%-26s %9d %8.1f %10s%s\n", name, bytes, bytes / 1024, limit, above ? "  too large" : ""
        exit above
    }'
}

step "modules for $TARGET: ${filters[*]} ${probes[*]/#/probe-}" build
collect
sizes
