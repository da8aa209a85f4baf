"""Quantised dense types for embeddings and heads: Q4_0, Q8_0, Q6_K, read and written.

Orders of bytes: dequantize_row_q4_0, _q8_0 and _q6_K in ggml's ggml-quants.c; no line is copied.
"""
from typing import NamedTuple

import numpy as np


class Dense(NamedTuple):
    name: str
    weights: int  # a block
    bytes: int


Q4_0, Q8_0, Q6_K = 2, 8, 14
DENSE = {Q4_0: Dense("Q4_0", 32, 18), Q8_0: Dense("Q8_0", 32, 34), Q6_K: Dense("Q6_K", 256, 210)}


def dequantize(tensor):
    """(type id, shape, bytes) -> float64; exact, as is every engine's float32."""
    kind, shape, data = tensor
    b = np.frombuffer(data, np.uint8).reshape(-1, DENSE[kind].bytes)
    scale = lambda at: b[:, at:at + 2].copy().view("<f2").astype(np.float64)
    if kind == Q4_0:
        # Low halves of the 16 bytes first, then the high ones.
        values = np.concatenate([b[:, 2:] & 15, b[:, 2:] >> 4], 1).astype(np.float64) - 8
        values *= scale(0)
    elif kind == Q8_0:
        values = b[:, 2:].view(np.int8) * scale(0)
    else:
        # In each half of 128: weight 32p + l has its low bits in the nibble p // 2 of byte l + 32 * (p % 2), its high
        # ones in bits 2p of byte l. 16 weights share an int8 scale.
        j = np.arange(256)
        h, p, l = j // 128, j % 128 // 32, j % 32
        low = b[:, 64 * h + 32 * (p % 2) + l] >> 4 * (p // 2) & 15
        high = b[:, 128 + 32 * h + l] >> 2 * p & 3
        sub = b[:, 192:208].view(np.int8).astype(np.float64)[:, j // 16]
        values = ((low | high << 4).astype(np.float64) - 32) * sub * scale(208)
    return values.reshape(shape)


def q4_0(q, d):
    """q: integers (rows, k) from -8 to 7; d: a float16 for each 32."""
    u = (q + 8).astype(np.uint8).reshape(-1, 2, 16)
    return block_bytes(d, u[:, 0] | u[:, 1] << 4)


def q8_0(q, d):
    return block_bytes(d, q.astype(np.int8).reshape(-1, 32).view(np.uint8))


def block_bytes(d, packed):
    return np.concatenate([d.astype("<f2").reshape(-1, 1).view(np.uint8), packed], 1).tobytes()


def q6_k(q, sub, d):
    """q: integers (rows, k) from -32 to 31; sub: an int8 for each 16; d: a float16 for each 256."""
    u = (q + 32).astype(np.uint8).reshape(-1, 2, 2, 2, 32)  # half, nibble, byte's half, l
    low = (u[:, :, 0] & 15 | (u[:, :, 1] & 15) << 4).reshape(-1, 128)
    top = u.reshape(-1, 2, 4, 32) >> 4
    high = (top[:, :, 0] | top[:, :, 1] << 2 | top[:, :, 2] << 4 | top[:, :, 3] << 6).reshape(-1, 64)
    sub = sub.astype(np.int8).reshape(-1, 16).view(np.uint8)
    return np.concatenate([low, high, sub, d.astype("<f2").reshape(-1, 1).view(np.uint8)], 1).tobytes()
