"""Right and wrong readings of a variant: what a reader that errs in one point would make of it.

A reading is a name and a Model, or None instead of a model where a scale is not a finite number: then there is no
perplexity.
"""
import numpy as np

import gguf_file
from decoders import WRONG, decode
from encoders import ENCODINGS
from hf_folder import absmean, hf_name, read_folder
from oracle import Ternary


def gguf_matrices(path, model, layout):
    """Every ternary matrix of the file, read by one layout."""
    file = gguf_file.File(path)
    return {name: Ternary(*decode(layout, file.rest(name), *t.codes.shape)) for name, t in model.matrices.items()}


def hf_matrices(folder, model, rule, layout="hf-packed"):
    """Every ternary matrix of the folder by scale rule (`autobitlinear`: y times weight_scale, `bitlinear`: y divided
    by it, `master`: absmean of latent weights) and layout.
    """
    _, arrays = read_folder(folder)
    matrices = {}
    for name, ternary in model.matrices.items():
        array = arrays[hf_name(name)]
        if rule == "master":
            latent = (array.astype("<u4") << 16).view("<f4").astype(np.float64)
            matrices[name] = Ternary(*absmean(latent))
            continue
        scale = float(arrays[hf_name(name) + "_scale"][0])
        codes, _ = decode(layout, array.reshape(-1), *ternary.codes.shape)
        matrices[name] = Ternary(codes, scale if rule == "autobitlinear" else 1 / scale)
    return matrices


def finite(matrices):
    return all(np.isfinite(t.scales).all() for t in matrices.values())


def wrong_layouts(path, model, encoding):
    """Readings of one file by what its encoding is easily taken for: {name: matrices}."""
    if encoding in ENCODINGS:
        return {f"layout: {w}": gguf_matrices(path, model, w) for w in WRONG[encoding]}
    if encoding == "bf16-master":
        return {}
    rules = dict(autobitlinear="bitlinear", bitlinear="autobitlinear")
    rule = encoding.removeprefix("hf-packed, ")
    found = {f"layout: {w}": hf_matrices(path, model, rule, w) for w in WRONG["hf-packed"]}
    found[f"scale rule: {rules[rule]}"] = hf_matrices(path, model, rules[rule])
    return found


def shifted(_, ternary):
    return np.roll(ternary.scales.ravel(), -1).reshape(ternary.scales.shape)


def first_of_row(_, ternary):
    return ternary.scales[:, :1]


def wrong_scales(model, unit):
    """Mistakes with the scales that any file of the model allows: {name: model}. `unit`: tensor, row or group."""
    changes = {"reciprocal scale": lambda _, t: 1 / t.scales, "scale left out": lambda _, t: np.ones((1, 1))}
    if unit != "tensor":
        changes[f"wrong {unit}: the scale of the next one"] = shifted
    if unit == "group":
        changes["wrong group: the row's first scale for all"] = first_of_row
    return {name: model.with_scales(change) for name, change in changes.items()}
