"""Asks DuckDB what attribution.sql says of a lake.

Usage: attribution.py LAKE SQL_FILE < SETTINGS

SETTINGS is a JSON list of objects, each the variables of one question besides the lake. Prints a JSON list
with the rows of each as objects.
"""

import json
import sys

import duckdb


def ask(lake, sql, settings):
    connection = duckdb.connect()
    for name, value in {"lake": lake, **settings}.items():
        literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else json.dumps(value)
        connection.execute(f'SET VARIABLE "{name}" = {literal}')
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def main():
    lake, sql_file = sys.argv[1:]
    with open(sql_file, encoding="utf-8") as file:
        sql = file.read()
    print(json.dumps([ask(lake, sql, settings) for settings in json.load(sys.stdin)]))


main()
