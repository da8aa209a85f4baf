#!/usr/bin/env python3
"""Adapter over litespark-inference, a Python and C++ engine (PyPI, Apache-2.0).

litespark.py version FOLDER
litespark.py convert FILE [COMMAND...]  runs COMMAND, which writes FILE, an I2_S GGUF file; makes safetensors of it
litespark.py run FOLDER [--pieces N]    speaks the engine protocol; --pieces hands it at most N ids at once

FOLDER holds the package litespark_inference with its kernel built: an unpacked source package after
`python setup.py build_ext --inplace`, or the site-packages of an environment where it is installed. Its own loader
reads the weights, its own functions compute; this file only speaks for it. Needs Python 3.10 and numpy.
"""
import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

MATRICES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}
IN_BLOCK = {**MATRICES, "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
            "attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm"}
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
ARCHITECTURE = "bitnet-b1.58"
CONFIG = {"hidden_size": "embedding_length", "num_hidden_layers": "block_count",
          "intermediate_size": "feed_forward_length", "num_attention_heads": "attention.head_count",
          "num_key_value_heads": "attention.head_count_kv", "max_position_embeddings": "context_length",
          "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base"}


def package(folder):
    """What is in FOLDER, imported from there; the threads must be in the environment already."""
    sys.path.insert(0, folder)
    try:
        import litespark_inference
    except ImportError as error:
        sys.exit(f"no litespark_inference in {folder}: {error}")
    return litespark_inference


def version(folder):
    found = package(folder)
    where = os.path.join(os.path.dirname(found.__file__), "torchless")
    kernels = sorted(name for name in os.listdir(where) if name.startswith("_matmul_lut"))
    if not kernels:
        sys.exit(f"no built kernel in {where}: run `python setup.py build_ext --inplace` in {folder}")
    return f"litespark-inference {found.__version__}, {kernels[0]}"


# ---- the model's file into what the engine reads


class Gguf:
    """A GGUF file of version 2 or 3, mapped."""
    SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

    def __init__(self, path):
        import numpy
        self.data = numpy.memmap(path, dtype=numpy.uint8, mode="r")
        self.at = 0
        magic, _, tensors, keys = bytes(self.data[:4]), self.number("<Q"), self.number("<Q"), self.number("<Q")
        if magic != b"GGUF":
            raise ValueError("not a GGUF file")
        self.keys, self.tensors = {}, {}
        for _ in range(keys):
            key = self.string()
            self.keys[key] = self.value(self.number("<I"))
        for _ in range(tensors):
            name = self.string()
            shape = [self.number("<Q") for _ in range(self.number("<I"))][::-1]
            self.tensors[name] = (shape, self.number("<I"), self.number("<Q"))
        self.start = self.at + -self.at % self.keys.get("general.alignment", 32)

    def number(self, form):
        size = struct.calcsize(form)
        self.at += size
        return struct.unpack(form, bytes(self.data[self.at - size:self.at]))[0]

    def string(self):
        size = self.number("<Q")
        self.at += size
        return bytes(self.data[self.at - size:self.at]).decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element = self.number("<I")
            return [self.value(element) for _ in range(self.number("<Q"))]
        return self.number(self.SCALARS[kind])

    def plain(self, name):
        """An F32 or F16 tensor as float32."""
        import numpy
        shape, kind, offset = self.tensors[name]
        if kind > 1:
            raise ValueError(f"{name} is neither F32 nor F16")
        form, count = ("<f4", "<f2")[kind], int(numpy.prod(shape))
        data = self.data[self.start + offset:][:count * (4, 2)[kind]]
        return numpy.frombuffer(data.tobytes(), form).astype(numpy.float32).reshape(shape)

    def ternary(self, name):
        """Codes -1, 0, +1 and the scale of an I2_S tensor: 128 weights in 32 bytes, the first 32 in the high bits."""
        import numpy
        shape, kind, offset = self.tensors[name]
        if kind != 36:
            raise ValueError(f"{name} is not I2_S: convert the model to i2_s first")
        count = int(numpy.prod(shape))
        data = self.data[self.start + offset:][:count // 4 + 4]
        blocks = numpy.asarray(data[:count // 4]).reshape(-1, 1, 32)
        shifts = numpy.array([6, 4, 2, 0], numpy.uint8).reshape(1, 4, 1)
        codes = ((blocks >> shifts) & 3).reshape(shape).astype(numpy.int8) - 1
        return codes, float(struct.unpack("<f", bytes(data[-4:]))[0])


def bf16(values):
    """float32 -> bits of the nearest bfloat16."""
    import numpy
    bits = numpy.ascontiguousarray(values, numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def below(value):
    """The largest bfloat16 not above a positive value, and the next one."""
    import numpy
    bits = numpy.float32(value).view(numpy.uint32) & 0xFFFF0000
    return (float(numpy.uint32(b).view(numpy.float32)) for b in (bits, bits + 0x10000))


def latent(codes, scale):
    """Latent weights that the loader makes these codes and this scale of: it takes the mean of |w| as the scale and
    rounds w / scale. Weights of +-1 get about 4/3 of the scale, zeros about what is left over, far from a half.
    """
    import numpy
    ones = codes != 0
    count, zeros = int(ones.sum()), int((~ones).sum())
    if not count:
        return bf16(codes.astype(numpy.float32))
    one, _ = below((codes.size * scale - zeros * scale / 4) / count)
    left = codes.size * scale - count * one
    if not 0 < left < zeros * scale * 0.45:
        raise ValueError("a matrix with hardly a zero: no latent weights are read back as these codes and this scale")
    small, large = below(left / zeros)
    magnitudes = numpy.full(zeros, small, numpy.float32)
    magnitudes[:round((left - zeros * small) / (large - small))] = large
    magnitudes[1::2] *= -1
    values = codes.astype(numpy.float32) * numpy.float32(one)
    values[~ones] = magnitudes
    return bf16(values)


def convert(path):
    """One safetensors file in the place of a GGUF file; the config stands in the metadata of its header."""
    import numpy
    file = Gguf(path)
    if file.keys.get("general.architecture") != ARCHITECTURE or "output.weight" in file.tensors:
        raise ValueError(f"litespark reads {ARCHITECTURE} models with a tied head only")
    config = {name: file.keys[f"{ARCHITECTURE}.{key}"] for name, key in CONFIG.items()}
    config["vocab_size"] = file.tensors["token_embd.weight"][0][0]

    def bits_of(name):
        """Of a norm: bfloat16 only where that is exact. The embedding is bfloat16 always: it reads nothing else."""
        plain = file.plain(name)
        bits = bf16(plain)
        exact = numpy.array_equal((bits.astype(numpy.uint32) << 16).view(numpy.float32), plain)
        return bits if exact or name == "token_embd.weight" else plain.astype("<f4")

    # What each tensor is called there, whether it has four bytes a number, and what makes its bytes.
    tensors = []
    for name in file.tensors:
        if name in OUTSIDE:
            tensors.append((name, OUTSIDE[name], bits_of(name).itemsize == 4, bits_of))
            continue
        _, block, kind, _ = name.split(".")
        target = f"model.layers.{block}.{IN_BLOCK[kind]}.weight"
        if kind in MATRICES:
            tensors.append((name, target, False, lambda name: latent(*file.ternary(name))))
        else:
            tensors.append((name, target, bits_of(name).itemsize == 4, bits_of))

    header, offset = {"__metadata__": {"config": json.dumps(config)}}, 0
    for name, target, wide, _ in tensors:
        shape = file.tensors[name][0]
        size = int(numpy.prod(shape)) * (4 if wide else 2)
        header[target] = {"dtype": "F32" if wide else "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{path}.part", "wb") as written:
        written.write(struct.pack("<Q", len(text)) + text)
        for name, _, _, make in tensors:
            written.write(make(name).tobytes())
    os.replace(f"{path}.part", path)


# ---- the protocol


class Engine:
    def __init__(self, folder, pieces):
        self.folder, self.pieces, self.model = folder, pieces, None

    def describe(self, _):
        return {"name": "litespark", "version": version(self.folder), "requests": ["generate", "score", "logits"]}

    def load(self, asked):
        threads = str(asked["threads"])
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
            os.environ[name] = threads
        package(self.folder)
        from litespark_inference.torchless import kernel, loader, runtime
        bits = asked.get("head_bits", 16)
        dtype = {16: "bf16", 8: "int8", 4: "int4"}.get(bits)
        if dtype is None:
            raise ValueError(f"no head of {bits} bits: 16, 8 or 4")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
            where = self.files(asked["model"], config)
            loader._resolve_hf_snapshot = lambda repo: where
            self.model = loader.load_bitnet_2b(embed_dtype=dtype)
        self.runtime = runtime
        self.state = runtime.init_state(self.model, t_max=asked["context"])
        self.piece = min(asked["batch"], self.pieces or asked["batch"])
        return {"vocabulary": self.model.config.vocab_size, "threads": kernel.max_threads(), "head_bits": bits,
                "cache": "f32", "batch": self.piece, "activations": "token"}

    def files(self, model, config):
        """Paths of the config and of the weights; a folder has both, a converted file one in the other."""
        if os.path.isdir(model):
            return os.path.join(model, "config.json"), os.path.join(model, "model.safetensors")
        with open(model, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        config.write(header["__metadata__"]["config"])
        config.flush()
        return config.name, model

    def pieces_of(self, ids):
        return (ids[at:at + self.piece] for at in range(0, len(ids), self.piece))

    def after(self, ids):
        """Logits after the last id, from an empty cache."""
        self.fits(ids, 0)
        self.state.pos = 0
        for piece in self.pieces_of(ids):
            logits = self.runtime.forward_prefill(self.model, self.state, piece)
        return logits

    def fits(self, ids, more):
        if not self.model:
            raise ValueError("no model is loaded")
        if not ids or min(ids) < 0 or max(ids) >= self.model.config.vocab_size:
            raise ValueError("no ids, or ids outside the vocabulary")
        if len(ids) + more > self.state.t_max:
            raise ValueError("more ids than the context holds")

    def generate(self, asked):
        self.fits(asked["ids"], asked["count"] - 1)  # nothing is computed of the last id
        begin = time.perf_counter_ns()
        ids = [int(self.after(asked["ids"]).argmax())]
        first = time.perf_counter_ns()
        while len(ids) < asked["count"]:
            ids.append(int(self.runtime.forward_one(self.model, self.state, ids[-1]).argmax()))
        return {"ids": ids, "prompt_ns": first - begin, "decode_ns": time.perf_counter_ns() - first}

    def score(self, asked):
        import numpy
        ids, window = asked["ids"], asked["window"]
        windows = (len(ids) - 1) // window
        if not windows:
            raise ValueError("fewer ids than a window has")
        self.fits(ids, window - len(ids))
        total = 0.0
        for start in range(0, windows * window, window):
            self.state.pos, targets = 0, start + 1
            for piece in self.pieces_of(ids[start:start + window]):
                logits = self.runtime.forward_prefill_all_logits(self.model, self.state, piece).astype(numpy.float64)
                top = logits.max(axis=1)
                sums = top + numpy.log(numpy.exp(logits - top[:, None]).sum(axis=1))
                total += float((sums - logits[numpy.arange(len(piece)), ids[targets:targets + len(piece)]]).sum())
                targets += len(piece)
        return {"nats": total / (windows * window), "positions": windows * window, "rule": "every",
                "feeding": f"at most {self.piece} ids at once"}

    def logits(self, asked):
        return {"logits": base64.b64encode(self.after(asked["ids"]).astype("<f4").tobytes()).decode()}


def serve(engine, answers):
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if asked["request"] == "quit":
                return
            requests = {"describe": engine.describe, "load": engine.load, "generate": engine.generate,
                        "score": engine.score, "logits": engine.logits}
            answer = requests[asked["request"]](asked)
        except Exception as error:  # whatever it is, the harness is told
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "version":
        print(version(arguments[1]))
    elif len(arguments) > 1 and arguments[0] == "convert":
        path, command = arguments[1], arguments[2:]
        if command and subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            sys.exit(f"{command[0]} failed: {path} is not written")
        try:
            convert(path)
        except (OSError, KeyError, ValueError, struct.error) as error:
            sys.exit(f"{path}: {error}")
    elif len(arguments) in (2, 4) and arguments[0] == "run" and arguments[2:3] in ([], ["--pieces"]):
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # the engine may print
        serve(Engine(arguments[1], int(arguments[3]) if arguments[3:] else None), answers)
    else:
        sys.exit("usage: litespark.py version FOLDER | convert FILE [COMMAND...] | run FOLDER [--pieces N]")


if __name__ == "__main__":
    main(sys.argv[1:])
