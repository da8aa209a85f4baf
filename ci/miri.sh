#!/usr/bin/env bash
# Undefined behaviour in what an interpreter can run: packing, activations, buffers, plain-Rust kernels, threads. Takes minutes.
# Needs nightly Rust with miri and rust-src: rustup toolchain install nightly --component miri,rust-src
# Vector kernels are the guard-page suite's business (kernels/src/guarded.rs): Miri has few of their intrinsics.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Few property cases: each takes seconds here. No vector features: plain Rust everywhere.
export PROPTEST_CASES=${PROPTEST_CASES:-2} TRITBENCH_CPU_FEATURES=none
# The clock and the environment are read; proptest's record of failures is written.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
# Skipped: the largest operands that the kernels allow, which take an interpreter hours.
exec cargo +nightly miri test -p kernels "$@" -- \
    --skip the_widest_sums_are_exact --skip the_largest_k --skip beyond_the_proven_bound
