"""Writers of ternary encodings: codes and scales in, a tensor's bytes out.

Every layout was checked against the source of the engine that defines it, named at each writer; no line is copied.
decoders.py reads the same layouts from index formulas (which byte and shift weight j has), so that a writer and its
reader are two accounts of one fact and the round trip proves something.

Codes are int8 arrays (rows, k) from -1 to 1, or to 2 where `four_codes`. Scales are arrays (rows, k / group) of
float16, (rows, 1) of float32 for IQ2_BN, or one float32 for I2_S.
"""
import struct
from typing import Callable, NamedTuple

import numpy as np

LOW_FIRST, HIGH_FIRST = (0, 2, 4, 6), (6, 4, 2, 0)


class Encoding(NamedTuple):
    name: str  # as the Rust table names it
    code: int  # type id in a GGUF file
    group: int  # weights of a row that share a scale; 0: all of the row; -1: all of the tensor
    write: Callable  # (codes, scales) -> bytes
    file_type: int | None  # general.file_type, where two engines agree on the number
    four_codes: bool = False


def two_bits(planes, shifts):
    """planes: (..., 4, bytes) of codes 0 to 3; plane i lies at bit shifts[i] of every byte."""
    planes = planes.astype(np.uint8)
    return np.bitwise_or.reduce([planes[..., i, :] << shift for i, shift in enumerate(shifts)])


def trits(digits):
    """digits: (..., n, bytes) of 0 to 2, the first the most significant of five (those that are not there are 0).

    A byte is the base-3 number scaled from 243 to 256 and rounded up, so that a reader finds digit after digit by
    multiplying by three: the byte's upper part overflows as the digit. (quantize_row_tq1_0_ref in ggml's ggml-quants.c)
    """
    weights = 3 ** np.arange(4, 4 - digits.shape[-2], -1)
    number = (digits.astype(np.int64) * weights[:, None]).sum(-2)
    return ((number * 256 + 242) // 243).astype(np.uint8)


def blocks(codes, size):
    return (codes + 1).reshape(-1, size)


def halves(scales):
    """float16 scales as byte pairs, one pair a block."""
    return np.ascontiguousarray(scales, dtype="<f2").reshape(-1, 1).view(np.uint8)


def tail(scale):
    """I2_S ends with the tensor's scale and 28 bytes that no engine reads: quantize_i2_s counts 32 after the codes."""
    return struct.pack("<f", scale) + bytes(28)


# I2_S: src/ggml-bitnet-mad.cpp of microsoft/BitNet, quantize_i2_s. One type id, three layouts, chosen when that file
# is compiled.
def i2_s(codes, scale):
    """x86 with ACT_PARALLEL, and the published files: 128 weights in 32 bytes, first 32 in the top bits."""
    return two_bits(blocks(codes, 128).reshape(-1, 4, 32), HIGH_FIRST).tobytes() + tail(scale)


def i2_s_rows(codes, scale):
    """x86 without ACT_PARALLEL: a byte holds one column of four rows, the first row in the top bits."""
    return two_bits((codes + 1).reshape(-1, 4, codes.shape[1]), HIGH_FIRST).tobytes() + tail(scale)


def i2_s_arm(codes, scale):
    """The __ARM_NEON branch: 64 weights in 16 bytes, first 16 in the top bits."""
    return two_bits(blocks(codes, 64).reshape(-1, 4, 16), HIGH_FIRST).tobytes() + tail(scale)


# block_tq1_0, block_tq2_0 and block_q2_0: ggml-common.h of ggml; the order of weights: quantize_row_*_ref in
# ggml-quants.c.
def tq1_0(codes, scales):
    """256 weights in 54 bytes: 32 bytes of five trits 32 apart, 16 of five 16 apart, 4 of four 4 apart, the scale."""
    b = blocks(codes, 256)
    parts = (b[:, :160].reshape(-1, 5, 32), b[:, 160:240].reshape(-1, 5, 16), b[:, 240:].reshape(-1, 4, 4))
    return np.concatenate([*map(trits, parts), halves(scales)], 1).tobytes()


def tq2_0(codes, scales):
    """256 weights in 66 bytes: two halves of 32 bytes with planes 32 apart, low bits first, then the scale."""
    packed = two_bits(blocks(codes, 256).reshape(-1, 2, 4, 32), LOW_FIRST).reshape(-1, 64)
    return np.concatenate([packed, halves(scales)], 1).tobytes()


def q2_0_of(group):
    """The scale, then weight 4b + i at bit 2i of byte b. ggml's QK2_0 is 64. The legacy files and PQ2_0 (block_pq2_0 of
    PrismML's fork of llama.cpp, as its readers describe it: that fork's source could not be had here) are the same with
    128.
    """

    def write(codes, scales):
        packed = two_bits(blocks(codes, group).reshape(-1, group // 4, 4).swapaxes(1, 2), LOW_FIRST)
        return np.concatenate([halves(scales), packed], 1).tobytes()

    return write


def ptq1_0(codes, scales):
    """128 weights in 28 bytes: TQ1_0's codec with stages of 16, 8 and (four trits) 2 bytes, then the scale.
    block_ptq1_0 of PrismML's fork; known from four independent readers of it that agree, the fork's source could not be
    had here.
    """
    b = blocks(codes, 128)
    parts = (b[:, :80].reshape(-1, 5, 16), b[:, 80:120].reshape(-1, 5, 8), b[:, 120:].reshape(-1, 4, 2))
    return np.concatenate([*map(trits, parts), halves(scales)], 1).tobytes()


def iq2_bn(codes, scales):
    """A float32 scale in front of each row (row_meta_size 4 in ik_llama.cpp's ggml.c), then 64 weights in 16 bytes with
    planes 16 apart, low bits first (quantize_one_row_2bn in iqk_quantize.cpp).
    """
    packed = two_bits(blocks(codes, 64).reshape(-1, 4, 16), LOW_FIRST).reshape(len(codes), -1)
    heads = np.ascontiguousarray(scales, dtype="<f4").reshape(-1, 1).view(np.uint8)
    return np.concatenate([heads, packed], 1).tobytes()


def hf_packed(codes, _scale):
    """uint8 (rows / 4, k): byte (i, k) holds rows i, i + rows/4, i + 2 rows/4, i + 3 rows/4, low bits first
    (pack_weights in transformers' integrations/bitnet.py). The scale is a tensor of its own.
    """
    return two_bits((codes + 1).reshape(4, -1, codes.shape[1]).swapaxes(0, 1), LOW_FIRST).tobytes()


# Ids: ggml.h (34, 35, 42), BitNet's ggml (36), ik_llama.cpp's ggml.h (135); 142 and 143 are PrismML's.
# File types: 36 and 37 from llama.h, 40 from BitNet's fork, 137 from ik's llama.h. Nobody agrees on one for the Q2_0
# family.
ENCODINGS = {e.name: e for e in (
    Encoding("i2_s", 36, -1, i2_s, 40),
    Encoding("i2_s-x86-rows", 36, -1, i2_s_rows, 40),
    Encoding("i2_s-arm", 36, -1, i2_s_arm, 40),
    Encoding("tq1_0", 34, 256, tq1_0, 36),
    Encoding("tq2_0", 35, 256, tq2_0, 37),
    Encoding("q2_0", 42, 64, q2_0_of(64), None, True),
    Encoding("q2_0-g128", 42, 128, q2_0_of(128), None, True),
    Encoding("pq2_0", 142, 128, q2_0_of(128), None, True),
    Encoding("ptq1_0", 143, 128, ptq1_0, None),
    Encoding("iq2_bn", 135, 0, iq2_bn, 137),
)}


def scales_for(encoding, ternary):
    """A matrix's scales in the shape that the encoding stores, refused where that would change one."""
    rows, k = ternary.codes.shape
    scales = ternary.scales
    group = {0: k, -1: 0}.get(encoding.group, encoding.group)
    if group == 0:
        if scales.size != 1:
            raise ValueError(f"{encoding.name} has one scale a tensor and the matrix has {scales.size}")
        return float(scales[0, 0])
    full = np.broadcast_to(scales, (rows, scales.shape[1]))
    if full.shape[1] > k // group:
        raise ValueError(f"{encoding.name} has a scale for {group} weights and the matrix has finer ones")
    full = np.repeat(full, k // group // full.shape[1], 1)
    stored = full.astype("<f4" if encoding.group == 0 else "<f2")
    if not np.array_equal(stored.astype(np.float64), full):
        raise ValueError(f"{encoding.name} cannot hold a scale exactly")
    return stored


def encode(name, ternary):
    """A Ternary's bytes in this encoding, or ValueError where they would not hold it exactly."""
    encoding = ENCODINGS[name]
    if ternary.codes.max() > 1 and not encoding.four_codes:
        raise ValueError(f"{name} has three codes and the matrix has a weight of +2")
    return encoding.write(ternary.codes, scales_for(encoding, ternary))
