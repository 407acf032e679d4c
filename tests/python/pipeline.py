"""Looks at a lake with DuckDB and prints what a test wants to know, as JSON.

usage: pipeline.py LAKE [LAYER]
"""

import json
import sys
from pathlib import Path

import duckdb

lake = sys.argv[1]
repository = Path(__file__).parent.parent.parent
connection = duckdb.connect()
for table in ("runs", "dictionaries", "games", "steps", "tokens", "spans", "prefixes"):
    connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{lake}/{table}/*.parquet')")
for table in ("features", "feature_rollup", "positions", "attention", "attention_rows"):
    files = f"{lake}/{table}/game_block=*/layer=*/*.parquet"
    connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{files}', hive_partitioning = true)")


def column(sql):
    return [row[0] for row in connection.execute(sql).fetchall()]


# Each query finds rows that must not be there.
RULES = {
    "a step without its game": "SELECT * FROM steps ANTI JOIN games USING (game)",
    "a game with another number of steps": """
        SELECT * FROM games LEFT JOIN (SELECT game, count(*) AS n FROM steps GROUP BY game) USING (game)
        WHERE n IS DISTINCT FROM n_steps""",
    "a step with another number of tokens": """
        SELECT * FROM steps LEFT JOIN (SELECT game, step, count(*) AS n FROM tokens GROUP BY ALL) USING (game, step)
        WHERE coalesce(n, 0) <> n_tokens""",
    "a token without its position row at a captured layer": """
        SELECT * FROM tokens CROSS JOIN (SELECT DISTINCT layer FROM positions)
        ANTI JOIN positions USING (game, step, position, layer)""",
    "more kept features than active ones": """
        SELECT * FROM (SELECT game, step, layer, position, count(*) AS n FROM features GROUP BY ALL)
        JOIN positions USING (game, step, layer, position) WHERE n > l0 OR (n < l0 AND n < 64)""",
    "kept features that do not add up to the kept share": """
        SELECT * FROM (SELECT game, step, layer, position, sum(activation::DOUBLE ** 2) AS kept FROM features GROUP BY ALL)
        JOIN positions USING (game, step, layer, position)
        CROSS JOIN (SELECT min(activation_bits) AS bits FROM runs)
        WHERE abs(kept - kept_share * feature_norm::DOUBLE ** 2) > (1e-4 + 2.0::DOUBLE ** -bits) * feature_norm::DOUBLE ** 2""",
    "ranks that do not follow the activations": """
        SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY game, step, layer, position
            ORDER BY activation DESC, rank) - 1 AS expected FROM features) WHERE rank <> expected""",
    "a feature that comes twice": """
        SELECT * FROM (SELECT count(*) AS n FROM features GROUP BY game, step, layer, position, feature) WHERE n > 1""",
    "a rollup that the features do not add up to": """
        SELECT * FROM feature_rollup FULL JOIN (
            SELECT layer, game, feature, count(*) AS n, sum(activation::DOUBLE) AS total, max(activation) AS most,
                arg_max(step * 100000 + position, (activation, -step, -position)) AS place
            FROM features JOIN steps USING (game, step) JOIN tokens USING (game, step, position)
            WHERE position BETWEEN 1 AND decision_position AND NOT is_special GROUP BY ALL
        ) USING (layer, game, feature)
        WHERE n IS DISTINCT FROM count OR abs(total - sum) > 1e-6 * total OR most <> max
            OR place <> step * 100000 + position""",
    "an inactive feature": "SELECT * FROM features WHERE NOT activation > 0",
    "a decision row that does not sum to 1": """
        SELECT sum(weight) AS total FROM attention JOIN steps USING (game, step)
        WHERE query = decision_position GROUP BY game, step, layer, head HAVING abs(sum(weight::DOUBLE) - 1) > 1e-4""",
    "kept weights that do not add up to the kept mass": """
        SELECT * FROM attention_rows JOIN
            (SELECT game, step, layer, head, query, sum(weight::DOUBLE) AS kept FROM attention GROUP BY ALL)
            USING (game, step, layer, head, query) WHERE abs(kept - kept_mass) > 1e-5""",
    "a row that keeps more than all": "SELECT * FROM attention_rows WHERE kept_mass > 1.0001 OR entropy < -1e-5",
    "attention to a later key": "SELECT * FROM attention WHERE key > query",
    "option probabilities that do not add up": "SELECT * FROM steps WHERE abs(p_bet + p_stop - option_mass) > 1e-6",
    "a logit difference that is not the log odds": """
        SELECT * FROM steps WHERE abs(ln(p_bet / p_stop) - logit_diff) > 1e-3""",
    "a balance that does not follow": """
        SELECT * FROM steps WHERE decision = 'bet' AND balance_after <> balance_before - bet + if(won, 3 * bet, 0)""",
    "a balance that does not go on": """
        SELECT * FROM steps a JOIN steps b ON a.game = b.game AND b.step = a.step + 1
        WHERE a.balance_after <> b.balance_before""",
    "a balance span that does not show the balance": """
        SELECT game, step, string_agg(token, '' ORDER BY position) AS shown, any_value(balance_before) AS balance
        FROM spans JOIN tokens USING (game, step) JOIN steps USING (game, step)
        WHERE name = 'balance' AND balance_before IS NOT NULL
            AND position >= position_start AND position < position_end
        GROUP BY ALL HAVING trim(shown) <> '$' || balance""",
    "a generated token before the prompt's end": """
        SELECT * FROM tokens JOIN steps USING (game, step) WHERE is_generated <> (position >= n_prompt_tokens)""",
    "a step without its bos policy": "SELECT * FROM runs WHERE bos NOT IN ('none', 'template', 'tokenizer')",
}

answer = {
    "violations": sorted(rule for rule, sql in RULES.items() if connection.execute(sql).fetchone() is not None),
    "games": column("SELECT game FROM games ORDER BY game"),
    "runs": column("SELECT count(*) FROM runs")[0],
    "activation_bits": column("SELECT DISTINCT activation_bits FROM runs"),
    "layers": column("SELECT DISTINCT layer FROM positions ORDER BY layer"),
    "errors": column("SELECT error FROM steps WHERE status = 'error' ORDER BY game, step"),
    "outcomes": column("SELECT outcome FROM games ORDER BY game"),
    "generated_tokens": column("SELECT count(*) FROM tokens WHERE is_generated")[0],
    "bets": column("SELECT count(*) FROM steps WHERE decision = 'bet'")[0],
}
if len(sys.argv) > 2:
    connection.execute(f"SET VARIABLE lake = '{lake}'")
    connection.execute(f"SET VARIABLE layer = {int(sys.argv[2])}")
    connection.execute("SET VARIABLE \"limit\" = 1000")
    rows = connection.execute((repository / "queries/attribution.sql").read_text())
    names = [field[0] for field in rows.description]
    answer["attribution"] = [dict(zip(names, row)) for row in rows.fetchall()]
print(json.dumps(answer))
