#!/usr/bin/env bash
# Undefined behaviour in what an interpreter can run: packing, activations, buffers, plain-Rust kernels, threads. Takes minutes.
# Needs nightly Rust with miri and rust-src: rustup toolchain install nightly --component miri,rust-src
# Vector kernels are the guard-page suite's business (kernels/src/guarded.rs): Miri has few of their intrinsics.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Few property cases: each takes seconds here. No vector features: plain Rust everywhere.
export PROPTEST_CASES=${PROPTEST_CASES:-2} TRITBENCH_CPU_FEATURES=none
# The clock and the environment are read; proptest's record of failures is written.
# More tests to leave out, by name: SKIP="a b" ci/miri.sh
read -ra skipped <<<"${SKIP:-}"
SKIP=()
for name in ${skipped[@]+"${skipped[@]}"}; do SKIP+=(--skip "$name"); done
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
# Skipped: long searches, and the largest operands that the kernels allow: an interpreter takes hours for them.
exec cargo +nightly miri test -p kernels --lib "$@" -- \
    --skip the_widest_sums_are_exact --skip every_position ${SKIP[@]+"${SKIP[@]}"}
