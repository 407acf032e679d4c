"""Answers trace, last-token and compare by plain loops over all rows, in double precision.

Usage: loops.py LAKE < QUESTIONS

QUESTIONS is a JSON list of objects: the name of the question and its settings. Prints a JSON list with the
rows of each as objects. Slow and short: it shares nothing with the plans and the SQL but the definitions.
"""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy
import pyarrow.parquet


class Lake:
    """The rows of every table as tuples or objects, without those of games that do not exist."""

    def __init__(self, root):
        root = Path(root)
        self.games = {row["game"]: row for row in rows(root / "games")}
        self.dictionaries = {row["layer"]: row["hash"] for row in rows(root / "dictionaries")}
        heads = {row["run"]: row["n_heads"] for row in rows(root / "runs")}
        self.heads = {game: heads[row["run"]] for game, row in self.games.items()}
        self.steps = {(r["game"], r["step"]): r for r in rows(root / "steps") if r["game"] in self.games}
        self.tokens = defaultdict(dict)
        for row in rows(root / "tokens"):
            place = (row["game"], row["step"])
            if place in self.steps and row["position"] <= self.steps[place]["decision_position"]:
                self.tokens[place][row["position"]] = row
        self.spans = defaultdict(list)
        for row in rows(root / "spans"):
            self.spans[row["game"], row["step"]].append(row)
        # [place][layer][position] of what there is
        self.features = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
        for row, layer in self.large(root / "features"):
            self.features[row["game"], row["step"]][layer][row["position"]][row["feature"]] = row["activation"]
        self.positions = defaultdict(lambda: defaultdict(dict))
        for row, layer in self.large(root / "positions"):
            self.positions[row["game"], row["step"]][layer][row["position"]] = row
        self.attention = defaultdict(float)
        for row, layer in self.large(root / "attention"):
            key = (row["game"], row["step"], layer, row["query"], row["key"])
            self.attention[key] += row["weight"] / self.heads[row["game"]]

    def large(self, table):
        for folder in table.glob("game_block=*/layer=*"):
            block, layer = (int(name.split("=")[1]) for name in folder.parts[-2:])
            for row in rows(folder):
                if self.games.get(row["game"], {}).get("game_block") == block:
                    yield row, layer

    def decision(self, place):
        return self.steps[place]["decision_position"]

    def read_steps(self, layer):
        return sorted(place for place in self.steps if self.decision(place) in self.positions[place][layer])

    def ranked(self, place, specials):
        tokens = self.tokens[place].items()
        return {p for p, t in tokens if specials == "include" or (p > 0 and not t["is_special"])}

    def sources(self, place, specials):
        return self.ranked(place, specials) | {self.decision(place)}

    def members(self, place, specials):
        spans = defaultdict(set)
        for span in self.spans[place]:
            inside = set(range(span["position_start"], span["position_end"])) & self.ranked(place, specials)
            if inside:
                spans[span["name"]] |= inside
        return {**spans, "decision": {self.decision(place)}}


def rows(folder):
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in
            pyarrow.parquet.ParquetFile(path).read().to_pylist()]


def f32(x):
    return float(numpy.float32(x))


def pearson(x, y):
    """None if one of them is constant, but for rounding."""
    x, y = numpy.array(x, float), numpy.array(y, float)
    if any(v.var() <= 1e-8 * (v * v).mean() for v in (x, y)):
        return None
    return float(numpy.corrcoef(x, y)[0, 1])


def size(edge):
    return abs(edge["score"])


EDGE = ["from_layer", "from_position", "from_token", "from_feature", "to_layer", "to_position", "to_token",
        "to_feature", "attention", "activation", "coupling", "score", "correlation"]


def trace(lake, game=None, step=0, layer=None, limit=8, specials=None, importance=(), couplings=(), feature=None):
    game = min(lake.games) if game is None else game
    place = (game, step)
    layer = max(lake.positions[place]) if layer is None else layer
    importance = {tuple(row[:2]): row[2] for row in importance}
    couplings = {tuple(row[:4]): row[4] for row in couplings}
    last, here, tokens = lake.decision(place), lake.features[place], lake.tokens[place]
    outputs = []
    for target, activation in here[layer].get(last, {}).items():
        weight = importance.get((layer, target)) if importance else None
        if (importance and weight is None) or feature not in (None, target):
            continue
        score = f32(activation * (1 if weight is None else weight))
        outputs.append({"from_layer": layer, "from_position": last, "from_token": tokens[last]["token"],
                        "from_feature": target, "activation": activation, "coupling": weight, "score": score})
    outputs = sorted((e for e in outputs if e["score"]), key=lambda e: (-size(e), e["from_feature"]))[:limit]
    features = []
    for target in outputs:
        candidates = []
        for lower in (lower for lower in here if lower < layer):
            for position in lake.sources(place, specials):
                for source, activation in here[lower].get(position, {}).items():
                    coupling = couplings.get((lower, source, layer, target["from_feature"]))
                    if couplings and coupling is None:
                        continue
                    paid = 1.0 if position == last else lake.attention[(*place, layer, last, position)]
                    score = f32(paid * activation * (1 if coupling is None else coupling))
                    candidates.append({
                        "from_layer": lower, "from_position": position, "from_token": tokens[position]["token"],
                        "from_feature": source, "to_layer": layer, "to_position": last,
                        "to_token": tokens[last]["token"], "to_feature": target["from_feature"],
                        "attention": paid, "activation": activation, "coupling": coupling, "score": score,
                    })
        order = lambda e: (-size(e), e["from_layer"], e["from_position"], e["from_feature"])
        features += sorted((e for e in candidates if e["score"]), key=order)[:limit]
    for edge in features:
        edge["correlation"] = correlation(lake, game, edge, specials)
    looks = []
    for source in {(e["from_layer"], e["from_position"], e["from_feature"]): e for e in features}.values():
        at, from_layer = source["from_position"], source["from_layer"]
        paid = {p: lake.attention[(*place, from_layer, at, p)] for p in lake.ranked(place, specials) if p < at}
        paid[at] = 1.0
        edges = [{"from_position": p, "from_token": tokens[p]["token"], "to_layer": from_layer,
                  "to_position": at, "to_token": source["from_token"], "to_feature": source["from_feature"],
                  "attention": weight, "activation": source["activation"],
                  "score": f32(weight * source["activation"])} for p, weight in paid.items() if weight > 0]
        looks += sorted(edges, key=lambda e: (-e["score"], e["from_position"]))[:3]
    answer = []
    for kind, edges in [("output", outputs), ("feature", features), ("token", looks)]:
        full = [{column: edge.get(column) for column in EDGE} for edge in edges]
        to = ["to_layer", "to_position", "to_feature"]
        rest = ["from_layer", "from_position", "from_feature"]
        number = lambda e, names: [-1 if e[name] is None else e[name] for name in names]
        full.sort(key=lambda e: (number(e, to), -size(e), number(e, rest)))
        answer += [{"game": game, "step": step, "kind": kind, **edge} for edge in full]
    return answer


def correlation(lake, game, edge, specials):
    block = lambda game: lake.games[game]["game_block"]
    steps = [place for place in lake.read_steps(edge["to_layer"]) if block(place[0]) == block(game)]
    x, y = [], []
    for place in steps:
        of_layer = lake.features[place][edge["from_layer"]]
        x.append(max(of_layer.get(p, {}).get(edge["from_feature"], 0) for p in lake.sources(place, specials)))
        y.append(lake.features[place][edge["to_layer"]].get(lake.decision(place), {}).get(edge["to_feature"], 0))
    return pearson(x, y)


def trace_all(lake, layer=None, limit=8, specials=None, importance=(), couplings=(), feature=None, span=None):
    layers = {found for place in lake.positions for found in lake.positions[place]}
    layer = max(layers) if layer is None else layer
    importance = {tuple(row[:2]): row[2] for row in importance}
    couplings = {tuple(row[:4]): row[4] for row in couplings}
    steps = lake.read_steps(layer)
    at = {place: lake.features[place][layer].get(lake.decision(place), {}) for place in steps}
    scores = {}
    for target in {feature for place in steps for feature in at[place]}:
        weight = importance.get((layer, target)) if importance else 1
        if weight and feature in (None, target):
            scores[target] = f32(sum(at[place].get(target, 0) for place in steps) / len(steps) * weight)
    targets = sorted(scores, key=lambda t: (-abs(scores[t]), t))[:limit]
    members = {place: lake.members(place, specials) for place in steps}
    enough = 5 if len({game for game, _ in steps}) >= 5 else 1
    edges = []
    for name in sorted({name for place in steps for name in members[place] if span in (None, name)}):
        having = [place for place in steps if name in members[place]]
        for lower in (lower for lower in layers if lower < layer):
            values = defaultdict(dict)
            for place in having:
                for position in members[place][name]:
                    for source, x in lake.features[place][lower].get(position, {}).items():
                        values[source][place] = max(x, values[source].get(place, 0))
            for source, fires in values.items():
                if len({game for game, _ in fires}) < enough:
                    continue
                x = [fires.get(place, 0) for place in having]
                for target in targets:
                    together = pearson(x, [at[place].get(target, 0) for place in having])
                    coupling = couplings.get((lower, source, layer, target))
                    if together is None or (couplings and coupling is None):
                        continue
                    edges.append({
                        "to_layer": layer, "to_feature": target, "from_layer": lower, "from_span": name,
                        "from_feature": source, "n_steps": len(having), "activation": sum(x) / len(x),
                        "coupling": coupling, "score": f32(together * (1 if coupling is None else coupling)),
                        "correlation": together,
                    })
    order = lambda e: (-size(e), e["from_layer"], e["from_span"], e["from_feature"])
    of = lambda target: sorted((e for e in edges if e["to_feature"] == target and e["score"]), key=order)
    return [edge for target in sorted(targets) for edge in of(target)[:limit]]


def last_token(lake, game=None, step=0, layer=None, limit=20, threshold=0.5, silent=0.1, specials=None):
    game = min(lake.games) if game is None else game
    place = (game, step)
    layer = max(lake.positions[place]) if layer is None else layer
    found = []
    for feature, strong, here in missed(lake, place, layer, threshold, specials):
        if strong and here < silent:
            best = min(strong, key=lambda p: (-strong[p], p))
            found.append({"game": game, "step": step, "layer": layer, "feature": feature,
                          "activation": strong[best], "position": best,
                          "token": lake.tokens[place][best]["token"], "n_positions": len(strong)})
    return sorted(found, key=lambda r: (-r["activation"], r["feature"]))[:limit]


def missed(lake, place, layer, threshold, specials):
    """Every feature of a step, where it is strong, and what it does at the decision."""
    of_layer = lake.features[place][layer]
    for feature in {feature for position in of_layer.values() for feature in position}:
        ranked = lake.ranked(place, specials)
        strong = {p: of_layer[p][feature] for p in ranked if of_layer[p].get(feature, 0) > threshold}
        yield feature, strong, of_layer[lake.decision(place)].get(feature, 0)


def last_token_all(lake, layer=None, limit=20, threshold=0.5, silent=0.1, specials=None):
    answer = []
    layers = {found for place in lake.positions for found in lake.positions[place]}
    for layer in sorted(layers if layer is None else [layer]):
        steps, counts = lake.read_steps(layer), defaultdict(lambda: [0, 0])
        for place in steps:
            for feature, strong, here in missed(lake, place, layer, threshold, specials):
                if strong:
                    counts[feature][0] += 1
                    counts[feature][1] += here < silent
        sums = [sum(count[of] for count in counts.values()) for of in (0, 1)]
        shown = sorted(counts, key=lambda feature: (-counts[feature][1], feature))[:limit]
        for feature, (seen, lost) in [(None, sums)] * bool(counts) + [(f, counts[f]) for f in shown]:
            answer.append({"layer": layer, "feature": feature, "n_steps": len(steps), "n_seen": seen,
                           "n_missed": lost, "share": lost / seen})
    return answer


def compare(lake, other=None, where=None, against=None, layer=None, limit=10, specials=None):
    """`where` and `against` are values by column of `games`."""
    lakes = [lake, Lake(other) if other else lake]
    games = [{key: game for key, game in lake.games.items() if all(game[c] == v for c, v in (wanted or {}).items())}
             for lake, wanted in zip(lakes, [where, against])]
    answer = []

    def tell(kind, name, first, second, n, layer=None, feature=None):
        shown = [None if x is None else f32(x) for x in (first, second)]
        difference = None if None in shown else f32(shown[0] - shown[1])
        answer.append({"kind": kind, "layer": layer, "name": name, "feature": feature, "first": shown[0],
                       "second": shown[1], "difference": difference, "n_first": n[0], "n_second": n[1]})

    def tell_means(kind, name, values, **more):
        values = [[x for x in side if x is not None] for side in values]
        if values[0] or values[1]:
            means = [sum(side) / len(side) if side else None for side in values]
            tell(kind, name, *means, [len(side) for side in values], **more)

    n, shared = [len(side) for side in games], len(set(games[0]) & set(games[1]))
    tell("games", "total", *n, n)
    tell("games", "shared", shared, shared, n)
    tell("games", "only_first", n[0] - shared, 0, n)
    tell("games", "only_second", 0, n[1] - shared, n)
    decisions = [[step["decision"] for (game, _), step in lake.steps.items() if game in side]
                 for lake, side in zip(lakes, games)]
    bets = [[float(d == "bet") for d in side if d in ("bet", "stop")] for side in decisions]
    tell_means("decision", "bet_share", bets)
    for name, column in [("steps_a_game", "n_steps"), ("final_balance", "final_balance")]:
        tell_means("decision", name, [[game[column] for game in side.values()] for side in games])
    ended = [[game["outcome"] for game in side.values() if game["outcome"] is not None] for side in games]
    for outcome in sorted({*ended[0], *ended[1]}):
        tell_means("outcome", outcome, [[float(o == outcome) for o in side] for side in ended])
    per_layer = [defaultdict(list), defaultdict(list)]
    fired = [defaultdict(lambda: defaultdict(int)), defaultdict(lambda: defaultdict(int))]
    for lake, side, rows, counts in zip(lakes, games, per_layer, fired):
        for place in (place for place in lake.positions if place[0] in side):
            for at in (at for at in lake.positions[place] if layer in (None, at)):
                for p in lake.ranked(place, specials) & set(lake.positions[place][at]):
                    rows[at].append(lake.positions[place][at][p])
                    for feature in lake.features[place][at].get(p, {}):
                        counts[at][feature] += 1
    layers = sorted({*per_layer[0], *per_layer[1]})
    error = lambda row: row["reconstruction_error"] / row["residual_norm"] if row["residual_norm"] else None
    for at in layers:
        for name in ("feature_norm", "kept_share", "l0"):
            tell_means("layer", name, [[row[name] for row in side[at]] for side in per_layer], layer=at)
        tell_means("layer", "relative_error", [[error(row) for row in side[at]] for side in per_layer], layer=at)
    for at in layers:
        n = [len(side[at]) for side in per_layer]
        if n[0] and n[1] and lakes[0].dictionaries.get(at) == lakes[1].dictionaries.get(at):
            start = len(answer)
            for feature in {*fired[0][at], *fired[1][at]}:
                shares = [side[at][feature] / count for side, count in zip(fired, n)]
                tell("feature", None, *shares, n, layer=at, feature=feature)
            answer[start:] = sorted(answer[start:], key=lambda r: (-abs(r["difference"]), r["feature"]))[:limit]
    return answer


QUESTIONS = {"compare": compare, "trace": trace, "trace-all": trace_all, "last-token": last_token,
             "last-token-all": last_token_all}


def main():
    lake = Lake(sys.argv[1])
    answers = []
    for question in json.load(sys.stdin):
        answers.append(QUESTIONS[question.pop("name")](lake, **question))
    assert not any(isinstance(x, float) and math.isnan(x) for a in answers for row in a for x in row.values())
    print(json.dumps(answers))


main()
