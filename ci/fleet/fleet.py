"""One cell of a fleet: `tritbench compare` of a scenario with a number of threads and a set of kernels, alone on a node.

A cell passes if compare ended with exit code 0 and its receipt verifies. The receipt is then collected below the folder
fleet-results (TRITBENCH_FLEET_RESULTS), under a name of its own: nothing is ever replaced there."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import parameter, run_after, run_before, sanity_function

from settings import read_site

HERE = Path(__file__).resolve().parent
SITE = read_site()
RESULTS = Path(os.environ.get("TRITBENCH_FLEET_RESULTS", "fleet-results")).resolve()
PROGRAM = str(Path(SITE.PROGRAM).resolve())


@rfm.simple_test
class Compare(rfm.RunOnlyRegressionTest):
    scenario = parameter(SITE.SCENARIOS, fmt=lambda scenario: Path(scenario).stem)
    threads = parameter(SITE.THREADS)
    kernels = parameter(SITE.KERNELS)

    descr = "tritbench compare, alone on a node"
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    sourcesdir = None
    # Nothing else runs on the node.
    exclusive_access = True
    executable = str(HERE / "cell.sh")

    @run_before("run")
    def say_what_to_run(self):
        scenario = str(Path(self.scenario).resolve()) if self.scenario.endswith(".toml") else self.scenario
        self.executable_opts = [PROGRAM, "--scenario", scenario, "--threads", str(self.threads)]
        if self.kernels != "all":
            self.executable_opts += ["--kernels", self.kernels]
        self.time_limit = f"{SITE.MINUTES}m"
        self.max_pending_time = f"{SITE.HOURS_PENDING}h"

    @run_before("run")
    def start_again_after_a_lost_node(self):
        if self.current_partition.scheduler.registered_name in ("slurm", "squeue"):
            self.job.options += ["--requeue", "--open-mode=append"]

    @sanity_function
    def verified(self):
        return sn.assert_found(r"^cell: verified run/receipt.json$", self.stdout)

    @run_after("sanity")
    def collect(self):
        cell = f"{Path(self.scenario).stem}-{self.threads}t-{self.kernels.replace(',', '+')}"
        place = RESULTS / self.current_system.name / self.current_partition.name / cell
        place.mkdir(parents=True, exist_ok=True)
        run = Path(self.stagedir) / "run"
        receipt = (run / "receipt.json").read_bytes()
        # A program from before 1.9 writes no run id: its receipt is known by its content.
        name = json.loads(receipt).get("run_id") or hashlib.sha256(receipt).hexdigest()[:32]
        if not (place / name).exists():
            # Whole or absent: readers of the folder leave hidden ones out.
            unfinished = place / f".{name}.{os.getpid()}"
            shutil.copytree(run, unfinished)
            os.rename(unfinished, place / name)
