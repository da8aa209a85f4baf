#!/usr/bin/env bash
# Libraries of kernels that others wrote: ci/foreign.sh PROGRAM [FAULT...]     exit 0 if all is as expected, else 1
# Builds the examples of kernels/examples/guest and sees them listed, verified and timed. Then every fault of
# ci/hostile, a library each, must end as ci/hostile/expected.txt says. Needs cc and c++; takes about 4 minutes.
set -euo pipefail
program=$(realpath "${1:?which program? ci/foreign.sh PROGRAM}")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
flags=(-O2 -fPIC -shared -fvisibility=hidden -Ikernels/include)
export program scratch

# case_of NAME CODE PATTERN COMMAND...: a line to $scratch/summary; the last argument is the library
case_of() {
    local name=$1 code=$2 pattern=$3 library=${*: -1} got=0 text why=
    shift 3
    local out=$scratch/$name.out err=$scratch/$name.err
    timeout --kill-after=5 120 "$program" "$@" </dev/null >"$out" 2>"$err" || got=$?
    text=$(cat "$out" "$err" | tr -s ' \n' ' ')
    [ "$got" = "$code" ] || why="exit $got instead of $code"
    grep -Eq -- "$pattern" <<<"$text" || why="${why:+$why; }does not say /$pattern/"
    # What is wrong with a file or a description is said in one line, which names the file.
    if [ "$code" = 2 ]; then
        [ "$(grep -vc '^loading ' "$err")" = 1 ] || why="${why:+$why; }not one line on stderr"
        grep -qF -- "$(basename "$library")" "$err" || why="${why:+$why; }does not name the file"
    fi
    # What a library prints is not the program's own output.
    grep -q '^hello from' "$out" && why="${why:+$why; }the library's text on stdout"
    # Nothing that the library started outlives the program.
    for _ in 1 2 3 4 5; do
        grep -lsF -- "$library" /proc/[0-9]*/maps >"$scratch/$name.left" || break
        sleep 0.2
    done
    if [ -s "$scratch/$name.left" ]; then
        why="${why:+$why; }a process is left"
        sed 's|/proc/\([0-9]*\)/maps|\1|' "$scratch/$name.left" | xargs kill -9 || true
    fi
    if [ -z "$why" ]; then
        echo "ok    $name" >>"$scratch/summary"
    else
        text=$(tr -cd '[:print:]' <<<"$text" | tail -c 600 | fold -s -w 110 | sed 's/^/          /')
        printf 'FAIL  %s: %s\n%s\n' "$name" "$why" "$text" >>"$scratch/summary"
    fi
}

# fault NAME COMMAND CODE PATTERN: NAME@N is that fault from the N-th call of gemv for the timed shape on
fault() {
    local name=$1 command=$2 code=$3 pattern=$4 fault=${1%@*} after=0 source arguments=()
    [ "$fault" = "$name" ] || after=${name#*@}
    source=$(grep -l "IS($fault)" ci/hostile/*.c | head -n 1 || true)
    local library=$scratch/$name.$command.so
    # The built-in model's ffn_down in whole texts, elsewhere the shape that micro times below.
    local shape=640,512
    [ "$command" != text ] || shape=512,1024
    cc -std=gnu11 -w -O2 -fPIC -shared -fvisibility=hidden -Ikernels/include -DFAULT="$fault" -DAFTER="$after" \
        -DSHAPE="$shape" -o "$library" "${source:-ci/hostile/hostile.c}" -pthread
    case $command in
        list) arguments=(list kernels) ;;
        verify) arguments=(verify --kernels hostile) ;;
        hidden) arguments=(verify --kernels hostile --cpu-features none) ;;
        micro)
            arguments=(micro --kernels scalar-i8,hostile --shape 640x512 --shape 640x512x3 --residency llc)
            arguments+=(--rounds 20 --out "$scratch/$name.$command.run")
            ;;
        text) arguments=(compare --scenario "$scratch/text.toml" --kernels scalar-i8,hostile --out "$scratch/$name.$command.run") ;;
        count) arguments=(count --kernels hostile) ;;
        *) echo "expected.txt: $name: there is no command '$command'" >&2; exit 2 ;;
    esac
    case_of "$name.$command" "$code" "$pattern" "${arguments[@]}" --kernel-library "$library"
}
export -f case_of fault

# A text of the built-in model, and the one product that a run has to have.
cat >"$scratch/text.toml" <<'TOML'
name = "text"
summary = "a text"
analysis = "none"
model = "builtin"
[micro]
rounds = 9
gemv = ["64x512"]
residency = ["llc"]
[generate]
prompt = "ROMEO:"
max_tokens = 12
rounds = 2
goldens = true
TOML

# The examples, with warnings as errors; plain.c is to be read in one look.
[ "$(wc -l <kernels/examples/guest/plain.c)" -le 60 ] || { echo "plain.c has more than 60 lines" >&2; exit 1; }
strict=(-Wall -Wextra -Wpedantic -Werror -Wno-unused-parameter -O3)
cc -std=c11 "${strict[@]}" "${flags[@]}" -o "$scratch/libplain.so" kernels/examples/guest/plain.c
c++ -std=c++17 "${strict[@]}" -mavx2 "${flags[@]}" -o "$scratch/libvector.so" kernels/examples/guest/vector.cpp
examples=(--kernel-library "$scratch/libplain.so" --kernel-library "$scratch/libvector.so")
if [ $# = 0 ]; then
    case_of list 0 'plain-c.*avx2-vector' list kernels "${examples[@]}"
    case_of verify 0 'plain-c .* exact .*avx2-vector .* exact' \
        verify --kernels plain-c,avx2-vector "${examples[@]}"
    case_of micro 0 'plain-c.*avx2-vector' micro --quick --kernels avx2-i8-tile8,plain-c,avx2-vector \
        --out "$scratch/micro" "${examples[@]}"
    case_of compare 0 'plain-c.*avx2-vector' compare --quick --kernels scalar-i8,avx2-i8 \
        --out "$scratch/run" "${examples[@]}"
    # Where every kernel refuses a shape, that is a row.
    sed 's/rows_multiple = 1/rows_multiple = 8/' kernels/examples/guest/plain.c >"$scratch/eights.c"
    cc -std=c11 "${flags[@]}" -o "$scratch/libeights.so" "$scratch/eights.c"
    case_of refuses_all 0 'plain-c \(refused\) has rows without a time' micro --kernels plain-c --shape 33x256 --shape 64x256 \
        --residency llc --rounds 20 --out "$scratch/refuses" --kernel-library "$scratch/libeights.so"
    "$program" receipt verify "$scratch/refuses"
    python3 ci/check-receipt.py "$scratch/run"
    "$program" receipt verify "$scratch/run"
    python3 - "$scratch/run/receipt.json" <<'PYTHON'
import json, sys
run = json.load(open(sys.argv[1]))
foreign = {kernel["id"]: kernel["foreign"] for kernel in run["kernels"] if "foreign" in kernel}
assert set(foreign) == {"plain-c", "avx2-vector"}, foreign
assert all(len(of["sha256"]) == 64 and of["compiler"] for of in foreign.values()), foreign
for cell in run["micro"]:
    ids = {entry["kernel"] for entry in cell["entries"]}
    expected = cell["family"] == "W2A8" and cell["op"] != "dequantize"
    assert not expected or set(foreign) <= ids, (cell["op"], cell["m"], cell["k"], ids, cell.get("without_time"))
    assert not cell.get("without_time"), cell["without_time"]
PYTHON
fi

# Files that are no libraries, or not for this program.
if [ $# = 0 ]; then
    echo "no library" >"$scratch/text.so"
    : >"$scratch/empty.so"
    cc -w "${flags[@]}" -DFAULT=none -Dtb_kernels=other_symbol -o "$scratch/other.so" ci/hostile/description.c
    # Bytes 18 and 19 of an ELF file are its machine: 183 is aarch64. Byte 4 is 1 for 32 bits.
    cp "$scratch/libplain.so" "$scratch/machine.so"
    printf '\267\000' | dd of="$scratch/machine.so" bs=1 seek=18 conv=notrunc status=none
    cp "$scratch/libplain.so" "$scratch/bits.so"
    printf '\001' | dd of="$scratch/bits.so" bs=1 seek=4 conv=notrunc status=none
    head -c 3000 "$scratch/libplain.so" >"$scratch/short.so"
    for file in nowhere text empty other machine bits short; do
        case_of "file_$file" 2 "" list kernels --kernel-library "$scratch/$file.so"
    done
    case_of file_folder 2 "" list kernels --kernel-library "$scratch"
fi

# Those that hang take 10 s each, so two run at once.
while IFS='|' read -r name command code pattern; do
    read -r name command code pattern <<<"$name $command $code $pattern"
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    printf '%s\0%s\0%s\0%s\0' "$name" "$command" "$code" "$pattern"
done < <(grep -v '^#' ci/hostile/expected.txt) |
    xargs -0 -n4 -P2 bash -euo pipefail -c 'fault "$@"' _ ||
    echo "FAIL  a case could not be tried" >>"$scratch/summary"

cat "$scratch/summary"
failed=$(grep -c '^FAIL' "$scratch/summary" || true)
echo "$(grep -c '^ok' "$scratch/summary" || true) as expected, $failed not"
[ "$failed" = 0 ]
