#!/usr/bin/env bash
# Reads and writes outside allocations, in every kernel's tests: ci/memcheck.sh [TEST-ARGUMENTS...]
# AddressSanitizer with the pinned compiler: its runtime comes with the toolchain (Linux and macOS), only the flag is called unstable.
# Guard pages (kernels/src/guarded.rs) see the ends of each operand to the byte; this sees every allocation, at about four times the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/lib/*rt.asan*" >/dev/null || { echo "no AddressSanitizer runtime for $host" >&2; exit 2; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/memcheck RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
# Tests leak on purpose: descriptors of planted kernels live as long as the program.
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-}
# With --target, build scripts and procedural macros stay plain.
test=(cargo test -p kernels --target "$host" --lib --test conformance --test edge_shapes)
for mask in "" avx2 none; do
    echo "=== kernels, ${mask:-all of this CPU\'s features}"
    if [ -n "$mask" ]; then export TRITBENCH_CPU_FEATURES=$mask; else unset TRITBENCH_CPU_FEATURES; fi
    "${test[@]}" "$@"
done
