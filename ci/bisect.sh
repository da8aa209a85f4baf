#!/usr/bin/env bash
# Finds the commit that made a kernel slower, or made it compute something else:
#     git bisect start BAD GOOD
#     cp ci/bisect.sh /tmp && git bisect run bash /tmp/bisect.sh GOOD [tritbench gate flags, --kernels A say]
# (The copy, because bisecting checks out commits that may have no such file.) GOOD is built once and kept by the gate.
#
# git bisect takes exit codes of its own: 0 good, 1 bad, 125 for a commit that nothing can be said about, above 127 to stop. A gate's
# INCONCLUSIVE and UNSTABLE are tried three times, and then passed over like UNSUPPORTED and a commit that does not build; bad usage stops it.
set -uo pipefail
good=${1:?usage: git bisect run bash bisect.sh GOOD [tritbench gate flags]}
shift
messages=$(cargo build --quiet -p harness --message-format=json-render-diagnostics) || exit 125
program=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages")
for _ in 1 2 3; do
    code=0
    "$program" gate --against "$good" "$@" || code=$?
    case $code in 3 | 4) ;; *) break ;; esac
done
case $code in
    0 | 1) exit "$code" ;;
    3 | 4 | 5) exit 125 ;;
    *) exit 128 ;;
esac
