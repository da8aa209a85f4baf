#!/usr/bin/env python3
"""From process start to the first token: ci/cold-start.py PROGRAM MODEL [THEIRS...]

PROGRAM generates one token of the file MODEL, whole processes, the file in the page cache. THEIRS is the command of another program that does the
same, in turn with it: {threads} and {head} in its words become the number of threads and f16 or q8, for example

    ci/cold-start.py target/debug/tritbench 2b.gguf -- llama-bench -m "2b.ik-{head}.gguf" -p 0 -n 1 -t "{threads}" -r 1 -w 0

Prints the median seconds and, of the pairs, ours over theirs: median [smallest, largest]. The first round is thrown away.
ROUNDS=8, THREADS="1 2", HEADS="f16 q8".
"""
import os
import statistics
import subprocess
import sys
import time


def seconds(command):
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return took


def main():
    words = [word for word in sys.argv[1:] if word != "--"]
    if len(words) < 2 or words[0].startswith("-"):
        sys.exit(__doc__)
    (program, model), theirs = words[:2], words[2:]
    rounds = int(os.environ.get("ROUNDS") or 8)
    for threads in (os.environ.get("THREADS") or "1 2").split():
        for head in (os.environ.get("HEADS") or "f16 q8").split():
            flags = ["--prompt", "hello", "--head", head, "--threads", threads, "--max-tokens", "1"]
            commands = [[program, "generate", "--model", model, *flags]]
            commands += [[word.format(threads=threads, head=head) for word in theirs]] if theirs else []
            taken = []
            for number in range(rounds + 1):
                order = commands[::-1] if number % 2 else commands
                times = [seconds(command) for command in order]
                taken.append(times[::-1] if number % 2 else times)
            medians = [f"{statistics.median(column):.2f} s" for column in zip(*taken[1:])]
            line = f"{threads} thread(s), {head} head: {', theirs '.join(medians)}"
            if theirs:
                ratios = sorted(ours / other for ours, other in taken[1:])
                line += f", ratio {statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] in {rounds} pairs"
            print(line, flush=True)


if __name__ == "__main__":
    main()
