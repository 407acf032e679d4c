"""Stores the rows of a lake in other ways and prints the bytes a token of each, as a table.

usage: lake_sizes.py LAKE
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

lake = Path(sys.argv[1])
folder = Path(tempfile.mkdtemp())
tokens = dataset.dataset(lake / "tokens", format="parquet", exclude_invalid_files=True).count_rows()
tables = ("features", "attention", "attention_rows", "positions")


def read(table):
    files = sorted((lake / table).glob("game_block=*/layer=*/*.parquet"))
    return dataset.dataset(files, format="parquet", partitioning="hive", partition_base_dir=str(lake / table)).to_table()


def own(table):
    return sum(path.stat().st_size for path in (lake / table).glob("game_block=*/layer=*/*.parquet"))


rows = {table: read(table) for table in tables}
bytes_of = {"this lake": {table: own(table) for table in tables}}

bytes_of["pyarrow, defaults"] = {}
for table in tables:
    path = folder / f"{table}.parquet"
    parquet.write_table(rows[table], path)
    bytes_of["pyarrow, defaults"][table] = path.stat().st_size

bytes_of["npz, compressed, a vector a column"] = {}
for table in tables:
    path = folder / f"{table}.npz"
    np.savez_compressed(path, **{name: rows[table][name].to_numpy() for name in rows[table].column_names})
    bytes_of["npz, compressed, a vector a column"][table] = path.stat().st_size

bytes_of["JSON, an object a row"] = {}
for table in tables:
    path = folder / f"{table}.json"
    with path.open("w") as file:
        for batch in rows[table].to_batches(max_chunksize=50_000):
            file.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    bytes_of["JSON, an object a row"][table] = path.stat().st_size

print(f"\n| bytes a token, the same rows | {' | '.join(f'`{table}`' for table in tables)} | times `features` of this lake |")
print(f"|---|{'--:|' * (len(tables) + 1)}")
for name, sizes in bytes_of.items():
    cells = " | ".join(f"{sizes[table] / tokens:,.1f}" for table in tables)
    print(f"| {name} | {cells} | {sizes['features'] / bytes_of['this lake']['features']:.1f} |")
