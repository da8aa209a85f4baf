#!/usr/bin/env python3
"""An engine for tests: hands every request to our own program and spoils the answer by its mode.

engine.py MODE PROGRAM [NATS]: MODE is right, wrong, slow, hanging, crashing, lying, threads, garbage, nan, loud, strange,
short, deaf or moody. NATS is what a wrong engine scores. It shows how little an engine must say, too: `right` is one.
"""
import json
import os
import random
import signal
import subprocess
import sys
import time

mode, program = sys.argv[1:3]
own = subprocess.Popen([program, "engine", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(line):
    own.stdin.write(line)
    own.stdin.flush()
    return json.loads(own.stdout.readline())


def burner():
    """A process that never sleeps, as threads of a library's own do; it stands still until it is let go."""
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            pass
    return child


def all_burners(what):
    for child in burning:
        os.kill(child, what)


burning = []
for line in sys.stdin:
    request = json.loads(line)
    kind = request["request"]
    if kind == "quit":
        break
    if mode == "threads" and kind == "load":
        # So many that they get their share beside whatever else this machine does.
        burning = [burner() for _ in range(12)]
    if kind == "generate":
        all_burners(signal.SIGCONT)
    begun = time.monotonic_ns()
    answer = ask(line)
    all_burners(signal.SIGSTOP)
    if kind == "generate" and "ids" in answer:
        n, ids = request["count"], answer["ids"]
        if mode == "slow":
            time.sleep(0.002 * n + 0.0005 * len(request["ids"]))
        elif mode == "hanging":
            time.sleep(3600)
        elif mode == "crashing":
            print("ggml_abort: out of memory", file=sys.stderr, flush=True)
            os.abort()
        elif mode == "lying":
            answer["decode_ns"] = 3 * (time.monotonic_ns() - begun)
        elif mode == "strange":
            ids[-1] = 1 << 30
        elif mode == "short":
            ids.pop()
        elif mode == "deaf":
            answer["ids"] = [request["ids"][-1]] * n
        elif mode == "moody" and len(request["ids"]) == 65:
            ids[0] = random.SystemRandom().randrange(1000)
        elif mode == "wrong" and len(request["ids"]) > 64:
            answer["ids"] = [7] * n
    if kind == "score" and mode in ("wrong", "nan"):
        answer["nats"] = float(sys.argv[3]) if mode == "wrong" else float("nan")
    if mode == "nan" and kind == "logits":
        # A float of all ones, again and again.
        answer["logits"] = "/" * len(answer["logits"].rstrip("=")) + "=" * answer["logits"].count("=")
    if mode == "garbage" and kind == "load":
        print("llama_model_loader: loaded meta data with 23 key-value pairs and 34 tensors from model.gguf (version 3)")
    if mode == "loud" and kind == "logits":
        answer["logits"] = "A" * (2 << 20)
    print(json.dumps(answer), flush=True)
all_burners(signal.SIGKILL)
own.stdin.close()
