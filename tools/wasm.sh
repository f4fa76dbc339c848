#!/usr/bin/env bash
# `wasm.sh filters NAME...` builds modules of filters into dist/, `wasm.sh probes NAME...` modules
# of probes into dist/probes/.
# Filters are packed and, where wasm-opt is at hand, optimized; probes stay as the linker
# left them, as they stand for filters from elsewhere. One that stands for ours is packed, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/step.sh

readonly TARGET=wasm32-wasip1
readonly TARGETS=${CARGO_TARGET_DIR:-target}
readonly BUILT=$TARGETS/$TARGET
readonly KIND=${1:?filters or probes}
shift
readonly NAMES=("$@")

# Filters that are compiled for size as a whole, profile `small`, and for the least, profile `tiny`.
readonly SMALL=" discovery "
readonly TINY=" fused "

# Probes that are packed.
readonly PACKED=" idle "

# Largest size of a filter in KiB.
limit() {
    case $1 in
        discovery) echo 420 ;;
        fused) echo 640 ;;
        *) echo 320 ;;
    esac
}

profile() {
    if [[ $SMALL == *" $1 "* ]]; then
        echo small
    elif [[ $TINY == *" $1 "* ]]; then
        echo tiny
    else
        echo release
    fi
}

# compile PROFILE PACKAGE...: nothing when there are none.
compile() {
    local profile=$1
    shift
    (($#)) || return 0
    cargo_build "modules" --profile "$profile" --target "$TARGET" "${@/#/--package=tidegate-}"
}

# Where the module of a filter goes: that of all filters has the project's name.
module() {
    if [[ $1 == fused ]]; then echo dist/tidegate.wasm; else echo "dist/tidegate-$1.wasm"; fi
}

build() {
    local release=() small=() tiny=() name
    # Panic messages name source files: say the same on every machine.
    export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    if [[ $KIND == probes ]]; then
        compile release "${NAMES[@]/#/probe-}"
        return
    fi
    for name in "${NAMES[@]}"; do
        case $(profile "$name") in
            small) small+=("$name") ;;
            tiny) tiny+=("$name") ;;
            *) release+=("$name") ;;
        esac
    done
    compile release ${release[@]+"${release[@]}"}
    compile small ${small[@]+"${small[@]}"}
    compile tiny ${tiny[@]+"${tiny[@]}"}
}

collect() {
    local name built
    mkdir -p dist/probes
    for name in "${NAMES[@]}"; do
        built=$BUILT/release/tidegate_probe_${name//-/_}.wasm
        if [[ $PACKED == *" $name "* ]]; then
            cargo_build "pack" --package tidegate-pack
            "$TARGETS/debug/tidegate-pack" "$built" "dist/probes/$name.wasm"
        else
            cp "$built" "dist/probes/$name.wasm"
        fi
    done
}

pack() {
    local name built from out
    local pack=$TARGETS/debug/tidegate-pack
    cargo_build "pack" --package tidegate-pack
    mkdir -p dist/made-from
    for name in "${NAMES[@]}"; do
        built=$BUILT/$(profile "$name")/tidegate_${name//-/_}.wasm
        out=$(module "$name")
        # When all that it is made from is as it was, so is the module.
        from=$(cat "$built" "$pack" tools/wasm.sh | cksum)$("${WASM_OPT:-wasm-opt}" --version 2>/dev/null || true)
        if [[ -f $out && $(cat "dist/made-from/$name" 2>/dev/null) == "$from $(cksum <"$out")" ]]; then continue; fi
        "$pack" "$built" "$out"
        rm -f "${out%.wasm}.symbols" "dist/made-from/$name.optimized"
        if optimize "$out" $(settings "$(profile "$name")" "$out"); then touch "dist/made-from/$name.optimized"; fi
        echo "$from $(cksum <"$out")" >"dist/made-from/$name"
    done
}

# How hard wasm-opt tries to make a module small, and where the names of functions go: into the module, or, as
# numbers and names, into a file beside it.
settings() {
    case $1 in
        tiny) echo -Oz --converge "--symbolmap=${2%.wasm}.symbols" ;;
        small) echo -Oz --converge -g ;;
        *) echo -O3 -g ;;
    esac
}

# An old wasm-opt may not know what the compiler emits. The packed module is good as it is, though larger.
optimize() {
    local tool=${WASM_OPT:-wasm-opt} module=$1 done=1
    shift
    if ! have "$tool"; then
        note "no wasm-opt: ${module##*/} stays as packed"
    elif "$tool" "$@" --enable-bulk-memory --enable-multivalue --enable-mutable-globals \
        --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext \
        "$module" -o "$module.opt" 2>"$module.log"; then
        mv "$module.opt" "$module"
        done=0
    else
        note "wasm-opt cannot read it, ${module##*/} stays as packed: $(head -n 1 "$module.log")"
    fi
    rm -f "$module.opt" "$module.log"
    return "$done"
}

# Prints the sizes; fails when one that is optimized is above its limit.
sizes() {
    local name above=0
    printf '%-26s %9s %8s %10s\n' module bytes KiB 'limit KiB'
    for name in "${NAMES[@]}"; do
        if [[ $KIND == probes ]]; then
            row "dist/probes/$name.wasm" -
        else
            row "$(module "$name")" "$(limit "$name")" || [[ ! -f dist/made-from/$name.optimized ]] || above=1
        fi
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

[[ $KIND == filters || $KIND == probes ]] || { note "no such kind: $KIND"; exit 1; }
step "$KIND: ${NAMES[*]}" build
if [[ $KIND == probes ]]; then collect; else step "pack and optimize" pack; fi
sizes
