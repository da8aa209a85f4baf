#!/usr/bin/env bash
# What the interface for foreign kernels costs: bash ci/seam.sh PROGRAM [KERNEL]
# Builds tritbench's own kernels as a library (kernels/examples/seam) and times KERNEL (avx512-vnni by default) beside itself
# through tritbench.h, in the same rounds, from the caches: from memory each side chooses its own way to ask ahead.
# Where memory lies differs from process to process and moves a kernel by several per cent, so RUNS=12 processes are begun
# anew; printed is the median of their ratios, with the interval by ranks (95% or more).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$(realpath "${1:?which program? ci/seam.sh PROGRAM}")
kernel=${2:-avx512-vnni}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cargo build --locked --manifest-path kernels/examples/seam/Cargo.toml --target-dir target
for run in $(seq "${RUNS:-12}"); do
    "$program" micro --kernels "$kernel,$kernel-abi" --kernel-library target/debug/libseam.so --shape 640x2560 \
        --shape 6912x2560 --residency llc --rounds 60 --seed "$run" --out "$scratch/$run" >/dev/null 2>"$scratch/log" ||
        { cat "$scratch/log" >&2; exit 1; }
done
python3 - "$scratch" "$kernel" <<'PYTHON'
import glob, json, statistics, sys
runs = [json.load(open(path)) for path in glob.glob(sys.argv[1] + "/*/receipt.json")]
print(runs[0]["host"]["cpu"])
ratios = {}
for run in runs:
    for cell in run["micro"]:
        names = [entry["kernel"] for entry in cell["entries"]]
        direct, through = names.index(sys.argv[2]), names.index(sys.argv[2] + "-abi")
        of_rounds = [turn["ns"][direct] / turn["ns"][through] for turn in cell["rounds"]]
        ratios.setdefault((cell["m"], cell["k"]), []).append(statistics.median(of_rounds))
for (m, k), of in sorted(ratios.items()):
    of.sort()
    # The second smallest and largest of 12: the median of all such runs lies between them in 99 of 100 cases.
    outside = max(0, len(of) // 6 - 1)
    interval = f"[{of[outside]:.4f}, {of[-1 - outside]:.4f}]"
    print(f"gemv {m}x{k}: through tritbench.h {statistics.median(of):.4f} {interval} times as fast as called directly, {len(of)} runs")
PYTHON
