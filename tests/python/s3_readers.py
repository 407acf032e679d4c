"""Reads every table of lakes on S3 in deltalake, pyarrow and polars, and compares with what was written to each.

usage: s3_readers.py EXPECTED.json COPY BUCKET/PATH...

EXPECTED.json is that of readers.py. The endpoint and the credentials are in the environment. At the end, every object
of a lake is copied to the folder COPY under the last part of its path, for who looks for what should not be there.
"""

import json
import os
import sys
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
from readers import checksum


def main(expected: str, copy: str, *places: str) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    files = pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"), scheme="http", region="us-east-1"
    )
    for place in places:
        read = check(place, json.loads(Path(expected).read_text()), files, endpoint)
        for about in files.get_file_info(pyarrow.fs.FileSelector(place, recursive=True)):
            if about.type == pyarrow.fs.FileType.File:
                to = Path(copy) / Path(about.path).relative_to(Path(place).parent)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(files.open_input_file(about.path).read())
        print(f"{place}: {read} tables read")


def check(place: str, expected: dict, files: pyarrow.fs.S3FileSystem, endpoint: str) -> int:
    options = {"aws_endpoint_url": endpoint, "aws_region": "us-east-1", "aws_allow_http": "true"}
    read = 0
    for table, about in expected.items():
        columns, folders = about["columns"], about["folders"]
        schema = pa.schema([(name, pa.int32()) for name in folders])
        partitioning = pa.dataset.partitioning(schema, flavor="hive") if folders else None
        dataset = pa.dataset.dataset(f"{place}/{table}", filesystem=files, format="parquet", partitioning=partitioning)
        glob = "/".join([f"s3://{place}/{table}", *(f"{folder}=*" for folder in folders), "*.parquet"])
        delta = deltalake.DeltaTable(f"s3://{place}/{table}", storage_options=options)
        tables = {"deltalake": delta.to_pyarrow_table()}
        if about["rows"]:
            tables["pyarrow"] = dataset.to_table()
            tables["polars"] = (
                pl.scan_parquet(glob, hive_partitioning=bool(folders), storage_options=options).collect().to_arrow()
            )
        for engine, rows in tables.items():
            found = rows.num_rows, checksum(rows, columns) if rows.num_rows else "0"
            assert found == (about["rows"], about["checksum"]), f"{engine}: {table} has {found}, not {about}"
            read += 1
    return read


with np.errstate(over="ignore"):
    main(*sys.argv[1:])
sys.stdout.flush()
# As in readers.py: what the engines' threads do at the end is not what is tested.
os._exit(0)
