#!/usr/bin/env python3
"""Loads a run's exports with the formats' own readers: check-exports.py PROGRAM RUN_DIR. Readers that are not installed are skipped, one
line each; exit 1 and one line for each export that is refused."""

import json
import subprocess
import sys


def export(program, run, kind):
    return subprocess.run([program, "receipt", "export", run, "--format", kind], check=True, stdout=subprocess.PIPE).stdout.decode()


def junit(text):
    import junitparser

    suites = junitparser.JUnitXml.fromstring(text.encode())
    cases = [case for suite in suites for case in suite]
    if len(cases) != suites.tests:
        raise ValueError(f"{len(cases)} cases, {suites.tests} declared")


def schema(program, run):
    import jsonschema

    rules = json.loads(subprocess.run([program, "receipt", "schema"], check=True, stdout=subprocess.PIPE).stdout)
    with open(f"{run}/receipt.json") as file:
        jsonschema.Draft202012Validator(rules).validate(json.load(file))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    _, program, run = sys.argv
    checks = {
        "junit": lambda: junit(export(program, run, "junit")),
        "schema": lambda: schema(program, run),
    }
    refused = 0
    for name, check in checks.items():
        try:
            check()
            print(f"{name}: loads")
        except ImportError as missing:
            print(f"{name}: skipped, {missing.name} is not installed")
        except Exception as error:
            refused += 1
            print(f"{name}: refused: {' '.join(str(error).split())[:300]}", file=sys.stderr)
    sys.exit(1 if refused else 0)


main()
