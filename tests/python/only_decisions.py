"""Drops from a made lake the rows of all positions but those of decisions, as a run with --positions last does.

usage: only_decisions.py LAKE
"""

import sys
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

lake = Path(sys.argv[1])
decisions = pyarrow.concat_tables(pyarrow.parquet.read_table(path) for path in sorted((lake / "steps").glob("*.parquet")))
decisions = decisions.select(["game", "step", "decision_position"])
for table, position in [("features", "position"), ("positions", "position"), ("attention", "query"), ("attention_rows", "query")]:
    for path in (lake / table).rglob("part-*.parquet"):
        rows = pyarrow.parquet.read_table(path, partitioning=None)
        of_step = pyarrow.compute.is_in(rows["game"], decisions["game"])
        kept = rows.filter(of_step).join(decisions, keys=["game", "step", position],
                                         right_keys=["game", "step", "decision_position"], join_type="left semi")
        pyarrow.parquet.write_table(kept.select(rows.column_names).sort_by([(name, "ascending") for name in rows.column_names]), path)
for path in (lake / "runs").glob("*.parquet"):
    runs = pyarrow.parquet.read_table(path)
    index = runs.schema.get_field_index("positions")
    pyarrow.parquet.write_table(runs.set_column(index, "positions", pyarrow.array(["last"] * len(runs))), path)
