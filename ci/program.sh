#!/usr/bin/env bash
# Builds the program and prints where cargo put it: program=$(bash ci/program.sh [CARGO BUILD FLAGS])
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
messages=$(cargo build --quiet -p harness --message-format=json-render-diagnostics "$@")
program=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages")
[ -x "$program" ] || { echo "package harness has one program; cargo built: ${program:-none}" >&2; exit 2; }
echo "$program"
