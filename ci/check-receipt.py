#!/usr/bin/env python3
"""Checks a run folder: check-receipt.py RUN_DIR. Exit 1 and one line for each thing that is wrong."""

import json
import pathlib
import re
import sys


def problems(folder):
    receipt = json.loads((folder / "receipt.json").read_text())
    if receipt["status"] != "complete":
        yield f"status is {receipt['status']}"

    verified = [v for v in receipt["verify"] if v["available"]]
    if not verified:
        yield "nothing was verified"
    for v in verified:
        if v["mismatches"] != 0 or v["cases"] < 100:
            yield f"{v['id']}: {v['mismatches']} mismatches in {v['cases']} cases"
        if v["exact"] and v["max_abs_error"] != 0:
            yield f"{v['id']} is exact, but off by {v['max_abs_error']}"
        if v["max_relative_error"] > 1e-5:
            yield f"{v['id']}: relative error {v['max_relative_error']}"
    i8 = [k["id"] for k in receipt["kernels"] if k["activations"] == "i8" and k["available"]]
    if not i8 or not all(v["exact"] for v in verified if v["id"] in i8):
        yield f"int8 kernels {i8} are not all exact"

    limits = receipt.get("limits", {})
    if not limits.get("bandwidth") or any(b["read_gb_s"]["median"] <= 0 for b in limits["bandwidth"]):
        yield "no limits of the machine"
    if not receipt["micro"]:
        yield "no microbenchmarks"
    for cell in receipt["micro"]:
        name = f"{cell['op']} {cell['m']}x{cell['k']} {cell['residency']} {cell['family']}"
        entries = len(cell["entries"])
        if not cell["rounds"] or len(cell["summaries"]) != entries:
            yield f"{name}: {len(cell['rounds'])} rounds, {len(cell['summaries'])} summaries of {entries}"
        if sum(entry["self_pair"] for entry in cell["entries"]) != 1:
            yield f"{name}: no A/A pair"
        for turn in cell["rounds"]:
            if sorted(turn["order"]) != list(range(entries)) or len(turn["ns"]) != entries or min(turn["ns"]) <= 0:
                yield f"{name}: a round is not whole: {turn}"
                break
        if not all(s.get("bound", {}).get("gelem_s", 0) > 0 for s in cell["summaries"]):
            yield f"{name}: a row without its bound"
        if any(s["median_ns_per_call"] <= 0 or s["gelem_s"] <= 0 for s in cell["summaries"]):
            yield f"{name}: a summary without a time"

    generations = (receipt.get("generation") or {}).get("kernels", [])
    # An entry with sparsity is its kernel once more, under a name of its own.
    without_time = {row["kernel"] for row in (receipt.get("generation") or {}).get("without_time", [])}
    if {g["kernel"] for g in generations if "sparse_ffn" not in g} != {v["id"] for v in verified} - without_time:
        yield "not every verified kernel generated"
    for g in generations:
        if not g["goldens"] or not all(golden["passed"] for golden in g["goldens"]):
            yield f"{g['kernel']}: known answers not reproduced"
        if g["decode_tokens_per_s"] <= 0:
            yield f"{g['kernel']}: no decode speed"

    if not receipt["findings"]:
        yield "no findings"
    for finding in receipt["findings"]:
        at = receipt
        try:
            for part in finding["evidence"].split("/")[1:]:
                at = at[int(part)] if isinstance(at, list) else at[part]
        except (KeyError, IndexError, ValueError):
            yield f"finding {finding['title']!r}: no {finding['evidence']} in the receipt"

    charts = sorted((folder / "charts").glob("*.svg"))
    if not charts:
        yield "no charts"
    for path in [folder / "report.html", folder / "measurements.csv", *charts]:
        if not path.is_file() or path.stat().st_size < 100:
            yield f"{path} is missing or empty"
            continue
        # Anything that would be fetched when the page is opened; a link to click on is none.
        text = path.read_text()
        load = r"""<(?!a\s)[^>]*\s(?:src|href|xlink:href|data|poster)\s*=\s*["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import|\bfetch\("""
        for found in re.findall(load, text) if path.suffix != ".csv" else []:
            yield f"{path} loads from elsewhere: {found[:120]}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = list(problems(pathlib.Path(sys.argv[1])))
    for line in wrong:
        print(f"{sys.argv[1]}: {line}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"{sys.argv[1]}: complete, verified, and whole")


main()
