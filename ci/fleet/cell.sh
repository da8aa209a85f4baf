#!/usr/bin/env bash
# One cell on one node: cell.sh PROGRAM COMPARE-FLAGS...
# Each attempt measures into a folder of its own, and only one that ended and verifies becomes `run`: a node that is lost
# in the middle leaves nothing that could be counted, and whoever comes second changes nothing.
set -uo pipefail
program=$1
shift
attempt=attempt.${SLURM_RESTART_COUNT:-0}.$(uname -n).$$

if [ -e run/receipt.json ]; then
    echo "cell: an earlier attempt has ended already"
else
    "$program" compare "$@" --out "$attempt"
    code=$?
    echo "cell: compare ended with exit code $code (attempt ${SLURM_RESTART_COUNT:-0} on ${SLURMD_NODENAME:-$(uname -n)})"
    [ "$code" -eq 0 ] || exit "$code"
    "$program" receipt verify "$attempt" || exit
    # A rename is whole; it fails where another attempt was faster, whose run is then as good.
    mv --no-target-directory --no-clobber "$attempt" run 2>/dev/null
fi
"$program" receipt verify run || exit
echo "cell: verified run/receipt.json"
