#!/usr/bin/env bash
# Checks the GPU engine on a machine with a real GPU: every kernel against plain loops, runs, shared early layers, means,
# first layers of tables, f16, timestamps, the choice of kernels, and throughput.
#
#   scripts/gpu-check.sh                  builds with cargo (release) and runs
#   scripts/gpu-check.sh collect FOLDER   builds only, and puts the test binaries in FOLDER
#   WHYBOX_TEST_BINARIES=FOLDER scripts/gpu-check.sh
#                                         runs the binaries in FOLDER: the machine needs no Rust and no sources
#
# A missing adapter or one in software is a failure. Set WHYBOX_SKIP_BENCHMARK=1 to leave out the choice of kernels and the throughput,
# which take some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=(gpu_kernels gpu_functions gpu_runs gpu_means gpu_first_layer gpu_precision gpu_profile sharing gpu_sharing gpu_selector families_full)
benchmark=forward

# Builds the given targets and prints "name path" for each binary.
build() {
    local log
    log=$(cargo "$@" --no-run --release 2>&1) || {
        printf '%s\n' "$log" >&2
        return 1
    }
    sed -nE 's#^ *Executable (tests|benches)/([a-z_]+)\.rs \((.*)\)$#\2 \3#p' <<<"$log"
}

collect() {
    local folder=$1 flags=() name path
    mkdir -p "$folder"
    for name in "${tests[@]}"; do flags+=(--test "$name"); done
    {
        build test "${flags[@]}"
        if [ -f "benches/$benchmark.rs" ]; then build test --bench "$benchmark"; fi
    } | while read -r name path; do
        cp "$path" "$folder/$name"
        echo "$folder/$name"
    done
}

if [ "${1:-}" = collect ]; then
    collect "${2:?collect needs a folder}"
    exit
fi

folder=${WHYBOX_TEST_BINARIES:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    collect "$folder"
fi

export WHYBOX_REQUIRE_GPU=1
adapters=$("$folder/gpu_runs" adapters_are_listed --nocapture)
printf '%s\n' "$adapters"
if ! grep 'AdapterInfo' <<<"$adapters" | grep -qv 'kind: Software'; then
    echo "only a software adapter: install the GPU's driver, or run scripts/test.sh" >&2
    exit 1
fi
"$folder/gpu_kernels"
"$folder/gpu_functions"
"$folder/gpu_runs"
"$folder/gpu_means"
"$folder/gpu_first_layer"
"$folder/gpu_precision"
"$folder/gpu_profile" --nocapture
"$folder/sharing"
"$folder/gpu_sharing"
# The full-size networks that scripts/families.py wrote, where WHYBOX_FAMILIES names their folder.
"$folder/families_full" --ignored --nocapture full_networks_agree_on_the_gpu
if [ -z "${WHYBOX_SKIP_BENCHMARK:-}" ]; then
    "$folder/gpu_selector" --ignored --nocapture
    if [ -x "$folder/$benchmark" ]; then
        "$folder/$benchmark" --bench gpu
    fi
fi
