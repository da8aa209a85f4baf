#!/usr/bin/env bash
# Shows that two builds say the same: ci/same-output.sh OLD NEW     exit 0 when every output is equal, 1 if one differs, 2 on bad usage
# OLD and NEW are programs. Both render every receipt in git (page, charts, terminal, Markdown, CSV, all exports, recheck), each pair of
# receipts and a folder of them, refuse the corpus, list, verify, inspect models, generate and score. What they print and write is
# compared byte for byte; the program's name, facts about the build, and times are not. Example, after a change that only moves code:
#   cp target/debug/tritbench /tmp/old; git switch moved; cargo build -p harness; ci/same-output.sh /tmp/old target/debug/tritbench
set -euo pipefail

if [ $# != 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    echo "usage: ci/same-output.sh OLD NEW     two programs" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The name that a program was started by is in its help and its messages.
for side in old new; do
    mkdir "$work/$side"
    ln -s "$(realpath "$1")" "$work/$side/tritbench"
    shift
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$work/out # where both write, one after the other: paths are printed

count=0
# Runs the arguments with both programs, and keeps what they print and write in $work/SIDE/NUMBER.
both() {
    count=$((count + 1))
    local side number
    number=$(printf %05d "$count")
    for side in old new; do
        local to=$work/$side/$number code=0
        mkdir -p "$to" "$out"
        timeout 300 "$work/$side/tritbench" "$@" </dev/null >"$to/stdout" 2>"$to/stderr" || code=$?
        echo "$code" >"$to/exit code"
        mv "$out" "$to/files"
    done
    printf '%s\n' "$*" >"$work/$number"
}
accepted() { "$work/old/tritbench" report "$1" --json --out "$work/tried" </dev/null >/dev/null 2>&1; }
formats() { "$work/$1/tritbench" receipt export --help | sed -n 's/^ *- \([a-z0-9-]*\): .*/\1/p' | sort; }

mapfile -t json < <(git ls-files '*.json')
mapfile -t both_export < <(comm -12 <(formats old) <(formats new) | grep -vxE 'auto|always|never')
receipts=()
for file in "${json[@]}"; do
    both report "$file" --out "$out"
    both receipt verify "$file"
    both receipt verify "$file" --json
    for format in "${both_export[@]}"; do
        both receipt export "$file" --format "$format"
    done
    if accepted "$file"; then
        receipts+=("$file")
    fi
done
for file in "${receipts[@]}"; do
    for form in --full --markdown --json; do
        both report "$file" --out "$out" "$form"
    done
    both report "$file" --out "$out" --color always
    both list claims --run "$file"
    both list claims --run "$file" --json
    for other in "${receipts[@]}"; do
        if [ "$file" != "$other" ]; then
            both report "$file" "$other" --out "$out/comparison.html"
            for form in --full --markdown --json; do
                both report "$file" "$other" --out "$out/comparison.html" "$form"
            done
        fi
    done
done
both report reports --out "$out/index.html"
both report reports --out "$out/index.html" --json
both receipt schema
for what in kernels scenarios models claims; do
    both list "$what"
    both list "$what" --json
    both list "$what" --cpu-features none
done
for file in builtin $(git ls-files '*.gguf'); do
    both model inspect "$file"
    both model inspect "$file" --json
done
both model inspect builtin --goldens
for folder in $(git ls-files '*/baseline.json' | xargs -n1 dirname); do
    both baseline show "$(basename "$folder")" --dir "$(dirname "$folder")"
done
both verify --json
both verify --cpu-features none
both generate --prompt ROMEO: --kernel scalar --dense --json
both generate --prompt ROMEO: --kernel scalar-i8 --dense --json
both generate --prompt ROMEO: --kernel scalar-i8 --dense --seed 7 --temperature 0.8 --top-k 40 --top-p 0.9
both perplexity --quick --kernel scalar-i8 --dense --json
both perplexity --quick --kernel scalar --lut seed --dense

python3 - "$work" <<'PYTHON'
import difflib, json, pathlib, re, sys

work = pathlib.Path(sys.argv[1])
NAME = re.compile(r"\bharness\b(?!/)")  # the program's name until it was called tritbench; a folder keeps its own
TIMES = re.compile(r"(_ms|_us|_per_s|^crossover|^build)$")  # of generate and perplexity: times, what follows from them, the build


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(value) for key, value in value.items() if not TIMES.search(key)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def normal(path, command):
    if not path.exists():
        return ["(no such file)"]
    text = NAME.sub("tritbench", path.read_bytes().decode("utf-8", "backslashreplace"))
    if command.startswith(("generate", "perplexity")):
        text = re.sub(r"[\d.,]+ ?(µs|ms|s|tokens/s|tok/s)\b", r"TIME \1", text)
        if "--json" in command and path.name == "stdout":
            try:
                text = json.dumps(without_times(json.loads(text)), indent=1)
            except json.JSONDecodeError:
                pass
    return text.split("\n")


def files(side, number):
    root = work / side / number
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def first_difference(old, new):
    """The first hunk of lines that differ in more than where a longer or shorter program's name breaks them."""
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            words = [" ".join(lines).split() for lines in (old[a:b], new[c:d])]
            named = any("tritbench" in line for line in old[max(a - 1, 0):b] + new[max(c - 1, 0):d])
            if not (named and words[0] == words[1]):
                return a + 1, "\n".join(old[a:b]), "\n".join(new[c:d])
    return None


def excerpt(text, at):
    start = max(at - 30, 0)
    return repr(("..." if start else "") + text[start:start + 90] + ("..." if len(text) > start + 90 else ""))


compared = differ = 0
for case in sorted(path for path in work.iterdir() if path.is_file()):
    command = case.read_text().strip().replace(str(work), "")
    for name in sorted(files("old", case.name) | files("new", case.name)):
        compared += 1
        old, new = (normal(work / side / case.name / name, command) for side in ("old", "new"))
        if old == new:
            continue
        if difference := first_difference(old, new):
            differ += 1
            line, was, is_now = difference
            at = next((i for i, (x, y) in enumerate(zip(was, is_now)) if x != y), min(len(was), len(is_now)))
            print(f"{command}: {name}, line {line}: {excerpt(was, at)} is now {excerpt(is_now, at)}")
commands = sum(path.is_file() for path in work.iterdir())
print(f"{commands} commands, {compared} outputs compared, {differ} differ")
sys.exit(1 if differ else 0)
PYTHON
