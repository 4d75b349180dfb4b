#!/usr/bin/env bash
# Draws the pictures of README and guide: the built-in photo and table explained by the built-in networks.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
whybox() { cargo run --release --quiet -- "$@"; }
whybox image --device cpu --samples 4000 --out "$out"
whybox table --method lime --device cpu --class malignant --out "$out/one"
whybox table --method lime --device cpu --class malignant --rows 0-99 --features 30 --out "$out/many"
mkdir -p docs/images
cp "$out/explanation.svg" docs/images/explanation.svg
whybox plot "$out/one/explanation.json" --kind conditions --out docs/images/conditions.svg
whybox plot "$out/many/explanation.json" --kind beeswarm --top 12 --out docs/images/beeswarm.svg
