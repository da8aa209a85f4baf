#!/usr/bin/env bash
# Builds by a command of cargo, and prints where it put one executable: bits=$(bash ci/built.sh bits build -p model --example bits)
# The name is a pattern of grep; that of a test's executable ends with what cargo chose: 'model-[0-9a-f]*' test --no-run --lib
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=$1 command=$2
shift 2
messages=$(cargo "$command" --quiet --message-format=json-render-diagnostics "$@")
path=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages" | grep "/$name\$" || true)
[ -x "$path" ] || { echo "cargo $command $*: no executable $name came of it" >&2; exit 2; }
echo "$path"
