#!/usr/bin/env bash
# `release.sh make VERSION FILTER...` puts a release into dist/release: the modules with their version, images of
# them, what they are made of, and sums of all; signed if SIGN_KEY names a key.
# `release.sh publish REGISTRY` pushes its images.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cd "$(pwd -P)"
source tools/step.sh

readonly OUT=dist/release
export PATH=$PATH:$PWD/.tools/bin

# The name of a filter's module, and of its image.
named() {
    if [[ $1 == fused ]]; then echo tidegate; else echo "tidegate-$1"; fi
}

tool() {
    "${CARGO_TARGET_DIR:-target}/release/tidegate-release" "$@"
}

build_tool() {
    cargo_build "release tool" --release --package tidegate-release
}

commit() {
    local commit
    commit=$(git rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; return; }
    if [[ -n $(git status --porcelain --untracked-files=no) ]]; then commit+=-changed; fi
    echo "$commit"
}

modules() {
    local name
    for name in "${NAMES[@]}"; do
        tool stamp "dist/$name.wasm" "$OUT/$name.wasm" --version "$VERSION" --commit "$COMMIT"
    done
    if [[ -f dist/tidegate.symbols ]]; then cp dist/tidegate.symbols "$OUT/"; fi
}

# For each module an image with OCI's media types, one with Docker's, and an artifact of two layers.
images() {
    local name form digest
    printf '%-42s %-9s %s\n' image form 'digest of its manifest' >"$OUT/images.txt"
    for name in "${NAMES[@]}"; do
        for form in image docker artifact; do
            digest=$(tool image "$OUT/$name.wasm" "$OUT/images/$form/$name" --version "$VERSION" --form "$form")
            printf '%-42s %-9s %s\n' "$name:$VERSION$(suffix "$form")" "$form" "$digest" >>"$OUT/images.txt"
        done
    done
}

# What stands behind the version in the tag of an image.
suffix() {
    if [[ $1 != image ]]; then echo "-$1"; fi
}

# What each module is made of, as CycloneDX: without the folder that it was built in.
materials() {
    local filter
    # It describes each package of the workspace, in its folder.
    trap "find filters shared tests tools -name 'tidegate-*.cdx.json' -delete" EXIT
    cargo cyclonedx --quiet --format json --spec-version 1.5 --target wasm32-wasip1 \
        --manifest-path filters/fused/Cargo.toml
    for filter in "${FILTERS[@]}"; do
        sed "s|path+file://$PWD/|path+file:///|g" "filters/$filter/tidegate-$filter.cdx.json" \
            >"$OUT/$(named "$filter").cdx.json"
    done
}

sums() {
    (cd "$OUT" && sha256sum -- *.wasm *.cdx.json images.txt $(ls *.symbols 2>/dev/null) >SHA256SUMS)
}

# ECDSA, as `openssl` and `cosign` check it.
sign() {
    openssl dgst -sha256 -sign "$SIGN_KEY" "$OUT/SHA256SUMS" | openssl base64 -A >"$OUT/SHA256SUMS.sig"
    openssl pkey -in "$SIGN_KEY" -pubout -out "$OUT/signed-by.pem"
}

make_release() {
    VERSION=$1
    shift
    FILTERS=("$@")
    NAMES=()
    local filter
    for filter in "${FILTERS[@]}"; do NAMES+=("$(named "$filter")"); done
    if [[ -n ${SIGN_KEY:-} ]]; then
        have openssl || { note "openssl is missing, which signs"; exit 1; }
        [[ -r $SIGN_KEY ]] || { note "SIGN_KEY=$SIGN_KEY cannot be read"; exit 1; }
    fi
    COMMIT=$(commit)
    rm -rf "$OUT"
    mkdir -p "$OUT"
    build_tool
    step "modules $VERSION ($COMMIT)" modules
    step "images" images
    step "what they are made of" materials
    step "sums" sums
    if [[ -n ${SIGN_KEY:-} ]]; then
        step "signature" sign
    else
        note "not signed: SIGN_KEY=file names a key, such as openssl ecparam -name prime256v1 -genkey -noout writes"
    fi
    cat "$OUT/images.txt"
    note "in $OUT"
}

# Each image under the version, and the other forms under the version and their names.
publish() {
    local registry=$1 digest image form folder said
    [[ -f $OUT/images.txt ]] || { note "there is no release: run make release"; exit 1; }
    while read -r image form digest; do
        folder=$OUT/images/$form/${image%%:*}
        said=$("${CRANE:-crane}" push "$folder" "$registry/$image" 2>&1) || { note "$registry/$image: $said"; exit 1; }
        echo "oci://$registry/$image $digest"
    done < <(tail -n +2 "$OUT/images.txt")
}

case ${1:-} in
    make) shift && make_release "$@" ;;
    publish) publish "${2:?the registry, such as ghcr.io/you}" ;;
    *) note "release.sh make VERSION FILTER... | publish REGISTRY" && exit 2 ;;
esac
