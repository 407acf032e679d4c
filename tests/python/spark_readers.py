"""Reads every table of lakes in Spark, on a cluster of two worker processes, and compares with what was written.

usage: spark_readers.py LAKE EXPECTED.json [LAKE EXPECTED.json …]

EXPECTED.json and the checksum are those of readers.py. Spark reads the Parquet files by the glob that data-layout.md
tells readers to use; executors decode them, each in a process of its own.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from readers import checksum, pattern

SPARK = {"Int32": "int", "Int64": "bigint", "Float32": "float", "Utf8": "string", "Boolean": "boolean"}

# Two workers of one core and 1,024 MB.
CLUSTER = "local-cluster[2,1,1024]"


def cluster() -> SparkSession:
    builder = SparkSession.builder.master(CLUSTER).appName("saelake")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executor.memory": "1g",
        "spark.driver.memory": "2g",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def read(spark: SparkSession, lake: Path, name: str, columns: dict, folders: list[str]) -> pa.Table:
    reader = spark.read.option("basePath", str(lake / name))
    frame = reader.parquet(pattern(lake, name, folders)).select(list(columns))
    found, expected = dict(frame.dtypes), {column: SPARK[kind] for column, kind in columns.items()}
    assert found == expected, f"Spark: {name} has {found}, not {expected}"
    return frame.toArrow()


def main() -> None:
    spark = cluster()
    for root, said in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        lake, expected = Path(root), json.loads(Path(said).read_text())
        for name, table in expected.items():
            columns, folders = table["columns"], table["folders"]
            rows = read(spark, lake, name, columns, folders)
            assert rows.num_rows == table["rows"], f"{root}: {name} has {rows.num_rows} rows, not {table['rows']}"
            found = checksum(rows, columns)
            assert found == table["checksum"], f"{root}: {name} has checksum {found}, not {table['checksum']}"
        print(f"{lake.name}: {len(expected)} tables, the same in Spark")
    workers = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    print(f"{workers} workers")
    spark.stop()


if __name__ == "__main__":
    with np.errstate(over="ignore"):
        main()
    sys.stdout.flush()
    os._exit(0)
