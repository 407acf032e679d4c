"""Reads every table of a lake of an earlier format by its Delta log, and by the glob of data-layout.md in DuckDB.

usage: earlier_lake.py LAKE TABLES.json

TABLES.json holds for each table its rows, and the sum of one of its columns, as they were when the lake was made.
"""

import json
import sys
from pathlib import Path

import deltalake
import duckdb
import pyarrow.compute

lake, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
for name, told in expected.items():
    table = deltalake.DeltaTable(str(lake / name)).to_pyarrow_table()
    column = pyarrow.compute.cast(table.column(told["column"]), pyarrow.float64())
    folders = "game_block=*/layer=*/" if "layer" in table.column_names and name != "dictionaries" else ""
    sql = f"select count(*), sum({told['column']}::DOUBLE) from read_parquet('{lake / name}/{folders}*.parquet')"
    for reader, rows, total in [
        ("deltalake", table.num_rows, pyarrow.compute.sum(column).as_py()),
        ("DuckDB", *duckdb.sql(sql).fetchall()[0]),
    ]:
        assert rows == told["rows"], f"{reader}: {name} has {rows} rows, not {told['rows']}"
        difference = abs(total - told["sum"])
        assert difference <= 1e-9 * abs(told["sum"]), f"{reader}: {name} sums to {total}, not {told['sum']}"
print(len(expected))
