#!/usr/bin/env python3
"""Whether a comparison has one word wherever it is shown: one-answer.py PROGRAM [RECEIPT...]

By default every receipt below reports/ and harness/tests. Each is rendered by PROGRAM; the word of each comparison on the page, in the
terminal, in Markdown and in measurements.csv must be the judge's. The judge here is a second one, written from METHODOLOGY.md: it reads the
raw rounds and nothing that was computed from them. Exit 1 and a line for each word that differs.
"""

import csv
import html
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DELTA, ALPHA, LOOKS = 0.03, 0.01, [50, 100, 200, 400, 800]
WORDS = {"faster", "slower", "same", "undecided", "unstable"}
# What stands before a ratio in a narrow table.
SIGNS = {"▼": "slower", "=": "same", "?": "undecided", "!": "unstable"}


# ---- the judge --------------------------------------------------------------------------------------------------------------------------

def median(values):
    ordered, n = sorted(values), len(values)
    if n == 0:
        return 0.0
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2


def interval(values, level):
    """Exact sign-test interval for the median: both tails together within `level`."""
    n, tail, rank = len(values), 0.0, 0
    log_probability = -n * math.log(2)
    for outcomes in range((n + 1) // 2):
        tail += math.exp(log_probability)
        if 2 * tail > level:
            break
        rank = outcomes + 1
        log_probability += math.log((n - outcomes) / (outcomes + 1))
    ordered = sorted(values)
    return (ordered[rank - 1], ordered[n - rank]) if rank else None


def noise_of_median(parts):
    """95th percentile of |median| over 999 resamples, drawn by SplitMix64 from a fixed seed."""
    if not parts:
        return 0.0
    state, mask, n, medians = 0x0B0075742A9D, (1 << 64) - 1, len(parts), []
    for _ in range(999):
        drawn = []
        for _ in range(n):
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            z ^= z >> 31
            drawn.append(parts[((z >> 32) * n) >> 32])
        medians.append(abs(median(drawn)))
    return sorted(medians)[math.ceil(0.95 * 999) - 1]


class Pairs:
    """The columns of what took turns, and how they are judged."""

    def __init__(self, rule, old, columns, same, parts_of):
        self.rule, self.old, self.columns, self.same, self.parts_of = rule, old, columns, same, parts_of
        self.noise = {}

    def look(self, effect, n):
        """Outcome at one look, and whether PASS or FAIL can be said."""
        level = self.rule["alpha"] / len(self.rule["looks"])
        effect = effect[:n]
        if n not in self.noise:
            same = self.same[:n]
            parts = self.parts_of(same)
            self.noise[n] = (noise_of_median(parts), parts if self.parts_of is not blocks_of_ten else same)
        p95, same = self.noise[n]
        counts = max(self.rule["delta"], 2 * math.expm1(p95))
        threshold = math.log1p(counts)
        aa = interval(same, 0.01)
        biased = aa and (aa[0] > 0 or aa[1] < 0) and math.expm1(abs(median(same))) > self.rule["delta"] / 3
        alarm, passing = interval(effect, level / self.rule["comparisons"]), interval(effect, level)
        change = median(effect)
        if biased or counts > max(0.15, self.rule["delta"]):
            return "unstable", False
        if alarm and alarm[0] > 0 and change > threshold:
            return "slower", True
        not_slower = bool(passing and passing[1] < threshold)
        if alarm and alarm[1] < 0 and -change > threshold:
            return "faster", not_slower
        if passing and passing[0] > -threshold and passing[1] < threshold:
            return "same", not_slower
        return "undecided", not_slower

    def direction(self, own, partner):
        both = [(o, p) for o, p in zip(self.columns[own], self.columns[partner]) if o > 0 and p > 0]
        effect = [math.log(o / p) for o, p in both]
        have = min(len(effect), len(self.same))
        looks = [n for n in self.rule["looks"] if n <= have]
        if not looks:
            return "undecided"
        if not self.old:
            return self.look(effect, looks[-1])[0]
        for n in looks:
            word, stands = self.look(effect, n)
            if stands:
                return word
        return word


def blocks_of_ten(same):
    chunks = [same[i:i + 10] for i in range(0, len(same), 10)]
    return [median(c) for c in chunks if len(c) == 10 or len(same) < 10]


def charged(round_, entry, threads):
    ns, cpu = round_["ns"][entry], round_["cpu_ns"][entry]
    return min(ns, cpu) if round_["involuntary_switches"][entry] > 0 and cpu > 0 and threads == 1 else ns


def twins(entries):
    again = next((i for i, e in enumerate(entries) if e["self_pair"]), None)
    if again is None:
        return None
    return next(i for i, e in enumerate(entries) if not e["self_pair"] and e["kernel"] == entries[again]["kernel"]), again


def same_code(entries, columns):
    pair = twins(entries)
    return [math.log(b / a) for a, b in zip(columns[pair[0]], columns[pair[1]]) if a > 0 and b > 0] if pair else []


def cell_pairs(receipt, cell):
    old = receipt["schema_version"].startswith(("1.0.", "1.1."))
    rounds, entries = cell["rounds"], cell["entries"]
    time = (lambda r, e: r["ns"][e]) if old else (lambda r, e: charged(r, e, cell["threads"]))
    columns = [[time(r, e) for r in rounds] for e in range(len(entries))]
    rule = receipt.get("rule")
    if rule is None:
        fitting = [n for n in LOOKS if n <= len(rounds)] or [len(rounds)]
        rule = {"delta": DELTA, "alpha": ALPHA, "looks": fitting, "comparisons": max(1, len(entries) - 2)}
    return Pairs(rule, old, columns, same_code(entries, columns), blocks_of_ten)


def block_pairs(receipt, blocks, threads):
    old = receipt["schema_version"].startswith(("1.0.", "1.1."))
    entries, rounds = blocks["entries"], blocks["rounds"]
    columns = [[charged(r, e, threads) for r in rounds] for e in range(len(entries))]
    text = sum(1 for r in rounds if r["generation"] == rounds[0]["generation"])
    by_text = lambda same: [median(same[i:i + text]) for i in range(0, len(same), text)]
    return Pairs(blocks["rule"], old, columns, same_code(entries, columns), by_text)


def judged(receipt):
    """{(family, op, shape, place, kernel, partner): word} of every comparison of kernels, and {kernel: word} of decoding."""
    words, decoding = {}, {}
    builds_on = {k["id"]: k.get("builds_on") for k in receipt["kernels"]}
    for cell in receipt["micro"]:
        if not cell["rounds"]:
            continue
        pairs, ids = cell_pairs(receipt, cell), [e["kernel"] for e in cell["entries"]]
        tokens = f"×{cell['tokens']}" if cell.get("tokens", 1) > 1 else ""
        place = (cell["family"], cell["op"], f"{cell['m']}×{cell['k']}{tokens}", cell["residency"])
        for own, entry in enumerate(cell["entries"]):
            if entry["self_pair"] or own == 0:
                continue
            for partner in {0, ids.index(builds_on[entry["kernel"]]) if builds_on[entry["kernel"]] in ids else 0}:
                words[place + (entry["kernel"], ids[partner])] = pairs.direction(own, partner)
    for blocks in (receipt.get("generation") or {}).get("blocks", []):
        pairs = block_pairs(receipt, blocks, receipt["generation"]["threads"])
        for own, entry in enumerate(blocks["entries"]):
            if own and not entry["self_pair"]:
                # One that skips is compared with its kernel as it is.
                dense = entry["kernel"].removesuffix("+sparse")
                ids = [e["kernel"] for e in blocks["entries"]]
                partner = ids.index(dense) if dense != entry["kernel"] and dense in ids else 0
                decoding[entry["kernel"]] = pairs.direction(own, partner)
    return words, decoding


def judged_rules(receipt):
    """{rule: word} of rules of activations, each against the first."""
    rules = receipt.get("activation_rules") or {}
    blocks = rules.get("blocks")
    if blocks is None:
        return {}
    pairs = block_pairs(receipt, blocks, rules["threads"])
    return {e["kernel"]: pairs.direction(i, 0) for i, e in enumerate(blocks["entries"]) if i and not e["self_pair"]}


# ---- what is shown ----------------------------------------------------------------------------------------------------------------------

def of_csv(path):
    words, decoding = {}, {}
    for row in csv.DictReader(path.open()):
        if row["kind"] == "kernel" and row["self_pair"] == "false" and int(row["rounds"]):
            tokens = f"×{row['tokens']}" if int(row["tokens"]) > 1 else ""
            place = (row["family"], row["op"], f"{row['m']}×{row['k']}{tokens}", row["residency"], row["kernel"])
            for which in ["baseline", "previous"]:
                if row[which]:
                    words[place + (row[which],)] = row.get(f"direction_vs_{which}", "no such column")
        elif row["kind"] == "end_to_end" and row["op"] == "decode" and row["baseline"]:
            decoding[row["kernel"]] = row.get("direction_vs_baseline", "no such column")
    return words, decoding


def text(markup):
    return html.unescape(re.sub(r"<[^>]*>", "", markup)).strip()


def judged_ratio(cell):
    """Partner and word of a ratio in a cell, if there is one."""
    shown = re.search(r'<span class="tag (\w+)" title="over ([^";]*)[^"]*">(\w+)</span>', cell)
    return (html.unescape(shown[2]), shown[3]) if shown and shown[3] in WORDS else None


def of_page(page, places):
    """The tables of measurements: families by their heading, a row a kernel, each ratio with its partner and its word."""
    words, decoding = {}, {}
    for table in re.findall(r'id="table-measurements-[^"]*" data-family="([^"]*)">(.*?)</table>', page, re.S):
        family = html.unescape(table[0])
        for row in re.findall(r"<tr id=[^>]*>(.*?)</tr>", table[1], re.S):
            kernel = text(re.search(r'<a class="row"[^>]*>(.*?)</a>', row, re.S)[1])
            cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
            op, shape, place = [text(c) for c in cells[:3]]
            for partner, word in filter(None, map(judged_ratio, cells)):
                words[(family, op, shape, places[place], kernel, partner)] = word
    for table in re.findall(r'id="table-generation-[^"]*".*?</table>', page, re.S):
        for row in re.findall(r"<tr id=[^>]*>(.*?)</tr>", table, re.S):
            kernel = text(re.search(r'<a class="row"[^>]*>(.*?)</a>', row, re.S)[1])
            shown = judged_ratio(row)
            if shown:
                decoding[kernel] = shown[1]
    return words, decoding


def of_charts(page, places):
    """The description of the picture of products: cell, then "kernel over partner ratio, word"."""
    words = {}
    for chart in re.findall(r'<svg[^>]*aria-labelledby="products-[^"]*".*?</svg>', page, re.S):
        for said in re.findall(r"<desc[^>]*>(.*?)</desc>", chart, re.S):
            for place, rest in re.findall(r"(\w+ [\d×]+, [\w ]+?), differences count from [^:]*: (.*?)\.(?= |$)", html.unescape(said)):
                op, shape = place.split(",")[0].split(" ")
                for kernel, partner, word in re.findall(r"([\w+.-]+) over ([\w+.-]+) .*?\], (\w+)", rest):
                    words[(op, shape, places[place.split(", ")[1]], kernel, partner)] = word
    return words


# A section's title and one of a family's tables in it, as the terminal and Markdown write them.
EVERY = "Every measurement"


def of_terminal(shown, places):
    """Every measurement: a row a kernel, with its partners' words as far as 80 columns show them."""
    words, inside, family = {}, False, None
    for line in shown.splitlines():
        if line in SECTIONS:
            inside = line == EVERY
        family = TITLES.get(line.strip(), family)
        # kernel, operation, shape, place of two words, ratio over the first row, word and ratio over what it builds on
        row = re.match(r" (\S+) +(\S+) +([\d×]+) +(\w+ \w+) +(\S+)(?: +(\w+) [\d.,]+×)?", line) if inside else None
        if row and row[5].endswith("×"):
            sign = SIGNS.get(row[5][0], "faster" if row[5] != "1×" else None)
            if sign:
                words[(family, row[2], row[3], places[row[4]], row[1])] = (sign, row[6])
    return words


def of_markdown(shown, places):
    """The same in Markdown: what stands in the cells of ratios is `ratio [interval] word`."""
    words, decoding, inside, family = {}, {}, False, None
    for line in shown.splitlines():
        fold = re.match(r"<details><summary>(.*)</summary>", line)
        inside = fold[1] if fold else inside
        family = TITLES.get(html.unescape(line).strip("* ").split(", whole text")[0], family)
        cells = [html.unescape(c).replace("\\", "").replace("`", "").strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        said = [(c.split(" ")[-1] if c.split(" ")[-1] in WORDS and "×" in c else None) for c in cells]
        if inside == EVERY and len(cells) > 6 and cells[3] in places and said[4]:
            words[(family, cells[1], cells[2], places[cells[3]], cells[0])] = (said[4], said[5])
        if inside == "Whole text" and len(cells) > 6 and said[3]:
            decoding[cells[0]] = said[3]
    return words, decoding


def rules_shown(csv_path, page, terminal, markdown):
    """{rule: word} of rules of activations in each form: the table's row of a rule, and of the picture its description."""
    named = lambda title: "token" if title == "all of a token" else title.removesuffix(" in a row")
    of_csv = {r["activations"]: r["direction_vs_baseline"] for r in csv.DictReader(csv_path.open()) if r["kind"] == "activation_rule" and r["baseline"]}
    of_page, of_chart, of_text, of_cells = {}, {}, {}, {}
    for table in re.findall(r'id="table-activation-rules".*?</table>', page, re.S):
        for row in re.findall(r"<tr id=[^>]*>(.*?)</tr>", table, re.S):
            shown = judged_ratio(row)
            if shown:
                of_page[named(text(re.search(r'<a class="row"[^>]*>(.*?)</a>', row, re.S)[1]))] = shown[1]
    for chart in re.findall(r'<svg[^>]*aria-labelledby="rules-[^"]*".*?</svg>', page, re.S):
        for said in re.findall(r"<desc[^>]*>(.*?)</desc>", chart, re.S):
            for title, word in re.findall(r"([\w ]+?) with \S+ \S+ nats, \S+ tokens/s, \S+ over \w+, (\w+)", html.unescape(said)):
                of_chart[named(title.strip())] = word
    for line in terminal.splitlines():
        row = re.match(r" (all of a token|\d+ in a row) .* (\w+) [\d.,]+×", line)
        if row and row[2] in WORDS:
            of_text[named(row[1])] = row[2]
    for line in markdown.splitlines():
        cells = [html.unescape(c).replace("\\", "").replace("`", "").strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"all of a token|\d+ in a row", cells[0]):
            of_cells.update({named(cells[0]): c.split(" ")[-1] for c in cells if "×" in c and c.split(" ")[-1] in WORDS})
    return [("measurements.csv", of_csv), ("page", of_page), ("chart", of_chart), ("terminal", of_text), ("Markdown", of_cells)]


# ---- both -------------------------------------------------------------------------------------------------------------------------------

PLACES = {"in cache": "cache", "from L2": "l2", "from LLC": "llc", "from DRAM": "dram"}
TITLES = {
    "W2A32 ladder (f32 activations)": "W2A32",
    "W2A8 (int8 activations, exact int32 sums)": "W2A8",
    "W2gA8 (group scales, int8 activations)": "W2gA8",
}


SECTIONS = [
    "Findings", "Products in figures", "Which kernel is faster", "The ladder explained", "How far from the limit", "Whole text",
    "A kernel's gain and a token's", "Perplexity", "Activation rules", EVERY, "Raw rounds", "Instructions per 64 weights", "What the analysis claims",
    "Kernels and correctness", "Machine, model and how to reproduce",
]


def by_column(words, receipt):
    """Words by kernel: against the first row of its cell, and against what it builds on where that is another or shown too."""
    out, first = {}, {}
    for cell in receipt["micro"]:
        tokens = f"×{cell['tokens']}" if cell.get("tokens", 1) > 1 else ""
        first[(cell["family"], cell["op"], f"{cell['m']}×{cell['k']}{tokens}", cell["residency"])] = cell["entries"][0]["kernel"]
    builds_on = {k["id"]: k.get("builds_on") for k in receipt["kernels"]}
    for key in words:
        place, kernel = key[:4], key[4]
        base = words.get(key[:5] + (first[place],))
        out[key[:5]] = (base, words.get(key[:5] + (builds_on[kernel] or first[place],), base))
    return out


def differences(where, shown, expected):
    """Words that are shown must be the judge's, and every comparison must be shown."""
    if not shown and expected:
        yield f"{where}: no comparison has a word"
        return
    for key in sorted(set(shown) | set(expected), key=str):
        if shown.get(key) != expected.get(key):
            yield f"{where}: {' '.join(key) if isinstance(key, tuple) else key}: {shown.get(key)}, the judge says {expected.get(key)}"


def named(shown, receipt):
    """Where there is one family alone, a table may be without its title."""
    families = {cell["family"] for cell in receipt["micro"]}
    only = families.pop() if len(families) == 1 else None
    return {((only if key[0] is None else key[0]), *key[1:]): words for key, words in shown.items()}


def check(program, path):
    receipt = json.loads(path.read_text())
    words, decoding = judged(receipt)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(path, folder / "receipt.json")
        run = lambda *flags: subprocess.run([program, "report", str(folder), *flags], check=True, stdout=subprocess.PIPE).stdout.decode()
        terminal, markdown = run("--full"), run("--markdown")
        page = (folder / "report.html").read_text()
        columns = by_column(words, receipt)
        # A column that does not fit, or an empty one, says nothing.
        spoken = lambda shown: {key: (a, b or columns.get(key, (None, None))[1]) for key, (a, b) in named(shown, receipt).items()}
        found = list(differences("terminal", spoken(of_terminal(terminal, PLACES)), columns))
        in_markdown, whole = of_markdown(markdown, PLACES)
        if EVERY in re.findall(r"<summary>(.*?)</summary>", markdown):
            found += differences("Markdown", spoken(in_markdown), columns)
        if decoding:
            whole = {kernel: word for kernel, word in whole.items() if kernel in decoding or "+" not in kernel}
            found += differences("Markdown, decoding", whole, decoding)
        for where, (kernels, whole) in [
            ("measurements.csv", of_csv(folder / "measurements.csv")),
            ("page", of_page(page, PLACES)),
        ]:
            found += differences(where, kernels, words)
            if decoding:
                # Before 1.2 a kernel without the gate's zeros had no blocks of its own.
                whole = {kernel: word for kernel, word in whole.items() if kernel in decoding or "+" not in kernel}
                found += differences(f"{where}, decoding", whole, decoding)
        rules = judged_rules(receipt)
        if rules:
            for where, shown in rules_shown(folder / "measurements.csv", page, terminal, markdown):
                found += differences(f"{where}, rules of activations", shown, rules)
        own = {key[1:]: word for key, word in words.items()}
        charts = of_charts(page, PLACES)
        found += [f"chart: {' '.join(k)}: {w}, the judge says {own.get(k)}" for k, w in sorted(charts.items()) if own.get(k) != w]
    return len(words) + len(decoding) + len(rules), len(charts), found


def main():
    program = sys.argv[1]
    paths = [pathlib.Path(p) for p in sys.argv[2:]]
    if not paths:
        below = [p for folder in ["reports", "harness/tests"] for p in (ROOT / folder).rglob("receipt*.json")]
        # The corpus is of damaged files, and the schema is no receipt.
        paths = sorted(p for p in below if "corpus" not in p.parts and not p.name.endswith(".schema.json"))
    failed = False
    for path in paths:
        comparisons, charts, found = check(program, path)
        for line in found[:20]:
            print(f"{path}: {line}", file=sys.stderr)
        if len(found) > 20:
            print(f"{path}: {len(found) - 20} more", file=sys.stderr)
        failed |= bool(found)
        if not found:
            print(f"{path}: {comparisons} comparisons, each with one word on the page ({charts} in charts), in the terminal, in Markdown and in CSV")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
