"""Two lakes of the games of another one, whose steps begin as the step before them does: one that stores every position
with each step, and one that stores those of the beginning once.

usage: shared_lake.py LAKE ALL NEW

No engine is in this: rows are moved about in plain dictionaries.
"""

import shutil
import sys
from pathlib import Path

import pyarrow.parquet
from lake_files import SCHEMAS, rollup, write

# The column of a large table that says of which position a row is, and by what its rows are sorted.
LARGE = {
    "features": ("position", ("position", "rank")),
    "positions": ("position", ("position",)),
    "attention": ("query", ("head", "query", "key")),
    "attention_rows": ("query", ("head", "query")),
}


def read(lake, table):
    """The rows of every file of a table, as tuples in the order of its columns."""
    files = sorted((lake / table).rglob("part-*.parquet"))
    columns = list(SCHEMAS[table])
    return {path: list(zip(*[pyarrow.parquet.read_table(path, partitioning=None).column(c).to_pylist() for c in columns]))
            for path in files}


def owners_of(steps):
    """Of each step of a game and each of its positions, the step that has its rows. A step begins with two thirds of what
    both it and the step before it read up to their decisions."""
    owners, before = {}, None
    for (game, step), (tokens, decision) in sorted(steps.items()):
        own = [step] * tokens
        if before and before[0] == game and min(decision, before[2]) > 0:
            cut = 1 + 2 * min(decision, before[2]) // 3
            cut = min(cut, decision, before[2])
            own[:cut] = owners[game, before[1]][:cut]
        owners[game, step] = own
        if tokens and decision >= 0:
            before = (game, step, decision)
    return owners


def runs_of(owners):
    rows = []
    for (game, step), own in sorted(owners.items()):
        start = 0
        for end in range(1, len(own) + 1):
            if end == len(own) or own[end] != own[start]:
                if own[start] != step:
                    rows.append((game, step, start, end, own[start]))
                start = end
    return rows


def main():
    source, everything, new = map(Path, sys.argv[1:])
    for lake in (everything, new):
        shutil.copytree(source, lake)
    # The rows that an interrupted run left are of no step, and stay as they are.
    games = {row[0]: row[2] for rows in read(source, "games").values() for row in rows}
    steps = [row for rows in read(source, "steps").values() for row in rows if row[0] in games]
    tokens = [row for rows in read(source, "tokens").values() for row in rows]
    owners = owners_of({(row[0], row[1]): (row[2], row[4]) for row in steps})
    features = {}
    for table, (position, order) in LARGE.items():
        columns = list(SCHEMAS[table])
        at, keys = columns.index(position), [columns.index(name) for name in order]
        for path, rows in read(source, table).items():
            place = path.relative_to(source)
            if any(f"game_block={games.get(row[0])}" not in place.parts for row in rows):
                continue
            stored, found = {}, []
            for row in rows:
                stored.setdefault((row[0], row[1], row[at]), []).append(row)
            own = [row for row in rows if owners[row[0], row[1]][row[at]] == row[1]]
            for (game, step), of_step in owners.items():
                for index, owner in enumerate(of_step):
                    if owner != step:
                        found += [(game, step, *row[2:]) for row in stored.get((game, owner, index), [])]
            whole = sorted(own + found, key=lambda row: (row[0], row[1], *[row[key] for key in keys]))
            name, folder = path.stem.removeprefix("part-"), place.parent.relative_to(table)
            write(everything, table, whole, name, folder)
            write(new, table, own, name, folder)
            if table == "features":
                features[folder, name] = whole
    for (folder, name), rows in features.items():
        for lake in (everything, new):
            write(lake, "feature_rollup", rollup(rows, steps, tokens), name, folder)
    runs = runs_of(owners)
    for path, games_of_file in read(source, "games").items():
        of_file = {row[0] for row in games_of_file}
        write(new, "prefixes", [row for row in runs if row[0] in of_file], path.stem.removeprefix("part-"))
    for path, rows in read(source, "runs").items():
        at = list(SCHEMAS["runs"]).index("positions")
        write(new, "runs", [(*row[:at], "new", *row[at + 1:]) for row in rows], path.stem.removeprefix("part-"))
    print(len(runs))


main()
