# shellcheck shell=bash
# What the jobs share; they read it in the folder that they are submitted from.
set -euo pipefail
if [ ! -f slurm/site.sh ]; then
    echo "submit from the folder that holds slurm/, not from $PWD" >&2
    exit 2
fi
source slurm/site.sh

# Slurm's numbers, which a requeue keeps. In an array a task's own one may be that of the whole array.
id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
id=${id:-$SLURM_JOB_ID}
# RESTORE_RUN=runs/fit/17 goes on with the run of another job.
run=${RESTORE_RUN:-runs/$SLURM_JOB_NAME/$id}

# From Slurm 22.05 on a step does not inherit them.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

# train WORDS: restore fit on all of the job's processes, from the run's last checkpoint on.
train() {
    local launch=("${restore[@]}") status=0
    for word; do
        case $word in
            --ckpt_path* | --trainer.default_root_dir*)
                echo "$word: the job gives it; RESTORE_RUN=FOLDER before slurm/submit goes on with a run" >&2
                exit 2
                ;;
        esac
    done
    if ! grep -q "Requeue=1" <<< "$(scontrol show job "$id")"; then
        echo "this job may not be requeued: SIGUSR1 is ignored, it trains until its end or SIGTERM"
        # shellcheck disable=SC2016  # for the step's shell
        launch=(bash -c 'trap "" USR1; exec "$@"' bash "${launch[@]}")
    fi
    rm -f "$run/.stopped"
    srun --kill-on-bad-exit=1 "${launch[@]}" fit "$@" --ckpt_path last --trainer.default_root_dir "$run" \
        --trainer.num_nodes "$SLURM_JOB_NUM_NODES" --trainer.devices "${SLURM_NTASKS_PER_NODE:-1}" || status=$?
    # Not the exit code: srun's is that of the process it had to kill. 138: SIGUSR1 came before Python had started,
    # each time where the time limit is too short.
    # After SIGTERM Slurm itself requeues, or somebody cancelled.
    if { [ "$status" = 138 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 10 ]; } || grep -qs SIGUSR1 "$run/.stopped"; then
        echo "requeued: goes on in $run"
        scontrol requeue "$id"
        exit 0
    fi
    exit "$status"
}
