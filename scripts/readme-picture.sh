#!/usr/bin/env bash
# Draws the README's picture: the built-in photo explained by the built-in network.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --release --quiet -- image --device cpu --samples 4000 --out "$out"
mkdir -p docs/images
cp "$out/explanation.svg" docs/images/explanation.svg
