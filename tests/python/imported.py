"""Compares what was imported with the matrices it came from, by DuckDB and numpy. Prints JSON: counts, and differences.

usage: imported.py LAKE FOLDER [EXPORTED]
"""

import json
import sys
from pathlib import Path

import duckdb
import numpy as np

lake, folder = sys.argv[1], Path(sys.argv[2])
connection = duckdb.connect()


def rows(sql):
    return connection.execute(sql).fetchall()


def small(table):
    return f"read_parquet('{lake}/{table}/*.parquet')"


answer = {"different": 0, "features": 0}
games = {game: row for game, *row in rows(f"SELECT game_id, game, outcome, bet_type, components, n_steps, source FROM {small('games')}")}
steps = {row[:2]: row[2:] for row in rows(f"SELECT game, step, balance_before, status, n_tokens, decision_position FROM {small('steps')}")}
for path in sorted(folder.glob("*.npz")):
    data = np.load(path, allow_pickle=False)
    layer = int(data["layer"])
    files = f"read_parquet('{lake}/features/game_block=*/layer={layer}/*.parquet', hive_partitioning = true)"
    stored = set(rows(f"SELECT game, step, position, feature, activation FROM {files}"))
    step_of = []
    for row, game in enumerate(data["game_ids"].tolist()):
        step_of.append(0 if row == 0 or data["game_ids"][row - 1] != game else step_of[-1] + 1)
    names = [f"{folder.name}#{game}" for game in data["game_ids"].tolist()]
    expected = {
        (games[names[row]][0], step_of[row], 1, column, float(value))
        for row, column, value in zip(data["row_indices"].tolist(), data["col_indices"].tolist(), data["values"])
    }
    answer["features"] += len(expected)
    answer["different"] += len(stored ^ expected)
    for row, name in enumerate(names):
        key, outcome, bet_type, components, n_steps, source = games[name]
        balance, status, n_tokens, decision = steps[key, step_of[row]]
        valid = bool(data["valid_mask"][row])
        said = (outcome, bet_type, components, source, float(balance), status, n_tokens)
        combination = data["prompt_conditions"][row].item()
        told = (data["game_outcomes"][row].item(), data["bet_types"][row].item(), "none" if combination == "BASE" else combination,
                "npz", data["balances"][row].item(), "ok" if valid else "error", 2 if valid else 0)
        answer["different"] += said != told
answer["games"], answer["steps"] = len(games), len(steps)
ranks = f"read_parquet('{lake}/features/game_block=*/layer=*/*.parquet', hive_partitioning = true)"
answer["different"] += rows(f"""SELECT count(*) FROM (SELECT activation, rank, lag(activation) OVER
    (PARTITION BY layer, game, step ORDER BY rank) AS before FROM {ranks}) WHERE before < activation""")[0][0]
if len(sys.argv) > 3:
    for path in sorted(folder.glob("*.npz")):
        theirs, ours = np.load(path, allow_pickle=False), np.load(Path(sys.argv[3], path.name), allow_pickle=False)
        # Games are sorted by their keys in a lake, so that rows come in another order.
        name = {key: int(game.split("#")[1]) for game, (key, *_) in games.items()}
        order = {(game, number): row for row, (game, number) in enumerate(zip(theirs["game_ids"].tolist(), theirs["round_nums"].tolist()))}
        row_of = np.array([order[name[game], number] for game, number in zip(ours["game_ids"].tolist(), ours["round_nums"].tolist())])
        dense = np.zeros(tuple(theirs["shape"]), dtype=np.float32)
        dense[theirs["row_indices"], theirs["col_indices"]] = theirs["values"]
        back = np.zeros_like(dense)
        back[row_of[ours["row_indices"]], ours["col_indices"]] = ours["values"]
        answer["different"] += int((dense != back).sum())
        for field in ("game_outcomes", "bet_types", "prompt_conditions", "balances", "is_last_round", "valid_mask", "bet_constraints"):
            answer["different"] += int((theirs[field][row_of] != ours[field]).sum())
print(json.dumps(answer))
