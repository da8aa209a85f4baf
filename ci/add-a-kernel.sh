#!/usr/bin/env bash
# Shows that a kernel and a layout are a file and a line each: ci/add-a-kernel.sh     exit 0 if so, 1 with what failed
# In a copy of the tree, with a target folder of its own, it adds the examples of CONTRIBUTING.md (kernels/tests/example): two kernels and a
# layout that one of them reads, by their files and one line each. There `cargo test -p kernels`, list, verify and compare must pass and show them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() {
    echo "add-a-kernel: $*" >&2
    exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
copy=$scratch/copy
mkdir "$copy"
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$copy" || fail "the tracked files cannot be copied to $copy"
cd "$copy"
export CARGO_TARGET_DIR=$scratch/target
# What is not timed here is built in the least time.
cheap=()
for package in '"*"' receipt reports; do cheap+=(--config "profile.dev.package.$package.opt-level=0"); done

# add FOLDER AFTER MODULE: a file into the folder, and its line into the list there, behind that of another
add() {
    local folder=$1 after=$2 module=$3
    cp "kernels/tests/example/$module.rs" "$folder/" || fail "there is no example $module"
    grep -qx "    $after," "$folder/mod.rs" || fail "$folder/mod.rs has no line '$after,'"
    sed -i "s/^    $after,\$/&\n    $module,/" "$folder/mod.rs"
}
add kernels/src/layouts i2s rows4
add kernels/src/w2a8 scalar_i8 scalar_planes_i8
add kernels/src/w2a8 scalar_planes_i8 scalar_rows4_i8
kernels=(scalar-planes-i8 scalar-rows4-i8)
ids=$(IFS=, && echo "${kernels[*]}")

# shows FILE WHAT WORD...: every word is in the file
shows() {
    local file=$1 what=$2 word
    shift 2
    for word in "$@"; do
        grep -qF -- "$word" "$file" || { cat "$file" >&2; fail "$what does not show $word"; }
    done
}

cargo test --quiet -p kernels "${cheap[@]}" || fail "cargo test -p kernels fails with the examples in it"
program=$(bash ci/program.sh "${cheap[@]}") || fail "the program does not build with the examples in it"
"$program" list kernels >"$scratch/list" || fail "list kernels fails"
shows "$scratch/list" "list kernels" "${kernels[@]}" rows4
"$program" verify --kernels "$ids" >"$scratch/verify" || { cat "$scratch/verify" >&2; fail "verify --kernels $ids fails"; }
shows "$scratch/verify" "verify" "${kernels[@]}"
"$program" compare --quick --kernels "scalar-i8,$ids" --out "$scratch/run" >"$scratch/compare" 2>&1 ||
    { cat "$scratch/compare" >&2; fail "compare --quick --kernels scalar-i8,$ids fails"; }
shows "$scratch/compare" "compare" "${kernels[@]}"
shows "$scratch/run/report.html" "the page" "${kernels[@]}" rows4
python3 - "$scratch/run/receipt.json" "${kernels[@]}" <<'PYTHON' || fail "the receipt does not hold what was added"
import json, sys

receipt = json.load(open(sys.argv[1]))
packings = {kernel["id"]: kernel["packing"] for kernel in receipt["kernels"]}
verified = {record["id"]: record["mismatches"] for record in receipt["verify"]}
timed = {entry["kernel"] for cell in receipt["micro"] for entry in cell["entries"]}
for kernel in sys.argv[2:]:
    if kernel not in packings or verified.get(kernel) != 0 or kernel not in timed:
        sys.exit(f"{kernel}: registered {kernel in packings}, mismatches {verified.get(kernel)}, timed {kernel in timed}")
if packings["scalar-rows4-i8"] != "rows4":
    sys.exit(f"scalar-rows4-i8 reads {packings['scalar-rows4-i8']}")
PYTHON
echo "a kernel and a layout are a file and a line each: ${kernels[*]} and rows4 were tested, listed, verified, compared and shown"
