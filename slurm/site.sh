# shellcheck shell=bash disable=SC2034  # read by slurm/submit and by the jobs
# What differs between clusters: edit this file, and nothing else in this folder.

# What jobs ask for (slurm/submit). Empty: the cluster's default.
partition=
account=
time=
# GPUs of a node, a process each; 0: one process on the CPUs. For one job: gpus=2 slurm/submit ...
gpus=${gpus:-0}
# CPUs of a process: data.num_workers and one more.
cpus=2

# How a job calls restore: in the virtual environment of `make setup`,
# shellcheck disable=SC1091
source .venv/bin/activate
restore=(restore)
agent=(wandb agent)
# or in a container:
#   restore=(apptainer exec --nv --bind "$PWD" restore.sif restore)
#   agent=(apptainer exec --nv --bind "$PWD" restore.sif wandb agent)
