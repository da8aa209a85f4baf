#!/usr/bin/env python3
"""Runs the shell steps of action.yml here, as a runner would: python3 ci/github/steps.py FOLDER NAME=VALUE...

FOLDER is a checkout; NAME=VALUE gives inputs. Steps that use another action (cache, artifact) are named and left out. The exit code is that
of the first step that failed; steps with `if: always()` run after it too.
"""
import os
import re
import subprocess
import sys

try:
    import yaml
except ImportError:
    sys.exit("steps.py needs PyYAML (python3-yaml)")

folder, given = sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "action.yml")) as file:
    action = yaml.safe_load(file)
unknown = given.keys() - action["inputs"].keys()
if unknown:
    sys.exit(f"action.yml has no input {', '.join(sorted(unknown))}")


def value(name):
    """What an input is: given, or the default that it has without a runner's help."""
    text = given.get(name, action["inputs"][name]["default"])
    if "${{" in text:
        sys.exit(f"{name} is the runner's to say: give {name}=VALUE")
    return text


def filled(text):
    """A value of `env:` with the inputs that it names."""
    return re.sub(r"\$\{\{\s*inputs\.(\w+)\s*\}\}", lambda found: value(found.group(1)), text)


code = 0
for step in action["runs"]["steps"]:
    name = step["name"]
    if "run" not in step:
        print(f"--- {name}: left out ({step['uses']})", flush=True)
        continue
    if code and step.get("if") != "always()":
        print(f"--- {name}: not reached", flush=True)
        continue
    print(f"--- {name}", flush=True)
    env = {**os.environ, **{key: filled(text) for key, text in step.get("env", {}).items()}}
    # As a runner starts it.
    ended = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=folder, env=env)
    code = code or ended.returncode
sys.exit(code)
