# shellcheck shell=bash disable=SC2034
# What tether needs to know of a cluster: copy this file to slurm/site.sh and fill it in. It is sourced
# by slurm/submit where you submit (options of sbatch) and by slurm/run.sbatch inside the job (the rest).
# Nothing about a site belongs into any other file. All of it may be overridden on the command line:
# what follows `--` in `tether sweep submit DIR --site FILE -- …` goes to sbatch last.

# Options of sbatch: account, partition, time limit, memory, constraints.
TETHER_SBATCH=(
    --partition=main
    --time=12:00:00
    --mem-per-cpu=2G
    # --account=project
)

# The shape of one run. Ranks on all nodes together: a power of two that divides parallel.lanes (8).
TETHER_NODES=1
TETHER_NODE_RANKS=1
TETHER_RANK_CPUS=4  # threads of a rank
TETHER_NODE_GPUS=0  # as many as ranks per node; device = local rank
TETHER_COORDINATOR=shared # or dedicated: one more rank, without a device, on the first node

# srun (needs Slurm's PMIx plugin, or whatever TETHER_MPI names: `srun --mpi=list`), or mpirun.
TETHER_LAUNCHER=srun
TETHER_MPI=pmix
TETHER_MPIRUN_FLAGS=(--bind-to none)

# A folder on the node's own disk: the data file is copied there once per node and read from there.
# Single quotes: it is filled in on the node.
# TETHER_LOCAL_DATA='${TMPDIR:-/tmp}'

TETHER_RETRIES=3        # a job requeues itself so often after exit code 13 or 137; after 75 always
TETHER_SIGNAL_BEFORE=180 # seconds before the time limit at which a run is told to checkpoint

# Modules, paths, variables, inside the job, before anything of tether is started.
tether_setup() {
    # module load gcc/12 openmpi/4.1 hdf5/1.10
    export OMP_NUM_THREADS=1
}
