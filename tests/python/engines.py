"""Asks DuckDB or Spark the questions that SQL files ask.

usage: engines.py [--engine duckdb|spark] < JOBS

JOBS is a JSON list of objects {"sql": the file, "variables": {name: value}}. Prints a JSON list with an answer
to each: its rows as a list of objects, or {"error": why there is none}. Numbers are printed with all their
digits; those that JSON lacks as "nan", "inf" and "-inf".
"""

import argparse
import decimal
import json
import math
import sys
from pathlib import Path

import duckdb
from spark_engine import Spark, literal


def plain(value):
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


class DuckDb:
    def ask(self, sql, variables):
        connection = duckdb.connect()
        for name, value in variables.items():
            connection.execute(f'SET VARIABLE "{name}" = {literal(value)}')
        cursor = connection.execute(sql)
        return [column[0] for column in cursor.description], cursor.fetchall()


def answer(engine, job):
    try:
        names, rows = engine.ask(Path(job["sql"]).read_text(encoding="utf-8"), job["variables"])
    except Exception as error:  # whatever an engine says is the answer
        return {"error": f"{type(error).__name__}: {error}"[:4000]}
    return [dict(zip(names, map(plain, row))) for row in rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["duckdb", "spark"], default="duckdb")
    engine = Spark() if parser.parse_args().engine == "spark" else DuckDb()
    jobs = json.load(sys.stdin)
    print(json.dumps([answer(engine, job) for job in jobs]))


main()
