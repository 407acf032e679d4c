"""Reads a lake's exports as the tools do whose layouts they are, and compares them with the lake as DuckDB sees it.

usage: exports.py LAKE FOLDER

FOLDER has game-layer-position, decisions, tokens (both npz-coo), delphi and saelens. Prints JSON: of each the rows that
the lake and the export have, and the rows that only one of them has.
"""

import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as parquet
from safetensors.numpy import load_file

lake, folder = sys.argv[1], Path(sys.argv[2])
connection = duckdb.connect()


def seen(table, position, columns):
    """The rows of a large table with those of shared positions in every step."""
    files = f"read_parquet('{lake}/{table}/game_block=*/layer=*/*.parquet', hive_partitioning = true)"
    prefixes = f"read_parquet('{lake}/prefixes/*.parquet')"
    return f"""(SELECT game, step, layer, {position}, {columns} FROM {files}
        UNION ALL SELECT r.game, p.step, r.layer, r.{position}, {columns} FROM {files} AS r JOIN {prefixes} AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.{position} BETWEEN p.position_start AND p.position_end - 1)"""


def rows(sql):
    return sorted(connection.execute(sql).fetchall())


def compare(theirs, ours):
    theirs, ours = sorted(theirs), sorted(ours)
    return {"lake": len(theirs), "export": len(ours), "different": len(set(theirs) ^ set(ours))}


answer = {}
features = seen("features", "position", "feature, activation")
everything = rows(f"SELECT game, step, layer, position, feature, activation FROM {features}")
steps = rows(f"SELECT game, step, decision_position, n_tokens FROM read_parquet('{lake}/steps/*.parquet')")
decision = {(game, step): position for game, step, position, _ in steps}
tokens = rows(f"SELECT game, step, position, token_id FROM read_parquet('{lake}/tokens/*.parquet')")
layers = sorted({row[2] for row in everything})

# Folders of games, layers and positions, read by their names.
spread = folder / "game-layer-position"
glob = "game=*/layer=*/position=*/*.parquet"
found = rows(f"SELECT game, step, layer, position, feature, activation FROM read_parquet('{spread}/features/{glob}', hive_partitioning = true)")
answer["game-layer-position"] = compare(everything, found)
weights = "SELECT game, step, layer, head, query, key, weight FROM {}"
found = rows(f"SELECT game, step, layer, head, position, key, weight FROM read_parquet('{spread}/attention/{glob}', hive_partitioning = true)")
answer["attention"] = compare(rows(weights.format(seen("attention", "query", "head, key, weight"))), found)
one = parquet.ParquetFile(next((spread / "features").rglob("*.parquet")))
answer["columns"] = one.schema_arrow.names


def matrix(path):
    """As the incumbent's scripts read it: no pickles, a dense matrix from coordinates."""
    data = np.load(path, allow_pickle=False)
    dense = np.zeros(tuple(data["shape"]), dtype=np.float32)
    dense[data["row_indices"], data["col_indices"]] = data["values"]
    assert np.count_nonzero(dense) == len(data["values"]), "a coordinate comes twice, or a value is 0"
    ascending = data["row_indices"].astype(np.int64) * dense.shape[1] + data["col_indices"]
    assert (np.diff(ascending) > 0).all(), "coordinates are not as numpy.nonzero gives them"
    return data, dense


games = {row[0]: row[1:] for row in rows(f"SELECT game, outcome, bet_type, components, n_steps FROM read_parquet('{lake}/games/*.parquet')")}
balances = {row[:2]: row[2] for row in rows(f"SELECT game, step, balance_before FROM read_parquet('{lake}/steps/*.parquet')")}
found, of_tokens, wrong = [], [], []
for layer in layers:
    data, dense = matrix(folder / "decisions" / f"sae_features_L{layer}.npz")
    assert int(data["layer"]) == layer and data["valid_mask"].all()
    for row, (game, round_number) in enumerate(zip(data["game_ids"].tolist(), data["round_nums"].tolist())):
        step = round_number - 1
        at = np.nonzero(dense[row])[0]
        found += [(game, step, layer, decision[game, step], int(j), float(dense[row, j])) for j in at]
        outcome, bet_type, components, n_steps = games[game]
        said = [data[name][row].item() for name in ("game_outcomes", "bet_types", "prompt_conditions", "balances", "is_last_round", "paradigms", "bet_constraints")]
        expected = [outcome, bet_type, "BASE" if components == "none" else components, float(balances[game, step]), step + 1 == n_steps, "sm", "N/A"]
        wrong += [] if said == expected else [[said, expected]]
    answer["rows of decisions"] = len(data["game_ids"])
    data, dense = matrix(folder / "tokens" / f"sae_features_L{layer}.npz")
    places = list(zip(data["game_ids"].tolist(), (data["round_nums"] - 1).tolist(), data["positions"].tolist()))
    rows_, columns = np.nonzero(dense)
    of_tokens += [(*places[row][:2], layer, places[row][2], int(column), float(dense[row, column])) for row, column in zip(rows_, columns)]
    ids = [(*place, token) for place, token in zip(places, data["token_ids"].tolist())]
    answer["token ids"] = compare(tokens, ids)
answer["decisions"] = compare([row for row in everything if row[3] == decision[row[:2]]], found)
answer["tokens"] = compare(everything, of_tokens)
answer["metadata"] = wrong[:3]

# As delphi's loader does it: the first feature of a file's name is added to the last column.
found = []
sequences = [line.split(",") for line in (folder / "delphi" / "sequences.csv").read_text().split()[1:]]
for layer in layers:
    module = folder / "delphi" / "latents" / f"layers.{layer}"
    config = json.loads((module / "config.json").read_text())
    files = sorted(module.glob("*.safetensors"), key=lambda path: int(path.stem.split("_")[0]))
    assert len(files) == 5 and config["n_splits"] == 5
    edges = [tuple(map(int, path.stem.split("_"))) for path in files]
    assert edges[0][0] == 0 and all(one[1] + 1 == following[0] for one, following in zip(edges, edges[1:]))
    for path in files:
        data = load_file(path)
        locations = data["locations"].astype(np.int64)
        locations[:, 2] += int(path.stem.split("_")[0])
        assert data["activations"].dtype == np.float16 and data["tokens"].shape == (len(sequences), config["ctx_len"])
        for (sequence, position, feature), activation in zip(locations.tolist(), data["activations"].tolist()):
            _, game, step, n_tokens = map(int, sequences[sequence])
            assert position < n_tokens
            found.append((game, step, layer, position, feature, activation))
    ids = [(int(game), int(step), position, int(data["tokens"][int(sequence), position])) for sequence, game, step, n in sequences for position in range(int(n))]
    assert all((data["tokens"][int(sequence), int(n):] == 0).all() for sequence, _, _, n in sequences)
    answer["delphi's tokens"] = compare(tokens, ids)
half = [(*row[:5], float(np.float16(np.float32(row[5])))) for row in everything]
answer["delphi"] = compare(half, found)

# As a dataset of tokens, with a list of features for each of them.
found, ids = [], []
for row in parquet.read_table(folder / "saelens" / "data").to_pylist():
    ids += [(row["game"], row["step"], position, token) for position, token in enumerate(row["input_ids"])]
    for layer in layers:
        name = f"blocks.{layer}.hook_resid_post.hook_sae_acts_post"
        indices, values = row[f"{name}.indices"], row[f"{name}.values"]
        assert len(indices) == len(row["input_ids"])
        found += [(row["game"], row["step"], layer, position, *pair) for position in range(len(indices)) for pair in zip(indices[position], values[position], strict=True)]
answer["saelens"] = compare(everything, found)
answer["saelens's tokens"] = compare(tokens, ids)
print(json.dumps(answer))
