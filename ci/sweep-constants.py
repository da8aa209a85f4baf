#!/usr/bin/env python3
"""Does a tuning constant of kernels/src cost more than 5% on this machine? ci/sweep-constants.py [NAME...]

Builds the default and the alternatives of TABLE in a copy of this tree, times them in turn, and says for each constant "within 5%" or what it
costs and which value is faster; exit code 1 if one costs more. NAME restricts it to rows whose `FILE:CONSTANT` contains it: w2a32, w2a8,
head, FAR_BYTES, tiles.rs:CHUNK. For a quiet machine.

A build has the crate `kernels` and one example, product_times, and changes as many constants as touch different products, so there are as many
as one product has alternatives (8 and the default for the whole table, half a minute each), not one a value. Each pair of processes is the
default and an alternative, in turn first; a figure is how many times as fast the alternative is: median of the pairs, [their middle half],
smallest and largest. A value is faster where the whole middle half is more than 5% above 1. Where a product can ask ahead in two ways, the
other way is timed too: a run chooses by probe, so a constant of the slower way costs only what exceeds the faster way.

ROUNDS=12 pairs for each alternative. THREADS=1, or "1 2". VALUES="256 4096" in place of the table's alternatives. Build outputs:
CARGO_TARGET_DIR, or the copy's own.
"""
import fnmatch
import itertools
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = "0.2"
LIMIT = 1.05


def megabytes_from_memory():
    """Four times the last cache, as in the bench's cells; at most what takes about as long to fill as to time."""
    caches = [path.read_text().strip() for path in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return min(max([160, *(4 * int(size[:-1]) // 1000 for size in caches if size.endswith("K"))]), 512)


MEGABYTES = megabytes_from_memory()
MODEL, DOWN, SMALL = "6912x2560", "2560x6912", "640x2560"
NEAR = (1024, 4096, 8192, 16384)


class Constant:
    """A row: where it stands, other values, and what to time: WHAT OP SHAPE RESIDENCY WAY, as product_times takes them.

    Two constants that touch the same product are never changed in one build. `touches` are patterns of WHAT OP WAY beyond what is timed.
    """

    def __init__(self, files, name, values, *times, touches=()):
        self.files, self.name, self.values = files.split("+"), name, values
        self.times = [time.split() for time in times]
        self.touches = [touched(time) for time in self.times] + list(touches)
        self.label = f"{files}:{name}"

    def in_the_way_of(self, other):
        return any(fnmatch.fnmatch(touched(time), pattern) for time in other.times for pattern in self.touches)


def touched(time):
    what, op, _, _, way = time
    return f"{what} {'gemm' if op == 'linear' else op} {way}"


def distance(file, what, op="gemv", values=NEAR, tokens=1, touches=()):
    """Bytes ahead, one level, weights from DRAM."""
    times = [f"{one} {op} {MODEL}x{tokens} dram one" for one in what.split()]
    return Constant(file, "PREFETCH_BYTES", values, *times, touches=touches)


# Not here: rows and tokens of tiles that registers, shuffles or lists of sizes fix (ROWS, HEADS, POSITIONS, TILE_ROWS, the tiles of tile8x16;
# two-token tables take no third), what proofs fix from above (flushes have smaller values only), STEP of stream.rs, and SPINS of parallel.rs,
# whose worth is in the gaps between the calls of a token.
TABLE = [
    *(
        Constant("prefetch.rs", name, values, *(f"{what} gemv {MODEL}x1 dram two" for what in ("avx512-vnni", "avx2-i8-tile8", "f16-avx2-f16c")),
                 touches=["* two"])
        for name, values in [("FAR_BYTES", (8192, 16384, 65536)), ("SOON_BYTES", (1024, 4096, 8192))]
    ),
    distance("w2a8/avx512_vnni.rs", "avx512-vnni"),
    distance("w2a8/avx512_vnni_i2s/lines.rs", "avx512-vnni-i2s", touches=["avx512-vnni-i2s gemm one"]),
    distance("w2a8/avx512_vnni_trit5.rs", "avx512-vnni-trit5"),
    distance("w2a8/avxvnni_tile8.rs", "avxvnni-tile8"),
    distance("w2a8/avx2_i8_tile8.rs", "avx2-i8-tile8"),
    Constant("w2a8/avx2_lut8.rs", "PREFETCH_BYTES", (4096, 8192, 32768), f"avx2-lut8 gemv {MODEL}x1 dram one", f"avx2-lut8 gemm {MODEL}x4 dram one"),
    distance("w2a8/avx512_vnni/gemm.rs", "avx512-vnni", "gemm", tokens=4, touches=["avx512-vnni gemm wide"]),
    distance("w2a8/avx512_vnni_trit5/gemm.rs", "avx512-vnni-trit5", "gemm", tokens=4),
    distance("w2a8/avxvnni_tile8/gemm.rs", "avxvnni-tile8", "gemm", tokens=4),
    distance("w2a8/avx2_i8_tile8/gemm.rs", "avx2-i8-tile8", "gemm", tokens=4),
    distance("x86_64/f16c_head.rs", "f16-avx2-f16c"),
    distance("x86_64/head_f16_avx512.rs", "f16-avx512"),
    distance("x86_64/head_q8.rs", "q8-avx2 q8-avx512-vnni"),
    distance("x86_64/head_q4.rs", "q4-avx2 q4-avx512-vnni"),
    distance("stream.rs", "stream", "read", values=(4096, 8192)),
    Constant("w2a32/avx2_prefetch.rs", "PREFETCH_BYTES", (0, 512, 1024, 2048, 8192), f"avx2-prefetch gemv {MODEL}x1 dram -",
             f"avx2-prefetch gemv {DOWN}x1 dram -", f"avx2-permute gemv {MODEL}x1 dram -", f"avx2-permute gemv {DOWN}x1 dram -"),
    # One is to follow the other: both are changed.
    Constant("x86_64/tiles.rs+linear.rs", "CHUNK_BYTES", (128 << 10, 512 << 10, 1 << 20),
             *(f"{what} {op} {shape}x128 dram one" for what in ("avx512-vnni", "avx2-i8-tile8") for op in ("gemm", "linear")
               for shape in (MODEL, DOWN)), touches=["* gemm one", "* gemm wide"]),
    Constant("w2a8/avx512_vnni/gemm.rs", "TOKENS", (16, 28), f"avx512-vnni gemm {MODEL}x128 dram one"),
    Constant("w2a8/avx512_vnni/gemm.rs", "WIDE_TOKENS", (10, 13), f"avx512-vnni gemm {MODEL}x128 dram wide"),
    Constant("w2a8/avx512_vnni_trit5/gemm.rs", "TOKENS", (12, 20), f"avx512-vnni-trit5 gemm {MODEL}x128 dram one"),
    Constant("w2a8/avx512_lut16.rs", "TOKENS", (2, 3), f"avx512-lut16 gemm {MODEL}x128 dram -"),
    Constant("w2a8/avx512_lut16.rs", "BLOCKS_PER_FLUSH", (20, 24), f"avx512-lut16 gemm {MODEL}x128 dram -"),
    Constant("w2a8/avx2_lut8.rs", "TOKENS", (1,), f"avx2-lut8 gemm {MODEL}x128 dram one"),
    Constant("w2a8/avx2_lut8.rs", "STEPS_PER_FLUSH", (3, 4), f"avx2-lut8 gemv {SMALL}x1 cache one", touches=["avx2-lut8 gemm one"]),
    Constant("w2a8/avx2_i8/products.rs", "BLOCKS_PER_FLUSH", (2, 4), f"avx2-i8 gemv {SMALL}x1 cache -"),
    Constant("w2a8/avx2_i8_tile8.rs", "STEPS_PER_FLUSH", (4, 6), f"avx2-i8-tile8 gemv {SMALL}x1 cache one"),
    Constant("w2a8/avx2_i8_tile8/gemm.rs", "STEPS_PER_FLUSH", (5, 8), f"avx2-i8-tile8 gemm {SMALL}x128 cache one"),
    Constant("x86_64/head_q4.rs", "FLUSH_LINES", (1, 2), f"q4-avx2 gemv {SMALL}x1 cache one"),
    Constant("sparse/avx512_vnni.rs", "AHEAD", (4, 16), f"sparse-avx512-vnni rows {MODEL}x1 dram -"),
    Constant("sparse/avx512_vnni.rs", "PASS", (2, 8), f"sparse-avx512-vnni columns {DOWN}x1 dram -"),
    Constant("sparse/avx2.rs", "PASS", (2, 8), f"sparse-avx2 columns {DOWN}x1 dram -"),
]


def definition(name):
    return re.compile(rf"^(\s*(?:pub(?:\(\w+\))? )?const {name}: usize = )([0-9_ <]+);", re.MULTILINE)


def read_default(constant):
    """The value in the sources; no alternative is what is there already."""
    found = [definition(constant.name).findall((ROOT / "kernels/src" / file).read_text()) for file in constant.files]
    if any(len(one) != 1 for one in found) or len({one[0][1] for one in found}) != 1:
        sys.exit(f"error: {constant.label} has no one value in the sources")
    number, *shift = found[0][0][1].replace("_", "").split("<<")
    constant.default = int(number) << sum(map(int, shift))
    values = [int(value) for value in os.environ.get("VALUES", "").split()] or constant.values
    constant.values = [value for value in values if value != constant.default]


def plan(constants):
    """Lists of (constant, value): what each build changes."""
    builds = []
    # Who touches most first, for then the fewest are needed.
    for constant in sorted(constants, key=lambda c: -len(c.touches)):
        for value in constant.values:
            free = (build for build in builds if not any(c is constant or c.in_the_way_of(constant) or constant.in_the_way_of(c) for c, _ in build))
            build = next(free, None)
            if build is None:
                builds.append(build := [])
            build.append((constant, value))
    return builds


class Tree:
    """A copy of this tree, and the binaries that were built in it."""

    def __init__(self, folder):
        self.folder = folder
        self.target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or folder / "target").absolute()
        files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
        tar = subprocess.run(["tar", "--null", "--files-from=-", "--ignore-failed-read", "-cf", "-"], cwd=ROOT, input=files.stdout, check=True,
                             stdout=subprocess.PIPE)
        subprocess.run(["tar", "-xf", "-", "-C", folder], input=tar.stdout, check=True)
        self.built = 0

    def build(self, changes=()):
        """The example with these constants changed; the sources are as before afterwards."""
        before = {}
        for constant, value in changes:
            for file in constant.files:
                path = self.folder / "kernels/src" / file
                before.setdefault(path, path.read_text())
                path.write_text(definition(constant.name).sub(rf"\g<1>{value};", path.read_text()))
        command = ["cargo", "build", "-q", "--release", "-p", "kernels", "--example", "product_times"]
        subprocess.run(command, cwd=self.folder, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(self.target)})
        for path, text in before.items():
            path.write_text(text)
        self.built += 1
        return shutil.copy(self.target / "release/examples/product_times", self.folder / f"product_times-{self.built}")


def run(binary, time, threads, seconds=SECONDS):
    what, op, shape, residency, way = time
    command = [binary, what, op, shape, "0" if residency == "cache" else str(MEGABYTES), way, threads, seconds]
    return subprocess.run(command, capture_output=True, text=True)


def timed(binary, time, threads, digest):
    done = run(binary, time, threads)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(time)}: {done.stderr}")
    nanoseconds, _, result = done.stdout.split()
    if result != digest:
        sys.exit(f"error: {' '.join(time)}: another value, another result")
    return float(nanoseconds)


def pairs(default, candidates, threads, digest):
    """For each candidate (name, binary, time) the ratios of default to it; pairs of all of them in turn, each first in every other."""
    ratios, own = {name: [] for name, _, _ in candidates}, []
    for number in range(int(os.environ.get("ROUNDS") or 12)):
        for name, binary, time in candidates:
            order = [default, (binary, time)]
            taken = [timed(*one, threads, digest) for one in (order[::-1] if number % 2 else order)]
            base, other = taken[::-1] if number % 2 else taken
            ratios[name].append(base / other)
            own.append(base)
    return ratios, statistics.median(own)


def middle_half(ratios):
    ordered = sorted(ratios)
    return ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]


def sweep(constant, time, threads, default, binaries, digest):
    """Prints a line for each alternative and the verdict; what the default costs beyond 5%, or None."""
    other = {"one": "two", "two": "one"}.get(time[4]) if constant.name in ("PREFETCH_BYTES", "FAR_BYTES", "SOON_BYTES") else None
    candidates = [(value, binaries[constant, value], time) for value in constant.values]
    if other:
        candidates.append((f"{other} level{'s' * (other == 'two')}", default, [*time[:4], other]))
    ratios, own = pairs((default, time), candidates, threads, digest)
    print(f"{constant.label} = {constant.default}: {' '.join(time[:4])}, {threads} thread(s), {own / 1000:.1f} us", flush=True)
    for name, all_of in ratios.items():
        low, high = middle_half(all_of)
        print(f"  {name:>10}  {statistics.median(all_of):.3f} [{low:.3f}, {high:.3f}]  {min(all_of):.3f} to {max(all_of):.3f}")
    # What a run would have without another value: the faster of the two ways.
    without = max(1.0, statistics.median(ratios[candidates[-1][0]])) if other else 1.0
    faster = {value: statistics.median(ratios[value]) / without for value in constant.values if middle_half(ratios[value])[0] / without > LIMIT}
    if not faster:
        print("  within 5%" + (f"; a run would ask ahead by {candidates[-1][0]}" if without > LIMIT else ""))
        return None
    value = max(faster, key=faster.get)
    cost = f"costs {faster[value] - 1:.0%}: {value} is faster"
    print(f"  {cost}")
    return f"{constant.label} ({' '.join(time[:4])}, {threads} thread(s)) {cost}"


def main():
    if any(name.startswith("-") for name in sys.argv[1:]):
        sys.exit(__doc__)
    constants = [c for c in TABLE if not sys.argv[1:] or any(name in c.label for name in sys.argv[1:])]
    if not constants:
        sys.exit("error: no constant has such a name or file")
    for constant in constants:
        read_default(constant)
    cpu = dict(re.findall(r"^(cpu family|model|model name)\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    print(f"{cpu['model name']} (family {cpu['cpu family']} model {cpu['model']}), {time.strftime('%Y-%m-%d %H:%M')}, load "
          + " ".join(f"{load:.2f}" for load in os.getloadavg()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Tree(pathlib.Path(scratch))
        start = time.monotonic()
        default = tree.build()
        digests, lacking = {}, set()
        for constant in constants:
            for wanted in list(constant.times):
                done = run(default, wanted, "1", "0")
                if done.returncode == 3:
                    constant.times.remove(wanted)
                    lacking.add(f"skipped: {done.stderr.strip()}")
                elif done.returncode != 0:
                    sys.exit(f"error: {' '.join(wanted)}: {done.stderr}")
                else:
                    digests[" ".join(wanted)] = done.stdout.split()[2]
        print("".join(f"{line}\n" for line in sorted(lacking)), end="")
        constants = [constant for constant in constants if constant.times]
        builds = plan(constants)
        binaries = {}
        for changes in builds:
            binaries.update(dict.fromkeys(changes, tree.build(changes)))
        print(f"{1 + len(builds)} builds in {time.monotonic() - start:.0f} s", flush=True)
        start = time.monotonic()
        costs = []
        for constant, threads in itertools.product(constants, (os.environ.get("THREADS") or "1").split()):
            for wanted in constant.times:
                costs.append(sweep(constant, wanted, threads, default, binaries, digests[" ".join(wanted)]))
        costs = [cost for cost in costs if cost]
        print(f"timed for {time.monotonic() - start:.0f} s; " + (f"{len(costs)} cost more than 5%:" if costs else "no constant costs more than 5%"))
        print("".join(f"  {cost}\n" for cost in costs), end="")
        sys.exit(1 if costs else 0)


if __name__ == "__main__":
    main()
