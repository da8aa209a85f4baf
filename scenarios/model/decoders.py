"""Readers of ternary encodings by index formula, right ones and the wrong ones that a reader may fall for.

A layout is a table: where weight j of a block lies (byte, and bit shift or number of the trit) and where the block's
scale lies. A wrong reading is the same table with one thing changed. Readers get the bytes from a tensor's start to the
end of the file, since a reading with larger blocks runs on into the next tensor, as it does in an engine that does not
check sizes.
"""
from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    weights: int
    bytes: int
    byte: object  # index of the byte for each weight, an array of `weights`
    at: object  # bit shift, or number of the trit (0 is the most significant), likewise
    scale: int | None = None  # offset of the block's float16 scale
    trits: bool = False
    head: int = 0  # bytes in front of each row: a float32 scale


def planes(weights, width, high, start=0, **more):
    """`width` bytes hold 4 * width weights, weight j in byte j % width."""
    j = np.arange(weights)
    plane = j % (4 * width) // width
    byte = start + j // (4 * width) * width + j % width
    return Block(weights, byte=byte, at=6 - 2 * plane if high else 2 * plane, **more)


def neighbours(weights, start, **more):
    """Weight j in byte j // 4, low bits first."""
    j = np.arange(weights)
    return Block(weights, byte=start + j // 4, at=2 * (j % 4), **more)


def stages(widths, low_first=False, **more):
    """(bytes, trits a byte) one after the other; a stage's weight i is trit i // bytes of byte i % bytes."""
    byte, at, start = [], [], 0
    for width, count in widths:
        i = np.arange(width * count)
        byte.append(start + i % width)
        at.append(4 - i // width if low_first else i // width)
        start += width
    byte = np.concatenate(byte)
    return Block(len(byte), byte=byte, at=np.concatenate(at), trits=True, **more)


TQ1_STAGES, PTQ1_STAGES = ((32, 5), (16, 5), (4, 4)), ((16, 5), (8, 5), (2, 4))
J = np.arange(128)
Q2_0 = dict(bytes=18, scale=0)
Q2_0_G128 = dict(bytes=34, scale=0)

LAYOUTS = {
    "i2_s": planes(128, 32, high=True, bytes=32),
    "i2_s-arm": planes(64, 16, high=True, bytes=16),
    "tq1_0": stages(TQ1_STAGES, bytes=54, scale=52),
    "tq2_0": planes(256, 32, high=False, bytes=66, scale=64),
    "q2_0": neighbours(64, 2, **Q2_0),
    "q2_0-g128": neighbours(128, 2, **Q2_0_G128),
    "pq2_0": neighbours(128, 2, **Q2_0_G128),
    "ptq1_0": stages(PTQ1_STAGES, bytes=28, scale=26),
    "iq2_bn": planes(64, 16, high=False, bytes=16, head=4),
    # Wrong ones.
    "tq1_0, lowest trit first": stages(TQ1_STAGES, low_first=True, bytes=54, scale=52),
    "tq2_0, high bits first": planes(256, 32, high=True, bytes=66, scale=64),
    "q2_0 in planes of 16": planes(64, 16, high=False, start=2, **Q2_0),
    "q2_0-g128 in planes of 32": planes(128, 32, high=False, start=2, **Q2_0_G128),
    "ptq1_0, five neighbours a byte": Block(128, 28, np.where(J < 120, J // 5, 24 + (J - 120) // 4),
                                            np.where(J < 120, J % 5, (J - 120) % 4), scale=26, trits=True),
    "iq2_bn, four neighbours a byte": neighbours(64, 0, bytes=16, head=4),
}

# Layouts over rows, each a function of (rows, k) that gives byte and shift of every weight.
ROWS = {
    "i2_s-x86-rows": lambda r, c, rows, k: (r // 4 * k + c, 6 - 2 * (r % 4)),
    "hf-packed": lambda r, c, rows, k: (r % (rows // 4) * k + c, 2 * (r // (rows // 4))),
    "hf-packed, four neighbouring rows a byte": lambda r, c, rows, k: (r // 4 * k + c, 2 * (r % 4)),
}

# What each encoding is easily taken for: its own bytes with another layout, or another encoding that shares its id.
WRONG = {
    "i2_s": ("i2_s-x86-rows", "i2_s-arm"),
    "i2_s-x86-rows": ("i2_s", "i2_s-arm"),
    "i2_s-arm": ("i2_s", "i2_s-x86-rows"),
    "tq1_0": ("tq1_0, lowest trit first",),
    "tq2_0": ("tq2_0, high bits first",),
    "q2_0": ("q2_0-g128", "q2_0 in planes of 16"),
    "q2_0-g128": ("q2_0", "q2_0-g128 in planes of 32"),
    "pq2_0": ("q2_0", "q2_0-g128 in planes of 32"),
    "ptq1_0": ("ptq1_0, five neighbours a byte",),
    "iq2_bn": ("iq2_bn, four neighbours a byte",),
    "hf-packed": ("hf-packed, four neighbouring rows a byte",),
}


def decode(layout, data, rows, k):
    """Codes (rows, k) as int8 and scales: one number, (rows, 1) or (rows, k / group) in float64; None where the bytes
    hold none.
    """
    if layout in ROWS:
        r, c = np.indices((rows, k))
        byte, shift = ROWS[layout](r, c, rows, k)
        codes = (data[byte] >> shift & 3).astype(np.int8) - 1
        return codes, None if layout.startswith("hf") else i2s_scale(data, rows * k)
    block = LAYOUTS[layout]
    per_row = k // block.weights
    stride = block.head + per_row * block.bytes
    row = np.arange(rows)[:, None] * stride
    # A row's blocks, one after the other, behind its head. What lies behind the file's end reads as zero.
    first = row + block.head + np.arange(per_row) * block.bytes
    data = np.concatenate([data, np.zeros(max(0, int(first[-1, -1]) + block.bytes - len(data)), np.uint8)])
    raw = data[first[:, :, None] + block.byte]
    if block.trits:
        codes = ((raw.astype(np.int64) * 3 ** block.at & 255) * 3 >> 8) - 1
    else:
        codes = (raw >> block.at & 3).astype(np.int64) - 1
    if block.head:
        scales = data[row + np.arange(4)].view("<f4").astype(np.float64)
    elif block.scale is None:
        scales = i2s_scale(data, rows * k)
    else:
        scales = data[first[:, :, None] + block.scale + np.arange(2)].view("<f2")[:, :, 0].astype(np.float64)
    return codes.reshape(rows, k).astype(np.int8), scales


def i2s_scale(data, elements):
    """The float32 behind the codes of an I2_S tensor."""
    return float(data[elements // 4:elements // 4 + 4].copy().view("<f4")[0])
