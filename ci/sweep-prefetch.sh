#!/usr/bin/env bash
# How far ahead should a kernel prefetch? Builds and times each distance in a copy of this tree.
#   ci/sweep-prefetch.sh [ladder|int8|heads|far] [BYTES...]
# ladder: avx2-prefetch and avx2-permute over avx2-fma-tile, by `micro`; 0 256 512 1024 2048 4096 by default.
# int8, heads: share of a plain read of the same bytes in the same rounds, by the examples gemv_bandwidth and head_bandwidth of kernels/;
#   256 512 1024 2048 4096 6144 8192 by default. The distance of one level goes into every kernel of the group that has one.
# far: as int8, the distance at which the second level is asked where there are two; 4096 8192 16384 32768 65536 by default.
# ROUNDS=N interleaved rounds (42; heads 15). THREADS="1 2" for int8 and heads. Build outputs: CARGO_TARGET_DIR, or the copy's own.
# Receipts of ladder stay in OUT if set. Read it on a quiet machine: each line is a median within one run; compare lines of several runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
group=ladder
case ${1:-} in ladder | int8 | heads | far) group=$1 && shift ;; esac
distances=("$@")
if [ $# -eq 0 ]; then
    case $group in
        ladder) distances=(0 256 512 1024 2048 4096) ;;
        far) distances=(4096 8192 16384 32768 65536) ;;
        *) distances=(256 512 1024 2048 4096 6144 8192) ;;
    esac
fi
for distance in "${distances[@]}"; do
    [[ $distance =~ ^[0-9]+$ ]] || { echo "error: \"$distance\" is neither a group nor a number of bytes" >&2; exit 2; }
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
case $group in
    ladder) sources=(w2a32/avx2_prefetch) ;;
    int8) sources=(w2a8/avx2_i8_tile8 w2a8/avx2_lut8 w2a8/avxvnni_tile8 w2a8/avx512_vnni w2a8/avx512_vnni_trit5) ;;
    far) sources=(prefetch) constant='const FAR_BYTES: usize = ' ;;
    heads) sources=(x86_64/f16c_head x86_64/head_f16_avx512 x86_64/head_q8 x86_64/head_q4) ;;
esac
for source in "${sources[@]}"; do
    grep -q "$constant[0-9_]*;" "kernels/src/$source.rs" || { echo "error: no distance in $source.rs" >&2; exit 2; }
done
[ $group != ladder ] || printf '%8s  %-10s  %-14s  %s\n' bytes shape kernel "x avx2-fma-tile [99% interval]"
for distance in "${distances[@]}"; do
    for source in "${sources[@]}"; do
        sed -i.before "s/\($constant\)[0-9_]*;/\1$distance;/" "kernels/src/$source.rs"
    done
    if [ $group != ladder ]; then
        example=$([ $group = heads ] && echo head_bandwidth || echo gemv_bandwidth)
        cargo build -q --release -p kernels --example $example
        for threads in ${THREADS:-1 2}; do
            if [ $group != heads ]; then
                arguments=("$threads" "${ROUNDS:-42}" 40 avx2-i8-tile8 avx2-lut8 avxvnni-tile8 avx512-vnni avx512-vnni-trit5)
            else
                arguments=(64128 "$threads" "${ROUNDS:-15}")
            fi
            "${CARGO_TARGET_DIR:-target}/release/examples/$example" "${arguments[@]}" | grep 'of a plain read' | grep "$([ $group = far ] && echo two || echo one) level" |
                sed "s/^/$(printf '%8s' "$distance") B, $threads thread(s): /"
        done
        continue
    fi
    "$(bash ci/program.sh)" micro --scenario sweep.toml --kernels avx2-fma-tile,avx2-prefetch,avx2-permute \
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
            counts = summary["verdict"]["delta_eff"]
            print(f"{sys.argv[1]:>8}  {shape:10}  {summary['kernel']:14}  {ratio['median']:.3f} {interval}  counts from {counts:.1%}")
PYTHON
done
