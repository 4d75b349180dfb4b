#!/usr/bin/env bash
# Builds the crate for 64-bit ARM and runs the tests of the CPU engine, and of what promises the same bits everywhere, in QEMU's
# user-mode emulation (on an ARM machine: directly). Each kernel runs in NEON and in the portable form.
#
#   scripts/arm-check.sh              all of them
#   scripts/arm-check.sh lib NAME …   only the library's own tests (`lib`) or these of tests/
#
# Emulated floating-point arithmetic is slow: some tests take several minutes each.
#
# Needs Rust with the target aarch64-unknown-linux-gnu, a linker for it, and QEMU. Rust by rustup: `rustup target add
# aarch64-unknown-linux-gnu`; Debian's own: `dpkg --add-architecture arm64`, then the package libstd-rust-dev:arm64. The others:
# `apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
units=(device::cpu perturb:: solve::)
tests=(cpu_kernels cpu_functions cpu_runs movement_kernels families table_game sharing steady_state)

if [ "$(uname -m)" != aarch64 ]; then
    linker=aarch64-linux-gnu-gcc
    qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
    command -v "$linker" >/dev/null || {
        echo "$linker is missing: install gcc-aarch64-linux-gnu" >&2
        exit 1
    }
    [ -n "$qemu" ] || {
        echo "qemu-aarch64 is missing: install qemu-user" >&2
        exit 1
    }
    export CARGO_BUILD_TARGET=$target
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -L /usr/aarch64-linux-gnu"
fi

wanted=("$@")
[ $# -gt 0 ] || wanted=(lib "${tests[@]}")
flags=()
for name in "${wanted[@]}"; do
    if [ "$name" = lib ]; then
        cargo test --lib -- "${units[@]}"
    else
        flags+=(--test "$name")
    fi
done
[ ${#flags[@]} -eq 0 ] || cargo test --no-fail-fast "${flags[@]}"
