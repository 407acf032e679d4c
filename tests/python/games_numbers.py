"""The features and attention of made games, with the planted truths that the questions must find."""

from collections import defaultdict

import numpy

# Feature planted: layer and number.
BET_BALANCE = (7, 13)  # fires more at `balance` in steps that bet
OF_THE_GAME = (7, 29)  # fires at `balance` as strongly as the game says, whatever is decided
BET_OPTION = (3, 7)  # fires at `bet_option`; the decision's feature follows it
DECISION = (11, 5)  # fires at the decision as strongly as BET_OPTION does before
FORGOTTEN = (11, 40)  # fires at `goal`, silent at the decision
GOAL = (3, 1)  # fires at `goal` alone
CONSTANT = (3, 2)  # 1 at every position
# The head and layer whose attention goes to the option that is taken.
HEAD, HEAD_LAYER = 1, 7


def random_of(seed, *keys):
    return numpy.random.default_rng([seed, *(key % 2**31 for key in keys)])


def active(options, step, layer, index):
    """All active features of a layer of a step: for each position a dict of activations in single precision."""
    random = random_of(options.seed, step.game, step.number, layer)
    planted = {feature for known, feature in PLANTED if known == layer}
    found = []
    for position in range(len(step.tokens)):
        values = {0: 0.5 + random.random()}
        for _ in range(options.top_k + int(random.integers(-2, 4))):
            # Low numbers are common, high ones rare.
            feature = int(options.d_sae * random.random() ** 2)
            if feature not in planted:
                values[feature] = float(numpy.exp(random.normal() - 0.5))
        plant(values, step, layer, position, index, random)
        if position == 0:
            values = {feature: 40 * value for feature, value in values.items()}
        if (index, step.number) == (1, 0) and position in (2, 3) and found:
            # Positions 1 to 3 of this step are alike, so that what ranks them is their position.
            values = dict(found[1])
        found.append({f: numpy.float32(v) for f, v in values.items() if f < options.d_sae})
    return found


PLANTED = [BET_BALANCE, OF_THE_GAME, BET_OPTION, DECISION, FORGOTTEN, GOAL, CONSTANT]


def plant(values, step, layer, position, index, random):
    def fire(where, planted, value):
        if layer == planted[0] and position in where and value > 0:
            values[planted[1]] = float(value)

    balance, decision = step.in_span("balance"), {step.decision_position}
    bets = step.decision == "bet"
    if random.random() < (0.95 if bets else 0.3):
        fire(balance, BET_BALANCE, (3.0 if bets else 1.0) + 0.3 * random.normal())
    fire(balance, OF_THE_GAME, (6.0 if index % 8 == 3 else 0.2) + 0.01 * random.normal())
    strength = 1 + (step.game * 7919 + step.number * 31) % 97 / 20
    fire(step.in_span("bet_option"), BET_OPTION, strength)
    fire(decision, DECISION, 0.8 * strength + 0.02 * random.normal())
    fire(step.in_span("goal"), FORGOTTEN, 2 + 0.2 * random.normal())
    fire(step.in_span("goal"), GOAL, 9 + random.normal())
    fire({position}, CONSTANT, 1.0)


def pattern(options, step, layer, index):
    """The attention probabilities, [head, query, key], in single precision."""
    random = random_of(options.seed, step.game, step.number, layer, 77)
    n = len(step.tokens)
    weights = numpy.tril(numpy.exp(1.5 * random.normal(size=(options.heads, n, n))))
    weights[:, :, 0] += 15.0
    if layer == HEAD_LAYER and step.decision:
        taken = "bet_option" if step.decision == "bet" else "stop_option"
        keys = sorted(p for p in step.in_span(taken) if p <= step.decision_position)
        weights[HEAD % options.heads, step.decision_position, keys] += 20.0
    if (index, step.number) == (1, 0):
        weights[:, 4:, 3] = weights[:, 4:, 2]
    if (index, step.number, layer) == (0, 0, options.layers[0]):
        weights[0, step.decision_position, 2] = 0.0
    weights /= weights.sum(axis=2, keepdims=True)
    return weights.astype(numpy.float32)


def feature_rows(options, step, layer, index):
    """Rows of `features` and `positions`."""
    random = random_of(options.seed, step.game, step.number, layer, 55)
    features, positions = [], []
    for position, values in enumerate(active(options, step, layer, index)):
        order = sorted(values, key=lambda feature: (-values[feature], feature))
        kept = {feature: rank for rank, feature in enumerate(order[: options.top_k])}
        squares = {feature: float(value) ** 2 for feature, value in values.items()}
        total = sum(squares.values())
        features += [(step.game, step.number, position, f, values[f], rank) for f, rank in kept.items()]
        norm, share = total**0.5, sum(squares[f] for f in kept) / total
        residual = norm * (1 + random.random())
        positions.append((step.game, step.number, position, len(values), norm, residual, residual / 3, share))
    return features, positions


def attention_rows(options, step, layer, index):
    """Rows of `attention` and `attention_rows`: the decision's row whole, of the others the strongest keys."""
    weights, sums = [], []
    pattern_ = pattern(options, step, layer, index)
    for head in range(options.heads):
        for query, row in enumerate(pattern_[head]):
            kept = [key for key in range(query + 1) if row[key] > 0]
            if query != step.decision_position:
                kept = sorted(sorted(kept, key=lambda key: -row[key])[: options.keys])
            weights += [(step.game, step.number, head, query, key, row[key]) for key in kept]
            positive = row[row > 0].astype(numpy.float64)
            mass = row[kept].astype(numpy.float64).sum()
            entropy = -(positive * numpy.log(positive)).sum()
            sums.append((step.game, step.number, head, query, mass, entropy))
    return weights, sums


def large_tables(options, step, layer, index):
    rows = defaultdict(list)
    rows["features"], rows["positions"] = feature_rows(options, step, layer, index)
    rows["attention"], rows["attention_rows"] = attention_rows(options, step, layer, index)
    return rows
