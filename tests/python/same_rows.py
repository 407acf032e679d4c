"""Compares the rows of two lakes table by table with DuckDB, whatever their order, and prints as JSON what differs.

usage: same_rows.py LAKE LAKE

The time when a run began and what it measured before it began are left out.
"""

import json
import sys
from pathlib import Path

import duckdb

PARTITIONED = ("features", "feature_rollup", "positions", "attention", "attention_rows")
TABLES = (*PARTITIONED, "runs", "dictionaries", "games", "steps", "tokens", "spans", "prefixes")
OF_RUNS = """* REPLACE ('' AS started_at, json_merge_patch(settings, '{"packing-difference": null}') AS settings)"""


def rows(lake, table):
    folders = "game_block=*/layer=*/" if table in PARTITIONED else ""
    files = Path(lake, table, folders, "*.parquet")
    columns = OF_RUNS if table == "runs" else "*"
    partitioned = str(table in PARTITIONED).lower()
    return f"SELECT {columns} FROM read_parquet('{files}', hive_partitioning = {partitioned})"


connection = duckdb.connect()
answer = {}
for table in TABLES:
    one, other = (f"({rows(lake, table)})" for lake in sys.argv[1:])
    count = connection.execute(f"SELECT count(*) FROM {one}").fetchone()[0]
    only = (f"SELECT count(*) FROM (FROM {a} EXCEPT ALL FROM {b})" for a, b in ((one, other), (other, one)))
    answer[table] = {"rows": count, "differ": sum(connection.execute(sql).fetchone()[0] for sql in only)}
print(json.dumps(answer))
