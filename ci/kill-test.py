#!/usr/bin/env python3
"""kill -9 at random moments, and a model file that changes under a run: ci/kill-test.py [MOMENTS [COMMAND...]]

For `compare --quick`, `model synth`, `baseline save` and `gate` (or only the named ones): after each kill, nothing
half-written has the name of a whole file, and the next command works and clears what the gate had for itself. Then a model file is cut and rewritten at random moments of `generate`, which must
end with exit code 0 or 2 and never with a signal. As root it also fills a small file system. Needs Linux, a built program (TRITBENCH, or
the one that cargo builds) and about five minutes.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("TRITBENCH") or subprocess.check_output(["bash", ROOT / "ci/program.sh"], text=True).strip()
BUILTIN = ROOT / "scenarios/model/shakespeare-ternary.gguf"
FAILED = []


def run(args, folder):
    return subprocess.run([PROGRAM, *map(str, args)], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def check(good, what):
    if not good:
        FAILED.append(what)
        print(f"  FAILED: {what}", flush=True)


def killed_at(args, folder, seconds):
    """Whether the command was killed (and not done before)."""
    child = subprocess.Popen([PROGRAM, *map(str, args)], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return child.returncode == -signal.SIGKILL


def seconds_of(args, folder):
    start = time.monotonic()
    done = run(args, folder)
    # A busy machine may keep a gate from a verdict.
    check(done.returncode in ((0, 3, 4) if args[0] == "gate" else (0,)), f"{args}: exit {done.returncode}: {done.stderr[-300:]}")
    return time.monotonic() - start


def check_run(run_folder, folder):
    """A receipt that is there is whole, and renders."""
    if not (run_folder / "receipt.json").exists():
        return
    try:
        json.loads((run_folder / "receipt.json").read_text())
    except ValueError as error:
        return check(False, f"{run_folder}/receipt.json: {error}")
    shown = run(["report", run_folder], folder)
    check(shown.returncode == 0, f"report {run_folder}: {shown.stderr[-300:]}")


def commands(folder):
    """Name, command line, and what must hold after it was killed."""
    tiny = folder / "tiny.gguf"
    whole = {}

    def file_is_whole(path, inspect):
        def holds():
            if path.exists():
                whole.setdefault(path, path.stat().st_size)
                check(path.stat().st_size == whole[path], f"{path} has {path.stat().st_size} bytes, whole it has {whole[path]}")
                shown = run([*inspect, path], folder)
                check(shown.returncode == 0, f"{path} is there and not good: {shown.stderr[-300:]}")
                path.unlink()
        return holds

    yield "model synth", ["model", "synth", "--shape", "tiny", "--out", tiny], file_is_whole(tiny, ["model", "inspect"])
    out = folder / "run"
    yield "compare", ["compare", "--quick", "--out", out], lambda: check_run(out, folder)
    store = folder / "baselines"

    def baselines_are_whole():
        listed = run(["baseline", "list", "--dir", store], folder)
        check(listed.returncode == 0, f"baseline list: {listed.stderr[-300:]}")
        if "killed" in listed.stdout:
            shown = run(["baseline", "show", "killed", "--dir", store], folder)
            check(shown.returncode == 0, f"baseline show: {shown.stderr[-300:]}")

    yield "baseline save", ["baseline", "save", "killed", "--quick", "--replace", "--dir", store], baselines_are_whole
    gate_scenario = folder / "tiny.toml"
    gate_scenario.write_text('name = "tiny"\nsummary = "s"\nanalysis = "a"\nkernels = ["scalar-i8"]\n'
                             '[micro]\nrounds = 50\nresidency = ["cache"]\ngemv = ["64x256"]\n')
    gated = folder / "gated"
    os.environ["TMPDIR"] = str(folder / "tmp")
    (folder / "tmp").mkdir()

    def gate_is_whole():
        check_run(gated, folder)
        # Sweeps before it finds that there is no such build.
        run(["gate", "--against", "no-such-build", "--scenario", gate_scenario], folder)
        left = list((folder / "tmp").glob("tritbench-gate-*"))
        check(not left, f"a killed gate left {left}")

    yield "gate", ["gate", "--against", PROGRAM, "--scenario", gate_scenario, "--out", gated], gate_is_whole


def kills(moments, only):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for what, args, holds in commands(folder):
            if only and what not in only:
                continue
            took = seconds_of(args, folder)
            holds()
            killed = 0
            for number in range(moments):
                killed += killed_at(args, folder, random.Random(number).uniform(0, took))
                holds()
            # What was left a moment ago could still be in use for all the next command knows.
            time.sleep(2.5)
            took = seconds_of(args, folder)
            holds()
            left = [p.name for p in folder.iterdir() if p.name.startswith(".")]
            check(not left, f"the command after the last kill of {what} left {left}")
            print(f"{what}: killed {killed} of {moments} times; the next one works ({took:.1f} s) and clears up", flush=True)
    os.environ.pop("TMPDIR", None)


def changing_model(moments):
    with tempfile.TemporaryDirectory() as name:
        folder, codes = pathlib.Path(name), {}
        model, good = folder / "m.gguf", BUILTIN.read_bytes()
        for number in range(moments):
            r = random.Random(number)
            model.write_bytes(good)
            args = [PROGRAM, "generate", "--prompt", "x", "--max-tokens", "2", "--model", str(model)]
            child = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(r.uniform(0, 0.15))
            if number % 2:
                os.truncate(model, r.randrange(len(good)))
            else:
                with open(model, "r+b") as file:
                    file.seek(r.randrange(len(good)))
                    file.write(b"\xff" * 5000)
            text = child.communicate()[1]
            codes[child.returncode] = codes.get(child.returncode, 0) + 1
            check(child.returncode in (0, 2) and "panicked" not in text, f"changed model {number}: exit {child.returncode}: {text[-300:]}")
        print(f"model changed under generate: {codes}", flush=True)


def full_disk():
    with tempfile.TemporaryDirectory() as name:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", name], capture_output=True).returncode != 0:
            return print("full disk: skipped, no file system could be mounted (needs root)")
        try:
            folder = pathlib.Path(name)
            for args in (["model", "synth", "--shape", "tiny", "--out", "x.gguf"],
                         ["compare", "--quick", "--out", "run"],
                         ["report", ROOT / "reports/example/receipt.json", "--out", "shown"]):
                done = run(args, folder)
                error = [line for line in done.stderr.splitlines() if line.startswith("error:")]
                print(f"full disk: {args[0]} {args[1]}: exit {done.returncode}: {''.join(error)[:160]}", flush=True)
                check(done.returncode == 2 and len(error) == 1, f"full disk: {args}: {done.stderr[-300:]}")
                check(not list(folder.glob("x.*")), f"full disk: {args} left a file")
        finally:
            subprocess.run(["umount", name], check=True)


def main():
    moments = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    kills(moments, sys.argv[2:])
    if not sys.argv[2:]:
        changing_model(4 * moments)
        full_disk()
    print(f"{len(FAILED)} failures")
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
