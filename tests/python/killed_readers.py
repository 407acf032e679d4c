"""Reads lakes whose writers were killed in DuckDB, polars, pandas, deltalake and Spark, as data-layout.md tells to.

usage: killed_readers.py LAKE EXPECTED.json NEXT.json [LAKE EXPECTED.json NEXT.json]...

EXPECTED.json is that of readers.py, for the games that were committed; NEXT.json counts the batch with them that the
writer was at. Of every table, the rows of games that are in `games` count, in the block that it says, and of runs those
that have one. deltalake must find what is expected. Who reads by a glob may find the file of `games` that was moved and
not committed: then every table must have the rest of that batch, whole.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from readers import ARROW, checksum, pattern, read_delta, read_duckdb, read_pandas, read_polars
from spark_readers import cluster
from spark_readers import read as read_spark


def main() -> None:
    spark = cluster()
    engines = {
        "DuckDB": lambda lake, name, *about: read_duckdb(pattern(lake, name, about[1]), *about),
        "polars": lambda lake, name, *about: read_polars(pattern(lake, name, about[1]), *about),
        "pandas": lambda lake, name, *about: read_pandas(str(lake / name), *about),
        "Spark": lambda lake, name, *about: read_spark(spark, lake, name, *about),
        "deltalake": lambda lake, name, *about: read_delta(str(lake / name), *about),
    }
    for place, *said in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3], strict=True):
        lake, (expected, following) = Path(place), [json.loads(Path(text).read_text()) for text in said]
        ahead = []
        for engine, read in engines.items():
            found = {name: (rows.num_rows, checksum(rows, about["columns"]))
                     for name, about, rows in tables(lake, expected, read, engine)}
            states = [{name: (about["rows"], about["checksum"]) for name, about in state.items()}
                      for state in (expected, following)]
            assert found == states[0] or (engine != "deltalake" and found == states[1]), (
                f"{engine}: {lake} has {found}, not {states[0]}"
            )
            ahead += [engine] * (found != states[0])
        print(f"{lake.name}: {expected['games']['rows']} games" + f", a batch more by glob in {ahead}" * bool(ahead))
    spark.stop()


def tables(lake: Path, expected: dict, read: object, engine: str):
    """The rows of every table that count."""
    games = None
    for name in sorted(expected, key=lambda name: name != "games"):
        columns, folders = expected[name]["columns"], expected[name]["folders"]
        if engine == "deltalake" or any((lake / name).rglob("part-*.parquet")):
            rows = read(lake, name, columns, folders)
        else:
            # Nobody reads a glob that names no file.
            rows = pa.table({column: pa.array([], kind) for column, kind in empty(columns)})
        if name == "games":
            games = rows
            homes = set(zip(rows["game"].to_pylist(), rows["game_block"].to_pylist()))
            keys, runs = {game for game, _ in homes}, set(games["run"].to_pylist())
        elif "game_block" in columns:
            rows = rows.filter(pa.array([home in homes for home in zip(rows["game"].to_pylist(), rows["game_block"].to_pylist())], pa.bool_()))
        elif "game" in columns:
            rows = rows.filter(pa.array([game in keys for game in rows["game"].to_pylist()], pa.bool_()))
        else:
            rows = rows.filter(pa.array([run in runs for run in rows["run"].to_pylist()], pa.bool_()))
        yield name, expected[name], rows


def empty(columns: dict):
    return [(column, ARROW[kind]) for column, kind in columns.items()]


if __name__ == "__main__":
    with np.errstate(over="ignore"):
        main()
    sys.stdout.flush()
    os._exit(0)
