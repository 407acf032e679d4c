"""Makes a lake with known numbers, damaged siblings of it, and what attribution must say of it.

Usage: tiny_lake.py FOLDER

Writes FOLDER/lake and the damaged lakes beside it, and FOLDER/expected.json: for every game, step, layer
and choice of specials the attribution of every position, computed here in double precision from the whole
pattern, apart from what was written.

The lake holds two games of two steps, two layers and three heads. One game has generated tokens, the other
no token that begins its sequences, so that its position 0 is not special. One weight is exactly 0 and not
stored. Two positions of one step are alike, so that their importances are equal. What interrupted runs
leave behind is there too: a game that is not in `games`, and rows of a game in a block that is not its own.
Every table has a Delta log with a Parquet checkpoint.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet
from lake_files import I32, I64, rollup, write, write_logs

LAYERS, HEADS, KEPT_KEYS, RUN = (3, 7), 3, 2, "00000000000000aa"

# key of the game: its block, its tokens, which of them are special, the decision position
GAMES = {
    7_000_000_000_011: (0, ["<s>", "You", " have", " $90", "\n", "<sep>", " Bet", "?", " 1", "\n"], {0, 5}, 7),
    7_000_000_000_022: (1, ["So", "Stop", " now", " now", " \"or\"", "é", "<end>"], {6}, 6),
}
ORPHAN, LEFTOVER = 7_000_000_000_033, 7_000_000_000_011
STEPS = (0, 1)
ZERO_WEIGHT = (7_000_000_000_011, 1, 3, 1, 7, 2)  # game, step, layer, head, query, key
ALIKE = (7_000_000_000_022, 0, 3)  # positions 2 and 3 are the same


def noise(*indices):
    """A number from 0 to 1 that is the same on every machine."""
    mixed = 17
    for index in indices:
        mixed = (mixed * 31 + index * 7919 + 13) % 9973
    return mixed / 9973


def pattern(game, step, layer, n):
    """The attention probabilities, [head, query, key], as single precision."""
    weights = numpy.zeros((HEADS, n, n))
    for head in range(HEADS):
        for query in range(n):
            for key in range(query + 1):
                weights[head, query, key] = 0.05 + noise(game % 1000, step, layer, head, query, key)
            if (game, step, layer) == ALIKE and query >= 3:
                weights[head, query, 3] = weights[head, query, 2]
            if (game, step, layer, head, query) == ZERO_WEIGHT[:5]:
                weights[head, query, ZERO_WEIGHT[5]] = 0.0
            weights[head, query] /= weights[head, query].sum()
    return weights.astype(numpy.float32)


def norms(game, step, layer, n):
    values = [1 + 20 * noise(game % 1000, step, layer, position) for position in range(n)]
    values[0] = 400.0
    if (game, step, layer) == ALIKE:
        values[3] = values[2]
    return numpy.array(values, dtype=numpy.float32)


def large_tables(game, step, layer, n, decision):
    """Rows of the partitioned tables."""
    weights, feature_norms = pattern(game, step, layer, n), norms(game, step, layer, n)
    rows = {"features": [], "positions": [], "attention": [], "attention_rows": []}
    for position in range(n):
        norm = feature_norms[position]
        for feature, share, rank in [(9, 0.8, 0), (5, 0.6, 1)]:
            rows["features"].append((game, step, position, feature, norm * share, rank))
        rows["positions"].append((game, step, position, 2, norm, norm * 2, norm / 3, 1.0))
    for head in range(HEADS):
        for query in range(n):
            row = weights[head, query]
            kept = [key for key in range(query + 1) if row[key] > 0]
            if query != decision:
                kept = sorted(sorted(kept, key=lambda key: -row[key])[:KEPT_KEYS])
            rows["attention"] += [(game, step, head, query, key, row[key]) for key in kept]
            positive = row[row > 0].astype(numpy.float64)
            entropy = -(positive * numpy.log(positive)).sum()
            rows["attention_rows"].append((game, step, head, query, row[kept].sum(), entropy))
    return rows


def small_tables(game, block, tokens, special, decision):
    """Rows of the tables that every game has, `games` left out."""
    rows = {"steps": [], "tokens": [], "spans": []}
    n = len(tokens)
    for step in STEPS:
        rows["steps"].append(
            (game, step, n, decision + 1, decision, "bet", 10, False, 100, 90, 0.4, 0.2, 0.6, None, None,
             0.7, None, "ok", None)
        )
        start = 0
        for position, token in enumerate(tokens):
            end = start + len(token.encode())
            marks = (position in special, position > decision)
            rows["tokens"].append((game, step, position, 100 + position, token, start, end, *marks))
            start = end
        rows["spans"].append((game, step, "balance", 3, 8, 1, 3))
    return rows


def write_game(lake, game, block, tokens, special, decision):
    small = small_tables(game, block, tokens, special, decision)
    for table, rows in [*small.items(), ("prefixes", [])]:
        write(lake, table, rows, game)
    for layer in LAYERS:
        tables = [large_tables(game, step, layer, len(tokens), decision) for step in STEPS]
        large = {table: [row for step in tables for row in step[table]] for table in tables[0]}
        large["feature_rollup"] = rollup(large["features"], small["steps"], small["tokens"])
        for table, rows in large.items():
            write(lake, table, rows, game, f"game_block={block}/layer={layer}")


def write_lake(lake):
    write(lake, "runs", [
        (RUN, 2, "0.1.0", "2026-01-01T00:00:00Z", "tiny", None, "0" * 64, 8, 9, HEADS, "3,7", None,
         f"top:{KEPT_KEYS}", "cpu", "f32", 1, "slot-machine", "choice", "template", "all", 23,
         "{}")
    ], RUN)
    write(lake, "dictionaries", [
        (RUN, layer, f"blocks.{layer}.hook_resid_post", "llama-scope", "tiny", None, "0" * 64, None, 16, 8,
         "jumprelu", 1.0, 1.0, "[]", 2.0, 0.9, True) for layer in LAYERS
    ], RUN)
    for game, about in GAMES.items():
        write_game(lake, game, *about)
        row = (game, f"g{game % 100}", about[0], RUN, "slot-machine", len(STEPS), "voluntary_stop", 90,
               "fixed", "GM", None)
        # Files in the other order than the keys.
        write(lake, "games", [row], 100 - game % 100)
    # A run that was interrupted before its games were committed.
    write_game(lake, ORPHAN, *GAMES[7_000_000_000_022])
    # The same in a block that the game did not end up in: read too, every position would come twice.
    for layer in LAYERS:
        for table, rows in large_tables(LEFTOVER, 0, layer, 8, 7).items():
            write(lake, table, rows, "leftover", f"game_block=9/layer={layer}")
    write_logs(lake)


def attribution(game, step, layer, specials):
    """Every position up to the decision: ours in double precision, and the published column."""
    _, tokens, special, decision = GAMES[game]
    weights = pattern(game, step, layer, len(tokens)).astype(numpy.float64)
    feature_norms = norms(game, step, layer, len(tokens)).astype(numpy.float64)
    seen = range(decision + 1)
    ranked = [p for p in seen if specials == "include" or (p > 0 and p not in special)]
    attention = weights[:, decision, :].mean(axis=0)
    importance = attention * feature_norms
    importance /= importance[ranked].sum()
    published = weights.mean(axis=0)[: decision + 1, decision] * feature_norms[: decision + 1]
    published /= published.sum() + 1e-10
    # Equal up to rounding is equal: the answer is in single precision.
    by_rank = sorted(ranked, key=lambda p: (-numpy.float32(importance[p]), p))
    by_published = sorted(seen, key=lambda p: (-numpy.float32(published[p]), p))
    rows = []
    for position in by_rank + [p for p in seen if p not in ranked]:
        is_ranked = position in ranked
        rows.append({
            "game": game, "step": step, "layer": layer,
            "rank": by_rank.index(position) + 1 if is_ranked else None,
            "position": position, "token": tokens[position],
            "importance": importance[position] if is_ranked else None,
            "attention": attention[position], "feature_norm": feature_norms[position],
            "published_importance": published[position],
            "published_rank": by_published.index(position) + 1,
        })
    return rows


def damaged(lake, name, damage):
    copy = lake.with_name(name)
    shutil.copytree(lake, copy)
    damage(copy)


def rewrite(table, change):
    """Changes every file of a table."""
    def damage(lake):
        for path in (lake / table).glob("part-*.parquet"):
            pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(path)), path)
    return damage


def replace(table, column, ty, value=None):
    index = table.schema.get_field_index(column)
    values = table[column].cast(ty) if value is None else pyarrow.array([value] * len(table), ty)
    return table.set_column(index, column, values)


def keep_whole(lake):
    """Every weight is kept, not the largest only."""
    for game, (block, tokens, _, _) in GAMES.items():
        for layer in LAYERS:
            rows = []
            for step in STEPS:
                weights = pattern(game, step, layer, len(tokens))
                rows += [(game, step, *map(int, place), weights[tuple(place)]) for place in numpy.argwhere(weights)]
            write(lake, "attention", rows, game, f"game_block={block}/layer={layer}")


def remove_features(lake):
    for table in ("features", "feature_rollup", "positions", "dictionaries"):
        for path in (lake / table).rglob("part-*.parquet"):
            path.unlink()


def remove_games(lake):
    for path in (lake / "games").glob("part-*.parquet"):
        path.unlink()


def main():
    folder = Path(sys.argv[1])
    lake = folder / "lake"
    write_lake(lake)
    damaged(lake, "newer", rewrite("runs", lambda runs: replace(runs, "format_version", I32, 3)))
    damaged(lake, "no-column", rewrite("tokens", lambda tokens: tokens.drop_columns(["token"])))
    damaged(lake, "wrong-type", rewrite("tokens", lambda tokens: replace(tokens, "position", I64)))
    damaged(lake, "whole", keep_whole)
    damaged(lake, "no-features", remove_features)
    damaged(lake, "no-games", remove_games)
    cases = [
        {"game": game, "step": step, "layer": layer, "specials": specials,
         "rows": attribution(game, step, layer, specials)}
        for game in GAMES for step in STEPS for layer in LAYERS for specials in ("leave_out", "include")
    ]
    (folder / "expected.json").write_text(json.dumps(cases))


main()
