#!/usr/bin/env python3
"""Damaged model files of every kind, given to whole processes: ci/mutate.py [SECONDS [SEED]]

Good files are the built-in model in every encoding that `model convert` writes, a Hugging Face folder of it, and the tiny models of
scenarios/model. Each is damaged once or twice (cut, bits flipped, pieces dropped, doubled or swapped, numbers and JSON values that lie; of a
folder also a file missing or empty) and given to `model inspect`, `generate` and `model convert`. Whatever the damage, a process ends within
20 s by itself with exit code 0, or with 2 and one line that names the file; never by a signal, and never with more memory than the file and
1 GiB. What fails is printed with the number that repeats it, and the exit code is 1.

The fuzz tests (harness/src/fuzzing) try a thousand times as many inputs on the readers in one process; here it is mapped files, limits of
memory, and what a user sees. Needs a built program (TRITBENCH, or the one that cargo builds).
"""
import json
import os
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("TRITBENCH") or subprocess.check_output(["bash", ROOT / "ci/program.sh"], text=True).strip()
ENCODINGS = "i2_s i2_s-x86-rows i2_s-arm tq1_0 tq2_0 q2_0 q2_0-g128 pq2_0 ptq1_0 iq2_bn".split()
LIES = [0, 1, 7, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 33, 1 << 62, (1 << 63) - 1, (1 << 64) - 1]
VALUES = [None, True, -1, 0, 1, 3.5, 1e999, 1 << 63, "", "x", [], {}, [None], {"a": []}]
HEADER = 8 << 10
ROOM = 1 << 30


def folder_of_one_block(folder):
    """A BitNet checkpoint of one block of width 128 with packed codes, and the built-in model's tokenizer."""
    folder.mkdir()
    shutil.copy(ROOT / "scenarios/model/tokenizer.json", folder)
    config = dict(architectures=["BitNetForCausalLM"], model_type="bitnet", hidden_act="relu2", hidden_size=128, intermediate_size=256,
                  num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, rope_theta=10000.0,
                  max_position_embeddings=64, vocab_size=1024, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1,
                  quantization_config=dict(quant_method="bitnet", linear_class="autobitlinear", quantization_mode="offline"))
    (folder / "config.json").write_text(json.dumps(config))
    bf16 = struct.pack("<H", 0x3C00)
    tensors = {"model.embed_tokens.weight": ("BF16", [1024, 128], bf16 * (1024 * 128)), "model.norm.weight": ("BF16", [128], bf16 * 128)}
    block = "model.layers.0."
    for name, width in [("input_layernorm", 128), ("post_attention_layernorm", 128), ("self_attn.attn_sub_norm", 128), ("mlp.ffn_sub_norm", 256)]:
        tensors[f"{block}{name}.weight"] = ("BF16", [width], bf16 * width)
    shapes = dict(q=(128, 128), k=(64, 128), v=(64, 128), o=(128, 128), gate=(256, 128), up=(256, 128), down=(128, 256))
    rng = random.Random(1)
    for name, (rows, k) in shapes.items():
        name = f"{block}{'mlp' if len(name) > 1 else 'self_attn'}.{name}_proj"
        codes = bytes(rng.choice([0x00, 0x55, 0xAA, 0x19, 0x46]) for _ in range(rows // 4 * k))
        tensors[f"{name}.weight"] = ("U8", [rows // 4, k], codes)
        tensors[f"{name}.weight_scale"] = ("BF16", [1], struct.pack("<H", 0x3F00))
    shards = [dict(list(tensors.items())[:6]), dict(list(tensors.items())[6:])]
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file, header, offset = f"model-0000{number}-of-00002.safetensors", {}, 0
        for name, (dtype, shape, data) in shard.items():
            header[name] = dict(dtype=dtype, shape=shape, data_offsets=[offset, offset + len(data)])
            offset += len(data)
            weight_map[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in shard.values()))
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=weight_map)))


def damaged(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2])):
        reach = min(len(data), HEADER) if rng.random() < 0.5 else len(data)
        at = rng.randrange(reach) if reach else 0
        piece, kind = bytes(data[at:at + rng.randrange(1, 200)]), rng.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at:at + len(piece)]
        elif kind == 3:
            data[at:at] = piece
        elif kind == 4:
            other = rng.randrange(len(data) or 1)
            data[other:other + len(piece)] = piece
        else:
            width = rng.choice([4, 8])
            data[at:at + width] = struct.pack("<Q", rng.choice(LIES))[:width]
    return bytes(data)


def lied(value, rng):
    """A JSON document with one of its values replaced, taken away or doubled."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.8:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = lied(value[key], rng)
        return value
    return rng.choice(VALUES)


def text_of(document):
    """As JSON, in which a number that no float holds is spelled as one."""
    return json.dumps(document).replace("Infinity", "1e999")


def damage_folder(folder, rng):
    file = rng.choice(sorted(folder.iterdir()))
    kind = rng.randrange(5)
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.write_bytes(b"")
    elif file.suffix == ".json" and kind < 4:
        file.write_text(text_of(lied(json.loads(file.read_text()), rng)))
    elif file.suffix == ".safetensors" and kind < 4:
        data = file.read_bytes()
        end = 8 + struct.unpack_from("<Q", data)[0]
        text = text_of(lied(json.loads(data[8:end]), rng)).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])
    else:
        file.write_bytes(damaged(file.read_bytes(), rng))


def fault(args, target, size):
    """What is wrong with how a process ended, or None; and whether it took the file."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    try:
        done = subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        return "no end within 20 s", False
    stderr = done.stderr.decode(errors="replace")
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    if "panicked" in stderr:
        return f"a panic: {stderr[-400:]}", False
    if done.returncode == 0:
        return (None if not errors else f"exit 0 with an error: {errors[0]}"), True
    if done.returncode != 2:
        return f"exit code {done.returncode}: {stderr[-400:]}", False
    if len(errors) != 1 or not stderr.rstrip("\n").endswith(errors[0]):
        return f"not one line of error at the end: {stderr[-400:]}", False
    # A line about a file of a folder names that file; about a text that comes out, the model or what to look at.
    if str(target) not in errors[0] and target.name not in errors[0]:
        return f"the line does not name the file: {errors[0]}", False
    return (None if len(errors[0]) < 2000 else f"a line of {len(errors[0])} characters"), False


def main():
    seconds, first = int(sys.argv[1]) if len(sys.argv) > 1 else 60, int(sys.argv[2]) if len(sys.argv) > 2 else 1
    work = pathlib.Path(tempfile.mkdtemp(prefix="mutate-"))
    good = {path.stem: path for path in sorted((ROOT / "scenarios/model/tiny").glob("*.gguf"))}
    for encoding in ENCODINGS:
        good[encoding] = work / f"good-{encoding}.gguf"
        subprocess.run([PROGRAM, "model", "convert", "builtin", "--to", encoding, "--out", good[encoding]], check=True, capture_output=True)
    good["folder"] = work / "good-folder"
    folder_of_one_block(good["folder"])
    counts, failed, number = {name: [0, 0] for name in good}, 0, first
    for name, path in good.items():
        what, taken = fault(["model", "inspect", str(path)], path, ROOM)
        assert what is None and taken, f"{name} is no good file: {what}"
    end = time.monotonic() + seconds
    while number == first or time.monotonic() < end:
        rng = random.Random(number)
        name = rng.choice([*good, "folder", "folder"])
        target = work / ("bad-folder" if name == "folder" else "bad.gguf")
        if name == "folder":
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(good[name], target)
            damage_folder(target, rng)
        else:
            target.write_bytes(damaged(good[name].read_bytes(), rng))
        size = sum(f.stat().st_size for f in target.iterdir()) if target.is_dir() else target.stat().st_size
        out = work / "out.gguf"
        command = rng.choice([["model", "inspect", str(target)], ["model", "convert", str(target), "--to", "tq2_0", "--out", str(out), "--force"],
                              ["generate", "--model", str(target), "--prompt", "x", "--max-tokens", "1", "--threads", "1"]])
        out.unlink(missing_ok=True)
        what, taken = fault(command, target, size)
        if what is None and out.exists() != (taken and "convert" in command):
            what = "a file was written by a refused conversion, or none by one that was not"
        counts[name][0 if taken else 1] += 1
        if what:
            failed += 1
            keep = work / f"failed-{number}{target.suffix}"
            (shutil.copytree if target.is_dir() else shutil.copy)(target, keep)
            print(f"FAILED (ci/mutate.py 1 {number}; {keep}): {' '.join(command[:2])} of {name}: {what}", flush=True)
        number += 1
    for name, (accepted, refused) in counts.items():
        print(f"{name:16} {accepted:5} accepted {refused:5} refused")
    print(f"{number - first} damaged files, {failed} failures")
    if not failed:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
