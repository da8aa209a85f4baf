#!/usr/bin/env bash
# How often is the gate wrong on this machine? Gates this build against itself N times (20 by default) and counts the verdicts.
#   bash ci/calibrate.sh [N] [--keep DIR] [tritbench gate flags]
#
# With --inject KERNEL:PERCENT among the flags, as many gates with that slowdown planted take turns with those without. Run folders are
# temporary; --keep DIR keeps them. Ctrl-C prints what was counted so far. Exit codes: 0; 1 if a gate without a planted slowdown said FAIL
# (its output is shown); 2 if a gate could not run; 130 if interrupted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
declare -A verdict=([0]=PASS [1]=FAIL [3]=INCONCLUSIVE [4]=UNSTABLE [5]=UNSUPPORTED)
n=20
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    n=$1
    shift
fi
flags=() inject=() seed=() keep=
while [ $# -gt 0 ]; do
    case $1 in
        --keep) keep=${2:?--keep needs a folder}; shift 2 ;;
        --inject) inject=(--inject "${2:?--inject needs KERNEL:PERCENT}"); shift 2 ;;
        --inject=*) inject=("$1"); shift ;;
        *) flags+=("$1"); shift ;;
    esac
done

program=$(bash ci/program.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
folder=${keep:-$scratch}
mkdir -p "$folder"
null=() planted=() stopped=

# One gate: its verdict in `word`. One that ends otherwise stops the calibration.
gate() {
    local code=0
    word=
    [ -z "$stopped" ] || return 0
    "$program" gate --against "$program" "${flags[@]}" "${seed[@]}" "$@" >"$scratch/said" 2>&1 || code=$?
    if [ "$code" = 130 ]; then
        stopped=130
    elif [ -z "${verdict[$code]:-}" ]; then
        cat "$scratch/said" >&2
        stopped=2
    else
        word=${verdict[$code]}
    fi
}

trap 'stopped=130' INT TERM
for i in $(seq "$n"); do
    # Another order of rounds in each.
    [[ " ${flags[*]}" = *" --seed"* ]] || seed=(--seed "$i")
    gate --out "$folder/null-$i"
    [ -z "$stopped" ] || break
    null+=("$word")
    echo "$i of $n: $word" >&2
    [ "$word" != FAIL ] || cat "$scratch/said" >&2
    [ ${#inject[@]} -gt 0 ] || continue
    gate "${inject[@]}" --out "$folder/planted-$i"
    [ -z "$stopped" ] || break
    planted+=("$word")
    echo "$i of $n, planted: $word" >&2
done

python3 - "${null[*]}" "${planted[*]}" <<'PYTHON'
import math
import sys

WORDS = ["PASS", "FAIL", "INCONCLUSIVE", "UNSTABLE", "UNSUPPORTED"]


def upper_bound(fails, gates):
    """The share of wrong gates above which so few FAILs come in less than 5% of calibrations (exact, binomial)."""
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        at_most = sum(math.comb(gates, k) * share**k * (1 - share) ** (gates - k) for k in range(fails + 1))
        low, high = (share, high) if at_most > 0.05 else (low, share)
    return high


null, planted = (words.split() for words in sys.argv[1:])
print(f"{'planted':8}{'gates':>6}" + "".join(f"{word:>{len(word) + 3}}" for word in WORDS))
for name, gates in [("no", null), ("yes", planted)]:
    if gates:
        print(f"{name:8}{len(gates):6}" + "".join(f"{gates.count(word):{len(word) + 3}}" for word in WORDS))
if null:
    fails = null.count("FAIL")
    print(f"false alarms: {fails} of {len(null)} gates; their rate is below {upper_bound(fails, len(null)):.1%} with 95% confidence")
PYTHON
[ -z "$stopped" ] || exit "$stopped"
[[ " ${null[*]} " != *" FAIL "* ]]
