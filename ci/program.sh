#!/usr/bin/env bash
# Builds the program and prints where cargo put it: program=$(bash ci/program.sh [CARGO BUILD FLAGS])
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/built.sh" tritbench build -p harness "$@"
