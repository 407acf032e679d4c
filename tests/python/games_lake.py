"""Makes a lake of games with planted truths, a second one to compare it with, and tables that go with them.

usage: games_lake.py FOLDER [--games N] [--steps N] [--tokens N] [--layers 3,7,11] [--heads N] [--d-sae N]
       [--top-k N] [--keys N] [--seed N]

Writes FOLDER/lake, FOLDER/other (another seed, fewer games, some with the same keys, the last layer left out),
FOLDER/importance.parquet, FOLDER/couplings.parquet, and FOLDER/truth.json: what was planted. The same options
give the same rows.

The games are of three runs and two blocks; most are of the slot machine, the last two are prompts. One has a
step that failed and no rows of it, one a step without decision. Three files lie there that do not count: a game
that is not in `games`, a game in a block that is not its own, and a run without games.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import games_numbers as numbers
from games_text import play
from lake_files import F32, I32, pyarrow, rollup, write, write_logs

RUNS = ["00000000000000a1", "00000000000000b2", "00000000000000c3"]
DEAD_RUN = "00000000000000dd"
FIRST_PROMPT = 2**52
ORPHAN = 999_999
COMPONENTS = ["", "G", "M", "GM", "GMHWP"]


def key(index, games):
    """The key of a game; those of prompts are beyond 2^52."""
    if index >= games - 2:
        return FIRST_PROMPT + 1_234_567_890_123 * (index - games + 3)
    return 1_000_000 * (1 + run_of(index, games)) + index


def run_of(index, games):
    return 2 if index >= games - 2 else int(index >= games // 3)


def block_of(index, games):
    return int(index >= games // 2)


def small_rows(step):
    """Rows of `steps`, `tokens` and `spans`."""
    n, ends, end = len(step.tokens), [], 0
    for text, _ in step.tokens:
        end += len(text.encode())
        ends.append(end)
    starts = [0, *ends][:n]
    tokens = [
        (step.game, step.number, p, 100 + p, text, starts[p], ends[p], special, p > step.decision_position)
        for p, (text, special) in enumerate(step.tokens)
    ]
    spans = sorted(
        (step.game, step.number, name, starts[a], ends[b - 1], a, b) for name, a, b in step.spans
    )
    spans.sort(key=lambda row: (row[5], row[2], row[3], row[4]))
    failed = step.status == "error"
    p_bet, p_stop = (0.4, 0.2) if step.decision == "bet" else (0.1, 0.5)
    believed = (None, None, None) if failed else (p_bet, p_stop, p_bet + p_stop)
    logits = None if failed else 0.693147 if step.decision == "bet" else -1.609438
    reason = {"error": "9999 tokens do not fit into 8192", "unparsable": "no number in the answer"}.get(step.status)
    row = (
        step.game, step.number, n, step.decision_position + 1, step.decision_position, step.decision, step.bet,
        step.won, step.balance, step.balance_after, *believed, None, None, logits, None, step.status, reason,
    )
    return [row], tokens, spans


def game_row(index, games, game, steps, outcome):
    prompts = index >= games - 2
    metadata = {"arm": "ab"[index % 2], "é.x": f"it's {index % 3}", "n": index} if index % 3 == 0 or prompts else None
    return (
        game, f"prompt {index}" if prompts else f"g{index}", block_of(index, games), RUNS[run_of(index, games)],
        "prompts" if prompts else "slot-machine", len(steps), None if prompts else outcome,
        None if prompts else steps[-1].balance_after, None if prompts else ["fixed", "variable"][run_of(index, games)],
        None if prompts else COMPONENTS[index % 5], json.dumps(metadata, ensure_ascii=False) if metadata else None,
    )


def made_game(options, index, game):
    """The steps of a game, its outcome, and the rows of its steps by table and, if there is one, layer."""
    random = numbers.random_of(options.seed, game, 1)
    # The games in which a feature of the game is strong are long and bet in every step.
    n_steps = options.steps + 2 if index % 8 == 3 else max(2, options.steps - (index // 2) % 4)
    steps, outcome = play(game, index, n_steps, random, options.tokens)
    if index >= options.games - 2:
        for step in steps:
            step.decision = step.bet = step.won = None
    rows = defaultdict(list)
    for step in steps:
        for table, more in zip(("steps", "tokens", "spans"), small_rows(step)):
            rows[table] += more
        if step.status != "error":
            for layer in options.layers:
                for table, more in numbers.large_tables(options, step, layer, index).items():
                    rows[table, layer] += more
    for layer in options.layers:
        rows["feature_rollup", layer] = rollup(rows["features", layer], rows["steps"], rows["tokens"])
    rows["prefixes"] = []
    return steps, outcome, rows


def write_rows(lake, rows, name, block):
    for table, found in rows.items():
        if table[0] == "feature_rollup":
            found = sorted(found, key=lambda row: (row[1], row[0]))
        if isinstance(table, tuple):
            write(lake, table[0], found, name, f"game_block={block}/layer={table[1]}")
        else:
            write(lake, table, found, name)


def write_runs(lake, options):
    layers = ",".join(map(str, options.layers))
    for index, run in enumerate([*RUNS, DEAD_RUN]):
        heads = options.heads if run != DEAD_RUN else options.heads + 4
        row = (
            run, 2, "0.1.0", f"2026-01-0{index + 1}T00:00:00Z", "made", None, "0" * 64, 8, 12, heads, layers,
            options.top_k, f"top:{options.keys}", "cpu", "f32", index, "prompts" if run == RUNS[2] else "slot-machine",
            "choice", "template", "all", 23, '{"games": 8}',
        )
        write(lake, "runs", [row], run)
    rows = [
        (RUNS[0], layer, f"blocks.{layer}.hook_resid_post", "llama-scope", "made", None, "0" * 64,
         f"made/{layer}-res" if layer == 7 else None, options.d_sae, 8, "jumprelu", 1.0, 1.0,
         json.dumps([1.0] * options.d_sae), 9.0, 0.9, True)
        for layer in options.layers
    ]
    write(lake, "dictionaries", rows, RUNS[0])


def write_lake(lake, options, keys):
    """Writes the lake, a file for every six games; the steps of each game by its index."""
    write_runs(lake, options)
    made = [made_game(options, index, game) for index, game in enumerate(keys)]
    batches = defaultdict(list)
    for index in range(len(keys)):
        batches[run_of(index, options.games), block_of(index, options.games), index // 6].append(index)
    for (run, block, _), members in batches.items():
        rows = defaultdict(list)
        for index in sorted(members, key=lambda index: keys[index]):
            steps, outcome, own = made[index]
            rows["games"].append(game_row(index, options.games, keys[index], steps, outcome))
            for table, more in own.items():
                rows[table] += more
        name = f"{RUNS[run]}-{keys[members[0]]:016x}-{keys[members[-1]]:016x}"
        write_rows(lake, rows, name, block)
    _, _, orphan = made_game(options, 1, ORPHAN)
    write_rows(lake, orphan, f"{DEAD_RUN}-{ORPHAN:016x}-{ORPHAN:016x}", 0)
    _, _, leftover = made_game(options, 3, keys[0])
    leftover = {table: rows for table, rows in leftover.items() if isinstance(table, tuple)}
    write_rows(lake, leftover, f"{DEAD_RUN}-{keys[0]:016x}-{keys[0]:016x}", 9)
    write_logs(lake)
    return {index: (steps, outcome) for index, (steps, outcome, _) in enumerate(made)}


def effects_of(step, analysis, layers, random):
    """Effects of a step: features with every method, a head that was patched, a direct contribution."""
    rows, seen = [], min(step.decision_position + 1, 6)
    other = None if analysis == MADE[1] else 0.25 if step.number % 2 else 0.75

    def add(method, node, layer, position, feature, head, estimate, exact):
        rows.append((
            step.game, step.number, analysis, len(rows), 0, "logit( Bet) - logit( Stop)", method, node,
            f"blocks.{layer}.hook_resid_post", layer, position, position + 1, None, head, feature, None, estimate,
            exact, 0.75, other,
        ))

    for layer in layers:
        for position in range(seen):
            for feature in (2, 5, None):
                estimate, near = random.normal(), random.normal() / 8
                exact = estimate + near if (position + layer) % 3 else None
                node = "error" if feature is None else "feature"
                add("attribution", node, layer, position, feature, None, estimate, exact)
                add("integrated-gradients", node, layer, position, feature, None, estimate + near / 2, exact)
                if feature is not None and exact is not None:
                    add("attention x activation", node, layer, position, feature, None, abs(near), exact)
                    add("published", node, layer, position, feature, None, 0.0, exact)
        add("exact", "head", layer, max(seen - 1, 0), None, 1, None, random.normal())
        add("direct-logit", "head", layer, max(seen - 1, 0), None, 2, 50.0, None)
    return rows


def edges_of(step, analysis, layers, random):
    """A graph from the metric through each layer to the tokens."""
    rows, last = [], max(step.decision_position, 0)
    above = [("metric", None, last, None)]
    for layer in [*reversed(layers), None]:
        kinds = [("token", None)] if layer is None else [("feature", 2), ("feature", 5), ("error", None)]
        sources = [(kind, layer, p, f) for kind, f in kinds for p in (0, 2)]
        for target in above:
            for source in sources:
                weight, frozen = random.normal(), analysis == MADE[2]
                row = (step.game, step.number, analysis, len(rows), *source, *target, weight, "gradient", frozen)
                rows.append(row)
        above = [source for source in sources if source[0] == "feature"]
    return rows


MADE = ["00000000000000e1", "00000000000000e2", "00000000000000e3", "00000000000000e4"]
INTERRUPTED = "00000000000000ef"


def write_causal(lake, options, made):
    """Two with effects, two with graphs, and what an interrupted one left, larger than all others."""
    steps = [step for steps, _ in made.values() for step in steps]
    random = numbers.random_of(options.seed, 5, 7)
    for analysis in MADE:
        arm = (analysis, 0, "made", "attribute", "2026-01-05T00:00:00Z", "0.1.0", "made", "0" * 64, "estimate",
               None, None, None, None, None, None, "prompt", 0, "{}")
        write(lake, "interventions", [arm], analysis)
    for analysis in [*MADE[:2], INTERRUPTED]:
        rows = [row for step in steps for row in effects_of(step, analysis, options.layers, random)]
        if analysis == INTERRUPTED:
            rows = [(*row[:16], 99.0, 99.0, *row[18:]) for row in rows]
        # A game that was played anew is no step of the lake.
        played = (7, -1, analysis, len(rows), 0, "bets / steps", "exact", "none", *[None] * 9, 9.0, 0.5, None)
        write(lake, "effects", [*rows, played], analysis)
    for analysis in MADE[2:]:
        rows = [row for step in steps for row in edges_of(step, analysis, options.layers, random)]
        write(lake, "edges", rows, analysis)


def write_tables(folder, options):
    """What an importance and couplings may look like: some features have none, one is 0, one negative."""
    d_sae = min(options.d_sae, 48)
    importance = [(layer, f, round(((f * 37 + layer) % 21 - 10) / 10, 1)) for layer in options.layers for f in range(d_sae) if f % 4 != 3]
    planted = [(*numbers.BET_OPTION, *numbers.DECISION, 0.9), (*numbers.BET_BALANCE, *numbers.DECISION, -0.5)]
    pairs = [(below, above) for above in options.layers for below in options.layers if below < above]
    couplings = planted + [
        (below, source, above, target, round(((source * 13 + target * 7 + above) % 19 - 9) / 20, 2))
        for below, above in pairs for source in range(d_sae) for target in range(d_sae)
        if (source + target) % 3 == 0 and (below, source, above, target) not in [row[:4] for row in planted]
    ]
    for name, columns, rows in [
        ("importance", ["layer", "feature", "importance"], importance),
        ("couplings", ["from_layer", "from_feature", "to_layer", "to_feature", "coupling"], couplings),
    ]:
        arrays = [pyarrow.array(values, F32 if isinstance(values[0], float) else I32) for values in zip(*rows)]
        pyarrow.parquet.write_table(pyarrow.table(arrays, names=columns), folder / f"{name}.parquet")


def truth(options, keys, made):
    steps = [step for steps, _ in made.values() for step in steps]
    name = "L{}-{}".format
    return {
        "games": sorted(keys),
        "layers": options.layers,
        "heads": options.heads,
        "n_steps": len(steps),
        "n_bet": sum(step.decision == "bet" for step in steps),
        "n_stop": sum(step.decision == "stop" for step in steps),
        "n_undecided": sum(step.decision is None for step in steps),
        "n_failed": sum(step.status == "error" for step in steps),
        "orphan": ORPHAN,
        "planted": {
            "more_in_bets": {"feature": name(*numbers.BET_BALANCE), "span": "balance"},
            "of_the_game": {"feature": name(*numbers.OF_THE_GAME), "span": "balance"},
            "coupled": {"from": name(*numbers.BET_OPTION), "span": "bet_option", "to": name(*numbers.DECISION)},
            "forgotten": {"feature": name(*numbers.FORGOTTEN), "span": "goal"},
            "varying": {"feature": name(*numbers.GOAL), "span": "goal"},
            "constant": {"feature": name(*numbers.CONSTANT)},
            "attends_to_what_is_taken": {"layer": numbers.HEAD_LAYER, "head": numbers.HEAD, "first": "bet_option", "second": "stop_option"},
        },
    }


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=lambda text: [int(layer) for layer in text.split(",")], default=[3, 7, 11])
    for name, value in [
        ("games", 24), ("steps", 5), ("tokens", 24), ("heads", 3), ("d-sae", 48), ("top-k", 8), ("keys", 4), ("seed", 11),
    ]:
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    keys = [key(index, options.games) for index in range(options.games)]
    made = write_lake(options.folder / "lake", options, keys)
    write_causal(options.folder / "lake", options, made)
    write_tables(options.folder, options)
    told = truth(options, keys, made)
    (options.folder / "truth.json").write_text(json.dumps(told, indent=1))
    fewer = argparse.Namespace(**vars(options))
    fewer.seed, fewer.games, fewer.layers = options.seed + 1, max(6, options.games // 2), options.layers[:-1]
    write_lake(options.folder / "other", fewer, keys[: fewer.games])


main()
