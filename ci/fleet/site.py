"""What a site says: its partitions, and what is measured on each of their nodes. The only file that a site changes; a
copy elsewhere is named by TRITBENCH_FLEET_SITE."""

# The program, built once for all nodes; a path is relative to the folder in which reframe is started.
PROGRAM = "target/release/tritbench"

# Each scenario (a name, or the path of a TOML file) with each number of threads and each set of kernels; "all" is all
# that run on the node.
SCENARIOS = ["quick"]
THREADS = [1]
KERNELS = ["all"]

# Minutes that one cell may take, after which the scheduler ends it.
MINUTES = 30
# Hours that a cell may wait for its node, after which it is given up.
HOURS_PENDING = 48

# Partitions of Slurm, in ReFrame's own words; `access` is what sbatch needs to get there. Example:
#   {"name": "zen4", "access": ["--partition=zen4", "--account=bench"], "max_jobs": 100}
SLURM = []
