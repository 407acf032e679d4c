"""Reads every table of a lake in DuckDB, polars, pandas and deltalake, and compares with what was written.

usage: readers.py LAKE EXPECTED.json [LAKE EXPECTED.json]...

EXPECTED.json holds for each table its columns, with types and partition columns last, its row count and
its checksum. The checksum is the sum over rows of a hash of the row, so the order of rows does not matter;
tests/lake/checksum.rs computes the same of the rows that were given to the writer. At the end, the lines that
data-layout.md gives for each reader are run as they stand.
"""

import json
import os
import re
import sys
from pathlib import Path

import deltalake
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset

MIX = np.uint64(0x9E3779B97F4A7C15)
START = np.uint64(0xCBF29CE484222325)
MISSING = np.uint64(0x5851F42D4C957F2D)

DUCKDB = {"Int32": "INTEGER", "Int64": "BIGINT", "Float32": "FLOAT", "Utf8": "VARCHAR", "Boolean": "BOOLEAN"}
POLARS = {"Int32": pl.Int32, "Int64": pl.Int64, "Float32": pl.Float32, "Utf8": pl.String, "Boolean": pl.Boolean}
ARROW = {"Int32": pa.int32(), "Int64": pa.int64(), "Float32": pa.float32(), "Utf8": pa.string(), "Boolean": pa.bool_()}


def pattern(lake: Path, table: str, folders: list[str]) -> str:
    """The glob that data-layout.md tells readers to use."""
    return "/".join([str(lake), table, *(f"{folder}=*" for folder in folders), "*.parquet"])


def read_duckdb(glob: str, columns: dict, folders: list[str]) -> pa.Table:
    names = ", ".join(f'"{name}"' for name in columns)
    query = duckdb.connect().execute(f"select {names} from read_parquet('{glob}', hive_partitioning = true)")
    for (name, kind, *_), expected in zip(query.description, columns.values()):
        # DuckDB reads the values of folders as 64-bit integers.
        expected = "BIGINT" if name in folders else DUCKDB[expected]
        assert str(kind) == expected, f"DuckDB: {name} is {kind}, not {expected}"
    return query.to_arrow_table()


def read_polars(glob: str, columns: dict, folders: list[str]) -> pa.Table:
    frame = pl.scan_parquet(glob, hive_partitioning=bool(folders)).select(list(columns)).collect()
    for name, expected in columns.items():
        expected = pl.Int64 if name in folders else POLARS[expected]
        assert frame.schema[name] == expected, f"polars: {name} is {frame.schema[name]}, not {expected}"
    return frame.to_arrow()


def read_pandas(folder: str, columns: dict, folders: list[str]) -> pa.Table:
    schema = pa.schema([(name, pa.int32()) for name in folders])
    partitioning = pa.dataset.partitioning(schema, flavor="hive") if folders else None
    frame = pd.read_parquet(folder, dtype_backend="pyarrow", partitioning=partitioning)[list(columns)]
    for name, expected in columns.items():
        found = frame[name].dtype
        assert found == pd.ArrowDtype(ARROW[expected]), f"pandas: {name} is {found}, not {expected}"
    return pa.Table.from_pandas(frame, preserve_index=False)


def read_delta(folder: str, columns: dict, folders: list[str]) -> pa.Table:
    table = deltalake.DeltaTable(folder).to_pyarrow_table().select(list(columns))
    for name, expected in columns.items():
        found = table.schema.field(name).type
        assert found == ARROW[expected], f"deltalake: {name} is {found}, not {expected}"
    return table


def text_hash(text: str) -> int:
    """FNV-1a over the UTF-8 bytes."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def bits(column: pa.ChunkedArray) -> np.ndarray:
    """A column as 64-bit patterns."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_integer(column.type):
        values = column.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64)
    elif pa.types.is_floating(column.type):
        values = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float32).view(np.uint32)
    elif pa.types.is_boolean(column.type):
        values = column.fill_null(False).to_numpy(zero_copy_only=False)
    else:
        seen: dict[str, int] = {}
        texts = ["" if text is None else text for text in column.to_pylist()]
        values = np.array([seen.setdefault(text, text_hash(text)) for text in texts], dtype=np.uint64)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, MISSING, values.astype(np.uint64))


def checksum(table: pa.Table, columns: dict) -> str:
    rows = np.full(table.num_rows, START)
    for name in columns:
        rows = (rows ^ bits(table.column(name))) * MIX
        rows ^= rows >> np.uint64(32)
    return str(int(rows.sum(dtype=np.uint64)))


def check_lines_of_the_layout(lake: Path, features: int) -> None:
    """Every reader's line finds the rows of a layer, or of all three."""
    layout = (Path(__file__).parents[2] / "data-layout.md").read_text().replace("LAKE", str(lake))
    blocks = re.findall(r"```(sql|python)\n(.*?)```", layout, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["sql", "python", "sql"]
    duckdb.sql(blocks[2][1]).to_arrow_table()
    found = [duckdb.sql(blocks[0][1]).to_arrow_table().num_rows]
    for line in blocks[1][1].splitlines():
        rows = eval(line, {"polars": pl, "pandas": pd, "deltalake": deltalake})
        found.append(len(rows.collect()) if isinstance(rows, pl.LazyFrame) else len(rows))
    assert found == [features // 3, features, features // 3, features], f"{found} of {features} rows"


def main() -> None:
    for lake, expected in zip(sys.argv[1::2], sys.argv[2::2]):
        check(Path(lake), json.loads(Path(expected).read_text()))


def check(lake: Path, expected: dict) -> None:
    for name, table in expected.items():
        columns, folders = table["columns"], table["folders"]
        glob = pattern(lake, name, folders)
        found = {
            "DuckDB": read_duckdb(glob, columns, folders),
            "polars": read_polars(glob, columns, folders),
            "pandas": read_pandas(str(lake / name), columns, folders),
            "deltalake": read_delta(str(lake / name), columns, folders),
        }
        for reader, rows in found.items():
            assert rows.num_rows == table["rows"], f"{reader}: {name} has {rows.num_rows} rows, not {table['rows']}"
            sum_ = checksum(rows, columns)
            assert sum_ == table["checksum"], f"{reader}: {name} has checksum {sum_}, not {table['checksum']}"
        print(f"{name}: {table['rows']} rows, the same in {', '.join(found)}")
    check_lines_of_the_layout(lake, expected["features"]["rows"])


if __name__ == "__main__":
    with np.errstate(over="ignore"):
        main()
    # Four engines leave threads of their own behind. What they do while the interpreter is taken down is not what is
    # tested, and it has ended the process badly after all had agreed.
    sys.stdout.flush()
    os._exit(0)
