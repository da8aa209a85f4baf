"""The float64 forward pass over ternary weights: an oracle that shares no code with an inference engine.

One pass serves every architecture; what differs between them is a row of ARCHITECTURES.

The rule of a ternary product, for any scales: an activation vector becomes int8 with one scale, s = 127 / max|x|,
rounded half to even, and y = sum over groups of d_g * S_g / s with S_g the group's integer sum. The sum is exact here
whatever its order: the scales are float16 (multiples of 2^-24, below 8) or one float32 for a whole row, so that every
partial sum fits 53 bits. Two files with equal weights therefore give equal perplexities to the last digit, however
their scales are grouped.
"""
from typing import NamedTuple

import numpy as np


class Differences(NamedTuple):
    gate: str  # activation function of the gate: "relu2" or "silu"
    sub_norms: bool  # RMS norms before attn_output and ffn_down
    qk_norms: bool  # an RMS norm for each head of q and k, with one gain of head_dim, before the rotation
    rope: str  # "neox": element i turns with i + head_dim / 2; "adjacent": 2i turns with 2i + 1


# `llama` GGUF files hold q and k with their rows permuted by the converter, hence the adjacent pairs; Hugging Face
# folders hold them as they are.
ARCHITECTURES = {
    "bitnet-b1.58": Differences("relu2", True, False, "neox"),
    "bitnet-25": Differences("relu2", True, False, "neox"),
    "bitnet": Differences("silu", True, False, "neox"),
    "llama": Differences("silu", False, False, "adjacent"),
    "llama, a folder": Differences("silu", False, False, "neox"),
    "qwen3": Differences("silu", False, True, "neox"),
}

GATES = {"relu2": lambda x: np.maximum(x, 0) ** 2, "silu": lambda x: x / (1 + np.exp(-x))}


class Ternary:
    """A matrix of integers with scales: codes (rows, k) of int8 from -1 to 2; scales (1, 1), (rows, 1) or (rows,
    groups).
    """

    def __init__(self, codes, scales):
        self.codes, self.scales = codes, np.atleast_2d(np.asarray(scales, np.float64))

    def dense(self):
        """The weights in float64; exact, as a scale has 24 bits at most and a code two."""
        rows, k = self.codes.shape
        return (self.codes.reshape(rows, self.scales.shape[1], -1) * self.scales[:, :, None]).reshape(rows, k)

    def with_scales(self, scales):
        return Ternary(self.codes, scales)


class Oracle:
    """`matrices`: Ternary by GGUF name, token_embd.weight and output.weight among them where they are ternary; `dense`:
    arrays of the others, norms and dense embeddings. The head is token_embd where there is no output.weight.

    `jitter` moves every intermediate result by up to that share of itself, at random, and `cache` is the type of cached
    keys and values: both show how far an honest engine of lower precision may differ.
    """

    def __init__(self, config, matrices, dense, jitter=0.0, cache=np.float64, seed=0):
        self.c, self.jitter, self.cache, self.random = config, jitter, cache, np.random.default_rng(seed)
        self.rules = ARCHITECTURES[config["architecture"]]
        self.weights = {name: m.dense() for name, m in matrices.items()}
        self.vectors = {name: np.asarray(v, np.float64) for name, v in dense.items()}
        # Files hold float32.
        self.eps = float(np.float32(config["rms_eps"]))

    def rounded(self, x):
        return x * (1 + self.random.uniform(-self.jitter, self.jitter, x.shape)) if self.jitter else x

    def product(self, x, name):
        if name in self.vectors:
            return self.rounded(x @ self.vectors[name].T)
        s = 127.0 / np.maximum(np.max(np.abs(x), -1, keepdims=True), 1e-5)
        q = np.clip(np.round(self.rounded(x * s)), -128, 127)
        return self.rounded(q @ self.weights[name].T / s)

    def rms(self, x, name):
        return self.rounded(x / np.sqrt(np.mean(x * x, -1, keepdims=True) + self.eps) * self.vectors[name])

    def rope(self, x):
        half = self.c["head_dim"] // 2
        angle = np.arange(len(x))[:, None] * self.c["rope_theta"] ** (-np.arange(half) / half)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        if self.rules.rope == "neox":
            a, b = x[..., :half], x[..., half:]
            return self.rounded(np.concatenate([a * cos - b * sin, a * sin + b * cos], -1))
        a, b = x[..., 0::2], x[..., 1::2]
        return self.rounded(np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape))

    def attention(self, h, block):
        c, n = self.c, len(h)
        q = self.product(h, block + "attn_q.weight").reshape(n, c["heads"], -1)
        k, v = (self.product(h, f"{block}attn_{t}.weight").reshape(n, c["kv_heads"], -1) for t in "kv")
        if self.rules.qk_norms:
            q, k = self.rms(q, block + "attn_q_norm.weight"), self.rms(k, block + "attn_k_norm.weight")
        q, k, v = self.rope(q), self.rope(k).astype(self.cache), v.astype(self.cache)
        k, v = (np.repeat(t.astype(np.float64), c["heads"] // c["kv_heads"], 1) for t in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k, optimize=True) / np.sqrt(c["head_dim"])
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self.rounded(np.einsum("hqk,khd->qhd", weights, v, optimize=True).reshape(n, -1))

    def feed_forward(self, h, block):
        gate = GATES[self.rules.gate](self.product(h, block + "ffn_gate.weight"))
        return self.rounded(gate * self.product(h, block + "ffn_up.weight"))

    def embedding(self, tokens):
        name = "token_embd.weight"
        return self.vectors[name][tokens] if name in self.vectors else self.weights[name][tokens]

    def logits(self, tokens):
        """Logits after each token, (tokens, vocabulary)."""
        x = self.embedding(tokens)
        for i in range(self.c["layers"]):
            block = f"blk.{i}."
            a = self.attention(self.rms(x, block + "attn_norm.weight"), block)
            if self.rules.sub_norms:
                a = self.rms(a, block + "attn_sub_norm.weight")
            x = x + self.product(a, block + "attn_output.weight")
            h = self.feed_forward(self.rms(x, block + "ffn_norm.weight"), block)
            if self.rules.sub_norms:
                h = self.rms(h, block + "ffn_sub_norm.weight")
            x = x + self.product(h, block + "ffn_down.weight")
        untied = "output.weight" in self.vectors or "output.weight" in self.weights
        return self.product(self.rms(x, "output_norm.weight"), "output.weight" if untied else "token_embd.weight")

    def greedy(self, tokens, count):
        """`count` greedy tokens after `tokens`, and at each step the margin between the two best logits: a small one is
        no safe golden.
        """
        tokens, ids, margins = list(tokens), [], []
        for _ in range(count):
            last = self.logits(tokens)[-1]
            second, best = np.sort(last)[-2:]
            margins.append(float(best - second))
            ids.append(int(np.argmax(last)))
            tokens.append(ids[-1])
        return ids, margins

    def nats_per_token(self, tokens, window, most=None):
        """Non-overlapping windows, each starting from an empty cache; every position predicts the next token. At most
        `most` windows.
        """
        total = count = 0
        for start in range(0, len(tokens) - window, window)[:most]:
            piece = tokens[start:start + window + 1]
            logits = self.logits(piece[:-1])
            logits = logits - logits.max(-1, keepdims=True)
            total -= (logits[np.arange(window), piece[1:]] - np.log(np.exp(logits).sum(-1))).sum()
            count += window
        return float(total / count)
