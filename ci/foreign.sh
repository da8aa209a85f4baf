#!/usr/bin/env bash
# Libraries of kernels that others wrote: bash ci/foreign.sh PROGRAM
# Builds the examples and compares them with ours; then every fault of ci/hostile, a library each, must end as
# ci/hostile/expected.txt says, and the program with it. Needs cc and c++; writes to a folder of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
flags=(-O2 -fPIC -shared -fvisibility=hidden -Ikernels/include)

echo "examples"
cc -std=c11 -Wall -Wextra -Werror -march=native "${flags[@]}" -O3 -o "$scratch/libplain.so" kernels/examples/guest/plain.c
c++ -std=c++17 -Wall -Wextra -Werror "${flags[@]}" -O3 -o "$scratch/libvector.so" kernels/examples/guest/vector.cpp
lines=$(wc -l <kernels/examples/guest/plain.c)
[ "$lines" -le 60 ] || { echo "plain.c has $lines lines; it is to be read in one look: 60" >&2; exit 1; }
libraries=(--kernel-library "$scratch/libplain.so" --kernel-library "$scratch/libvector.so")
"$program" list kernels "${libraries[@]}" >"$scratch/list"
grep -q "plain-c" "$scratch/list" && grep -q "avx2-vector" "$scratch/list"
"$program" verify --kernels scalar-i8 "${libraries[@]}"
"$program" compare --quick --kernels scalar-i8,avx2-i8 "${libraries[@]}" --out "$scratch/run" >"$scratch/compare"
python3 ci/check-receipt.py "$scratch/run"
"$program" receipt verify "$scratch/run"
python3 - "$scratch/run" <<'P'
import json, sys
run = json.load(open(f"{sys.argv[1]}/receipt.json"))
foreign = {kernel["id"]: kernel["foreign"] for kernel in run["kernels"] if "foreign" in kernel}
assert set(foreign) == {"plain-c", "avx2-vector"}, foreign
assert all(len(of["sha256"]) == 64 and of["compiler"] for of in foreign.values()), foreign
for cell in run["micro"]:
    ids = {entry["kernel"] for entry in cell["entries"]}
    expected = set() if cell["family"] != "W2A8" or cell["op"] == "dequantize" else {"avx2-vector"}
    assert expected <= ids, (cell["op"], cell["m"], cell["k"], ids, cell.get("without_time"))
    assert not cell.get("without_time"), cell["without_time"]
P

# A feature that this CPU lacks, or one that is hidden below.
lacking=avx512vbmi2
mask=()
if grep -qw avx512_vbmi2 /proc/cpuinfo; then mask=(--cpu-features avx2); fi

# One fault: builds its library, runs the command, and compares how it ended.
try() {
    local fault=$1 command=$2 code=$3 pattern=$4 folder="$scratch/$1" arguments=()
    mkdir -p "$folder"
    cc -std=gnu11 -w "${flags[@]}" -DFAULT="$fault" -DLACKING="\"$lacking\"" -o "$folder/libhostile.so" ci/hostile/hostile.c
    case $command in
        list) arguments=(list kernels) ;;
        verify) arguments=(verify --kernels hostile) ;;
        micro) arguments=(micro --kernels scalar-i8 --shape 640x512 --shape 640x512x3 --residency llc --rounds 20 --out "$folder/run") ;;
    esac
    [ "$fault" = own_id ] && arguments=(list kernels)
    [ "$fault" = lacks_cpu ] && arguments=(verify "${mask[@]}")
    local got=0
    timeout 100 "$program" "${arguments[@]}" --kernel-library "$folder/libhostile.so" >"$folder/out" 2>"$folder/err" || got=$?
    if [ "$command" = micro ] && [ -f "$folder/run/receipt.json" ]; then
        python3 -c 'import json,sys
run = json.load(open(sys.argv[1]))
print([(row["id"], row.get("status", "ok"), row.get("first_mismatch")) for row in run["verify"]])
for cell in run["micro"]:
    print([entry["kernel"] for entry in cell["entries"]], cell.get("without_time", ""))' "$folder/run/receipt.json" >>"$folder/out"
    fi
    if [ "$code" = 2 ] && [ "$(grep -vc '^loading ' "$folder/err")" != 1 ]; then
        echo "FAIL $fault: more than one line: $(cat "$folder/err")"
        return 1
    fi
    if [ "$got" != "$code" ] || ! cat "$folder/out" "$folder/err" | tr '\n' ' ' | tr -s ' ' | grep -Eq "$pattern"; then
        echo "FAIL $fault: exit $got (expected $code), \"$pattern\" not in: $(cat "$folder/out" "$folder/err" | tail -5)"
        return 1
    fi
    echo "ok   $fault: $pattern"
}
export -f try
export program scratch lacking
export flags_text="${flags[*]}" mask_text="${mask[*]:-}"

echo "faults"
failed=0
grep -v '^#' ci/hostile/expected.txt | sed 's/ *| */\x1f/; s/ *| */\x1f/; s/ *| */\x1f/' |
    tr '\n' '\0' | xargs -0 -P2 -I{} bash -c '
        flags=($flags_text); mask=($mask_text)
        IFS=$'"'\x1f'"' read -r fault command code pattern <<<"$1"
        try "$fault" "$command" "$code" "$pattern"' _ {} || failed=1

echo "files that are no libraries"
refused() {
    local got=0
    "$program" list kernels --kernel-library "$1" >/dev/null 2>"$scratch/err" || got=$?
    if [ "$got" = 2 ] && [ "$(grep -vc '^loading ' "$scratch/err")" = 1 ] && grep -Eq "$2" "$scratch/err"; then
        echo "ok   $2"
    else
        echo "FAIL exit $got, \"$2\" not in: $(cat "$scratch/err")"
        failed=1
    fi
}
echo "no library" >"$scratch/text.so"
: >"$scratch/empty.so"
echo 'int other(void) { return 0; }' >"$scratch/other.c"
cc -shared -fPIC -o "$scratch/other.so" "$scratch/other.c"
cp "$scratch/other.so" "$scratch/arm.so"
printf '\267\000' | dd of="$scratch/arm.so" bs=1 seek=18 conv=notrunc status=none
refused "$scratch/text.so" "is no shared library"
refused "$scratch/empty.so" "is no shared library"
refused "$scratch/nowhere.so" "cannot read .*nowhere.so"
refused "$scratch/other.so" "exports no symbol tb_kernels"
refused "$scratch/arm.so" "is built for aarch64"
exit "$failed"
