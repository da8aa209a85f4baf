"""Byte-level BPE from a tokenizer.json, so that the oracle needs no package but numpy.

The pattern is GPT-2's. Python's `re` has no \\p{L} and \\p{N}: `[^\\W\\d_]` and `\\d` are the same for the texts here,
which are ASCII; other texts are refused instead of being cut a little differently.
"""
import json
import pathlib
import re

PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_characters():
    """GPT-2's printable character for each byte: printable Latin-1 stands for itself, the others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


class Tokenizer:
    def __init__(self, path):
        model = json.loads(pathlib.Path(path).read_text())["model"]
        self.ids, self.characters = model["vocab"], byte_characters()
        pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.tokens = sorted(self.ids, key=self.ids.get)
        self.merges = [" ".join(pair) for pair in pairs]

    def _word(self, word):
        parts = [self.characters[b] for b in word.encode()]
        while len(parts) > 1:
            ranks = [self.ranks.get(pair, len(self.ranks)) for pair in zip(parts, parts[1:])]
            best = min(ranks)
            if best == len(self.ranks):
                break
            at = ranks.index(best)
            parts[at:at + 2] = ["".join(parts[at:at + 2])]
        return [self.ids[p] for p in parts]

    def encode(self, text):
        if not text.isascii():
            raise ValueError("only ASCII texts are cut here as GPT-2's pattern cuts them")
        known, ids = {}, []
        for word in PATTERN.findall(text):
            if word not in known:
                known[word] = self._word(word)
            ids += known[word]
        return ids

    def decode(self, ids):
        bytes_of = {c: b for b, c in self.characters.items()}
        return b"".join(bytes(bytes_of[c] for c in self.tokens[i]) for i in ids).decode(errors="replace")
