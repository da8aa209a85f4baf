#!/usr/bin/env python3
"""How many times as fast ours are as each kernel of a library: table.py RECEIPT. First avx512-vnni where all scales are 1: the ratios over the
first row that the receipt holds, turned round. Then our kernels of groups in cells of groups, from the rounds. Each with the median, the ends of
its 99% interval, and the cell's noise floor."""
import json
import sys
from math import comb
from statistics import median

PLACES = {"l2": "L2", "llc": "LLC", "dram": "DRAM"}
GROUPED = ["avx512-vnni-groups", "avx2-groups"]
receipt = json.load(open(sys.argv[1]))
libraries = [kernel["id"] for kernel in receipt["kernels"] if "foreign" in kernel]


def product(cell):
    return f"{cell['op']} {cell['m']}×{cell['k']}" + (f"×{cell['tokens']}" if cell["tokens"] > 1 else "")


def with_interval(middle, low, high):
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def times(cell, entry):
    """Of an entry by round, as the judge takes them: CPU time where the one thread was preempted."""
    for r in cell["rounds"]:
        preempted = cell["threads"] == 1 and r["involuntary_switches"][entry] > 0 and r["cpu_ns"][entry] > 0
        yield min(r["cpu_ns"][entry], r["ns"][entry]) if preempted else r["ns"][entry]


def paired(cell, own, other):
    """Time of `other` over time of `own`: median of the rounds and its sign-test interval; "no time" where one has none."""
    entries = {entry["kernel"]: i for i, entry in enumerate(cell["entries"]) if not entry["self_pair"]}
    if own not in entries or other not in entries:
        return "no time"
    ratios = sorted(b / a for a, b in zip(times(cell, entries[own]), times(cell, entries[other])))
    n, outside, tail = len(ratios), -1, 0.0
    while outside + 1 < n / 2 and tail + comb(n, outside + 1) / 2**n <= 0.005:
        outside += 1
        tail += comb(n, outside) / 2**n
    return with_interval(median(ratios), ratios[outside], ratios[n - 1 - outside]) if outside >= 0 else f"{median(ratios):.2f}"


of_integers = [cell for cell in receipt["micro"] if cell["family"] == "W2A8"]
if of_integers:
    print("| product | from | " + " | ".join(f"`{i}`" for i in libraries) + " | noise floor |")
    print("|---" * (len(libraries) + 3) + "|")
for cell in of_integers:
    rows = [summary for entry, summary in zip(cell["entries"], cell["summaries"]) if not entry["self_pair"]]
    over = {summary["kernel"]: summary["vs_baseline"] for summary in rows if summary.get("vs_baseline")}
    assert all(ratio["partner"] == "avx512-vnni" for ratio in over.values()), "run it with avx512-vnni as the first row"
    turned = lambda ratio: with_interval(1 / ratio["median"], 1 / ratio["high"], 1 / ratio["low"]) if ratio else "no time"
    figures = " | ".join(turned(over.get(kernel)) for kernel in libraries)
    print(f"| {product(cell)} | {PLACES[cell['residency']]} | {figures} | {cell['noise_floor']:.0%} |")

in_groups = [(cell, theirs) for cell in receipt["micro"] if cell["family"] == "W2gA8"
             for theirs in libraries if any(entry["kernel"] == theirs for entry in cell["entries"])]
if in_groups:
    print("\n| product | from | groups x activations | as fast as | " + " | ".join(f"`{own}`" for own in GROUPED) + " | noise floor |")
    print("|---" * (len(GROUPED) + 5) + "|")
for cell, theirs in in_groups:
    figures = " | ".join(paired(cell, own, theirs) for own in GROUPED)
    scales = f"{cell['weight_group']} x {cell['activations']}"
    print(f"| {product(cell)} | {PLACES[cell['residency']]} | {scales} | `{theirs}` | {figures} | {cell['noise_floor']:.0%} |")
