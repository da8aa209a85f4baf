"""A model in numpy: its integers and scales, read from a GGUF file and written into others."""
import hashlib
import pathlib
import struct
from typing import NamedTuple

import numpy as np

import gguf_file
from decoders import decode
from dense_types import DENSE, dequantize
from encoders import ENCODINGS, encode
from oracle import Oracle, Ternary

F32, F16 = 0, 1
HERE = pathlib.Path(__file__).parent


class Model(NamedTuple):
    config: dict
    metadata: list  # of the GGUF: (key, kind, value)
    names: list  # of tensors, in the file's order
    matrices: dict  # Ternary by name
    dense: dict  # arrays by name: float16 or float32, or (type id, shape, bytes) of a quantised one

    def with_scales(self, change):
        """The same integers with the scales that `change(number, ternary)` gives."""
        matrices = {name: t.with_scales(change(i, t)) for i, (name, t) in enumerate(self.matrices.items())}
        return self._replace(matrices=matrices)

    def oracle(self, **lower_precision):
        dense = {n: dequantize(v) if isinstance(v, tuple) else v for n, v in self.dense.items()}
        return Oracle(self.config, self.matrices, dense, **lower_precision)


def config_of(keys):
    """The graph's sizes from a GGUF's keys; what a file may leave out is what engines assume then."""
    a = keys["general.architecture"]
    get = lambda key, *default: keys.get(f"{a}.{key}", *default)
    heads, dim = get("attention.head_count"), get("embedding_length")
    return dict(architecture=a, vocab=len(keys["tokenizer.ggml.tokens"]), context=get("context_length"), dim=dim,
                layers=get("block_count"), ffn=get("feed_forward_length"), heads=heads,
                kv_heads=get("attention.head_count_kv", heads), head_dim=get("attention.key_length", dim // heads),
                rope_theta=get("rope.freq_base", 10000.0), rms_eps=get("attention.layer_norm_rms_epsilon"))


def read(path, layouts):
    """A model from a GGUF file. `layouts`: the layout of decoders.py for each type id; others must be dense types."""
    file = gguf_file.File(path)
    matrices, dense, extra = {}, {}, {}
    for name, (shape, kind, start) in file.tensors.items():
        k, rows = shape[0], int(np.prod(shape[1:], dtype=int))
        if kind in layouts:
            matrices[name] = Ternary(*decode(layouts[kind], file.rest(name), rows, k))
        elif name.endswith(".scale"):
            extra[name] = float(file.rest(name)[:4].view("<f4")[0])
        elif kind in (F32, F16):
            dtype = np.dtype("<f4" if kind == F32 else "<f2")
            dense[name] = file.rest(name)[:rows * k * dtype.itemsize].view(dtype).reshape(shape[::-1])
        else:
            size = rows * k // DENSE[kind].weights * DENSE[kind].bytes
            dense[name] = (kind, shape[::-1], file.rest(name)[:size].tobytes())
    # `blk.0.attn_q.scale` multiplies what blk.0.attn_q.weight gives (llama.cpp's `bitnet` graph).
    for name, scale in extra.items():
        weight = name.removesuffix("scale") + "weight"
        matrices[weight] = matrices[weight].with_scales(matrices[weight].scales * scale)
    names = [n for n in file.tensors if n not in extra]
    return Model(config_of(file.keys()), file.metadata, names, matrices, dense)


def write(path, model, encoding, name, scale_tensors=False):
    """Writes every ternary matrix in one encoding and everything else as it is. `name` becomes general.name.
    `scale_tensors`: the blocks say 1 and a float32 tensor beside each matrix has its scale, for scales that float16
    cannot hold.
    """
    kind = ENCODINGS[encoding]
    metadata = []
    for key, t, value in model.metadata:
        if key == "general.name":
            value = name
        if key == "general.file_type":
            value = kind.file_type
        if value is not None:
            metadata.append((key, t, value))
    tensors = []
    for tensor in model.names:
        if tensor in model.matrices:
            ternary = model.matrices[tensor]
            stored = ternary.with_scales(1) if scale_tensors else ternary
            tensors.append((tensor, ternary.codes.shape[::-1], kind.code, encode(encoding, stored)))
            if scale_tensors:
                scale = struct.pack("<f", ternary.scales[0, 0])
                tensors.append((tensor.removesuffix("weight") + "scale", (1,), F32, scale))
        else:
            tensors.append(dense_tensor(tensor, model.dense[tensor]))
    gguf_file.write(path, metadata, tensors)


def dense_tensor(name, value):
    if isinstance(value, tuple):
        kind, shape, data = value
        return name, shape[::-1], kind, data
    return name, value.shape[::-1], F16 if value.dtype == np.float16 else F32, value.tobytes()


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def noise(key, count):
    """`count` uniform 64-bit integers that depend on `key` only: SplitMix64 at key, key + 1, ... numpy's own generators
    may change their streams from one release to the next.
    """
    z = (np.arange(count, dtype=np.uint64) + np.uint64(key << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def uniform(key, shape):
    """float64 in [0, 1), multiples of 2^-32."""
    return (noise(key, int(np.prod(shape))) >> np.uint64(32)).astype(np.float64).reshape(shape) / 2**32


def half(values):
    """Rounded to float16, kept as float64."""
    return np.asarray(values, np.float64).astype(np.float16).astype(np.float64)


def small_model():
    """The built-in model with its 21 scales rounded to float16, so that every encoding can hold it exactly."""
    model = read(HERE / "shakespeare-ternary.gguf", {ENCODINGS["i2_s"].code: "i2_s"})
    return model.with_scales(lambda _, t: half(t.scales))


def with_row_scales(model):
    """A scale of its own for each row: the tensor's times a factor between 0.8 and 1.25, rounded to float16."""

    def change(number, ternary):
        return half(ternary.scales * (0.8 + 0.45 * uniform(number + 1, (len(ternary.codes), 1))))

    return model.with_scales(change)


# The norm whose output each matrix multiplies.
NORMS = dict(attn_q="attn_norm", attn_k="attn_norm", attn_v="attn_norm", attn_output="attn_sub_norm", 
             ffn_gate="ffn_norm", ffn_up="ffn_norm", ffn_down="ffn_sub_norm")


def grouped(model, group):
    """A scale of its own for each `group` weights of each row, and still a good model.

    Factors at random would not do: they hurt the model as much in the right place as in a wrong one (scores of wrong
    groups were lower than the right one's). So a group of columns is multiplied by about 3 or 1/3 in turn and the gains
    of the norm in front are divided by that: the product stays what it was, up to int8 rounding, and a scale that is
    applied to another group is off by nine. On top, each row's scales differ by up to 2%, so that a wrong row shows in
    the logits.
    """
    matrices, dense, columns = {}, dict(model.dense), {}
    for number, (name, ternary) in enumerate(model.matrices.items()):
        rows, k = ternary.codes.shape
        _, block, part, _ = name.split(".")
        norm, groups = f"blk.{block}.{NORMS[part]}.weight", k // group
        if norm not in columns:
            exponents = (0.9 + 0.2 * uniform(5000 * group + number, groups)) * np.where(np.arange(groups) % 2, 1, -1)
            # Powers may differ between libraries in the last bit; rounding to float16 hides that.
            columns[norm] = half(3.0 ** exponents)
            gains = model.dense[norm].astype(np.float64) / np.repeat(columns[norm], group)
            dense[norm] = gains.astype("<f4")
        factors = columns[norm] * (0.98 + 0.04 * uniform(1000 * group + number, (rows, groups)))
        matrices[name] = Ternary(ternary.codes, half(ternary.scales * factors))
    return model._replace(matrices=matrices, dense=dense)
