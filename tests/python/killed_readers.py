"""Reads lakes whose writers were killed in DuckDB, polars, pandas, deltalake and Spark, as data-layout.md tells to.

usage: killed_readers.py LAKE EXPECTED.json NEXT.json|- [LAKE EXPECTED.json NEXT.json|-]...

EXPECTED.json is that of readers.py, for the games that were committed; NEXT.json counts the batch with them that the
writer was at. With - deltalake alone is asked: files that were replaced may still be there. Of every table, the rows of
games that are in `games` count, in the block that it says, and of runs those that have one. deltalake must find what is
expected. Who reads by a glob may find the file of `games` that was moved and not committed: then every table must have
the rest of that batch, whole.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from readers import ARROW, checksum, pattern, read_delta, read_duckdb, read_pandas, read_polars
from spark_readers import cluster
from spark_readers import read as read_spark


def main() -> None:
    spark = cluster()
    engines = {
        "deltalake": lambda lake, name, *about: read_delta(str(lake / name), *about),
        "DuckDB": lambda lake, name, *about: read_duckdb(pattern(lake, name, about[1]), *about),
        "polars": lambda lake, name, *about: read_polars(pattern(lake, name, about[1]), *about),
        "pandas": lambda lake, name, *about: read_pandas(str(lake / name), *about),
        "Spark": lambda lake, name, *about: read_spark(spark, lake, name, *about),
    }
    for place, said, following in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3], strict=True):
        lake, expected = Path(place), json.loads(Path(said).read_text())
        states = [state(expected)]
        asked = ["deltalake"] if following == "-" else list(engines)
        if following != "-":
            states.append(state(json.loads(Path(following).read_text())))
        ahead = []
        for engine in asked:
            found = {name: (rows.num_rows, checksum(rows, expected[name]["columns"]))
                     for name, rows in counted(lake, expected, engines[engine], engine == "deltalake")}
            may = states[:1] if engine == "deltalake" else states
            assert found in may, f"{engine}: {lake} has {found}, not {states[0]}"
            if found != states[0]:
                ahead.append(engine)
        more = f", and a batch under way in {', '.join(ahead)}" if ahead else ""
        print(f"{lake.name}: {expected['games']['rows']} games in {', '.join(asked)}{more}")
    spark.stop()


def state(expected: dict) -> dict:
    return {name: (about["rows"], about["checksum"]) for name, about in expected.items()}


def counted(lake: Path, expected: dict, read: Callable, by_log: bool) -> Iterator[tuple[str, pa.Table]]:
    """The rows of every table that count, those of `games` first."""
    for name in sorted(expected, key=lambda name: name != "games"):
        columns, folders = expected[name]["columns"], expected[name]["folders"]
        if by_log or any((lake / name).rglob("part-*.parquet")):
            rows = read(lake, name, columns, folders)
        else:
            # Nobody reads a glob that names no file.
            rows = pa.table({column: pa.array([], ARROW[kind]) for column, kind in columns.items()})
        if name == "games":
            games = rows
        key = ["game", "game_block"] if "game_block" in columns else ["game"] if "game" in columns else ["run"]
        homes = set(zip(*(games[column].to_pylist() for column in key)))
        counts = [home in homes for home in zip(*(rows[column].to_pylist() for column in key))]
        yield name, rows.filter(pa.array(counts, pa.bool_()))


if __name__ == "__main__":
    with np.errstate(over="ignore"):
        main()
    sys.stdout.flush()
    os._exit(0)
