#!/usr/bin/env bash
# Builds the program and prints where cargo put it: program=$(bash ci/program.sh [CARGO BUILD FLAGS])
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --quiet -p harness --message-format=json-render-diagnostics "$@" | python3 -c '
import json, sys
messages = map(json.loads, sys.stdin)
programs = [m["executable"] for m in messages if m.get("reason") == "compiler-artifact" and m.get("executable")]
if len(programs) != 1:
    sys.exit("package harness has one program; cargo built %d" % len(programs))
print(programs[0])'
