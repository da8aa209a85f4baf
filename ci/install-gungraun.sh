#!/usr/bin/env bash
# Installs the runner of kernels/benches/instructions.rs in the version of the library in Cargo.lock: they must be equal.
#   ci/install-gungraun.sh [CARGO-INSTALL-OPTIONS...]     for example: --root DIR (then put DIR/bin on PATH)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$(awk '$0 == "name = \"gungraun\"" { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
[ -n "$version" ] || { echo "error: no gungraun in Cargo.lock" >&2; exit 2; }
if [ $# -eq 0 ] && [ "$(gungraun-runner --version 2>/dev/null)" = "gungraun-runner $version" ]; then
    echo "gungraun-runner $version is installed"
else
    cargo install gungraun-runner --version "=$version" --locked "$@"
fi
command -v valgrind >/dev/null || echo "note: valgrind is missing; on Debian and Ubuntu: apt-get install valgrind" >&2
