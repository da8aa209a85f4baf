#!/usr/bin/env bash
# How far ahead should avx2-prefetch and avx2-permute prefetch? Builds and times each distance in a copy of this tree.
#   ci/sweep-prefetch.sh [BYTES...]       default: 0 256 512 1024 2048 4096
# ROUNDS=N interleaved rounds a cell (42). Build outputs: CARGO_TARGET_DIR, or the copy's own. Receipts stay in OUT if set.
# Read it on a quiet machine: each line is a median of paired ratios within one run; compare lines by their intervals.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
distances=("$@")
[ $# -gt 0 ] || distances=(0 256 512 1024 2048 4096)
for distance in "${distances[@]}"; do
    [[ $distance =~ ^[0-9]+$ ]] || { echo "error: \"$distance\" is not a number of bytes" >&2; exit 2; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - | tar -xf - -C "$scratch"
out=${OUT:-$scratch/runs}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cat >"$scratch/sweep.toml" <<TOML
name = "sweep-prefetch"
summary = "Prefetch distance, weights from DRAM."
analysis = "One run a distance; ratios over avx2-fma-tile, which does not prefetch, within the run."
[micro]
rounds = ${ROUNDS:-42}
residency = ["dram"]
gemv = ["6912x2560", "2560x6912"]
TOML

cd "$scratch"
constant='const PREFETCH_BYTES: usize = '
source=kernels/src/x86_64/avx2_prefetch.rs
grep -q "$constant[0-9_]*;" $source || { echo "error: no PREFETCH_BYTES in $source" >&2; exit 2; }
printf '%8s  %-10s  %-14s  %s\n' bytes shape kernel "x avx2-fma-tile [99% interval]"
for distance in "${distances[@]}"; do
    sed -i.before "s/\($constant\)[0-9_]*;/\1$distance;/" $source
    cargo build -q -p harness
    "${CARGO_TARGET_DIR:-target}/debug/harness" micro --scenario sweep.toml --kernels avx2-fma-tile,avx2-prefetch,avx2-permute \
        --out "$out/$distance" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
    python3 - "$distance" "$out/$distance/receipt.json" <<'PYTHON'
import json, sys

for cell in json.load(open(sys.argv[2]))["micro"]:
    for entry, summary in zip(cell["entries"], cell["summaries"]):
        ratio = summary.get("vs_baseline")
        if ratio and not entry["self_pair"]:
            assert ratio["partner"] == "avx2-fma-tile", ratio
            ends = [ratio["low"], ratio["high"]]
            interval = "[{:.3f}, {:.3f}]".format(*ends) if None not in ends else "[too few rounds]"
            shape = f"{cell['m']}x{cell['k']}"
            print(f"{sys.argv[1]:>8}  {shape:10}  {summary['kernel']:14}  {ratio['median']:.3f} {interval}  floor {cell['noise_floor']:.1%}")
PYTHON
done
