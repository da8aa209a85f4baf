"""Tiny models with random weights, one for each architecture that the trained model does not have, and their float64
logits.

    python3 tiny.py --out DIR       writes them all, also those that tiny/ leaves out

variants.py records and checks them. Sizes are as small as the encodings' blocks of 256 allow; the vocabulary and its
tokenizer are the built-in model's.
"""
import argparse
import json
import pathlib
from typing import NamedTuple

import numpy as np

import dense_types as types
import gguf_file
from bpe import Tokenizer
from encoders import ENCODINGS
from gguf_file import FLOAT32, STRING, UINT32
from hf_folder import write_folder
from oracle import Ternary
from readings import hf_matrices
from small_model import HERE, Model, config_of, half, read, sha256, uniform, write

FOLDER = HERE / "tiny"
GOLDEN = FOLDER / "golden.json"
PROMPTS = ("ROMEO:", "First Citizen:\nBefore we proceed", "What is 2+2?")
NEW_TOKENS = 12
# Of an element of the embedding and of the head: logits of a few units, so that rounding moves them by tenths at most.
SIZE = 0.1
DIM, FFN, HEADS, KV_HEADS = 256, 256, 4, 2


class Tiny(NamedTuple):
    what: str
    architecture: str
    encoding: str
    group: int  # weights that share a scale; -1: a matrix
    embedding: str  # "ternary", "f16", "q4_0" or "q8_0"
    head: str | None  # likewise or "q6_k"; None: tied
    head_dim: int = 64
    layers: int = 2
    codes: int = 3
    seed: int = 1
    eps: float = 1e-5
    theta: float = 10000.0
    scale_tensors: bool = False
    committed: bool = True


MODELS = {
    "qwen3": Tiny("Q2_0 of group 64, embedding and tied head too; query width 512 is twice the model's", "qwen3",
                  "q2_0", 64, "ternary", None, head_dim=128, seed=25, eps=1e-6, theta=1e6),
    "qwen3-four": Tiny("one block of Q2_0 with the four codes -1 to 2 and a ternary head of its own", "qwen3",
                       "q2_0", 64, "ternary", "ternary", head_dim=128, layers=1, codes=4, seed=10, eps=1e-6, theta=1e6),
    "llama": Tiny("TQ2_0 with a scale for each 256 weights, so for each row; Q4_0 embedding, untied Q6_K head", "llama",
                  "tq2_0", 256, "q4_0", "q6_k", seed=54, theta=500000.0),
    "bitnet": Tiny("TQ1_0 with d = 1 and the scales in .scale tensors; tied Q8_0 embedding", "bitnet", "tq1_0", -1,
                   "q8_0", None, seed=55, scale_tensors=True),
    # A scale of 1/16 has an exact reciprocal, so that the folder's weights are those of the GGUF file.
    "llama-f16": Tiny("TQ2_0 with the scale 1/16 everywhere, F16 embedding, untied F16 head; also as Hugging Face "
                      "folder llama-f16-hf, packed uint8 by the bitlinear rule, in which q and k are not permuted",
                      "llama", "tq2_0", -1, "f16", "f16", seed=57, theta=500000.0, committed=False),
}


class Source:
    """Random numbers of one model; every draw has a key of its own."""

    def __init__(self, seed):
        self.key = seed * 1000

    def uniform(self, shape):
        self.key += 1
        return uniform(self.key, shape)

    def integers(self, low, high, shape):
        """From `low` to `high`, both included; the sum of three draws: small ones are more frequent, as in a trained
        model.
        """
        return np.floor(low + (high + 1 - low) * sum(self.uniform(shape) for _ in range(3)) / 3).astype(int)

    def ternary(self, tiny, rows, k, size):
        """Weights that give outputs of variance `size` squared for inputs of variance 1."""
        # Four codes in shares that keep the mean at zero: a matrix of one sign would give every logit the same large
        # part.
        shares = (0.4, 0.7, 0.9) if tiny.codes == 4 else (1 / 3, 2 / 3)
        codes = np.searchsorted(shares, self.uniform((rows, k)), side="right").astype(np.int8) - 1
        if tiny.group < 0:
            return Ternary(codes, 1 / 16 if not tiny.scale_tensors else np.float32(size / np.sqrt(k * 2 / 3)))
        factors = 0.8 + 0.45 * self.uniform((rows, k // tiny.group))
        return Ternary(codes, half(size / np.sqrt(k * 2 / 3) * factors))

    def gain(self, width):
        return (0.75 + 0.5 * self.uniform(width)).astype("<f4")

    def dense(self, kind, rows, k, size):
        """An embedding or a head with elements of about `size`."""
        if kind == "f16":
            return (size * 3 * (self.uniform((rows, k)) + self.uniform((rows, k)) - 1)).astype("<f2")
        factors = lambda n: (0.8 + 0.45 * self.uniform((rows, k // n))) * size
        if kind == "q4_0":
            return types.Q4_0, (rows, k), types.q4_0(self.integers(-8, 7, (rows, k)), factors(32) / 3)
        if kind == "q8_0":
            return types.Q8_0, (rows, k), types.q8_0(self.integers(-127, 127, (rows, k)), factors(32) / 42)
        sub = self.integers(-100, 100, (rows, k // 16))
        return types.Q6_K, (rows, k), types.q6_k(self.integers(-32, 31, (rows, k)), sub, factors(256) / 300)


def build(name, tokenizer_keys):
    """A Model from its row of MODELS."""
    tiny, source = MODELS[name], Source(MODELS[name].seed)
    q_dim, kv_dim = HEADS * tiny.head_dim, KV_HEADS * tiny.head_dim
    vocabulary = next(len(v[1]) for key, _, v in tokenizer_keys if key == "tokenizer.ggml.tokens")
    matrices, dense, names = {}, {}, []

    def add(tensor, value):
        names.append(tensor)
        (matrices if isinstance(value, Ternary) else dense)[tensor] = value

    def rows(tensor, kind, size):
        add(tensor, source.ternary(tiny, vocabulary, DIM, size * 13) if kind == "ternary" else
            source.dense(kind, vocabulary, DIM, size))

    rows("token_embd.weight", tiny.embedding, SIZE)
    for i in range(tiny.layers):
        shapes = dict(attn_q=(q_dim, DIM), attn_k=(kv_dim, DIM), attn_v=(kv_dim, DIM), attn_output=(DIM, q_dim),
                      ffn_gate=(FFN, DIM), ffn_up=(FFN, DIM), ffn_down=(DIM, FFN))
        norms = dict(attn_norm=DIM, ffn_norm=DIM)
        if tiny.architecture == "bitnet":
            norms.update(attn_sub_norm=q_dim, ffn_sub_norm=FFN)
        if tiny.architecture == "qwen3":
            norms.update(attn_q_norm=tiny.head_dim, attn_k_norm=tiny.head_dim)
        for tensor, width in norms.items():
            add(f"blk.{i}.{tensor}.weight", source.gain(width))
        for tensor, (r, k) in shapes.items():
            # Blocks add more than the embedding holds, so that logits depend on all of the graph and not on the last
            # token alone.
            size = 3 if tensor in ("attn_output", "ffn_down") else 1
            add(f"blk.{i}.{tensor}.weight", source.ternary(tiny, r, k, size))
    add("output_norm.weight", source.gain(DIM))
    if tiny.head:
        rows("output.weight", tiny.head, SIZE)
    metadata = metadata_of(name, vocabulary) + tokenizer_keys
    return Model(config_of(gguf_keys(metadata)), metadata, names, matrices, dense)


def gguf_keys(metadata):
    return {key: value[1] if kind == gguf_file.ARRAY else value for key, kind, value in metadata}


def metadata_of(name, vocabulary):
    """The keys that the architecture's own converter writes: qwen3 files say key_length and leave out vocab_size and
    rope.dimension_count, llama and bitnet files the reverse."""
    tiny, a = MODELS[name], MODELS[name].architecture
    own = {"qwen3": [("attention.key_length", tiny.head_dim), ("attention.value_length", tiny.head_dim)]}.get(
        a, [("vocab_size", vocabulary), ("rope.dimension_count", tiny.head_dim)])
    integers = [("context_length", 512), ("embedding_length", DIM), ("block_count", tiny.layers),
                ("feed_forward_length", FFN), ("attention.head_count", HEADS),
                ("attention.head_count_kv", KV_HEADS), *own]
    floats = [("rope.freq_base", tiny.theta), ("attention.layer_norm_rms_epsilon", tiny.eps)]
    return [("general.architecture", STRING, a), ("general.name", STRING, f"tiny {name}, random weights"),
            ("general.file_type", UINT32, 0), ("general.quantization_version", UINT32, 2),
            *((f"{a}.{key}", UINT32, value) for key, value in integers),
            *((f"{a}.{key}", FLOAT32, float(np.float32(value))) for key, value in floats)]


def make(out, name, model):
    """Writes one model; the paths of its files."""
    tiny, path = MODELS[name], out / f"{name}.gguf"
    write(path, model, tiny.encoding, f"tiny {name}, random weights", tiny.scale_tensors)
    if name != "llama-f16":
        return [path]
    write_folder(out / "llama-f16-hf", model, "bitlinear", HERE / "tokenizer.json")
    return [path, *sorted((out / "llama-f16-hf").iterdir())]


def built():
    keys = gguf_file.File(HERE / "shakespeare-ternary.gguf").metadata
    tokenizer_keys = [entry for entry in keys if entry[0].startswith("tokenizer.")]
    return {name: build(name, tokenizer_keys) for name in MODELS}


def golden(name, model, tokenizer):
    """Float64 results of one model, and how far float32's rounding (the worst of eight random ones) and a float16 cache
    move its logits: an int8 rounding that flips makes others flip, more so in a random model than in a trained one.
    """
    oracle, cases, float32, cache = model.oracle(), [], 0.0, 0.0
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt)
        greedy, margins = oracle.greedy(ids, NEW_TOKENS)
        last = oracle.logits(ids)[-1]
        exact = oracle.logits(ids + greedy)
        moved = lambda other: float(np.abs(other.logits(ids + greedy) - exact).max())
        float32 = max(float32, *(moved(model.oracle(jitter=2**-23, seed=seed)) for seed in range(8)))
        cache = max(cache, moved(model.oracle(cache=np.float16)))
        cases.append(dict(prompt=prompt, prompt_ids=ids, greedy_ids=greedy, margins=[round(m, 4) for m in margins],
                          logits_last=[round(float(v), 5) for v in last]))
    tiny = MODELS[name]
    return dict(architecture=tiny.architecture, encoding=tiny.encoding, what=tiny.what,
                float32_moves_logits_by=two_digits(float32), f16_cache_moves_logits_by=two_digits(cache), cases=cases)


def two_digits(value):
    return float(f"{value:.2g}")


def write_committed():
    for name, model in built().items():
        if MODELS[name].committed:
            make(FOLDER, name, model)


def committed():
    """Files of tiny/ and the hashes that golden.json gives them."""
    for name, entry in json.loads(GOLDEN.read_text()).items():
        if MODELS[name].committed:
            yield from ((FOLDER / file, digest) for file, digest in entry["sha256"].items())


def check_folder(folder, model, tokenizer):
    """The llama folder, read back with rows that are not permuted and the rotation that goes with them, gives the
    logits of the GGUF file.
    """
    config = {**model.config, "architecture": "llama, a folder"}
    ids = tokenizer.encode(PROMPTS[1])
    logits = model._replace(config=config, matrices=hf_matrices(folder, model, "bitlinear")).oracle().logits(ids)
    if np.abs(logits - model.oracle().logits(ids)).max() > 1e-9:
        raise SystemExit(f"{folder}: its logits are not those of the GGUF file")


def measure(out):
    """Writes all of them into `out`, reads them back and runs the oracle; everything that golden.json says."""
    tokenizer, found = Tokenizer(HERE / "tokenizer.json"), {}
    for name, model in built().items():
        files = make(out, name, model)
        again = read(files[0], {ENCODINGS[MODELS[name].encoding].code: MODELS[name].encoding})
        if not all(np.array_equal(again.matrices[n].dense(), t.dense()) for n, t in model.matrices.items()):
            raise SystemExit(f"{name}: the file does not read back to the weights that it was made from")
        if name == "llama-f16":
            check_folder(out / "llama-f16-hf", model, tokenizer)
        found[name] = dict(**golden(name, again, tokenizer), sha256={str(f.relative_to(out)): sha256(f) for f in files})
    return found


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=pathlib.Path, required=True)
    out = args.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, model in built().items():
        make(out, name, model)


if __name__ == "__main__":
    main()
