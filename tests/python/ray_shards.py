"""Runs a collection in four parts on a Ray cluster of two nodes, kills one of them midway, and compares the lake.

usage: ray_shards.py PROGRAM FOLDER

The driver is deploy/ray_driver.py as it is. What was running on the node that dies dies with it, once as a whole and
once but for the program itself, which goes on beside the attempt that takes its place. The lake must have every game
once, be sound, and have the rows of the same parts done one after the other by themselves.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

REPOSITORY = Path(__file__).resolve().parents[2]
GAMES, SHARDS = 24, 4
program, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
# Python with DuckDB is another one than that with Ray.
compare = [REPOSITORY / "target/python/bin/python", REPOSITORY / "tests/python/same_rows.py"]
OPTIONS = f"--total-games {GAMES} --device cpu --layers 15 --commit-games 1 --seed 3".split()


def collect(lake):
    return [str(program), "collect", "--lake", str(lake), *OPTIONS]


def commits(lake):
    """Entries after the one that made the table."""
    return max(0, len(list((lake / "games/_delta_log").glob("*.json"))) - 1)


def below(process):
    """A process and all that it has started, by their ids and names."""
    found, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, rest = path.joinpath("stat").read_text().rsplit(")", 1)
            parents[int(path.name)] = (int(rest.split()[1]), name.split("(", 1)[1])
        except OSError:
            continue
    for process_id, (_, name) in parents.items():
        ancestor = process_id
        while ancestor in parents and ancestor != process:
            ancestor = parents[ancestor][0]
        if ancestor == process:
            found[process_id] = name
    return found


def lose_a_node(name, spares_the_program):
    lake = folder / name
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    environment = {**os.environ, "RAY_ADDRESS": cluster.address, "SAELAKE_GPUS": "0"}
    driver = [sys.executable, str(REPOSITORY / "deploy/ray_driver.py"), str(SHARDS), *collect(lake)]
    running = subprocess.Popen(driver, env=environment)
    while commits(lake) < 3:
        assert running.poll() is None, "the driver ended before a node was lost"
        time.sleep(0.02)
    processes = {}
    for started in nodes[0].all_processes["raylet"]:
        processes.update(below(started.process.pid))
    lost = [process for process, command in processes.items() if command == "saelake"]
    assert len(lost) == 1, f"nothing was at work on the node: {processes}"
    for process, command in processes.items():
        if command != "saelake" or not spares_the_program:
            os.kill(process, signal.SIGKILL)
    at = commits(lake)
    print(f"{name}: {len(processes)} processes of a node killed after {at} commits", flush=True)
    assert running.wait(timeout=600) == 0, "the driver failed"
    while spares_the_program and Path(f"/proc/{lost[0]}").exists():
        time.sleep(0.1)
    assert at < GAMES, "the node was lost after all was done"
    cluster.shutdown()
    return lake


def check(lake, whole):
    subprocess.run([program, "lake", "verify", lake], check=True)
    answer = subprocess.run([*compare, lake, whole], check=True, capture_output=True, text=True).stdout
    tables = json.loads(answer)
    assert tables["games"]["rows"] == GAMES, tables
    assert all(about["differ"] == 0 for about in tables.values()), tables
    print(f"{lake.name}: {GAMES} games, each once, the rows of an undisturbed run", flush=True)


whole = folder / "whole"
for shard in range(SHARDS):
    subprocess.run([*collect(whole), "--shard", f"{shard}/{SHARDS}"], check=True, stderr=subprocess.DEVNULL)
check(lose_a_node("lost", spares_the_program=False), whole)
check(lose_a_node("spared", spares_the_program=True), whole)
