"""Compares three lakes of the same steps, collected with --positions all, new and last, and prints what it finds as JSON.

usage: seen_positions.py ALL NEW LAST

Of each large table: how many rows each lake stores; how many rows of ALL are missing where NEW is seen through
`prefixes`, or are too many; the largest difference of a number; and rows of LAST that are not of a decision.
"""

import json
import sys
from pathlib import Path

import duckdb

LAKES = dict(zip(("all", "new", "last"), sys.argv[1:]))
# What names a row, and its numbers; the first one but the step says of which position it is.
TABLES = {
    "features": ("position", ["layer", "feature"], ["activation"]),
    "positions": ("position", ["layer"], ["feature_norm", "residual_norm", "reconstruction_error", "kept_share"]),
    "attention": ("query", ["layer", "head", "key"], ["weight"]),
    "attention_rows": ("query", ["layer", "head"], ["kept_mass", "entropy"]),
}


def files(lake, table):
    folders = "game_block=*/layer=*/" if table in (*TABLES, "feature_rollup") else ""
    path = Path(LAKES[lake], table, folders, "*.parquet")
    return f"read_parquet('{path}', hive_partitioning = {str(bool(folders)).lower()})"


connection = duckdb.connect()


def one(sql):
    return connection.execute(sql).fetchone()[0]


answer = {}
for table, (position, key, numbers) in TABLES.items():
    names = ["game", "step", position, *key]
    seen = f"""(
        SELECT {', '.join(names + numbers)} FROM {files('new', table)}
        UNION ALL
        SELECT r.game, p.step, {', '.join('r.' + name for name in names[2:] + numbers)}
        FROM {files('new', table)} AS r JOIN {files('new', 'prefixes')} AS p
            ON r.game = p.game AND r.step = p.stored_step AND r.{position} BETWEEN p.position_start AND p.position_end - 1
    )"""
    both = f"{files('all', table)} AS a FULL JOIN {seen} AS b USING ({', '.join(names)})"
    share = max(one(f"SELECT max(abs(a.{n} - b.{n}) / (abs(a.{n}) + 1e-3)) FROM {both}") for n in numbers)
    answer[table] = {
        **{lake: one(f"SELECT count(*) FROM {files(lake, table)}") for lake in LAKES},
        "missing": one(f"SELECT count(*) FROM {both} WHERE a.{numbers[0]} IS NULL OR b.{numbers[0]} IS NULL"),
        "differ": share,
        "not of decisions": one(f"""SELECT count(*) FROM {files('last', table)} AS r
            JOIN {files('last', 'steps')} AS s USING (game, step) WHERE r.{position} <> s.decision_position"""),
        "bytes": {lake: sum(path.stat().st_size for path in Path(LAKES[lake], table).rglob("*.parquet")) for lake in LAKES},
    }
counts = (f"(SELECT layer, game, feature, count, step, position FROM {files(lake, 'feature_rollup')})" for lake in ("all", "new"))
answer["rollup"] = one("SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})".format(*counts))
print(json.dumps(answer))
