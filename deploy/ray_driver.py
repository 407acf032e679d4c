"""A collection on a Ray cluster: python deploy/ray_driver.py SHARDS saelake collect --lake LAKE --total-games 10000 …

Each shard is a task that runs the program; a task whose node is lost, or whose program fails, runs again elsewhere. The
lake must be where every node reaches it. SAELAKE_GPUS says how many GPUs a task takes, 1 by default. The driver ends with
the highest code that a shard has ended with.
"""

import os
import subprocess
import sys

import ray


@ray.remote(num_cpus=1, num_gpus=float(os.environ.get("SAELAKE_GPUS", "1")), max_retries=5, retry_exceptions=True)
def run(command: list[str], shard: str) -> int:
    # Wrong options (2) do not get better by another attempt, and steps that cannot run (6) are in the lake.
    ended = subprocess.run([*command, "--shard", shard], check=False)
    if ended.returncode not in (0, 2, 6):
        raise RuntimeError(f"shard {shard} ended with {ended.returncode}")
    print(f"shard {shard} ended with {ended.returncode}", flush=True)
    return ended.returncode


if __name__ == "__main__":
    shards, command = int(sys.argv[1]), sys.argv[2:]
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"))
    sys.exit(max(ray.get([run.remote(command, f"{index}/{shards}") for index in range(shards)])))
