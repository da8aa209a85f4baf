#!/usr/bin/env bash
# Shows that the instruction bench lets an unchanged kernel pass and stops one with work planted in a loop: exit 0 when both hold, 1 if not.
#   ci/instruction-gate.sh [WEIGHTS]     plants one pass of a small loop for each so many weights (64), in the bench, never in a kernel
# Needs valgrind and ci/install-gungraun.sh. Baseline and results stay in the target folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
weights=${1:-64}
[[ $weights =~ ^[1-9][0-9]*$ ]] || { echo "error: \"$weights\" is not a number of weights" >&2; exit 2; }
command -v valgrind >/dev/null || { echo "error: valgrind is missing; on Debian and Ubuntu: apt-get install valgrind" >&2; exit 5; }
command -v gungraun-runner >/dev/null || { echo "error: gungraun-runner is missing; run ci/install-gungraun.sh" >&2; exit 5; }
unset TRITBENCH_BENCH_PLANT
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bench() { cargo bench -q -p kernels --bench instructions -- "$@" >"$log" 2>&1; }
result() { grep '^Gungraun result:' "$log" || { cat "$log" >&2; return 1; }; }

echo "saving the baseline"
bench --save-baseline=gate || { cat "$log" >&2; exit 1; }
result
echo "unchanged, against the baseline"
bench --baseline=gate || { cat "$log" >&2; echo "error: an unchanged kernel did not pass" >&2; exit 1; }
result
echo "one pass of a loop planted for each $weights weights"
if TRITBENCH_BENCH_PLANT=$weights bench --baseline=gate; then
    echo "error: the planted work went unnoticed" >&2
    exit 1
fi
result
grep 'has regressed' "$log"
