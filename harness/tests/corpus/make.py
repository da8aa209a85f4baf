#!/usr/bin/env python3
"""Makes the bad files beside it, each named after what is wrong: python3 harness/tests/corpus/make.py

Run it after adding a file here, then `INSTA_UPDATE=always cargo test -p harness corpus` and read the new messages: they are what a
user will see. Small on purpose: a bad file needs no good model behind it.
"""
import hashlib
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
U64 = 2**64 - 1


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return u64(len(raw)) + raw


def key(name, kind, value):
    return text(name) + u32(kind) + value


def tensor(name, dims, kind, offset):
    return text(name) + u32(len(dims)) + b"".join(map(u64, dims)) + u32(kind) + u64(offset)


def gguf(keys=(), tensors=(), data=b"", n_keys=None, n_tensors=None, version=3, magic=b"GGUF"):
    head = magic + u32(version) + u64(len(tensors) if n_tensors is None else n_tensors)
    head += u64(len(keys) if n_keys is None else n_keys) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


ARCH = key("general.architecture", 8, text("bitnet-b1.58"))
nested = u32(9) + u64(1)
GGUF = {
    "empty": b"",
    "ends-in-magic": b"GG",
    "ends-in-version": b"GGUF\3\0",
    "ends-in-a-key": gguf([ARCH])[:40],
    "not-a-gguf": b"PK\3\4 this is a zip file, really",
    "big-endian": gguf(magic=b"FUGG"),
    "big-endian-version": b"GGUF" + struct.pack(">I", 3) + u64(0) * 2,
    "version-1": gguf(version=1),
    "version-4": gguf(version=4),
    "git-lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 1187801280\n",
    "web-page": b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "error-as-json": b'{"error": "Invalid username or password."}',
    "error-as-text": b"Entry not found",
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "safetensors": u64(2) + b"{}",
    "pytorch-checkpoint": b"PK\3\4\0\0\0\0 archive/data.pkl",
    "pickle": b"\x80\x02}q\0.",
    "ggjt-from-before-gguf": b"tjgg" + u32(3) + b"\0" * 28,
    "zeros": b"\0" * 64,
    "shard-2-of-3": gguf([key("split.no", 2, b"\1\0"), key("split.count", 2, b"\3\0")]),
    "tensor-count-lies": gguf(n_tensors=U64),
    "tensor-count-over-what-is-left": gguf(n_tensors=5000),
    "key-count-lies": gguf(n_keys=2**60),
    "key-length-lies": gguf([u64(U64) + b"general.architecture"]),
    "string-length-past-the-end": gguf([text("general.name") + u32(8) + u64(1 << 20) + b"short"]),
    "string-longer-than-any": gguf([text("general.name") + u32(8) + u64(1 << 40) + b"short"]),
    "string-not-utf-8": gguf([key("general.name", 8, text(b"ok \xff\xfe"))]),
    "key-not-utf-8": gguf([key(b"\xc3\x28", 4, u32(1))]),
    "key-twice": gguf([key("a", 4, u32(1)), key("a", 4, u32(2))]),
    "value-type-unknown": gguf([key("a", 13, u32(1))]),
    "bool-is-7": gguf([key("a", 7, b"\7")]),
    "array-length-lies": gguf([key("a", 9, u32(4) + u64(U64))]),
    "array-of-empty-arrays": gguf([key("a", 9, u32(9) + u64(2**28 + 1) + b"\0" * 64)]),
    "arrays-nested-too-deep": gguf([key("a", 9, nested * 40 + u32(4) + u64(0))]),
    "array-element-type-unknown": gguf([key("a", 9, u32(99) + u64(0))]),
    "alignment-3": gguf([key("general.alignment", 4, u32(3))]),
    "alignment-0": gguf([key("general.alignment", 4, u32(0))]),
    "alignment-is-text": gguf([key("general.alignment", 8, text("32"))]),
    "tensor-without-dimensions": gguf(tensors=[tensor("t", [], 0, 0)], data=b"\0" * 64),
    "tensor-with-9-dimensions": gguf(tensors=[tensor("t", [1] * 9, 0, 0)], data=b"\0" * 64),
    "tensor-dimension-0": gguf(tensors=[tensor("t", [4, 0], 0, 0)], data=b"\0" * 64),
    "tensor-size-overflows": gguf(tensors=[tensor("t", [2**40, 2**40], 0, 0)], data=b"\0" * 64),
    "tensor-bytes-overflow": gguf(tensors=[tensor("t", [2**62], 0, 0)], data=b"\0" * 64),
    "tensor-type-unknown": gguf(tensors=[tensor("t", [4], 77, 0)], data=b"\0" * 64),
    "tensor-row-is-no-block": gguf(tensors=[tensor("t", [100, 2], 36, 0)], data=b"\0" * 128),
    "tensor-row-is-no-group": gguf(tensors=[tensor("t", [96, 2], 42, 0)], data=b"\0" * 64),
    # Q2_0 of 8192 weights is 2304 bytes in groups of 64 and 2176 in groups of 128.
    "groups-of-two-sizes": gguf(tensors=[tensor("a", [256, 32], 42, 0), tensor("b", [256, 32], 42, 2176),
                                         tensor("norm", [8], 0, 2176 + 2304)], data=b"\0" * (2176 + 2304 + 32)),
    "groups-of-no-size": gguf(tensors=[tensor("a", [256, 32], 42, 0), tensor("norm", [8], 0, 2240)],
                              data=b"\0" * (2240 + 32)),
    "tensor-past-the-end": gguf(tensors=[tensor("t", [1000], 0, 0)], data=b"\0" * 64),
    "tensor-offset-overflows": gguf(tensors=[tensor("t", [4], 0, U64 - 31)], data=b"\0" * 64),
    "tensor-offset-odd": gguf(tensors=[tensor("t", [4], 0, 5)], data=b"\0" * 64),
    "tensor-twice": gguf(tensors=[tensor("t", [4], 0, 0), tensor("t", [4], 0, 32)], data=b"\0" * 64),
    "tensors-overlap": gguf(tensors=[tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], data=b"\0" * 128),
    "tensor-name-moves-the-cursor": gguf(tensors=[tensor("\x1b[2J\nok", [4, 0], 0, 0)], data=b"\0" * 64),
    "architecture-missing": gguf(),
    "architecture-is-a-number": gguf([key("general.architecture", 4, u32(1))]),
    "architecture-of-the-silu-graph": gguf([key("general.architecture", 8, text("bitnet"))]),
    "architecture-other": gguf([key("general.architecture", 8, text("llama"))]),
    "width-missing": gguf([ARCH]),
    "width-4-billion": gguf([ARCH, key("bitnet-b1.58.embedding_length", 4, u32(2**32 - 1))]),
    "heads-0": gguf([ARCH, key("bitnet-b1.58.embedding_length", 4, u32(128)),
                     key("bitnet-b1.58.attention.head_count", 4, u32(0))]),
}

SCENARIO_HEAD = 'name = "s"\nsummary = "s"\nanalysis = "a"\n'
MICRO = '[micro]\nrounds = 4\nresidency = ["cache"]\ngemv = ["64x256"]\n'
SCENARIO = {
    "empty": "",
    "not-toml": "{\"name\": \"json\"}",
    "not-utf-8": b'name = "\xff\xfe"\n',
    "no-name": 'summary = "s"\nanalysis = "a"\n',
    "unknown-key": SCENARIO_HEAD + "speed = 3\n",
    "unknown-kernel": SCENARIO_HEAD + 'kernels = ["avx1024"]\n' + MICRO,
    "shape-without-rows": SCENARIO_HEAD + MICRO.replace("64x256", "x256"),
    "shape-of-0": SCENARIO_HEAD + MICRO.replace("64x256", "0x256"),
    "shape-overflows": SCENARIO_HEAD + MICRO.replace("64x256", "9999999999999x9999999999999"),
    "shape-of-a-terabyte": SCENARIO_HEAD + MICRO.replace("64x256", "1000000x1000000"),
    "batch-of-a-million": SCENARIO_HEAD + MICRO.replace("gemv", "gemm").replace("64x256", "64x256x1000000"),
    "rounds-negative": SCENARIO_HEAD + MICRO.replace("= 4", "= -4"),
    "rounds-0": SCENARIO_HEAD + MICRO.replace("= 4", "= 0"),
    "rounds-a-billion": SCENARIO_HEAD + MICRO.replace("= 4", "= 1_000_000_000"),
    "residency-unknown": SCENARIO_HEAD + MICRO.replace('"cache"', '"disk"'),
    "residency-empty": SCENARIO_HEAD + MICRO.replace('"cache"', ""),
    "micro-without-shapes": SCENARIO_HEAD + '[micro]\nrounds = 4\nresidency = ["cache"]\n',
    "timeout-nan": SCENARIO_HEAD + '[generate]\nprompt = "p"\nmax_tokens = 4\nrounds = 1\ntimeout_s = nan\n',
    "key-twice": SCENARIO_HEAD + 'name = "t"\n',
    "string-not-closed": 'name = "s\n',
    "arrays-nested-too-deep": SCENARIO_HEAD + "kernels = " + "[" * 5000,
}

RECEIPT = {
    "empty": "",
    "not-json": "schema_version: 1.0.0\n",
    "not-utf-8": b'{"schema_version": "\xff"}',
    "a-list": "[]",
    "a-number": "17",
    "no-version": "{}",
    "version-is-a-number": '{"schema_version": 1}',
    "version-2": '{"schema_version": "2.0.0"}',
    "version-is-a-path": '{"schema_version": "../../etc/passwd"}',
    "version-alone": '{"schema_version": "1.0.0"}',
    "cut-short": '{"schema_version": "1.0.0", "status": "compl',
    "status-unknown": '{"schema_version": "1.0.0", "status": "perfect"}',
    "number-too-large": '{"schema_version": "1.0.0", "status": "complete", "timestamp": "t", "elapsed_s": 1e999}',
    "nested-too-deep": '{"schema_version": "1.0.0", "status": ' + "[" * 100000,
}

# A baseline is a folder; `harness` in it is its program.
PROGRAM = b"no program, but the one that was saved\n"
BUILD = {"version": "0.1.0", "git_commit": None, "git_dirty": None, "cargo_lock_sha256": None, "rustc": "", "profile": "dev", "opt_level": "3",
         "debug_assertions": False, "target": "", "target_features": []}


def baseline(**changes):
    facts = {"version": 1, "name": "b", "created": "2026-01-01T00:00:00Z", "build": BUILD, "cpu": "a CPU",
             "scenario": SCENARIO_HEAD + MICRO, "quick": True, "kernels": None, "threads": 1, "cpu_features": None, "seed": 1,
             "binary_sha256": hashlib.sha256(PROGRAM).hexdigest(), "binary_bytes": len(PROGRAM), "computed": []}
    return json.dumps(facts | changes, indent=1) + "\n"


BASELINE = {
    "empty": "",
    "not-json": "version: 1\n",
    "a-list": "[]",
    "version-missing": "{}",
    "version-2": baseline(version=2),
    "version-is-text": baseline(version="1"),
    "cut-short": baseline()[:200],
    "facts-missing": '{"version": 1}',
    "nested-too-deep": '{"version": 1, "name": ' + "[" * 5000,
    "threads-negative": baseline(threads=-1),
    "kernels-are-a-number": baseline(kernels=7),
    "check-without-a-kernel": baseline(computed=[{"what": "output"}]),
    "scenario-is-no-scenario": baseline(scenario="speed = 3\n"),
    "program-is-another": baseline(binary_sha256="ab" * 32),
    "program-missing": baseline(),
}
for name, facts in BASELINE.items():
    target = HERE / "baseline" / f"{name}.saved"
    target.mkdir(parents=True, exist_ok=True)
    (target / "baseline.json").write_text(facts)
    if name != "program-missing":
        (target / "harness").write_bytes(PROGRAM)

for folder, ending, files in [("gguf", "gguf", GGUF), ("scenario", "toml", SCENARIO), ("receipt", "json", RECEIPT)]:
    target = HERE / folder
    target.mkdir(exist_ok=True)
    for name, content in files.items():
        (target / f"{name}.{ending}").write_bytes(content if isinstance(content, bytes) else content.encode())
