#!/usr/bin/env bash
# What the interface for foreign kernels costs: bash ci/seam.sh PROGRAM [KERNEL]
# Builds tritbench's own kernels as a library (kernels/examples/seam) and times KERNEL (by default the last exact one of
# `list`) beside itself through tritbench.h, in the same rounds, from the caches: from memory each side chooses its own
# way to ask ahead. Prints the ratios with their intervals.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$(realpath "${1:?which program? ci/seam.sh PROGRAM}")
kernel=${2:-avx512-vnni}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cargo build --locked --manifest-path kernels/examples/seam/Cargo.toml --target-dir target
"$program" micro --kernels "$kernel,$kernel-abi" --kernel-library target/debug/libseam.so --shape 640x2560 \
    --shape 6912x2560 --residency llc --rounds 200 --out "$scratch/run" >/dev/null
python3 - "$scratch/run/receipt.json" "$kernel" <<'P'
import json, sys
run = json.load(open(sys.argv[1]))
print(run["host"]["cpu"])
for cell in run["micro"]:
    for summary in cell["summaries"]:
        if summary["kernel"].endswith("-abi"):
            of = summary["vs_previous"] or summary["vs_baseline"]
            name = f"gemv {cell['m']}x{cell['k']}, one copy, {len(cell['rounds'])} rounds"
            print(f"{name}: {summary['kernel']} is {of['median']:.4f} [{of['low']:.4f}, {of['high']:.4f}] times as fast as {of['partner']}")
P
