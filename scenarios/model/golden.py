"""The known answers of the built-in model: what golden.json says of each prompt.

    python3 golden.py       writes the cases of golden.json anew, from shakespeare-ternary.gguf; a minute

The perplexity in golden.json is export.py's and stays as it is. Only numpy is needed. Rounding hides the order in which
a BLAS adds, so the file comes out the same.

Beside three short prompts there are some of the lengths at which engines were found to break: 1 id, one below, at and
above a block of 64, and 128 and 512, where a prompt goes in several batches. One published engine multiplied no weight
for prompts of more than 64 ids and passed every shorter one.
"""
import json
import pathlib
import re

import numpy as np

from bpe import Tokenizer
from small_model import HERE, read

GOLDEN = HERE / "golden.json"
# "First" is the text's first word. Ten ids after it have margins above 0.1; after other single ids that begin a line
# there are eleven at most.
PROMPTS = ("ROMEO:", "First Citizen:\nBefore we proceed", "What is 2+2?", "First")
LENGTHS = (63, 64, 65, 128, 512)
NEW_TOKENS, WINDOW = 24, 128


def held_out(text):
    """The first 24,000 characters of the part that the model was not trained on."""
    return text[int(len(text) * 0.95):][:24000]


def prompts(tokenizer, held_out_ids):
    """Prompts as text: the short ones, then the first ids of the held-out text, as many as LENGTHS says."""
    texts = [*PROMPTS, *(tokenizer.decode(held_out_ids[:length]) for length in LENGTHS)]
    for text, length in zip(texts[len(PROMPTS):], LENGTHS):
        if tokenizer.encode(text) != held_out_ids[:length]:
            raise ValueError(f"the first {length} ids of the held-out text are not the ids of their own text")
    return texts


def cases(oracle, tokenizer, held_out_ids):
    """What golden.json says of each prompt. The last generated id needs no place in the context."""
    found = []
    for prompt in prompts(tokenizer, held_out_ids):
        ids = tokenizer.encode(prompt)
        greedy, margins = oracle.greedy(ids, min(NEW_TOKENS, oracle.c["context"] - len(ids) + 1))
        last = oracle.logits(ids)[-1]
        found.append(dict(
            prompt=prompt, prompt_ids=ids, greedy_ids=greedy, margins=[round(m, 4) for m in margins],
            text=tokenizer.decode(ids + greedy), logits_last=[round(float(v), 5) for v in last]))
    return found


def built_in():
    """The oracle of the built-in file, its tokenizer, and the ids of the held-out text."""
    oracle = read(HERE / "shakespeare-ternary.gguf", {36: "i2_s"}).oracle()
    tokenizer = Tokenizer(HERE / "tokenizer.json")
    return oracle, tokenizer, tokenizer.encode(held_out((HERE / "shakespeare.txt").read_text()))


def differences():
    """Lines that say where the oracle and golden.json differ. The perplexity was made with an epsilon of 1e-5, the file
    has the float32 next to it: hence the tolerances. Ids and margins follow from the logits; golden.py itself makes
    them anew.
    """
    golden = json.loads(GOLDEN.read_text())
    oracle, tokenizer, tokens = built_in()
    found = float(np.exp(oracle.nats_per_token(tokens, WINDOW)))
    if abs(found / golden["perplexity"]["perplexity"] - 1) > 1e-6:
        yield f"golden.json: perplexity {found}"
    for case in golden["cases"]:
        last = oracle.logits(tokenizer.encode(case["prompt"]))[-1]
        if np.abs(last - case["logits_last"]).max() > 1.01e-5:
            yield f"golden.json: logits after {case['prompt']!r}"


def dump(path, value):
    """JSON with lists of numbers on one line."""
    text = json.dumps(value, indent=1, allow_nan=False)
    one_line = lambda numbers: re.sub(r"\s+", " ", numbers.group()).replace("[ ", "[").replace(" ]", "]")
    text = re.sub(r"\[[-\d.,e\s]+\]", one_line, text)
    pathlib.Path(path).write_text(text + "\n")


def main():
    golden = json.loads(GOLDEN.read_text())
    golden["cases"] = cases(*built_in())
    dump(GOLDEN, golden)
    for case in golden["cases"]:
        print(len(case["prompt_ids"]), repr(case["text"][len(case["prompt"]):]), flush=True)


if __name__ == "__main__":
    main()
