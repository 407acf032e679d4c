#!/usr/bin/env bash
# A collection as a Slurm array: sbatch --array=0-7 deploy/slurm.sh --lake LAKE --total-games 10000 …
# Every task plays its part of the games into one lake. A task that is killed goes on when it is requeued.
#SBATCH --job-name=saelake
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=16
#SBATCH --requeue
#SBATCH --signal=TERM@120
set -euo pipefail
exec srun saelake collect "$@"
