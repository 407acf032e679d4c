"""Makes a lake of three games of one step, of which the one that stops has a feature of 6 at `balance`.

usage: three_games.py FOLDER
"""

import sys
from pathlib import Path

from lake_files import rollup, write

RUN, LAYER = "00000000000000a1", 3


def main():
    lake = Path(sys.argv[1]) / "lake"
    for game, outcome in enumerate(["bankruptcy", "bankruptcy", "voluntary_stop"]):
        folder = f"game_block=0/layer={LAYER}"
        write(lake, "games", [
            (game, f"g{game}", 0, RUN, "slot-machine", 1, outcome, 0, "fixed", "G", None)
        ], game)
        steps = [(game, 0, 3, 3, 2, "bet", 10, False, 100, 90, 0.4, 0.2, 0.6, None, None, 0.7, None, "ok", None)]
        write(lake, "steps", steps, game)
        texts = ["<s>", "$90", "?"]
        tokens = [(game, 0, p, p, text, 3 * p, 3 * p + 3, p == 0, False) for p, text in enumerate(texts)]
        write(lake, "tokens", tokens, game)
        write(lake, "prefixes", [], game)
        write(lake, "spans", [(game, 0, "balance", 3, 6, 1, 2)], game)
        features = [(game, 0, 1, 4, 6.0, 0)] if outcome == "voluntary_stop" else []
        write(lake, "features", features, game, folder)
        write(lake, "feature_rollup", rollup(features, steps, tokens), game, folder)
        write(lake, "positions", [(game, 0, p, 1, 1.0, 2.0, 0.5, 1.0) for p in range(3)], game, folder)
        for table in ("attention", "attention_rows"):
            write(lake, table, [], game, folder)
    write(lake, "runs", [
        (RUN, 2, "0.1.0", "2026-01-01T00:00:00Z", "made", None, "0" * 64, 8, 9, 2, str(LAYER), None, "decision", "cpu",
         "f32", 1, "slot-machine", "choice", "template", "all", 23, "{}")
    ], RUN)
    write(lake, "dictionaries", [
        (RUN, LAYER, f"blocks.{LAYER}.hook_resid_post", "llama-scope", "made", None, "0" * 64, None, 8, 8, "jumprelu",
         1.0, 1.0, "[]", 2.0, 0.9, True)
    ], RUN)


main()
