"""Prints how many rows the files of a table hold.

usage: lake_rows.py LAKE TABLE
"""

import sys
from pathlib import Path

import pyarrow.parquet

lake, table = sys.argv[1:]
files = Path(lake, table).rglob("part-*.parquet")
print(sum(pyarrow.parquet.read_metadata(path).num_rows for path in files))
