"""Hugging Face folders: config.json, tokenizer.json, and safetensors with packed uint8 codes or with master weights.

The safetensors format: 8 bytes of header length, a JSON header with dtype, shape and offsets, the tensors one after the
other.
"""
import json
import pathlib
import shutil
import struct

import numpy as np

from encoders import hf_packed
from oracle import Ternary

# GGUF names on the left, those of transformers' BitNet and Llama models on the right.
IN_BLOCK = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CLASSES = {"bitnet-b1.58": ("BitNetForCausalLM", "bitnet", "relu2"), "llama": ("LlamaForCausalLM", "llama", "silu")}
DTYPES = {"U8": np.dtype("u1"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "BF16": np.dtype("<u2")}


def hf_name(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{IN_BLOCK[parts[2]]}.weight"
    return OUTSIDE[parts[0]] + ".weight"


def write_safetensors(path, tensors):
    """tensors: (name, dtype, shape, bytes)."""
    header, offset = {}, 0
    for name, dtype, shape, data in tensors:
        header[name] = dict(dtype=dtype, shape=list(shape), data_offsets=[offset, offset + len(data)])
        offset += len(data)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors))


def read_safetensors(path):
    """Arrays by name; BF16 as uint16."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, t in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = (start + o for o in t["data_offsets"])
            tensors[name] = np.frombuffer(data[first:last], DTYPES[t["dtype"]]).reshape(t["shape"])
    return tensors


def read_folder(folder):
    """config.json and all shards' arrays by name."""
    folder = pathlib.Path(folder)
    shards, index = ["model.safetensors"], folder / "model.safetensors.index.json"
    if index.exists():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    arrays = {}
    for shard in shards:
        arrays.update(read_safetensors(folder / shard))
    return json.loads((folder / "config.json").read_text()), arrays


def bf16_bits(values):
    """float values that bfloat16 holds exactly -> its bits."""
    single = np.asarray(values, "<f4")
    bits = single.view("<u4")
    assert not (bits & 0xFFFF).any() and np.array_equal(single.astype(np.float64), values)
    return (bits >> 16).astype("<u2")


def bf16_below(value):
    """The largest bfloat16 that is not above a positive value."""
    bits = np.float32(value).view("<u4")
    if float(np.float32(value)) > value:
        bits -= 1
    return float(np.uint32(bits & 0xFFFF0000).view("<f4"))


def bf16_next(value):
    """The bfloat16 after a positive one."""
    return float(np.uint32(np.float32(value).view("<u4") + 0x10000).view("<f4"))


def master_weights(codes, scale):
    """bfloat16 latent weights whose absmean quantisation gives these codes and this scale exactly.

    The rule (model card of BitNet b1.58, WeightQuant in transformers' integrations/bitnet.py): scale = max(mean |w|,
    1e-5), code = clip(round(w / scale), -1, 1). Weights of +-1 get the magnitude a, near 4/3 of the scale; zeros get
    magnitudes b near a quarter of it, as many of the two neighbouring bfloat16 values as make the mean right, and one
    zero takes what is left over. So every quotient stays far from a rounding limit, and a float64 sum of |w| is exact
    in any order and gives n * scale. A float32 sum rounds: such a reader gets the same codes and a scale that differs
    by its own rounding only.
    """
    ones, zeros = np.abs(codes) == 1, np.flatnonzero(codes.ravel() == 0)
    total, share = codes.size * scale, ones.mean()
    a = bf16_below((scale - (1 - share) * scale / 4) / share)
    left = total - ones.sum() * a
    b = bf16_below(left / (len(zeros) - 1))
    step = bf16_next(b) - b
    larger = int((left - (len(zeros) - 1) * b) // step)
    magnitude = np.where(ones, a, 0.0).ravel()
    magnitude[zeros[1:]] = b
    magnitude[zeros[1:1 + larger]] = b + step
    magnitude[zeros[0]] = total - magnitude.sum()
    # Signs of zeros alternate, so that the weights have no bias.
    signs = codes.ravel().astype(np.float64)
    signs[zeros] = 1 - 2 * (np.arange(len(zeros)) % 2)
    weights = (magnitude * signs).reshape(codes.shape)
    again, found = absmean(weights)
    assert found == scale and np.array_equal(again, codes)
    return weights


def absmean(weights):
    """Codes and scale of latent weights by the rule of master_weights."""
    scale = max(float(np.abs(weights).mean(dtype=np.float64)), 1e-5)
    return np.clip(np.round(weights / scale), -1, 1).astype(np.int8), scale


def reciprocal(scale):
    """The float32 weight_scale of the `bitlinear` rule, which divides by it. 1 / scale is no float32, so its own
    reciprocal, rounded to float32, is the scale again for most scales (16 of the model's 21) and one unit in the last
    place off for the others.
    """
    near = np.float32(1) / np.float32(scale)
    for candidate in (near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf))):
        if np.float32(1) / candidate == np.float32(scale):
            return candidate
    return near


def weight_tensors(name, ternary, rule):
    """A ternary matrix's tensors by rule: `autobitlinear`, `bitlinear` or `master`."""
    scale, name = float(ternary.scales[0, 0]), hf_name(name)
    if rule == "master":
        bits = bf16_bits(master_weights(ternary.codes, scale))
        return [(name, "BF16", bits.shape, bits.tobytes())]
    rows, k = ternary.codes.shape
    stored = np.float32(scale) if rule == "autobitlinear" else reciprocal(scale)
    return [(name, "U8", (rows // 4, k), hf_packed(ternary.codes, None)),
            (name + "_scale", "F32", (1,), stored.tobytes())]


def unpermuted(name, model):
    """`llama` GGUF files turn adjacent rows of q and k together, Hugging Face's row i with row i + head_dim / 2."""
    heads = {"attn_q": "heads", "attn_k": "kv_heads"}.get(name.split(".")[-2])
    ternary = model.matrices[name]
    if model.config["architecture"] != "llama" or heads is None:
        return ternary
    codes = ternary.codes.reshape(model.config[heads], -1, 2, ternary.codes.shape[1]).swapaxes(1, 2)
    return Ternary(codes.reshape(ternary.codes.shape), ternary.scales)


def quantization_config(rule):
    """What transformers writes. Published `bitlinear` folders give no class: it is the default of BitNetQuantConfig."""
    if rule == "bitlinear":
        return dict(quant_method="bitnet", modules_to_not_convert=None)
    return dict(quant_method="bitnet", linear_class="autobitlinear",
                quantization_mode="online" if rule == "master" else "offline")


def config_of(model, rule):
    c = model.config
    architecture, kind, activation = CLASSES[c["architecture"]]
    return dict(
        architectures=[architecture], model_type=kind, hidden_act=activation, hidden_size=c["dim"],
        intermediate_size=c["ffn"], num_hidden_layers=c["layers"], num_attention_heads=c["heads"],
        num_key_value_heads=c["kv_heads"], max_position_embeddings=c["context"],
        rms_norm_eps=float(f"{c['rms_eps']:.6g}"), rope_theta=c["rope_theta"],
        vocab_size=c["vocab"], bos_token_id=0, eos_token_id=1, tie_word_embeddings="output.weight" not in model.dense,
        torch_dtype="bfloat16", quantization_config=quantization_config(rule))


def write_folder(folder, model, rule, tokenizer, shards=1):
    """`shards` files of about equal numbers of tensors, with an index where there are several."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = []
    for name in model.names:
        if name in model.matrices:
            tensors += weight_tensors(name, unpermuted(name, model), rule)
        else:
            array = model.dense[name]
            dtype = {np.dtype("<f2"): "F16", np.dtype("<f4"): "F32"}[array.dtype]
            tensors.append((hf_name(name), dtype, array.shape, array.tobytes()))
    tensors.sort()
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
    else:
        size, where = -(-len(tensors) // shards), {}
        for i in range(shards):
            name = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            part = tensors[i * size:(i + 1) * size]
            write_safetensors(folder / name, part)
            where.update({t[0]: name for t in part})
        index = dict(metadata=dict(total_size=sum(len(t[3]) for t in tensors)), weight_map=where)
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps(config_of(model, rule), indent=2) + "\n")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
