"""Times the SQL of a question in DuckDB.

usage: duckdb_times.py < JOB

JOB is a JSON object with the text `sql`, the object `variables`, and `runs`. Prints the times in milliseconds,
from connecting to the last row, the number of rows, and the process's peak of memory in bytes.
"""

import json
import resource
import sys
import time

import duckdb


def ask(sql, variables):
    connection = duckdb.connect(config={"threads": 2})
    for name, value in variables.items():
        literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else json.dumps(value)
        connection.execute(f'SET VARIABLE "{name}" = {literal}')
    return len(connection.execute(sql).fetchall())


def main():
    job = json.load(sys.stdin)
    rows, times = ask(job["sql"], job["variables"]), []
    for _ in range(job["runs"]):
        start = time.perf_counter()
        ask(job["sql"], job["variables"])
        times.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"ms": times, "rows": rows, "peak": peak}))


main()
