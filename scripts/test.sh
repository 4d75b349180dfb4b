#!/usr/bin/env bash
# Everything needed to run all tests, then the tests.
#
# GPU tests need a Vulkan adapter. Where there is none, a software one (Mesa's lavapipe) is installed if that is
# possible without asking; else the command to run is printed. No GPU test is skipped.
#
# Arguments are handed to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

export WHYBOX_REQUIRE_GPU=1
# Mesa's device-selection layer complains where there is no window system.
export NODEVICE_SELECT=1

say() { printf '\n\033[1m%s\033[0m\n' "$*" 2>/dev/null || true; }

command -v cargo >/dev/null || {
    echo "cargo is missing: install Rust from https://rustup.rs" >&2
    exit 1
}

# A driver is described by a JSON file in one of the loader's folders, or named by the environment.
# (grep reads to the end: with -q it would close the pipe early, which `pipefail` takes for a failure.)
loader_present() {
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep 'libvulkan\.so' >/dev/null || [ -n "${LD_LIBRARY_PATH:-}" ]
}
driver_present() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] ||
        compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null ||
        compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

install_lavapipe() {
    local install='apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1'
    if ! command -v apt-get >/dev/null; then
        echo "no Vulkan driver found: install one (Mesa's lavapipe will do), then run this script again" >&2
        exit 1
    fi
    local sudo=''
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            sudo='sudo -n'
        else
            echo "no Vulkan driver found; run this, then the script again:" >&2
            echo "    sudo apt-get update && sudo $install" >&2
            exit 1
        fi
    fi
    say "installing a software Vulkan driver"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq
    $sudo $install
}

if [ "$(uname -s)" = Linux ] && ! { loader_present && driver_present; }; then
    install_lavapipe
fi

say "building"
cargo build --bins
say "adapters"
devices=$(cargo run --quiet -- devices)
echo "$devices"
if grep -q '^no GPU adapter' <<<"$devices"; then
    # Drivers are there, but none gives an adapter.
    [ "$(uname -s)" = Linux ] && install_lavapipe
    devices=$(cargo run --quiet -- devices)
    if grep -q '^no GPU adapter' <<<"$devices"; then
        echo "there is still no working Vulkan adapter: check the driver with vulkaninfo" >&2
        exit 1
    fi
fi

say "tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --no-fail-fast "$@" -- --nocapture 2>&1 | tee "$log" || status=$?
say "skipped, by name"
grep -E '^skipped: ' "$log" | sort -u || echo "nothing"
exit "$status"
