#!/usr/bin/env bash
# A fleet on one machine, by real Slurm: munge, slurmctld and two slurmd, the suite of this folder through them (2 nodes
# x 3 scenarios x 2 thread counts), one node killed in the middle of a cell and brought back, and one page at the end.
#   ci/fleet/test-slurm.sh [PROGRAM]
# Debian's slurm-wlm and munge are installed where they are missing and root may do so, ReFrame into a scratch folder.
# Everything runs in that folder, on ports of its own, and is stopped at the end. Exit 3: the tools are not there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

missing=()
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v sbatch >/dev/null || missing+=(slurm-wlm)
command -v munged >/dev/null || missing+=(munge)
if ! command -v reframe >/dev/null; then python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv); fi
if [ ${#missing[@]} -gt 0 ]; then
    if ! { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; then
        echo "please install: ${missing[*]} (Debian's names)" >&2
        exit 3
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
fi
if [ "$(nproc)" -lt 2 ]; then
    echo "two CPUs are needed: each cell is measured with one thread and with two" >&2
    exit 3
fi
program=$(realpath "${1:-$(bash ci/program.sh)}")

D=$(mktemp -d)
# Ends what this script started, by its id, and nothing else.
end() {
    local file
    [ ! -f "$D/slurm.conf" ] || scancel --state=RUNNING,PENDING --user="$(id -un)" 2>/dev/null || true
    [ -z "${reframe_pid:-}" ] || kill "$reframe_pid" 2>/dev/null || true
    for node in n1 n2; do lose "$node" 2>/dev/null || true; done
    for file in "$D/slurmctld.pid" "$D/munge/pid"; do [ ! -f "$file" ] || kill "$(cat "$file")" 2>/dev/null || true; done
    if [ -n "${KEEP:-}" ]; then echo "kept: $D"; else rm -rf "$D" 2>/dev/null || { sleep 2; rm -rf "$D"; }; fi
}
trap end EXIT

# Kills a node as a power cut does: its daemon, and the sessions of the jobs that run on it.
lose() {
    local pids script
    pids=$(cat "$D/slurmd.$1.pid" 2>/dev/null || true)
    for script in $(pgrep -f "$D/spool\.$1/job" || true); do
        pids+=" $(pgrep -s "$(ps -o sid= -p "$script" | tr -d ' ')" | tr '\n' ' ' || true)"
    done
    [ -z "${pids// /}" ] || kill -KILL $pids
    rm -f "$D/slurmd.$1.pid"
}

reframe=$(command -v reframe || true)
if [ -z "$reframe" ]; then
    python3 -m venv "$D/venv"
    "$D/venv/bin/pip" install -q 'ReFrame-HPC>=4.8,<5'
    reframe=$D/venv/bin/reframe
fi
"$reframe" --version

mkdir -p "$D"/{state,spool.n1,spool.n2,log,munge,work}
chmod 700 "$D/munge"
head -c 1024 /dev/urandom >"$D/munge/key"
chmod 600 "$D/munge/key"
read -r p0 p1 p2 < <(python3 -c '
import socket
taken = [socket.socket() for _ in range(3)]
[s.bind(("127.0.0.1", 0)) for s in taken]
print(*[s.getsockname()[1] for s in taken])')
cat >"$D/slurm.conf" <<CONF
ClusterName=tritbench
SlurmctldHost=localhost
SlurmctldPort=$p0
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$D/munge/socket
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool.%n
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld
SlurmdLogFile=$D/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/linear
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=1000000
JobRequeue=1
ReturnToService=2
SlurmdTimeout=10
KillWait=2
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=$p1 CPUs=$(nproc) State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=$p2 CPUs=$(nproc) State=UNKNOWN
PartitionName=short Nodes=n1,n2 Default=YES MaxTime=30 State=UP
CONF
export SLURM_CONF=$D/slurm.conf
munged --force --key-file="$D/munge/key" --socket="$D/munge/socket" --pid-file="$D/munge/pid" \
    --log-file="$D/munge/log" --seed-file="$D/munge/seed"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N n1
slurmd -f "$SLURM_CONF" -N n2

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local seconds=$1 what=$2 until
    shift 2
    until=$((SECONDS + seconds))
    until "$@"; do
        if [ $SECONDS -ge $until ]; then
            echo "$what: not within $seconds s" >&2
            tail -n 20 "$D"/log/* >&2
            exit 1
        fi
        sleep 0.3
    done
}
idle() { [ "$(sinfo -h -N -t idle -o %N | sort | tr '\n' ' ')" = "n1 n2 " ]; }
wait_for 60 "both nodes idle" idle

# Three scenarios of a second or two: small products, and a text.
for i in 1 2 3; do
    cat >"$D/work/short-$i.toml" <<SCENARIO
name = "short-$i"
summary = "A moment of measuring, for a test of what surrounds it."
analysis = "Nothing: too short to say anything about kernels."
kernels = ["scalar", "scalar-i8"]
model = "builtin"
[micro]
rounds = 9
epoch_us = 300
residency = ["llc"]
gemv = ["$((64 * i))x256"]
[generate]
prompt = "ROMEO:"
max_tokens = 4
rounds = 2
SCENARIO
done
cat >"$D/site.py" <<SITE
PROGRAM = "$program"
SCENARIOS = ["$D/work/short-1.toml", "$D/work/short-2.toml", "$D/work/short-3.toml"]
THREADS = [1, 2]
KERNELS = ["all"]
MINUTES = 10
HOURS_PENDING = 1
SLURM = [{"name": "short", "access": ["--partition=short"]}]
SITE

export TRITBENCH_FLEET_SITE=$D/site.py TRITBENCH_FLEET_RESULTS=$D/results
(cd "$D/work" && TMPDIR=$D/work exec "$reframe" -C "$here/settings.py" --system slurm -c "$here/fleet.py" --distribute=all \
    --prefix "$D/work" --report-file "$D/work/report.json" -r) >"$D/work/reframe.txt" 2>&1 &
reframe_pid=$!

# The first cell on n2 whose run has begun to write is cut off.
begun() {
    job=$(squeue -h -t RUNNING -w n2 -o %i | head -n 1)
    [ -n "$job" ] || return 1
    folder=$(scontrol show job "$job" | sed -n 's/^ *WorkDir=//p')
    compgen -G "$folder/attempt.0.*/receipt.json" >/dev/null
}
wait_for 120 "a cell on n2" begun
lose n2
echo "n2 is gone, in the middle of job $job"
partial=$(compgen -G "$folder/attempt.0.*/receipt.json" | head -n 1)
python3 - "$partial" <<'PY'
import json, sys
status = json.load(open(sys.argv[1]))["status"]
assert status == "running", f"the cut-off run is {status!r}: it was not in the middle"
PY
down() { sinfo -h -n n2 -t down,no_respond -o %N | grep -q n2; }
wait_for 120 "n2 down" down
slurmd -f "$SLURM_CONF" -N n2
echo "n2 is back"
# Slurm lets a requeued job wait for two minutes; an operator need not.
again() {
    local state
    state=$(squeue -h -j "$job" -o %T 2>/dev/null || true)
    [ "$state" != PENDING ] || scontrol update "JobId=$job" StartTime=now 2>/dev/null || true
    scontrol show job "$job" 2>/dev/null | grep -q 'Restarts=1' && [ "$state" != PENDING ] && [ "$state" != COMPLETING ]
}
wait_for 180 "the second attempt of job $job" again
echo "job $job runs again"

code=0
wait "$reframe_pid" || code=$?
reframe_pid=
grep -vE '^\s*$' "$D/work/reframe.txt" | tail -n 45
[ "$code" -eq 0 ] || { echo "reframe: exit $code" >&2; exit 1; }

# Nothing lost, nothing twice: each of 6 cells twice, each run once, and the cut-off one by its second attempt.
python3 - "$D" <<'PY'
import glob, json, os, sys

scratch = sys.argv[1]
found = glob.glob(f"{scratch}/results/slurm/short/*/*/receipt.json")
cells = {}
for path in found:
    receipt = json.load(open(path))
    assert receipt["status"] == "complete", path
    run = os.path.basename(os.path.dirname(path))
    cells.setdefault((receipt["scenario"]["name"], receipt["settings"]["threads"]), set()).add(run)
expected = {(f"short-{i}", threads): 2 for i in (1, 2, 3) for threads in (1, 2)}
assert {cell: len(runs) for cell, runs in cells.items()} == expected, cells
assert len(set().union(*cells.values())) == len(found) == 12, found
said = [open(path).read() for path in glob.glob(f"{scratch}/work/output/**/rfm_job.out", recursive=True)]
second = [text for text in said if "(attempt 1 on n2)" in text]
assert len(said) == 12 and len(second) == 1, (len(said), len(second))
print(f"{len(found)} receipts of {len(cells)} cells on 2 nodes; one cell was begun twice and counts once")
PY
"$program" receipt verify "$D/results"
"$program" report "$D/results" --out "$D/page.html"
page=${FLEET_PAGE:-}
[ -z "$page" ] || cp "$D/page.html" "$page"
python3 - "$D/page.html" <<'PY'
import sys
page = open(sys.argv[1]).read()
rows = page.count('<tr id="run-')
assert rows == 12, rows
print(f"one page with {rows} runs: {len(page)} bytes")
PY
