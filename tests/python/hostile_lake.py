"""Copies a lake and puts markup into every text that a report shows: names of games, spans, models, sources.

usage: hostile_lake.py LAKE COPY
"""

import shutil
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

MARKUP = '</script><script>alert("{0}")</script><img src=x onerror="alert(\'{0}\')">'
TEXTS = {
    "games": ["game_id", "outcome"], "spans": ["name"], "runs": ["model", "source"], "dictionaries": ["source", "neuronpedia", "hook"],
    "steps": ["decision"],
}


def main():
    lake, copy = map(Path, sys.argv[1:])
    shutil.copytree(lake, copy)
    for table, names in TEXTS.items():
        for path in (copy / table).glob("*.parquet"):
            rows = pyarrow.parquet.read_table(path)
            for name in names:
                at = rows.schema.get_field_index(name)
                values = [
                    value if value in (None, "bet", "stop") else f"{value}{MARKUP.format(name)}"
                    for value in rows.column(name).to_pylist()
                ]
                rows = rows.set_column(at, rows.schema.field(name), pyarrow.array(values, rows.schema.field(name).type))
            pyarrow.parquet.write_table(rows, path)


main()
