-- Where the tokens of a span look when the decision is to bet, and when it is to stop: the flow of a step (flow.sql)
-- as the mean over the bet steps and over the stop steps of all games. The meaning of every part is in flow.rs,
-- whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE layer = 8;               -- default: every captured layer, and the rollout
--   SET VARIABLE span = 'decision';       -- the span that looks; default: every span
--   SET VARIABLE heads = true;            -- default: only the mean over the heads (head -1)
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Order of the rows: layer, head, from_span, to_span. The rollout has layer -1. Steps without a decision do not
-- count.
WITH RECURSIVE
-- What every step has of the large tables: its own rows, and those of positions that it shares with an earlier step,
-- which are stored there alone if the lake was collected with --positions new.
prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(getvariable('lake') || '/prefixes/*.parquet')
),
all_attention_rows AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, head, query
    FROM read_parquet(
        getvariable('lake') || '/attention_rows/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.head, r.query
    FROM read_parquet(
        getvariable('lake') || '/attention_rows/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN prefixes AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.query >= p.position_start AND r.query < p.position_end
),
all_attention AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, head, query, key, weight
    FROM read_parquet(
        getvariable('lake') || '/attention/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.head, r.query, r.key, r.weight
    FROM read_parquet(
        getvariable('lake') || '/attention/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN prefixes AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.query >= p.position_start AND r.query < p.position_end
),
chosen_games AS (
    FROM query(
        'SELECT game, game_block, run FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT g.game, g.game_block, r.n_heads, s.step, s.decision_position, s.decision
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
    JOIN read_parquet(getvariable('lake') || '/runs/*.parquet') AS r ON g.run = r.run
    WHERE s.decision IN ('bet', 'stop')
),
seen AS (
    SELECT t.game, t.step, t.position, t.is_special
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
),
members AS (
    SELECT n.game, n.step, n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN seen AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    WHERE (NOT t.is_special AND t.position > 0)
        OR coalesce(getvariable('specials') = 'include', false)
    UNION
    SELECT game, step, 'decision' AS span, decision_position AS position
    FROM chosen_steps
),
queries AS (
    SELECT game, step, span AS from_span, position, count(*) OVER (PARTITION BY game, step, span) AS n_queries
    FROM members
    WHERE span = getvariable('span') OR getvariable('span') IS NULL
),
captured AS (
    SELECT r.game, r.step, r.layer, r.head, s.decision
    FROM all_attention_rows AS r
    JOIN chosen_steps AS s
        ON r.game_block = s.game_block AND r.game = s.game AND r.step = s.step AND r.query = s.decision_position
    WHERE r.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
pattern AS (
    SELECT a.game, a.step, a.layer, a.head, a.query, a.key, a.weight::DOUBLE AS weight, s.n_heads
    FROM all_attention AS a
    JOIN chosen_steps AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step
    WHERE (a.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND a.query <= s.decision_position
),
mean_pattern AS (
    SELECT game, step, layer, query, key, sum(weight) / max(n_heads) AS weight
    FROM pattern
    GROUP BY game, step, layer, query, key
),
-- The layers of a step from the last to the first, by which its rollout goes down.
layers AS (
    SELECT
        game, step, layer,
        row_number() OVER (PARTITION BY game, step ORDER BY layer DESC) AS depth,
        count(*) OVER (PARTITION BY game, step) AS n_layers
    FROM (SELECT DISTINCT game, step, layer FROM captured) AS d
),
-- Half of a position stays where it is, the other half goes where the heads look.
mixed AS (
    SELECT p.game, p.step, l.depth, l.n_layers, p.query, p.key, p.weight / 2 AS weight
    FROM mean_pattern AS p
    JOIN layers AS l ON p.game = l.game AND p.step = l.step AND p.layer = l.layer
    UNION ALL
    SELECT l.game, l.step, l.depth, l.n_layers, t.position AS query, t.position AS key, 0.5::DOUBLE AS weight
    FROM layers AS l
    JOIN seen AS t ON l.game = t.game AND l.step = t.step
),
rollout AS (
    SELECT game, step, 0::BIGINT AS depth, 1::BIGINT AS n_layers, decision_position AS position, 1.0::DOUBLE AS weight
    FROM chosen_steps
    WHERE getvariable('layer') IS NULL AND coalesce(getvariable('span') = 'decision', true)
    UNION ALL
    SELECT
        r.game, r.step, r.depth + 1 AS depth, m.n_layers, m.key AS position, sum(r.weight * m.weight) AS weight
    FROM rollout AS r
    JOIN mixed AS m
        ON r.game = m.game AND r.step = m.step AND r.depth + 1 = m.depth AND r.position = m.query
    GROUP BY r.game, r.step, r.depth + 1, m.n_layers, m.key
),
-- What the tokens of a span pay to each position of a step, as the mean over the tokens.
looks AS (
    SELECT p.game, p.step, p.layer, -1 AS head, q.from_span, p.key, sum(p.weight / q.n_queries) AS weight
    FROM mean_pattern AS p
    JOIN queries AS q ON p.game = q.game AND p.step = q.step AND p.query = q.position
    GROUP BY p.game, p.step, p.layer, q.from_span, p.key
    UNION ALL
    SELECT p.game, p.step, p.layer, p.head, q.from_span, p.key, sum(p.weight / q.n_queries) AS weight
    FROM pattern AS p
    JOIN queries AS q ON p.game = q.game AND p.step = q.step AND p.query = q.position
    WHERE coalesce(getvariable('heads'), false)
    GROUP BY p.game, p.step, p.layer, p.head, q.from_span, p.key
    UNION ALL
    SELECT game, step, -1 AS layer, -1 AS head, 'decision' AS from_span, position AS key, sum(weight) AS weight
    FROM rollout
    WHERE depth = n_layers
    GROUP BY game, step, position
),
kept AS (
    SELECT game, step, layer, head, from_span, sum(weight) AS weight
    FROM looks
    GROUP BY game, step, layer, head, from_span
),
-- Every span of a step with what counts as looking from it.
froms AS (
    SELECT c.game, c.step, c.layer, c.head, c.decision, q.from_span
    FROM (
        SELECT game, step, layer, -1 AS head, decision FROM captured
        UNION
        SELECT game, step, layer, head, decision FROM captured WHERE coalesce(getvariable('heads'), false)
        UNION
        SELECT game, step, -1 AS layer, -1 AS head, decision FROM captured WHERE getvariable('layer') IS NULL
    ) AS c
    JOIN (SELECT DISTINCT game, step, from_span FROM queries) AS q
        ON c.game = q.game AND c.step = q.step AND (c.layer >= 0 OR q.from_span = 'decision')
),
tos AS (
    SELECT DISTINCT game, step, span AS to_span FROM members
    UNION ALL
    SELECT game, step, '(other)' AS to_span FROM chosen_steps
    UNION ALL
    SELECT game, step, '(not kept)' AS to_span FROM chosen_steps
),
-- A pair of spans counts in the steps that have both.
pairs AS (
    SELECT
        f.layer, f.head, f.from_span, t.to_span,
        sum(CASE WHEN f.decision = 'bet' THEN 1 ELSE 0 END) AS n_bet,
        sum(CASE WHEN f.decision = 'stop' THEN 1 ELSE 0 END) AS n_stop
    FROM froms AS f
    JOIN tos AS t ON f.game = t.game AND f.step = t.step
    GROUP BY f.layer, f.head, f.from_span, t.to_span
),
flows AS (
    SELECT
        l.game, l.step, l.layer, l.head, l.from_span, coalesce(m.span, '(other)') AS to_span,
        sum(l.weight) AS weight
    FROM looks AS l
    LEFT JOIN members AS m ON l.game = m.game AND l.step = m.step AND l.key = m.position
    GROUP BY l.game, l.step, l.layer, l.head, l.from_span, coalesce(m.span, '(other)')
    UNION ALL
    SELECT
        f.game, f.step, f.layer, f.head, f.from_span, '(not kept)' AS to_span,
        CASE WHEN coalesce(k.weight, 0) > 1 - 1e-6 THEN 0 ELSE 1 - coalesce(k.weight, 0) END AS weight
    FROM froms AS f
    LEFT JOIN kept AS k
        ON f.game = k.game AND f.step = k.step
        AND f.layer = k.layer AND f.head = k.head AND f.from_span = k.from_span
),
sums AS (
    SELECT
        w.layer, w.head, w.from_span, w.to_span,
        sum(CASE WHEN s.decision = 'bet' THEN w.weight ELSE 0 END) AS bet,
        sum(CASE WHEN s.decision = 'stop' THEN w.weight ELSE 0 END) AS stop
    FROM flows AS w
    JOIN chosen_steps AS s ON w.game = s.game AND w.step = s.step
    GROUP BY w.layer, w.head, w.from_span, w.to_span
),
means AS (
    SELECT
        w.layer, w.head, w.from_span, w.to_span,
        CASE WHEN p.n_bet > 0 THEN w.bet / p.n_bet END AS bet,
        CASE WHEN p.n_stop > 0 THEN w.stop / p.n_stop END AS stop,
        p.n_bet, p.n_stop
    FROM sums AS w
    JOIN pairs AS p
        ON w.layer = p.layer AND w.head = p.head AND w.from_span = p.from_span AND w.to_span = p.to_span
)
SELECT
    layer, head, from_span, to_span, bet::FLOAT AS bet, stop::FLOAT AS stop, (bet - stop)::FLOAT AS difference,
    n_bet::BIGINT AS n_bet, n_stop::BIGINT AS n_stop
FROM means
ORDER BY layer, head, from_span, to_span;
