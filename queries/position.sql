-- What the model holds at a position, and where its attention goes from there and comes from: one long table.
-- The meaning of every kind of row is in position.rs, whose rows these are.
--
-- For DuckDB. Set the lake and a position or a span, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE position = 17;           -- either this
--   SET VARIABLE span = 'balance';        -- or this: all its tokens
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: every captured layer
--   SET VARIABLE feature = 59;            -- of the features, only this one; needs its layer
--   SET VARIABLE heads = true;            -- default: only the mean over the heads (head -1)
--   SET VARIABLE "limit" = 10;            -- the strongest of a kind, at each position, layer and head; default: 10
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Order of the rows: position, layer, kind, head, value from high to low, feature, other_position. No rows come back
-- if there is no such game, step, layer, position or span.
WITH
-- What every step has of the large tables: its own rows, and those of positions that it shares with an earlier step,
-- which are stored there alone if the lake was collected with --positions new.
prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(getvariable('lake') || '/prefixes/*.parquet')
),
all_features AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, position, feature, activation
    FROM read_parquet(
        getvariable('lake') || '/features/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.position, r.feature, r.activation
    FROM read_parquet(
        getvariable('lake') || '/features/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN prefixes AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.position >= p.position_start AND r.position < p.position_end
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
all_positions AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, position, l0, feature_norm, residual_norm, reconstruction_error, kept_share
    FROM read_parquet(
        getvariable('lake') || '/positions/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.position, r.l0, r.feature_norm, r.residual_norm,
        r.reconstruction_error, r.kept_share
    FROM read_parquet(
        getvariable('lake') || '/positions/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN prefixes AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.position >= p.position_start AND r.position < p.position_end
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
step_tokens AS (
    SELECT
        t.position, t.token,
        t.position <= s.decision_position
            AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
            AS ranked
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step
),
here AS (
    SELECT position, token
    FROM step_tokens
    WHERE position = getvariable('position')
    UNION
    SELECT t.position, t.token
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN one_step AS s ON n.game = s.game AND n.step = s.step
    JOIN step_tokens AS t ON t.position >= n.position_start AND t.position < n.position_end
    WHERE n.name = getvariable('span') AND t.ranked
    UNION
    SELECT t.position, t.token
    FROM step_tokens AS t
    JOIN one_step AS s ON t.position = s.decision_position
    WHERE getvariable('span') = 'decision'
),
-- Every position here with the others that it is compared with.
elsewhere AS (
    SELECT h.position, t.position AS other_position, count(*) OVER (PARTITION BY h.position) AS n
    FROM here AS h
    JOIN step_tokens AS t ON t.ranked AND t.position <> h.position
),
fired AS (
    SELECT f.layer, f.position, f.feature, f.activation
    FROM all_features AS f
    JOIN one_step AS s
        ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
),
pattern AS (
    SELECT a.layer, a.head, a.query, a.key, a.weight::DOUBLE AS weight, s.n_heads
    FROM all_attention AS a
    JOIN one_step AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step
    WHERE a.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
heads AS (
    SELECT layer, -1 AS head, query, key, sum(weight) / max(n_heads) AS weight
    FROM pattern
    GROUP BY layer, query, key
    UNION ALL
    SELECT layer, head, query, key, weight
    FROM pattern
    WHERE coalesce(getvariable('heads'), false)
),
measures AS (
    SELECT p.layer, p.position, p.residual_norm, p.reconstruction_error, p.l0
    FROM all_positions AS p
    JOIN one_step AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
-- One value for each position: how it compares with the others.
single AS (
    SELECT layer, 'residual_norm' AS kind, -1 AS head, position, residual_norm::DOUBLE AS value
    FROM measures
    UNION ALL
    SELECT layer, 'reconstruction_error' AS kind, -1 AS head, position, reconstruction_error::DOUBLE AS value
    FROM measures
    UNION ALL
    SELECT layer, 'l0' AS kind, -1 AS head, position, l0::DOUBLE AS value
    FROM measures
    UNION ALL
    SELECT h.layer, 'decision_attention' AS kind, h.head, h.key AS position, h.weight AS value
    FROM heads AS h
    JOIN one_step AS s ON h.query = s.decision_position
),
compared AS (
    SELECT
        f.layer, f.position, 'feature' AS kind, NULL::INTEGER AS head, f.feature,
        max(f.activation::DOUBLE) AS value, max(e.n) AS n,
        sum(o.activation::DOUBLE) AS total, max(o.activation::DOUBLE) AS most, count(o.activation) AS fires
    FROM fired AS f
    JOIN here AS h ON f.position = h.position
    LEFT JOIN elsewhere AS e ON f.position = e.position
    LEFT JOIN fired AS o
        ON e.other_position = o.position AND f.layer = o.layer AND f.feature = o.feature
    GROUP BY f.layer, f.position, f.feature
    UNION ALL
    SELECT
        f.layer, f.position, f.kind,
        CASE WHEN f.kind = 'decision_attention' THEN f.head END AS head, NULL::INTEGER AS feature,
        max(f.value) AS value, max(e.n) AS n,
        sum(o.value) AS total, max(o.value) AS most, NULL::BIGINT AS fires
    FROM single AS f
    JOIN here AS h ON f.position = h.position
    LEFT JOIN elsewhere AS e ON f.position = e.position
    LEFT JOIN single AS o
        ON e.other_position = o.position AND f.layer = o.layer AND f.kind = o.kind AND f.head = o.head
    GROUP BY f.layer, f.position, f.kind, f.head
),
long AS (
    SELECT
        layer, position, kind, head, feature, NULL::INTEGER AS other_position, value::FLOAT AS value,
        CASE WHEN n > 0 THEN coalesce(total, 0) / n END::FLOAT AS elsewhere_mean,
        CASE WHEN n > 0 THEN coalesce(most, 0) END::FLOAT AS elsewhere_max,
        CASE WHEN n > 0 THEN fires::DOUBLE / n END::FLOAT AS elsewhere_share
    FROM compared
    UNION ALL
    SELECT
        a.layer, h.position, 'attends_to' AS kind, a.head, NULL::INTEGER AS feature, a.key AS other_position,
        a.weight::FLOAT AS value, NULL::FLOAT AS elsewhere_mean, NULL::FLOAT AS elsewhere_max,
        NULL::FLOAT AS elsewhere_share
    FROM heads AS a
    JOIN here AS h ON a.query = h.position
    UNION ALL
    SELECT
        a.layer, h.position, 'attended_by' AS kind, a.head, NULL::INTEGER AS feature, a.query AS other_position,
        a.weight::FLOAT AS value, NULL::FLOAT AS elsewhere_mean, NULL::FLOAT AS elsewhere_max,
        NULL::FLOAT AS elsewhere_share
    FROM heads AS a
    JOIN here AS h ON a.key = h.position
    JOIN one_step AS s ON a.query <= s.decision_position
),
ranks AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY position, layer, kind, head ORDER BY value DESC, feature, other_position
        ) AS rank
    FROM long
)
SELECT
    s.game, s.step, r.layer, r.position, h.token, r.kind, r.feature, r.other_position, t.token AS other_token,
    r.head, r.value, r.elsewhere_mean, r.elsewhere_max, r.elsewhere_share
FROM ranks AS r
JOIN here AS h ON r.position = h.position
LEFT JOIN step_tokens AS t ON r.other_position = t.position
CROSS JOIN one_step AS s
WHERE r.rank <= coalesce(getvariable('limit'), 10)
ORDER BY r.position, r.layer, r.kind, r.head, r.rank;
