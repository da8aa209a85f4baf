#!/usr/bin/env bash
# Builds what flags of `cargo build` name, and prints where cargo put one executable of it: bits=$(bash ci/built.sh bits -p model --example bits)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
name=$1
shift
messages=$(cargo build --quiet --message-format=json-render-diagnostics "$@")
path=$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$messages" | grep "/$name\$" || true)
[ -x "$path" ] || { echo "cargo build $*: no executable $name came of it" >&2; exit 2; }
echo "$path"
