-- Where the tokens of a span look: of the attention that a token of `from_span` pays, the part that goes to the
-- tokens of `to_span`, as the mean over its tokens. The meaning of every part is in flow.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: every captured layer, and the rollout
--   SET VARIABLE span = 'decision';       -- the span that looks; default: every span
--   SET VARIABLE heads = true;            -- default: only the mean over the heads (head -1)
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Order of the rows: layer, head, from_span, to_span. The rollout has layer -1. No rows come back if there is no
-- such game, step, layer or span.
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
one_game AS (
    SELECT game, game_block, run
    FROM query(
        'SELECT game, game_block, run FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
    WHERE game = getvariable('game') OR getvariable('game') IS NULL
    ORDER BY game
    LIMIT 1
),
one_step AS (
    SELECT g.game, g.game_block, r.n_heads, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN one_game AS g ON s.game = g.game
    JOIN read_parquet(getvariable('lake') || '/runs/*.parquet') AS r ON g.run = r.run
    WHERE s.step = getvariable('step') OR getvariable('step') IS NULL
    ORDER BY s.step
    LIMIT 1
),
seen AS (
    SELECT t.position, t.is_special
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
),
members AS (
    SELECT n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN one_step AS s ON n.game = s.game AND n.step = s.step
    JOIN seen AS t ON t.position >= n.position_start AND t.position < n.position_end
    WHERE (NOT t.is_special AND t.position > 0)
        OR coalesce(getvariable('specials') = 'include', false)
    UNION
    SELECT 'decision' AS span, decision_position AS position
    FROM one_step
),
queries AS (
    SELECT span AS from_span, position, count(*) OVER (PARTITION BY span) AS n_queries
    FROM members
    WHERE span = getvariable('span') OR getvariable('span') IS NULL
),
captured AS (
    SELECT r.layer, r.head, s.n_heads, s.decision_position
    FROM all_attention_rows AS r
    JOIN one_step AS s
        ON r.game_block = s.game_block AND r.game = s.game AND r.step = s.step AND r.query = s.decision_position
    WHERE r.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
pattern AS (
    SELECT a.layer, a.head, a.query, a.key, a.weight::DOUBLE AS weight, s.n_heads
    FROM all_attention AS a
    JOIN one_step AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step
    WHERE (a.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND a.query <= s.decision_position
),
mean_pattern AS (
    SELECT layer, query, key, sum(weight) / max(n_heads) AS weight
    FROM pattern
    GROUP BY layer, query, key
),
-- The layers from the last to the first, by which the rollout goes down.
layers AS (
    SELECT layer, row_number() OVER (ORDER BY layer DESC) AS depth
    FROM (SELECT DISTINCT layer FROM captured) AS d
),
-- Half of a position stays where it is, the other half goes where the heads look.
mixed AS (
    SELECT l.depth, p.query, p.key, p.weight / 2 AS weight
    FROM mean_pattern AS p
    JOIN layers AS l ON p.layer = l.layer
    UNION ALL
    SELECT l.depth, t.position AS query, t.position AS key, 0.5::DOUBLE AS weight
    FROM layers AS l
    CROSS JOIN seen AS t
),
rollout AS (
    SELECT 0::BIGINT AS depth, decision_position AS position, 1.0::DOUBLE AS weight
    FROM one_step
    UNION ALL
    SELECT r.depth + 1 AS depth, m.key AS position, sum(r.weight * m.weight) AS weight
    FROM rollout AS r
    JOIN mixed AS m ON r.depth + 1 = m.depth AND r.position = m.query
    GROUP BY r.depth + 1, m.key
),
-- What the tokens of a span pay to each position, as the mean over the tokens.
looks AS (
    SELECT p.layer, -1 AS head, q.from_span, p.key, sum(p.weight / q.n_queries) AS weight
    FROM mean_pattern AS p
    JOIN queries AS q ON p.query = q.position
    GROUP BY p.layer, q.from_span, p.key
    UNION ALL
    SELECT p.layer, p.head, q.from_span, p.key, sum(p.weight / q.n_queries) AS weight
    FROM pattern AS p
    JOIN queries AS q ON p.query = q.position
    WHERE coalesce(getvariable('heads'), false)
    GROUP BY p.layer, p.head, q.from_span, p.key
    UNION ALL
    SELECT -1 AS layer, -1 AS head, 'decision' AS from_span, r.position AS key, sum(r.weight) AS weight
    FROM rollout AS r
    JOIN (SELECT max(depth) AS depth FROM layers) AS l ON r.depth = l.depth
    WHERE getvariable('layer') IS NULL AND coalesce(getvariable('span') = 'decision', true)
    GROUP BY r.position
),
froms AS (
    SELECT c.layer, c.head, q.from_span, q.n_queries
    FROM (
        SELECT layer, -1 AS head FROM captured
        UNION
        SELECT layer, head FROM captured WHERE coalesce(getvariable('heads'), false)
        UNION
        SELECT -1 AS layer, -1 AS head FROM captured WHERE getvariable('layer') IS NULL
    ) AS c
    JOIN (SELECT DISTINCT from_span, n_queries FROM queries) AS q
        ON c.layer >= 0 OR q.from_span = 'decision'
),
kept AS (
    SELECT layer, head, from_span, sum(weight) AS weight
    FROM looks
    GROUP BY layer, head, from_span
),
flows AS (
    SELECT l.layer, l.head, l.from_span, coalesce(m.span, '(other)') AS to_span, sum(l.weight) AS weight
    FROM looks AS l
    LEFT JOIN members AS m ON l.key = m.position
    GROUP BY l.layer, l.head, l.from_span, coalesce(m.span, '(other)')
    UNION ALL
    SELECT
        f.layer, f.head, f.from_span, '(not kept)' AS to_span,
        CASE WHEN coalesce(k.weight, 0) > 1 - 1e-6 THEN 0 ELSE 1 - coalesce(k.weight, 0) END AS weight
    FROM froms AS f
    LEFT JOIN kept AS k ON f.layer = k.layer AND f.head = k.head AND f.from_span = k.from_span
)
SELECT
    s.game, s.step, w.layer, w.head, w.from_span, w.to_span, w.weight::FLOAT AS weight,
    f.n_queries::BIGINT AS n_queries
FROM flows AS w
JOIN froms AS f ON w.layer = f.layer AND w.head = f.head AND w.from_span = f.from_span
CROSS JOIN one_step AS s
ORDER BY w.layer, w.head, w.from_span, w.to_span;
