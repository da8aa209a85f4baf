#!/usr/bin/env bash
# Lines that the tests of both crates reach, by the compiler's own counters: ci/coverage.sh
# Needs: rustup component add llvm-tools. Files of nothing but tests are left out; unit tests inside other files count as code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
[ -x "$tools/llvm-cov" ] || { echo "llvm-cov is missing: rustup component add llvm-tools" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-$PWD/target}/coverage
profiles=$(mktemp -d)
trap 'rm -rf "$profiles"' EXIT
export CARGO_TARGET_DIR=$target RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE="$profiles/%p-%m.profraw"
# Without line tables the counters still have their places, and the build is smaller.
binaries=$(cargo test --workspace --no-run --message-format=json | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message.get("executable"):
        print(message["executable"])')
cargo test --workspace "$@" || echo "some tests failed: the figures are those of what ran" >&2
"$tools/llvm-profdata" merge -sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
objects=()
while read -r binary; do objects+=(--object "$binary"); done <<<"$binaries"
report() {
    "$tools/llvm-cov" export -summary-only -instr-profile "$profiles/all.profdata" "${objects[@]}" \
        -ignore-filename-regex '(/registry/|/rustc/|/library/|/tests/|tests\.rs$|/fuzzing|/guarded|fixture\.rs$|testing\.rs$|malformed\.rs$)' \
        -skip-functions 2>/dev/null
}
report | python3 -c '
import json, os, sys
files = json.load(sys.stdin)["data"][0]["files"]
here = os.getcwd()
sums = {}
for file in files:
    name = os.path.relpath(file["filename"], here)
    crate = name.split("/")[0]
    if crate in ("kernels", "harness"):
        lines, total = file["summary"]["lines"], sums.setdefault(crate, [0, 0])
        total[0] += lines["covered"]
        total[1] += lines["count"]
        if lines["percent"] < 80:
            print("%6.1f%% of %4d lines  %s" % (lines["percent"], lines["count"], name))
for crate, (covered, count) in sorted(sums.items()):
    print("%s: %.1f%% of %d lines" % (crate, 100 * covered / count, count))'
