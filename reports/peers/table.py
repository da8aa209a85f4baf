#!/usr/bin/env python3
"""How many times as fast avx512-vnni is as each kernel of a library: table.py RECEIPT. The ratios over the first row that the receipt holds,
turned round: median, the ends of its interval, and the cell's noise floor."""
import json
import sys

PLACES = {"l2": "L2", "llc": "LLC", "dram": "DRAM"}
receipt = json.load(open(sys.argv[1]))
libraries = [kernel["id"] for kernel in receipt["kernels"] if "foreign" in kernel]
print("| product | from | " + " | ".join(f"`{i}`" for i in libraries) + " | noise floor |")
print("|---" * (len(libraries) + 3) + "|")
for cell in receipt["micro"]:
    rows = [summary for entry, summary in zip(cell["entries"], cell["summaries"]) if not entry["self_pair"]]
    over = {summary["kernel"]: summary["vs_baseline"] for summary in rows if summary.get("vs_baseline")}
    assert all(ratio["partner"] == "avx512-vnni" for ratio in over.values()), "run it with avx512-vnni as the first row"
    times = lambda ratio: f"{1 / ratio['median']:.2f} [{1 / ratio['high']:.2f}, {1 / ratio['low']:.2f}]" if ratio else "no time"
    product = f"{cell['op']} {cell['m']}×{cell['k']}" + (f"×{cell['tokens']}" if cell["tokens"] > 1 else "")
    figures = " | ".join(times(over.get(kernel)) for kernel in libraries)
    print(f"| {product} | {PLACES[cell['residency']]} | {figures} | {cell['noise_floor']:.0%} |")
