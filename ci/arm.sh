#!/usr/bin/env bash
# ci/arm.sh: what can be known of Arm without one, under qemu-user 7.2 or newer: every kernel against the oracle as on a Cortex-A72 (no dot products),
# a Neoverse N1 (sdot) and a CPU with everything (smmla); known answers of the built-in and the group-scaled models; the bits of an x86 machine for every
# exact kernel, float operation and whole text; exact instruction counts; and that nothing is timed. Speeds it cannot know, and says none.
# Needs a linker and a C library for aarch64, qemu-user, and the pinned compiler's std for it (ci/target-std.sh). Debian's packages are installed
# where apt-get and root allow it; else it says what is missing and exits 3. 15 minutes on a fresh machine, 5 when built before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=aarch64-unknown-linux-gnu
export INSTA_UPDATE=no

section() { printf -- '--- arm: %s (%d s)\n' "$*" "$SECONDS"; }

section "tools"
missing=()
command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu)
[ -e /usr/aarch64-linux-gnu/lib/crt1.o ] || missing+=(libc6-dev-arm64-cross)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
    if ! { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; then
        echo "skipped: no emulated Arm here; install ${missing[*]} (Debian's names)" >&2
        exit 3
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" || {
        echo "skipped: no emulated Arm here: ${missing[*]} cannot be installed" >&2
        exit 3
    }
fi
code=0
ci/target-std.sh "$target" || code=$?
[ $code = 0 ] || exit $code
qemu-aarch64 --version | head -n 1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
on() { # CPU COMMAND...: the command, with programs for Arm run as on this CPU
    local cpu=$1
    shift
    # What this architecture alone leaves unused is an error, as lints are on the other.
    RUSTFLAGS="-D warnings" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $cpu -L /usr/aarch64-linux-gnu" "$@"
}

# Pages and what follows from receipts are built in the least time.
cheap=()
for package in receipt reports; do cheap+=(--config "profile.dev.package.$package.opt-level=0"); done

section "kernels on three CPUs"
for cpu in cortex-a72 neoverse-n1 max; do
    echo "as on $cpu"
    # The seam to libraries of others looks the same from every CPU; it takes as long as all else together.
    case $cpu in max) skipped=() ;; *) skipped=(-- --skip foreign::) ;; esac
    on $cpu cargo test --quiet -p kernels --target $target --lib --tests "${skipped[@]}"
done

section "the program and the bits of it, built together: of fewer packages their dependencies have other features"
both=(-p harness -p model --bin tritbench --example bits --target $target "${cheap[@]}")
program=$(on max bash ci/built.sh tritbench build "${both[@]}")
bits=$(on max bash ci/built.sh bits build "${both[@]}")

section "the bits of this machine, and known answers: the built-in model, group-scaled ones, other architectures"
# With the whole workspace selected, and an example, which asks for dev-dependencies, nothing is built where its tests were.
here=(--workspace --bin tritbench --example bits)
"$(bash ci/built.sh bits build "${here[@]}")" | sed 's/ # .*//' >"$scratch/here"
emulated=()
for cpu in cortex-a72 max; do
    qemu-aarch64 -cpu $cpu -L /usr/aarch64-linux-gnu "$bits" >"$scratch/$cpu.by" &
    emulated+=($!)
done
for process in "${emulated[@]}"; do wait "$process"; done
for cpu in cortex-a72 max; do
    sed 's/ # .*//' "$scratch/$cpu.by" >"$scratch/$cpu"
    diff "$scratch/here" "$scratch/$cpu" >"$scratch/other" || {
        head -n 20 "$scratch/other" >&2
        echo "Arm ($cpu) gives other bits than $(uname -m)" >&2
        exit 1
    }
done
echo "$(wc -l <"$scratch/here") lines of bits are the same on $(uname -m), cortex-a72 and max; $(grep -c '^golden ' "$scratch/here") of them known answers"

section "the program"
run() { qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu "$program" "$@"; }
run list kernels
run verify >"$scratch/verify" || { cat "$scratch/verify"; exit 1; }
exact=$(grep -c ' 0 .* exact$' "$scratch/verify") || { cat "$scratch/verify"; echo "verify shows no exact row" >&2; exit 1; }
echo "verify: $exact rows are exact"
greedy=(generate --json --greedy --prompt ROMEO: --max-tokens 24 --kernel)
ids() { python3 -c 'import json, sys; print(json.load(sys.stdin)["token_ids"])'; }
for kernel in scalar-i8 neon-i8 neon-sdot-tile16 neon-smmla; do
    run "${greedy[@]}" $kernel 2>/dev/null | ids >>"$scratch/ids"
done
[ "$(sort -u "$scratch/ids" | wc -l)" = 1 ] || { cat "$scratch/ids"; echo "kernels generate other ids" >&2; exit 1; }
perplexity() { python3 -c 'import json, sys; print(json.load(sys.stdin)["perplexity"])'; }
ours=$("$(bash ci/built.sh tritbench build "${here[@]}")" perplexity --quick --json --kernel scalar-i8 2>/dev/null | perplexity)
theirs=$(run perplexity --quick --json --kernel neon-smmla 2>/dev/null | perplexity)
# The products are the same bits; an f16 head adds in the order of its vectors, so what follows is held to the margin of the known answers.
python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(abs(a / b - 1) > 0.001)' "$theirs" "$ours" ||
    { echo "perplexity by neon-smmla is $theirs, by scalar-i8 on $(uname -m) $ours" >&2; exit 1; }
echo "perplexity: $theirs, on $(uname -m) $ours"

fails() { # CODE WORD ARGUMENTS...: ends with this code and one line that has the word
    local code=0 want=$1 word=$2
    shift 2
    run "$@" >/dev/null 2>"$scratch/said" || code=$?
    if [ "$code" != "$want" ] || [ "$(grep -c '^error: ' "$scratch/said")" != 1 ] || ! grep -q "^error: .*$word" "$scratch/said"; then
        echo "$*: exit $code, not $want with one line of '$word':" >&2
        cat "$scratch/said" >&2
        exit 1
    fi
    grep '^error: ' "$scratch/said"
}
for command in "compare --quick --out $scratch/run" "micro --quick --out $scratch/run" "gate --against $program --out $scratch/run" limits; do
    fails 5 "is emulated (qemu-user)" $command
done
fails 5 "is for x86_64" verify --kernels avx2-i8
if run list kernels --json | grep -qE 'avx|x86' || grep -qE 'avx|x86' "$scratch/verify"; then
    echo "a list of this architecture's names another's" >&2
    exit 1
fi

section "counted instructions"
if ! qemu-aarch64 -h | grep -q -- '-plugin'; then
    echo "skipped: this qemu takes no plugins (Debian bookworm's qemu-user 7.2 does)"
else
    cc -O2 -shared -fPIC -Wall -Wno-unused-parameter -o "$scratch/count.so" ci/qemu-count.c
    counted() { TRITBENCH_QEMU_COUNT=$scratch/counts qemu-aarch64 -cpu max -plugin "$scratch/count.so" -L /usr/aarch64-linux-gnu "$program" count "$@"; }
    for again in 1 2; do
        counted --kernels neon-i8,neon-sdot-tile16 --shape 256x2560 --json >"$scratch/gemv.$again"
        counted --kernels neon-sdot-tile16,neon-smmla --op gemm --tokens 8 --shape 256x2560 --json >"$scratch/gemm.$again"
    done
    cmp "$scratch/gemv.1" "$scratch/gemv.2" && cmp "$scratch/gemm.1" "$scratch/gemm.2"
    python3 - "$scratch/gemv.1" "$scratch/gemm.1" <<'PYTHON'
import json, sys
bars = {("gemv", "neon-sdot-tile16"): 9.25, ("gemm", "neon-smmla"): 4.6}
over = []
for path in sys.argv[1:]:
    for row in json.load(open(path))["counts"]:
        loop = row["hot_loop"]["per_64_weights"]["instructions"]
        bar = bars.get((row["op"], row["kernel"]))
        print(f"{row['op']} {row['kernel']}: {row['total']['instructions']:,} instructions, {row['per_64_weights']['instructions']:.2f} for 64 "
              f"weights and token, its loop {loop:.2f}" + (f" (at most {bar})" if bar else ""))
        if bar and loop > bar:
            over.append(row["kernel"])
sys.exit(f"more instructions than promised: {', '.join(over)}" if over else 0)
PYTHON
    # Ceilings by llvm-mca's models of other CPUs, where it is installed; models, no measurements.
    {
        counted --kernels neon-sdot-tile16 --shape 256x2560
        counted --kernels neon-smmla --op gemm --tokens 8 --shape 256x2560
    } | tee "$scratch/ceilings"
    if compgen -c llvm-mca >/dev/null && [ "$(grep -c "on neoverse-v1" "$scratch/ceilings")" != 2 ]; then
        echo "llvm-mca is installed, and a ceiling of a Neoverse V1 is not shown" >&2
        exit 1
    fi
fi
section "all passed"
