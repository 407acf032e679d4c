"""Answers flow, heatmap and position from a lake by dense numpy arrays, apart from any query.

Usage: plain.py LAKE < SETTINGS

SETTINGS is a JSON list of objects with `question` and the variables that its SQL takes; those of one step name game
and step. Prints a JSON list with the rows of each as objects, in double precision, in the order of the answer.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy
import pyarrow.parquet


class Step:
    """One step as arrays: features[layer][position, feature], attention[layer][head, query, key]."""

    def __init__(self, row, n_heads):
        self.game, self.step, self.decision = row["game"], row["step"], row["decision"]
        self.n, self.end, self.n_heads = row["n_tokens"], row["decision_position"], n_heads
        self.tokens, self.special, self.spans = [None] * self.n, [False] * self.n, []
        self.features, self.attention, self.measures = {}, {}, defaultdict(dict)

    def ranked(self, specials):
        up_to = range(self.end + 1)
        return [p for p in up_to if specials == "include" or (p > 0 and not self.special[p])]

    def members(self, specials):
        members = defaultdict(set, {"decision": {self.end}})
        for name, start, end in self.spans:
            found = [p for p in self.ranked(specials) if start <= p < end]
            if found:
                members[name].update(found)
        return {name: sorted(found) for name, found in members.items()}


def table(lake, name):
    """The rows of the games that exist, in the blocks that they are in."""
    blocks = {row["game"]: row["game_block"] for row in rows(lake / "games")} if name != "games" else {}
    for path in sorted((lake / name).rglob("part-*.parquet")):
        folders = dict(part.split("=") for part in path.relative_to(lake).parts if "=" in part)
        for row in pyarrow.parquet.ParquetFile(path).read().to_pylist():
            block = folders.get("game_block")
            if name == "games" or (row["game"] in blocks and block in (None, str(blocks[row["game"]]))):
                yield {**row, "layer": int(folders.get("layer", -1))}


def rows(folder):
    for path in sorted(folder.glob("part-*.parquet")):
        yield from pyarrow.parquet.ParquetFile(path).read().to_pylist()


def read(lake):
    heads = {row["run"]: row["n_heads"] for row in rows(lake / "runs")}
    n_heads = {row["game"]: heads[row["run"]] for row in rows(lake / "games")}
    steps = {(row["game"], row["step"]): Step(row, n_heads[row["game"]]) for row in table(lake, "steps")}
    for row in table(lake, "tokens"):
        step = steps[row["game"], row["step"]]
        step.tokens[row["position"]], step.special[row["position"]] = row["token"], row["is_special"]
    for row in table(lake, "spans"):
        steps[row["game"], row["step"]].spans.append((row["name"], row["position_start"], row["position_end"]))
    found = list(table(lake, "features"))
    width = 1 + max(row["feature"] for row in found)
    for row in table(lake, "positions"):
        step = steps[row["game"], row["step"]]
        step.features.setdefault(row["layer"], numpy.zeros((step.n, width)))
        step.measures[row["layer"]][row["position"]] = row
    for row in found:
        features = steps[row["game"], row["step"]].features[row["layer"]]
        features[row["position"], row["feature"]] = row["activation"]
    for row in table(lake, "attention"):
        step = steps[row["game"], row["step"]]
        weights = step.attention.setdefault(row["layer"], numpy.zeros((step.n_heads, step.n, step.n)))
        weights[row["head"], row["query"], row["key"]] = row["weight"]
    return [steps[key] for key in sorted(steps)]


def patterns(step, settings):
    """The patterns shown: layer, head, weights."""
    for layer, weights in sorted(step.attention.items()):
        if settings.get("layer") in (None, layer):
            yield layer, -1, weights.mean(axis=0)
            if settings.get("heads"):
                yield from ((layer, head, weights[head]) for head in range(step.n_heads))


def flow_weights(step, settings):
    """{(layer, head, from, to): weight}, zeros too."""
    members = step.members(settings.get("specials"))
    everywhere = {p for found in members.values() for p in found}
    others = [p for p in range(step.n) if p not in everywhere]
    looks = []
    for layer, head, weights in patterns(step, settings):
        looks += [(layer, head, name, weights[queries].mean(axis=0)) for name, queries in members.items()]
    if settings.get("layer") is None and step.attention:
        reached = numpy.eye(step.n)[step.end]
        for layer in sorted(step.attention, reverse=True):
            reached = reached @ (numpy.eye(step.n) + step.attention[layer].mean(axis=0)) / 2
        looks.append((-1, -1, "decision", reached))
    found = {}
    for layer, head, name, weights in looks:
        if settings.get("span") in (None, name):
            for to, keys in {**members, "(other)": others}.items():
                found[layer, head, name, to] = weights[keys].sum()
            found[layer, head, name, "(not kept)"] = 0 if weights.sum() > 1 - 1e-6 else 1 - weights.sum()
    return found, members


def flow(steps, settings):
    (step,) = steps
    found, members = flow_weights(step, settings)
    return [
        {"game": step.game, "step": step.step, "layer": layer, "head": head, "from_span": name, "to_span": to,
         "weight": weight, "n_queries": len(members[name])}
        for (layer, head, name, to), weight in sorted(found.items()) if weight > 0 or to == "(not kept)"
    ]


def flow_all(steps, settings):
    by_key = defaultdict(lambda: {"bet": [], "stop": []})
    for step in steps:
        if step.decision:
            for key, weight in flow_weights(step, settings)[0].items():
                by_key[key][step.decision].append(weight)
    answer = []
    for (layer, head, name, to), found in sorted(by_key.items()):
        bet, stop = (float(numpy.mean(found[side])) if found[side] else None for side in ("bet", "stop"))
        if sum(found["bet"]) + sum(found["stop"]) > 0 or to == "(not kept)":
            answer.append({
                "layer": layer, "head": head, "from_span": name, "to_span": to, "bet": bet, "stop": stop,
                "difference": None if None in (bet, stop) else bet - stop,
                "n_bet": len(found["bet"]), "n_stop": len(found["stop"]),
            })
    return answer


def varying(values, settings):
    """The columns that vary most, of those that are anywhere above 0."""
    variance, mean = (x.astype(numpy.float32) for x in (values.var(axis=0), values.mean(axis=0)))
    known = [f for f in range(values.shape[1]) if mean[f] > 0 and settings.get("feature") in (None, f)]
    return sorted(known, key=lambda f: (-variance[f], -mean[f], f))[: settings.get("limit", 50)]


def heatmap(steps, settings):
    (step,) = steps
    layer = settings.get("layer", max(step.features))
    specials, span = settings.get("specials"), settings.get("span")
    places = step.members(specials)[span] if span else step.ranked(specials)
    values = step.features[layer]
    chosen = sorted(varying(values[places], settings))
    return [
        {"game": step.game, "step": step.step, "layer": layer, "position": p, "token": step.tokens[p], "feature": f,
         "activation": values[p, f]}
        for p in places for f in chosen if values[p, f] > 0
    ]


def heatmap_all(steps, settings):
    layer = settings.get("layer", max(layer for step in steps for layer in step.features))
    strongest = defaultdict(list)
    for step in steps:
        if layer in step.features:
            for name, places in step.members(settings.get("specials")).items():
                strongest[name].append(step.features[layer][places].max(axis=0))
    names = sorted(strongest)
    means = numpy.array([numpy.mean(strongest[name], axis=0) for name in names])
    chosen = sorted(varying(means, settings))
    return [
        {"layer": layer, "span": name, "feature": f, "n_steps": len(strongest[name]),
         "share": float(numpy.mean([x[f] > 0 for x in strongest[name]])), "activation": means[row, f]}
        for row, name in enumerate(names) if settings.get("span") in (None, name)
        for f in chosen if means[row, f] > 0
    ]


def position(steps, settings):
    (step,) = steps
    specials, heads = settings.get("specials"), defaultdict(list)
    for layer, head, weights in patterns(step, settings):
        heads[layer].append((head, weights))
    here = step.members(specials)[settings["span"]] if "span" in settings else [settings["position"]]
    answer = []
    for p in here:
        others = [other for other in step.ranked(specials) if other != p]
        for layer in sorted(heads):
            for kind, found in sorted(kinds(step, layer, p, others, heads[layer], settings).items()):
                answer += strongest_rows(step, layer, p, kind, found, settings.get("limit", 10))
    return answer


def kinds(step, layer, p, others, heads, settings):
    """Rows by kind: head, feature, other position, value, and the values elsewhere."""
    found = defaultdict(list)
    features = step.features[layer]
    for f in range(features.shape[1]):
        if features[p, f] > 0 and settings.get("feature") in (None, f):
            found["feature"].append((None, f, None, features[p, f], features[others, f]))
    for kind in ("l0", "reconstruction_error", "residual_norm"):
        values = [step.measures[layer][other][kind] for other in others]
        found[kind].append((None, None, None, step.measures[layer][p][kind], numpy.array(values)))
    for head, weights in heads:
        if weights[step.end, p] > 0:
            row = weights[step.end]
            found["decision_attention"].append((head, None, None, row[p], row[others]))
        found["attends_to"] += [(head, None, key, weights[p, key], None) for key in range(step.n)]
        found["attended_by"] += [(head, None, query, weights[query, p], None) for query in range(step.end + 1)]
    return found


def strongest_rows(step, layer, p, kind, found, limit):
    by_head = defaultdict(list)
    for row in found:
        if row[3] > 0 or row[4] is not None:
            by_head[row[0]].append(row)
    for head in sorted(by_head, key=lambda head: head or 0):
        order = sorted(by_head[head], key=lambda row: (-numpy.float32(row[3]), row[1] or 0, row[2] or 0))
        for _, feature, other, value, elsewhere in order[:limit]:
            compared = elsewhere is not None and len(elsewhere) > 0
            yield {
                "game": step.game, "step": step.step, "layer": layer, "position": p, "token": step.tokens[p],
                "kind": kind, "feature": feature, "other_position": other,
                "other_token": None if other is None else step.tokens[other], "head": head, "value": value,
                "elsewhere_mean": elsewhere.mean() if compared else None,
                "elsewhere_max": elsewhere.max() if compared else None,
                "elsewhere_share": float((elsewhere > 0).mean()) if compared and kind == "feature" else None,
            }


def position_all(steps, settings):
    answer, specials, span = [], settings.get("specials"), settings["span"]
    for layer in sorted({layer for step in steps for layer in step.features}):
        if settings.get("layer") not in (None, layer):
            continue
        having = [s for s in steps if layer in s.features and span in s.members(specials)]
        places = [(s.features[layer], s.members(specials)[span], s.ranked(specials)) for s in having]
        here = numpy.concatenate([x[inside] for x, inside, _ in places])
        rest = numpy.concatenate([x[[p for p in ranked if p not in inside]] for x, inside, ranked in places])
        shares = [((x > 0).mean(axis=0), x.mean(axis=0)) if len(x) else (None, None) for x in (here, rest)]
        (share, activation), (other_share, other_activation) = shares
        found = [f for f in range(here.shape[1]) if share[f] > 0 and settings.get("feature") in (None, f)]
        more = (share - (0 if other_share is None else other_share)).astype(numpy.float32)
        found.sort(key=lambda f: (-more[f], -numpy.float32(activation[f]), f))
        answer += [
            {"layer": layer, "feature": f, "n_steps": len(having), "share": share[f], "activation": activation[f],
             "elsewhere_share": None if other_share is None else other_share[f],
             "elsewhere_activation": None if other_share is None else other_activation[f],
             "lift": share[f] / other_share[f] if other_share is not None and other_share[f] > 0 else None}
            for f in found[: settings.get("limit", 20)]
        ]
    return answer


def answer(steps, settings):
    if "game" in settings:
        steps = [s for s in steps if (s.game, s.step) == (settings["game"], settings["step"])]
    return globals()[settings["question"].replace("-", "_")](steps, settings)


def main():
    steps = read(Path(sys.argv[1]))
    print(json.dumps([answer(steps, settings) for settings in json.load(sys.stdin)], default=float))


main()
