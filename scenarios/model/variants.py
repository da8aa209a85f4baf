"""The small trained model in every encoding, and what an oracle says of each.

    python3 variants.py --list
    python3 variants.py --out DIR [NAME...]     writes variants (all of them without a name)
    python3 variants.py --check [NAME...]       writes them into a temporary folder, reads them back, runs the oracle
    and compares
                                                with variants.json and tiny/golden.json; exit 1 on a difference
    python3 variants.py --record                writes variants.json and tiny/golden.json anew

Only numpy is needed. All output is deterministic; perplexities may differ by the last digits where another BLAS adds in
another order.
"""
import argparse
import json
import pathlib
import sys
import tempfile
from typing import NamedTuple

import numpy as np

import golden
import readings
import tiny
from bpe import Tokenizer
from golden import dump, held_out
from hf_folder import write_folder
from oracle import Oracle
from small_model import HERE, grouped, sha256, small_model, with_row_scales, write

EXPECTED = HERE / "variants.json"
PROMPTS = ("ROMEO:", "First Citizen:\nBefore we proceed", "What is 2+2?")
NEW_TOKENS, WINDOW, LONG_WINDOW, FEW = 24, 128, 512, 4

MODELS = {
    "tensor": "the built-in model, each of its 21 scales rounded to float16",
    "row": "a scale for each row: the tensor's times a factor between 0.8 and 1.25, rounded to float16",
    "g64": "a scale for each 64 weights of a row: columns times about 3 or 1/3, gains of the norm in front divided by "
           "it, rows 2% apart",
    "g128": "a scale for each 128 weights of a row, made likewise",
    "g256": "a scale for each 256 weights of a row, made likewise",
}


class Variant(NamedTuple):
    model: str
    encoding: str
    made: str
    rule: str | None = None  # of a Hugging Face folder
    shards: int = 1

    @property
    def unit(self):
        return "group" if self.model.startswith("g") else self.model


GGUF = "GGUF, architecture bitnet-b1.58, every ternary matrix in this encoding, embedding F16, norms F32"
REPEATED = GGUF + "; the tensor's scale in every block"
OWN = GGUF + "; every block with a scale of its own"
HF = "safetensors, BitNetForCausalLM; "
VARIANTS = {
    "i2_s": Variant("tensor", "i2_s", GGUF),
    "i2_s-x86-rows": Variant("tensor", "i2_s-x86-rows", GGUF),
    "i2_s-arm": Variant("tensor", "i2_s-arm", GGUF),
    **{name: Variant("tensor", name, REPEATED) for name in ("tq1_0", "tq2_0", "q2_0", "q2_0-g128", "pq2_0", "ptq1_0")},
    "iq2_bn": Variant("tensor", "iq2_bn", GGUF + "; the tensor's scale in front of every row"),
    "hf-autobitlinear": Variant("tensor", "hf-packed, autobitlinear", HF + "uint8, y times weight_scale (F32), "
                                "two shards", "autobitlinear", 2),
    "hf-bitlinear": Variant("tensor", "hf-packed, bitlinear", HF + "uint8, y divided by weight_scale (F32): 1 / scale "
                            "rounded, so that the weights differ from the others' by up to 6e-8 of their size",
                            "bitlinear"),
    "hf-master": Variant("tensor", "bf16-master", HF + "BF16 latent weights whose absmean quantisation gives the "
                         "codes and, summed in float64, exactly the scales (hf_folder.py, master_weights)", "master"),
    "row-iq2_bn": Variant("row", "iq2_bn", GGUF + "; every row with a scale of its own"),
    "g64-q2_0": Variant("g64", "q2_0", OWN),
    **{f"g128-{name}": Variant("g128", name, OWN) for name in ("q2_0-g128", "pq2_0", "ptq1_0")},
    **{f"g256-{name}": Variant("g256", name, OWN) for name in ("tq1_0", "tq2_0")},
}


def models():
    base = small_model()
    return {"tensor": base, "row": with_row_scales(base), **{f"g{group}": grouped(base, group) for group in (64, 128,
    256)}}


def files_of(out, name):
    """A variant's path and the files below `out` that belong to it."""
    if VARIANTS[name].rule:
        return out / name, sorted(p for p in (out / name).iterdir() if p.is_file())
    return out / f"{name}.gguf", [out / f"{name}.gguf"]


def make(out, name, model):
    variant = VARIANTS[name]
    if variant.rule:
        write_folder(out / name, model, variant.rule, HERE / "tokenizer.json", variant.shards)
    else:
        write(out / f"{name}.gguf", model, variant.encoding, f"shakespeare-ternary {name}")


def read_back(out, name, model):
    path, _ = files_of(out, name)
    if VARIANTS[name].rule:
        return readings.hf_matrices(path, model, VARIANTS[name].rule)
    return readings.gguf_matrices(path, model, VARIANTS[name].encoding)


class Judge:
    """Scores readings over the held-out text of golden.json."""

    def __init__(self):
        self.tokenizer = Tokenizer(HERE / "tokenizer.json")
        self.tokens = self.tokenizer.encode(held_out((HERE / "shakespeare.txt").read_text()))

    def rule(self):
        return dict(text="the first 24000 bytes of the last 5% of shakespeare.txt", tokens=len(self.tokens),
                    rule="non-overlapping windows, each starting from an empty cache; every position predicts the next "
                         "token",
                    perplexity=f"all windows of {WINDOW}", few_windows=f"the first {FEW} windows of {WINDOW}",
                    few_long_windows=f"the first {FEW} windows of {LONG_WINDOW}")

    def few(self, model):
        o = model.oracle()
        return dict(few_windows=perplexity(o, self.tokens, WINDOW, FEW),
                    few_long_windows=perplexity(o, self.tokens, LONG_WINDOW, FEW))

    def full(self, model):
        return dict(perplexity=perplexity(model.oracle(), self.tokens, WINDOW, None), **self.few(model))

    def cases(self, model):
        o, cases = model.oracle(), []
        for prompt in PROMPTS:
            ids = self.tokenizer.encode(prompt)
            greedy, margins = o.greedy(ids, NEW_TOKENS)
            cases.append(dict(prompt=prompt, prompt_ids=ids, greedy_ids=greedy, margins=[round(m, 4) for m in margins]))
        last = o.logits(cases[0]["prompt_ids"])[-1]
        cases[0]["logits_last"] = [round(float(v), 4) for v in last]
        return cases


def perplexity(oracle: Oracle, tokens, window, most):
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.exp(oracle.nats_per_token(tokens, window, most)))


def judged(judge, matrices, model):
    """The score of a wrong reading, or why there is none."""
    if not readings.finite(matrices):
        bad = sum(int((~np.isfinite(t.scales)).sum()) for t in matrices.values())
        return dict(not_finite=f"{bad} of {sum(t.scales.size for t in matrices.values())} scales")
    return judge.few(model._replace(matrices=matrices))


def same(a, b):
    """Whether two readings are the same integers and the same weights."""
    return all(np.array_equal(a[n].codes, b[n].codes) and np.array_equal(a[n].dense(), b[n].dense()) for n in b)


def measure(out, names):
    """Everything that variants.json says, for these variants and their models."""
    judge, known = Judge(), models()
    found = dict(score=judge.rule(), models={}, variants={})
    for key in dict.fromkeys(VARIANTS[n].model for n in names):
        model, unit = known[key], "group" if key.startswith("g") else key
        wrong = {name: judge.few(m) for name, m in readings.wrong_scales(model, unit).items()}
        found["models"][key] = dict(how=MODELS[key], **judge.full(model), wrong_readings=wrong,
                                    cases=judge.cases(model))
    for name in names:
        variant, model = VARIANTS[name], known[VARIANTS[name].model]
        make(out, name, model)
        path, files = files_of(out, name)
        matrices = read_back(out, name, model)
        exact = same(matrices, model.matrices)
        if not exact and variant.rule != "bitlinear":
            raise SystemExit(f"{name}: the file does not read back to the weights that it was made from")
        expected = found["models"][variant.model] if exact else judge.full(model._replace(matrices=matrices))
        wrong = {w: judged(judge, m, model) for w, m in readings.wrong_layouts(path, model, variant.encoding).items()}
        found["variants"][name] = dict(
            model=variant.model, encoding=variant.encoding, made=variant.made, weights_equal_the_models=exact,
            **{score: expected[score] for score in ("perplexity", "few_windows", "few_long_windows")},
            wrong_readings=wrong, sha256={str(f.relative_to(out)): sha256(f) for f in files})
        print(name, found["variants"][name]["perplexity"], wrong, flush=True)
    return found


def differences(found, expected, where=""):
    """Lines that say where two results differ. Rounding of sums may move a number by 1e-9 of it, a margin's last digit
    by one.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*found, *(k for k in expected if k not in found)]:
            if key not in found or key not in expected:
                yield f"{where}/{key}: only {'recorded' if key in expected else 'found'}"
            else:
                yield from differences(found[key], expected[key], f"{where}/{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for i, (a, b) in enumerate(zip(found, expected)):
            yield from differences(a, b, f"{where}/{i}")
    elif isinstance(found, float) and isinstance(expected, (int, float)):
        tolerance = 1.01e-4 if "margins" in where or "logits" in where else 1e-9 * abs(expected)
        if not abs(found - expected) <= tolerance:
            yield f"{where}: {found} and not {expected}"
    elif found != expected:
        yield f"{where}: {found} and not {expected}"


def check(names):
    lines = list(golden.differences())
    with tempfile.TemporaryDirectory() as out:
        found = measure(pathlib.Path(out), names)
        found["tiny"] = tiny.measure(pathlib.Path(out))
    for file, digest in tiny.committed():
        if sha256(file) != digest:
            lines.append(f"{file}: not what tiny/golden.json says")
    expected = json.loads(EXPECTED.read_text())
    expected["tiny"] = json.loads(tiny.GOLDEN.read_text())
    for part in ("models", "variants"):
        expected[part] = {k: v for k, v in expected[part].items() if k in found[part] or len(names) == len(VARIANTS)}
    lines += differences(found, expected)
    print(*(lines or ["no difference"]), sep="\n")
    return 1 if lines else 0


def record():
    with tempfile.TemporaryDirectory() as out:
        dump(EXPECTED, measure(pathlib.Path(out), list(VARIANTS)))
        tiny.FOLDER.mkdir(exist_ok=True)
        dump(tiny.GOLDEN, tiny.measure(pathlib.Path(out)))
    tiny.write_committed()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path)
    for flag in ("list", "check", "record"):
        args.add_argument(f"--{flag}", action="store_true")
    args.add_argument("names", nargs="*", metavar="NAME")
    args = args.parse_args()
    unknown = [n for n in args.names if n not in VARIANTS]
    if unknown:
        raise SystemExit(f"no variant is called {', '.join(unknown)}; --list names them")
    names = args.names or list(VARIANTS)
    if args.list:
        print(*(f"{name}: {v.model}; {v.made}" for name, v in VARIANTS.items()), sep="\n")
    elif args.record:
        record()
    elif args.check:
        return check(names)
    elif args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        known = models()
        for name in names:
            make(args.out, name, known[VARIANTS[name].model])
    else:
        raise SystemExit("say --out DIR, --check, --record or --list")
    return 0


if __name__ == "__main__":
    sys.exit(main())
