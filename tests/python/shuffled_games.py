"""Makes a small lake whose features have nothing to do with the groups, and many ways to deal out the groups.

usage: shuffled_games.py FOLDER SHUFFLES

Writes FOLDER/lake, and for every shuffle FOLDER/games-N.parquet, in which the outcomes are dealt out anew among the
games, and FOLDER/steps-N.parquet, in which the decisions are dealt out anew within each game. Either takes the
place of the only file of its table.

The features are as unruly as real ones: some fire in nearly every step and some in a few, with activations over two
orders of magnitude, and both depend on the game, whose steps are alike. A sixth of the games are bankrupt. Four of
five games have one stop among up to seven steps.
"""

import shutil
import sys
from pathlib import Path

import numpy
from lake_files import rollup, write

RUN, LAYER, GAMES, FEATURES = "00000000000000a1", 3, 36, 40
TOKENS = ["<s>", "You", " have", " $90", ".", " Bet", "?", "\n"]
SPANS = [("balance", 3, 4), ("question", 5, 7), ("sentence", 1, 4)]
DECISION = len(TOKENS) - 1


def feature_rows(random, game, n_steps, base):
    """Rows of `features` of a game: alike in all steps, and otherwise by chance."""
    chance = 1 / (1 + numpy.exp(-(base + 1.5 * random.normal(size=FEATURES))))
    level = 0.5 * random.normal(size=FEATURES)
    rows = []
    for step in range(n_steps):
        for position in range(len(TOKENS)):
            fires = numpy.flatnonzero(random.random(FEATURES) < chance)
            values = numpy.exp(level[fires] + 0.8 * random.normal(size=len(fires)))
            ranks = numpy.argsort(numpy.argsort(-values))
            found = [(game, step, position, int(f), float(v), int(r)) for f, v, r in zip(fires, values, ranks)]
            rows += sorted(found, key=lambda row: row[5])
    return rows


def game_row(game, n_steps, outcome):
    return (game, f"g{game}", 0, RUN, "slot-machine", n_steps, outcome, 0, "fixed", "G", None)


def step_row(game, step, decision):
    return (
        game, step, len(TOKENS), len(TOKENS), DECISION, decision, 10, False, 100, 90, 0.4, 0.2, 0.6, None, None,
        0.7, None, "ok", None,
    )


def write_rest(lake, sizes, features):
    """What is the same in all games, and the rollup of the features."""
    tokens, spans, positions = [], [], []
    for game, n_steps in enumerate(sizes):
        for step in range(n_steps):
            start = 0
            for position, token in enumerate(TOKENS):
                tokens.append(
                    (game, step, position, 100 + position, token, start, start + len(token), position == 0, False)
                )
                start += len(token)
                positions.append((game, step, position, 2, 1.0, 2.0, 0.5, 1.0))
            spans += [(game, step, name, a, b, a, b) for name, a, b in SPANS]
    write(lake, "tokens", tokens, RUN)
    write(lake, "spans", spans, RUN)
    write(lake, "prefixes", [], RUN)
    folder = f"game_block=0/layer={LAYER}"
    steps = [step_row(game, step, None) for game, n_steps in enumerate(sizes) for step in range(n_steps)]
    write(lake, "feature_rollup", rollup(features, steps, tokens), RUN, folder)
    write(lake, "positions", positions, RUN, folder)
    for table in ("attention", "attention_rows"):
        write(lake, table, [], RUN, folder)
    write(lake, "runs", [
        (RUN, 2, "0.1.0", "2026-01-01T00:00:00Z", "made", None, "0" * 64, 8, 9, 2, str(LAYER), None, "decision", "cpu",
         "f32", 1, "slot-machine", "choice", "template", "all", 23, "{}")
    ], RUN)
    write(lake, "dictionaries", [
        (RUN, LAYER, f"blocks.{LAYER}.hook_resid_post", "llama-scope", "made", None, "0" * 64, None, FEATURES, 8,
         "jumprelu", 1.0, 1.0, "[]", 2.0, 0.9, True)
    ], RUN)


def main():
    folder, shuffles = Path(sys.argv[1]), int(sys.argv[2])
    lake, random = folder / "lake", numpy.random.default_rng(5)
    sizes = random.integers(1, 8, GAMES)
    base = random.uniform(-5, 2, FEATURES)
    rows = [row for game, n_steps in enumerate(sizes) for row in feature_rows(random, game, n_steps, base)]
    write(lake, "features", rows, RUN, f"game_block=0/layer={LAYER}")
    write_rest(lake, sizes, rows)
    for number in range(shuffles):
        bankrupt = set(random.permutation(GAMES)[: GAMES // 6])
        outcomes = ["bankruptcy" if game in bankrupt else "voluntary_stop" for game in range(GAMES)]
        games = [game_row(game, int(n), outcome) for game, (n, outcome) in enumerate(zip(sizes, outcomes))]
        stops = [random.integers(n) if game % 5 else None for game, n in enumerate(sizes)]
        steps = [
            step_row(game, step, "stop" if step == stops[game] else "bet")
            for game, n in enumerate(sizes) for step in range(n)
        ]
        for table, found in (("games", games), ("steps", steps)):
            write(lake, table, found, RUN)
            shutil.copy(lake / table / f"part-{RUN}.parquet", folder / f"{table}-{number}.parquet")


main()
