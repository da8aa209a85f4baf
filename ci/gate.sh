#!/usr/bin/env bash
# Gates this commit: is it slower than BASE, or does it compute something else?   bash ci/gate.sh BASE [tritbench gate flags]
#
# BASE is a git revision (built with this build's profile), a tritbench executable, or the name of a saved baseline.
# Exit codes are the gate's: 0 PASS, 1 FAIL, 2 bad usage or input, 3 INCONCLUSIVE, 4 UNSTABLE, 5 UNSUPPORTED, 130 interrupted.
# INCONCLUSIVE and UNSTABLE are no verdict about the commit: with TRITBENCH_GATE_RETRIES=N the gate runs again up to N times, and what is
# left after that is for a person or a quieter machine to decide.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
base=${1:?usage: bash ci/gate.sh BASE [tritbench gate flags]}
shift
# As in program.sh, because this script is copied alone: a build target or a configured folder moves the program, and cargo says where to.
messages=$(cargo build --quiet -p harness --message-format=json-render-diagnostics)
program=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages")
[ -x "$program" ] || { echo "package harness has one program; cargo built: ${program:-none}" >&2; exit 2; }
against=(--against "$base")
if "$program" baseline show "$base" >/dev/null 2>&1; then
    against=(--baseline "$base")
fi
for attempt in $(seq 0 "${TRITBENCH_GATE_RETRIES:-0}"); do
    code=0
    "$program" gate "${against[@]}" "$@" || code=$?
    case $code in
        3 | 4) echo "attempt $((attempt + 1)): no verdict (exit $code)" >&2 ;;
        *) break ;;
    esac
done
exit "$code"
