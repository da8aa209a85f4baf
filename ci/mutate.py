#!/usr/bin/env python3
"""Ten thousand damaged files against the real program: ci/mutate.py [COUNT [KIND...]]   (kinds: gguf receipt scenario)

Each must end with exit code 0 or 2, in under two seconds, with at most the file's size and 200 MB of memory, without a panic, and when it
refuses, with one line. The mutations of a number are always the same; a failure is kept beside the report and named. Needs Linux, a
built program (TRITBENCH, or the one that cargo builds) and about five minutes. No part of CI: `cargo test -p harness fuzzing` is.
"""
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("TRITBENCH") or subprocess.check_output(["bash", ROOT / "ci/program.sh"], text=True).strip()
MEMORY = 200 * 1000 * 1000
SECONDS = 2.0
LIES = [0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**33, 2**62, 2**63 - 1, 2**64 - 8, 2**64 - 1]
TOKENS = [b"-1", b"0", b"1e999", b"null", b"true", b'""', b"[[[[[[", b'{"a":', b"\\u0000", b"''", b"=", b"\n\n", b"9" * 30, b"\xff\xfe"]


def mutate(seed, number, binary, header):
    """One to four kinds of damage; in the header half of the time."""
    r = random.Random(number)
    data = bytearray(seed)
    for _ in range(r.randint(1, 4)):
        at = r.randrange(max(1, min(len(data), header) if r.random() < 0.5 else len(data)))
        kind = r.randrange(7)
        if kind == 0:
            del data[at:]
        elif kind in (1, 2) and at < len(data):
            data[at] ^= 1 << r.randrange(8)
        elif kind == 3 and binary:
            width, lie = r.choice([(4, "<I"), (8, "<Q")]), r.choice(LIES)
            data[at:at + width[0]] = struct.pack(width[1], lie % 2**(8 * width[0]))
        elif kind == 3:
            data[at:at + r.randrange(12)] = r.choice(TOKENS)
        elif kind == 4:
            del data[at:at + r.randrange(200)]
        elif kind == 5:
            data[at:at] = data[at:at + r.randrange(200)]
        else:
            data[at:at + 16] = bytes([r.randrange(256)]) * 16
    return bytes(data)


def cases(kind, folder):
    """(good files, ending, whether binary, bytes of header, command lines)."""
    if kind == "gguf":
        tiny = folder / "tiny.gguf"
        subprocess.run([PROGRAM, "model", "synth", "--shape", "tiny", "--out", str(tiny)], check=True, capture_output=True)
        good = [tiny.read_bytes(), (ROOT / "scenarios/model/shakespeare-ternary.gguf").read_bytes()]
        generate = ["generate", "--prompt", "To be", "--max-tokens", "2", "--kernel", "scalar-i8", "--model"]
        return good, "gguf", True, 60000, [["model", "inspect"], generate]
    if kind == "receipt":
        good = [(ROOT / "reports/example/receipt.json").read_bytes()]
        return good, "json", False, 20000, [["report", "--out", str(folder / "out")]]
    # A sound scenario would be measured: --out names a file, which is refused after the scenario has been read.
    (folder / "file").write_text("")
    good = [path.read_bytes() for path in sorted((ROOT / "scenarios").glob("*.toml")) if path.name not in ("models.toml", "claims.toml")]
    return good, "toml", False, 4000, [["compare", "--out", str(folder / "file"), "--scenario"]]


def run(args, size):
    """What is wrong with one run, or None; and its seconds, memory and exit code."""
    start = time.monotonic()
    child = subprocess.Popen([PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    text = child.stderr.read().decode(errors="replace")
    _, status, used = os.wait4(child.pid, 0)
    seconds, memory, code = time.monotonic() - start, used.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)
    child.returncode = code
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    wrong = None
    if code not in (0, 2):
        wrong = f"exit code {code}: {text[-500:]}"
    elif "panicked" in text:
        wrong = f"panic: {text[-500:]}"
    elif code == 2 and (len(errors) != 1 or text.splitlines()[-1] != errors[0]):
        wrong = f"not one line: {text[-500:]}"
    elif memory > size + MEMORY:
        wrong = f"{memory / 1e6:.0f} MB of memory for a file of {size / 1e6:.1f} MB"
    elif used.ru_utime + used.ru_stime > SECONDS:
        wrong = f"{used.ru_utime + used.ru_stime:.2f} s of CPU time"
    return wrong, seconds, memory, code


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    kinds = sys.argv[2:] or ["gguf", "receipt", "scenario"]
    failed = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            good, ending, binary, header, commands = cases(kind, folder)
            file = folder / f"mutated.{ending}"
            codes, most_seconds, most_memory = {}, 0.0, 0
            for number in range(count):
                data = mutate(good[number % len(good)], number, binary, header)
                file.write_bytes(data)
                wrong, seconds, memory, code = run([*commands[number // len(good) % len(commands)], str(file)], len(data))
                codes[code] = codes.get(code, 0) + 1
                most_seconds, most_memory = max(most_seconds, seconds), max(most_memory, memory - len(data))
                if wrong:
                    failed += 1
                    kept = pathlib.Path(f"mutated-{kind}-{number}.{ending}")
                    kept.write_bytes(data)
                    print(f"{kind} {number}: {wrong}\n  kept as {kept}")
            codes = ", ".join(f"exit {code}: {n}" for code, n in sorted(codes.items()))
            print(f"{kind}: {count} files, {codes}; slowest {most_seconds:.2f} s, most memory beyond the file {most_memory / 1e6:.0f} MB",
                  flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
