#!/usr/bin/env bash
# Lines that the tests reach, by the compiler's own counters: ci/coverage.sh [CARGO-TEST-ARGUMENTS, else --workspace]
# Needs llvm-profdata and llvm-cov of the compiler's LLVM: rustup component add llvm-tools, or the system's (Debian: llvm-22), or LLVM_BIN.
# Files of nothing but tests are left out; unit tests inside other files count as code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tools=
for folder in "${LLVM_BIN:-}" "$(rustc --print sysroot)/lib/rustlib/$host/bin" "/usr/lib/llvm-$major/bin" "/opt/homebrew/opt/llvm@$major/bin"; do
    if [ -x "$folder/llvm-cov" ] && [ -x "$folder/llvm-profdata" ]; then tools=$folder; break; fi
done
[ -n "$tools" ] || { echo "llvm-cov of LLVM $major is missing: rustup component add llvm-tools, or install llvm-$major" >&2; exit 2; }

[ $# -gt 0 ] || set -- --workspace
# Counters in our own crates only: dependencies are the ordinary build's.
folder=${CARGO_TARGET_DIR:-$PWD/target}/coverage
rm -rf "$folder/profiles"
mkdir -p "$folder/profiles"
printf '#!/bin/sh\nexec "$@" -C instrument-coverage\n' > "$folder/rustc"
chmod +x "$folder/rustc"
export RUSTC_WORKSPACE_WRAPPER=$folder/rustc LLVM_PROFILE_FILE="$folder/profiles/%8m.profraw"
binaries=$(cargo test --no-run --message-format=json "$@" | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message.get("executable"):
        print(message["executable"])')
cargo test --no-fail-fast "$@" || echo "some tests failed: the figures are those of what ran" >&2
"$tools/llvm-profdata" merge -sparse "$folder"/profiles/*.profraw -o "$folder/all.profdata"
objects=()
while read -r binary; do objects+=(--object "$binary"); done <<<"$binaries"
"$tools/llvm-cov" export -summary-only -instr-profile "$folder/all.profdata" "${objects[@]}" \
    -ignore-filename-regex '(/registry/|/rustc/|/library/|/tests/|tests\.rs$|/fuzzing|/guarded|fixture\.rs$|testing\.rs$|malformed\.rs$)' \
    -skip-functions | python3 -c '
import json, os, sys
files = json.load(sys.stdin)["data"][0]["files"]
here = os.getcwd()
sums = {}
for file in files:
    name = os.path.relpath(file["filename"], here)
    folder = name.split("/src/")[0]
    crate = os.path.basename(folder)
    if crate in ("kernels", "receipt", "reports", "model", "harness"):
        lines, total = file["summary"]["lines"], sums.setdefault(crate, [0, 0])
        total[0] += lines["covered"]
        total[1] += lines["count"]
        if lines["percent"] < 80:
            print("%6.1f%% of %4d lines  %s" % (lines["percent"], lines["count"], name))
for crate, (covered, count) in sorted(sums.items()):
    print("%s: %.1f%% of %d lines" % (crate, 100 * covered / count, count))'
