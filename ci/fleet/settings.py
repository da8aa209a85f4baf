"""ReFrame's settings: this machine (system `here`) and a site's Slurm partitions (system `slurm`), from site.py."""

import importlib.util
import os
from pathlib import Path


def read_site():
    """The site's file as a module."""
    path = Path(os.environ.get("TRITBENCH_FLEET_SITE", Path(__file__).with_name("site.py"))).resolve()
    spec = importlib.util.spec_from_file_location("tritbench_site", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The program is the only thing that a node runs: no modules, no compiler, no launcher.
COMMON = {"environs": ["none"], "launcher": "local"}
# `squeue` needs no accounting database. A node that is away for a while is no reason to give a cell up.
SLURM = {**COMMON, "scheduler": "squeue", "sched_options": {"slurm_job_cancel_reasons": []}, "max_jobs": 1000}

HERE_SYSTEM = {
    "name": "here",
    "descr": "this machine, one cell after the other",
    "hostnames": [".*"],
    "partitions": [{**COMMON, "name": "node", "scheduler": "local", "max_jobs": 1}],
}
SLURM_SYSTEM = {
    "name": "slurm",
    "descr": "the site's Slurm partitions",
    "hostnames": [],
    "partitions": [{**SLURM, **partition} for partition in read_site().SLURM],
}

site_configuration = {
    # A system has one partition at least.
    "systems": [system for system in (HERE_SYSTEM, SLURM_SYSTEM) if system["partitions"]],
    "environments": [{"name": "none", "cc": "", "cxx": "", "ftn": ""}],
    "logging": [
        {
            "handlers": [
                {"type": "stream", "name": "stdout", "level": "info", "format": "%(message)s"},
                {"type": "file", "level": "debug", "format": "%(asctime)s %(message)s", "append": False},
            ]
        }
    ],
}
