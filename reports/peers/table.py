#!/usr/bin/env python3
"""How many times as fast avx512-vnni is as each kernel of a library: table.py RECEIPT. Medians of the ratios of all rounds, with the ends of
their 95% interval by ranks, and the noise floor of the cell (the 95th percentile of a single round's A/A difference)."""
import json
import math
import statistics
import sys

PLACES = {"l2": "L2", "llc": "LLC", "dram": "DRAM"}
receipt = json.load(open(sys.argv[1]))
libraries = [kernel["id"] for kernel in receipt["kernels"] if "foreign" in kernel]
print("| product | from | " + " | ".join(f"`{i}`" for i in libraries) + " | noise floor |")
print("|---" * (len(libraries) + 3) + "|")
for cell in receipt["micro"]:
    names = [entry["kernel"] for entry in cell["entries"]]
    ours, row = names.index("avx512-vnni"), []
    for kernel in libraries:
        if kernel not in names:
            row.append("no time")
            continue
        theirs = names.index(kernel)
        ratios = sorted(turn["ns"][theirs] / turn["ns"][ours] for turn in cell["rounds"])
        outside = int(len(ratios) / 2 - 1.96 * math.sqrt(len(ratios)) / 2)
        row.append(f"{statistics.median(ratios):.2f} [{ratios[outside]:.2f}, {ratios[-1 - outside]:.2f}]")
    product = f"{cell['op']} {cell['m']}×{cell['k']}" + (f"×{cell['tokens']}" if cell["tokens"] > 1 else "")
    print(f"| {product} | {PLACES[cell['residency']]} | " + " | ".join(row) + f" | {cell['noise_floor']:.0%} |")
