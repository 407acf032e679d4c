"""The tokens, spans and decisions of made games: awkward text, nested and repeated spans, failed steps."""

from dataclasses import dataclass, field

AWKWARD = [
    "</script><script>alert(1)</script>", " \"or\"", " it's", " שלום", " \u202eabc", " 🎰", "\n", "\t", "\\",
    " é", "\ufffd", " <b>", " &amp;", " a,b", " $", " 10%", "日本", " x" * 12,
]


@dataclass
class Step:
    """One step: its tokens as (text, is special), its spans as (name, first position, position after)."""

    game: int
    number: int
    tokens: list = field(default_factory=list)
    spans: list = field(default_factory=list)
    decision_position: int = -1
    decision: str | None = None
    status: str = "ok"
    balance: int = 100
    bet: int | None = None
    won: bool | None = None
    balance_after: int = 100

    def say(self, *texts, name=None, special=False):
        """Adds tokens, and a span over them."""
        start = len(self.tokens)
        self.tokens += [(text, special) for text in texts]
        if name:
            self.spans.append((name, start, len(self.tokens)))

    def in_span(self, *names):
        """The positions of the spans with these names."""
        return {p for name, start, end in self.spans if name in names for p in range(start, end)}


def write_prompt(step, index, n_tokens):
    """Fills in tokens and spans up to the decision, and what is generated after it."""
    if index % 8 != 7:
        step.say("<|begin|>", special=True)
    step.say("You", " play", name="preamble")
    step.say(AWKWARD[(index + step.number) % len(AWKWARD)])
    if index % 5 != 4:
        step.say("Goal", " is", " $200", name="goal")
    balance = len(step.tokens)
    step.say("Balance", " $", str(step.balance), "\n", name="balance")
    if step.number == 1:
        # The same name twice in a step, overlapping.
        step.spans.append(("balance", balance + 2, balance + 4))
        step.say(" again")
    write_history(step)
    sep = len(step.tokens)
    step.say("<|sep|>", special=True)
    if index % 6 == 0:
        # A span of nothing but a special token: it has no member unless special tokens are asked for.
        step.spans.append(("marker", sep, sep + 1))
    step.say(" (1)", " Bet", name="bet_option")
    step.say(" or")
    step.say(" (2)", " Stop", name="stop_option")
    if index % 4 == 0:
        # A nested pair, and a span that holds position 0 and a special token beside others.
        step.spans += [("options", sep, len(step.tokens)), ("first", 0, 3)]
    while len(step.tokens) < n_tokens - 1:
        step.say(AWKWARD[(7 * index + len(step.tokens)) % len(AWKWARD)])
    step.say("<|answer|>" if index % 3 == 0 else ":", special=index % 3 == 0)
    step.decision_position = len(step.tokens) - 1
    step.say(*[" 1", "\n", "."][: index % 4])


def write_history(step):
    """Up to three rounds, each a span that overlaps the next by a token, all of them nested in `history`."""
    rounds = min(step.number, 3)
    if rounds == 0:
        return
    start = len(step.tokens)
    for number in range(rounds):
        first = len(step.tokens)
        step.say(" R", str(number), " lost")
        last = number + 1 == rounds
        step.spans.append((f"history[{number}]", first, first + (3 if last else 4)))
    step.spans.append(("history", start, len(step.tokens)))


def play(game, index, n_steps, random, n_tokens):
    """The steps of a game and its outcome. Every second game ends in bankruptcy; two go wrong."""
    steps, balance, outcome = [], 100, "bankruptcy" if index % 2 else "voluntary_stop"
    for number in range(n_steps):
        step = Step(game, number, balance=balance, balance_after=balance)
        steps.append(step)
        last = number + 1 == n_steps
        if last and index == 5:
            outcome, step.status = "error", "error"
            break
        write_prompt(step, index, n_tokens + int(random.integers(0, 4)))
        if last and index == 2:
            outcome, step.status = "unparsable", "unparsable"
        elif last and outcome == "voluntary_stop":
            step.decision, step.bet = "stop", 0
        else:
            # Now and then a game goes on after a stop, so that both decisions meet within a game.
            step.decision = "stop" if index % 4 == 1 and number == 1 and not last else "bet"
            step.bet = 0 if step.decision == "stop" else (balance if last else 10)
            step.won = None if step.decision == "stop" else not last and bool(random.random() < 0.3)
            balance += -step.bet + (3 * step.bet if step.won else 0)
            step.balance_after = balance
    return steps, outcome
