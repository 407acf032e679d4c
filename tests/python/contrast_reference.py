"""Tests every feature of every span of a lake for a difference between two groups of steps, the long way.

usage: contrast_reference.py LAKE BY FIRST SECOND MIN_SUPPORT

BY is `decision` or a column of `games`. Prints rows as JSON, sorted by layer, span and feature. The values of all
steps are held as one dense matrix, also where features are silent, and the cumulants are summed over all pairs and
triples of steps as their definitions say, not from power sums.
"""

import json
import math
import sys
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import numpy
import pyarrow.dataset


def table(lake, name, partitioned=False):
    paths = sorted(str(path) for path in (lake / name).rglob("part-*.parquet"))
    partitioning = pyarrow.dataset.HivePartitioning(
        pyarrow.schema([("game_block", pyarrow.int32()), ("layer", pyarrow.int32())])
    )
    made = pyarrow.dataset.dataset(
        paths, partitioning=partitioning if partitioned else None, partition_base_dir=str(lake / name)
    )
    return made.to_table().to_pylist()


def span_tokens(lake, steps):
    """The positions of every span of a step: (game, step) -> span -> set."""
    counted = {
        (row["game"], row["step"], row["position"])
        for row in table(lake, "tokens") if not row["is_special"] and row["position"] > 0
    }
    found = {key: {"decision": {decision}} for key, (decision, _) in steps.items()}
    for row in table(lake, "spans"):
        key = row["game"], row["step"]
        if key in steps:
            positions = {
                p for p in range(row["position_start"], row["position_end"])
                if p <= steps[key][0] and (*key, p) in counted
            }
            if positions:
                found[key].setdefault(row["name"], set()).update(positions)
    return found


def normal_score(statistic, skewness):
    """The statistic on the scale of a normal variable, by the cube root of Wilson and Hilferty, never enlarged."""
    along = math.copysign(statistic, statistic * (skewness or 1.0))
    if along <= 0:
        return -along
    skewness = max(abs(skewness), 1e-5)
    shape = 4 / skewness**2
    gamma = shape + along * math.sqrt(shape)
    score = ((gamma / shape) ** (1 / 3) - (1 - 1 / (9 * shape))) * math.sqrt(9 * shape)
    return min(max(score, 0.0), along)


def cumulants(z, weights, members):
    """Variance and third cumulant of the difference, for each column of z."""
    n, games = len(z), len(members)
    of_games = numpy.array([z[rows].sum(axis=0) for rows in members])
    whole = (z**2).mean(axis=0) + games / (games - 1) * (of_games**2).sum(axis=0) / n**2
    inside = sum(((z[rows] - z[rows].mean(axis=0)) ** 2).sum(axis=0) for rows in members)
    within = inside / (n - games) if n > games else whole
    squares = sum(weights[rows].sum() ** 2 for rows in members)
    variance = within * (weights**2).sum() + numpy.maximum(whole - within, 0) * squares
    third = (z**3).mean(axis=0) * (weights**3).sum()
    pairs = [pair for rows in members for pair in permutations(rows, 2)]
    if pairs:
        i, j = numpy.array(pairs).T
        third = third + 3 * (z[i] ** 2 * z[j]).mean(axis=0) * (weights[i] ** 2 * weights[j]).sum()
    triples = [triple for rows in members for triple in permutations(rows, 3)]
    if triples:
        i, j, k = numpy.array(triples).T
        third = third + (z[i] * z[j] * z[k]).mean(axis=0) * (weights[i] * weights[j] * weights[k]).sum()
    return variance, third * games**2 / ((games - 1) * (games - 2))


def tested(values, first, games, min_support):
    """One row for each column of `values` that has the support: everything but the q-value."""
    n_first, n_second = first.sum(), (~first).sum()
    members = [numpy.flatnonzero(games == game) for game in sorted(set(games))]
    if n_first == 0 or n_second == 0 or len(members) < 3:
        return
    weights = numpy.where(first, 1 / n_first, -1 / n_second)
    variance, third = cumulants(values - values.mean(axis=0), weights, members)
    for column in range(values.shape[1]):
        y = values[:, column]
        support = sum(bool((y[rows] > 0).any()) for rows in members)
        if support < min_support:
            continue
        difference = y[first].mean() - y[~first].mean()
        inside = ((y[first] - y[first].mean()) ** 2).sum() + ((y[~first] - y[~first].mean()) ** 2).sum()
        row = {
            "column": column, "n_first": int(n_first), "n_second": int(n_second), "games": len(members),
            "support": support, "mean_first": y[first].mean(), "mean_second": y[~first].mean(),
            "difference": difference, "effect": None, "statistic": None, "p_value": None, "q_value": None,
        }
        if inside > 1e-12 * (y**2).sum() and len(y) > 2:
            row["effect"] = difference / math.sqrt(inside / (len(y) - 2))
        if variance[column] > 1e-12 * (weights**2).sum() * (y**2).mean():
            deviation = math.sqrt(variance[column])
            row["statistic"] = difference / deviation
            row["p_value"] = math.erfc(normal_score(row["statistic"], third[column] / deviation**3) / math.sqrt(2))
        yield row


def add_q_values(rows):
    rows = sorted((row for row in rows if row["p_value"] is not None), key=lambda row: -row["p_value"])
    least = 1.0
    for place, row in enumerate(rows):
        least = min(least, row["p_value"] * len(rows) / (len(rows) - place))
        row["q_value"] = least


def main():
    lake, by, first, second, min_support = Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
    games = {row["game"]: row for row in table(lake, "games")}
    steps, labels = {}, {}
    for row in table(lake, "steps"):
        if row["game"] in games:
            key = row["game"], row["step"]
            value = row["decision"] if by == "decision" else games[row["game"]][by]
            steps[key] = row["decision_position"], value
            if value in (first, second):
                labels[key] = value == first
    tokens = span_tokens(lake, steps)
    layers = defaultdict(set)
    for row in table(lake, "positions", partitioned=True):
        key = row["game"], row["step"]
        if key in labels and row["game_block"] == games[row["game"]]["game_block"]:
            layers[row["layer"]].add(key)
    active = defaultdict(dict)
    for row in table(lake, "features", partitioned=True):
        key = row["game"], row["step"]
        if key in labels and row["game_block"] == games[row["game"]]["game_block"]:
            active[row["layer"], *key, row["position"]][row["feature"]] = row["activation"]
    rows = []
    for layer, captured in layers.items():
        for span in {span for key in captured for span in tokens[key]}:
            units = sorted(key for key in captured if span in tokens[key])
            cells = [[active[layer, *key, p] for p in tokens[key][span]] for key in units]
            features = sorted({feature for cell in cells for found in cell for feature in found})
            values = numpy.array([[max(at.get(f, 0.0) for at in cell) for f in features] for cell in cells])
            first_ones = numpy.array([labels[key] for key in units])
            found = tested(values, first_ones, numpy.array([game for game, _ in units]), min_support)
            rows += [{"layer": layer, "span": span, "feature": features[row.pop("column")], **row} for row in found]
    add_q_values(rows)
    rows.sort(key=lambda row: (row["layer"], row["span"], row["feature"]))
    print(json.dumps(rows))


main()
