"""Runs the SQL that is written for DuckDB in Spark.

The text is parsed by sqlglot and written again in Spark's dialect. What only DuckDB has is replaced by what it
means: `getvariable('x')` by the value, `read_parquet(…)` by a view of the files, and `query(…)` by the
subquery that its text spells, read in the same way. Spark cannot add up within a recursion, so a recursive
subquery is run here round by round, until a round has no rows.
"""

import re

import duckdb
import sqlglot
from pyspark.sql import SparkSession
from sqlglot import exp


def literal(value):
    """A value of JSON in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)


class Spark:
    def __init__(self):
        builder = SparkSession.builder.master("local[2]").appName("saelake")
        settings = {
            "spark.ui.enabled": "false",
            # The tables are tiny: what takes time is planning and compiling.
            "spark.sql.shuffle.partitions": "1",
            "spark.default.parallelism": "1",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.memory": "2g",
            "spark.log.level": "ERROR",
            "spark.sql.session.timeZone": "UTC",
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        self.views = {}

    def ask(self, sql, variables):
        frame = self.session.sql(Translation(self, variables).translate(sql))
        return frame.columns, [tuple(row) for row in frame.collect()]

    def view(self, pattern):
        """The view of the files of a pattern, made when it is first asked for."""
        if pattern not in self.views:
            folder = re.split(r"/(?:game_block=)?\*", pattern)[0]
            name = f"files_{len(self.views)}"
            reader = self.session.read.option("basePath", folder) if "=" in pattern else self.session.read
            reader.parquet(pattern).createOrReplaceTempView(name)
            self.views[pattern] = name
        return self.views[pattern]


class Translation:
    """SQL with the variables of one question."""

    def __init__(self, spark, variables):
        self.spark, self.variables = spark, variables
        # Says what the text of a path or of a subquery comes to.
        self.duckdb = duckdb.connect()
        for name, value in variables.items():
            self.duckdb.execute(f'SET VARIABLE "{name}" = {literal(value)}')

    def translate(self, sql):
        statement, = (tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None)
        statement = self.replaced(statement)
        with_ = statement.args.get("with_")
        for cte in with_.expressions if with_ else ():
            # Spark plans a subquery where it is read, which DuckDB must be told.
            cte.set("materialized", None)
        if with_ and with_.recursive:
            with_.set("recursive", False)
            for cte in list(with_.expressions):
                if any(table.name == cte.alias for table in cte.this.find_all(exp.Table)):
                    self.unroll(statement, with_, cte)
        return statement.sql("spark")

    def unroll(self, statement, with_, cte):
        """Replaces a recursive subquery by a view of its rows."""
        before = [known.copy() for known in with_.expressions[: with_.expressions.index(cte)]]
        name, columns, round_, rounds = cte.alias, None, cte.this.left, []
        while True:
            query = round_.copy()
            query.set("with_", exp.With(expressions=[known.copy() for known in before]))
            frame = self.spark.session.sql(query.sql("spark")).localCheckpoint()
            columns = columns or frame.columns
            rounds.append(frame.toDF(*columns))
            if rounds[-1].isEmpty():
                break
            rounds[-1].createOrReplaceTempView(f"round_{len(rounds)}")
            round_ = renamed(cte.this.right.copy(), name, f"round_{len(rounds)}")
        rows = rounds[0]
        for more in rounds[1:]:
            rows = rows.unionAll(more)
        rows.createOrReplaceTempView(f"all_{name}")
        cte.pop()
        renamed(statement, name, f"all_{name}")

    def replaced(self, tree):
        for table in list(tree.find_all(exp.Table)):
            table.replace(self.source(table))
        return tree.transform(self.variable)

    def source(self, table):
        call = table.this
        if isinstance(call, exp.ReadParquet):
            pattern = self.text(call.expressions[0])
            source = exp.to_table(self.spark.view(pattern))
        elif isinstance(call, exp.Anonymous) and call.name.lower() == "query":
            inner = sqlglot.parse_one(self.text(call.expressions[0]), read="duckdb")
            source = exp.Subquery(this=self.replaced(inner))
        else:
            return table
        for part in ("alias", "joins"):
            source.set(part, table.args.get(part))
        if not source.args.get("alias"):
            source.set("alias", exp.TableAlias(this=exp.to_identifier(f"source_{id(source)}")))
        return source

    def text(self, expression):
        return self.duckdb.execute("SELECT " + expression.sql("duckdb")).fetchone()[0]

    def variable(self, node):
        if isinstance(node, exp.Anonymous) and node.name.lower() == "getvariable":
            return sqlglot.parse_one(literal(self.variables.get(node.expressions[0].name)), read="duckdb")
        return node


def renamed(tree, name, view):
    """Reads `view` where `name` was read."""
    for table in tree.find_all(exp.Table):
        if table.name == name:
            table.set("this", exp.to_identifier(view))
            if not table.args.get("alias"):
                table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    return tree
