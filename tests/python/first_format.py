"""Copies a made lake as it would be in the first format: without a rollup, prefixes, and what `runs` says of them.

usage: first_format.py LAKE COPY
"""

import shutil
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

lake, copy = map(Path, sys.argv[1:])
shutil.copytree(lake, copy, ignore=shutil.ignore_patterns("feature_rollup", "prefixes"))
for path in (copy / "runs").glob("*.parquet"):
    runs = pyarrow.parquet.read_table(path).drop_columns(["positions", "activation_bits"])
    index = runs.schema.get_field_index("format_version")
    first = pyarrow.array([1] * len(runs), pyarrow.int32())
    pyarrow.parquet.write_table(runs.set_column(index, "format_version", first), path)
