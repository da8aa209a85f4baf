#!/usr/bin/env bash
# Whether tests notice when one operator, constant or function body of what must not be wrong is changed: ci/mutants.sh [AREA...]
# Areas: statistics gate receipts packing. Needs: cargo install --locked cargo-mutants. Hours for all of them; SHARD=1/8 runs a part.
# What each area came to is printed, and who survived is in target/mutants/AREA/mutants.out/missed.txt: kill it with a test, or, where no test
# can see the difference, take out what makes none. ITERATE=1 tries only those again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v cargo-mutants >/dev/null || { echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2; exit 2; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/mutants

# Dependencies are built as ever; our crates in what takes least time to build again. One job, because all share a target directory.
fast=()
for crate in harness model receipt reports kernels; do
    for setting in incremental=true opt-level=0 codegen-units=256 debug=0; do fast+=("-C=--config=profile.dev.package.$crate.$setting"); done
done
# Depends on the profile as committed; and long tests find out nothing about a mutant that the others do not.
leave_out=(--skip the_dev_profile_as_committed --skip fuzzing)

# area NAME BINARY FILES TESTS...: only tests that are about these files run, so that a mutant takes seconds
area() {
    local name=$1 binary=$2 files=$3
    shift 3
    local arguments=()
    for file in $files; do arguments+=(-f "$file"); done
    mkdir -p "$CARGO_TARGET_DIR/$name"
    cargo mutants "${arguments[@]}" "${fast[@]}" "-C=$binary" -o "$CARGO_TARGET_DIR/$name" --no-shuffle --jobs 1 --baseline=run \
        --minimum-test-timeout 60 --timeout-multiplier 10 ${SHARD:+--shard "$SHARD"} ${ITERATE:+--iterate} -- -- "${leave_out[@]}" "$@" ||
        [ $? -lt 4 ] || return 1
}

run() {
    case $1 in
        statistics) area statistics --lib "reports/receipt/src/judge/stats.rs reports/receipt/src/judge/paired.rs reports/receipt/src/judge/sequential.rs" \
            judge recheck::tests::f ;;
        gate)
            area gate-verdicts --lib reports/receipt/src/judge/gate.rs judge::gate recheck::tests::f
            area gate --bin=tritbench harness/src/gate/exact.rs gate:: ;;
        receipts) area receipts --lib "reports/receipt/src/integrity.rs reports/receipt/src/store.rs reports/receipt/src/recheck/*.rs" \
            integrity store recheck --skip any_edited_number ;;
        packing) area packing --lib "kernels/src/packed.rs kernels/src/packed/*.rs kernels/src/layout.rs kernels/src/layouts/*.rs kernels/src/activation.rs kernels/src/i2s_tensor.rs" \
            packed layout activation i2s_tensor --skip every_position --skip all_stored_values ;;
        *) echo "no area $1; there are statistics, gate, receipts and packing" >&2; exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- statistics gate receipts packing
for name in "$@"; do run "$name"; done
python3 - "$@" <<'END'
import json, os, sys
for area in sys.argv[1:]:
    with open(f"{os.environ['CARGO_TARGET_DIR']}/{area}/mutants.out/outcomes.json") as file:
        found = json.load(file)
    print(f"{area}: {found['caught']} caught, {found['missed']} missed, {found['timeout']} timed out, {found['unviable']} do not build")
END
