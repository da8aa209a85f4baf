#!/usr/bin/env bash
# Runs a command while something else uses the machine: ci/busy.sh COMMAND...
# Two loops, each of which keeps one CPU busy, run beside the command and end with it. The exit code is the command's.
# Example: ci/busy.sh cargo run -p harness -- micro --shape 6912x2560
set -euo pipefail

if [ $# = 0 ]; then
    echo "usage: ci/busy.sh COMMAND..." >&2
    exit 2
fi

loops=()
stop() {
    # `wait` keeps the shell from reporting that they were terminated.
    kill "${loops[@]}" 2>/dev/null || true
    wait "${loops[@]}" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for _ in 1 2; do
    # A loop that asks for its parent ends even if this script is killed.
    (
        trap - EXIT INT TERM
        while kill -0 $$ 2>/dev/null; do :; done
    ) </dev/null >/dev/null 2>&1 &
    loops+=("$!")
done

code=0
"$@" || code=$?
exit "$code"
