-- How much the last token does not show, over all games: how often a feature that fires strongly at some
-- token of a prompt is silent at the decision position. The meaning of every part is in last_token.rs, whose
-- rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE feature = 59;            -- default: every feature
--   SET VARIABLE threshold = 0.5;         -- fires strongly above this activation; default: 0.5
--   SET VARIABLE silent = 0.1;            -- silent below this activation; default: 0.1
--   SET VARIABLE "limit" = 20;            -- features a layer; default: 20
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 do not count
--
-- Sorted by layer; first a row without a feature, the sums over all features of the layer, shown or not, then
-- by n_missed from high to low, then feature.
WITH
-- What every step has of the large tables: its own rows, and those of positions that it shares with an earlier step,
-- which are stored there alone if the lake was collected with --positions new.
prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(getvariable('lake') || '/prefixes/*.parquet')
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
chosen AS (
    SELECT game, game_block
    FROM query(
        'SELECT game, game_block FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
),
looked AS (
    SELECT
        t.game, g.game_block, t.step, t.position, t.position = s.decision_position AS is_decision,
        (NOT t.is_special AND t.position > 0)
            OR coalesce(getvariable('specials') = 'include', false) AS ranked
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN read_parquet(getvariable('lake') || '/steps/*.parquet') AS s ON t.game = s.game AND t.step = s.step
    JOIN chosen AS g ON t.game = g.game
    WHERE t.position <= s.decision_position
),
layers AS (
    SELECT p.layer, count(*) AS n_steps
    FROM all_positions AS p
    JOIN looked AS k
        ON p.game_block = k.game_block AND p.game = k.game AND p.step = k.step AND p.position = k.position
    WHERE k.is_decision AND (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
    GROUP BY p.layer
),
by_step AS (
    SELECT
        f.layer, f.feature, f.game, f.step,
        max(CASE WHEN k.ranked THEN f.activation::DOUBLE ELSE 0 END) AS strongest,
        max(CASE WHEN k.is_decision THEN f.activation::DOUBLE ELSE 0 END) AS at_decision
    FROM all_features AS f
    JOIN looked AS k
        ON f.game_block = k.game_block AND f.game = k.game AND f.step = k.step AND f.position = k.position
    WHERE (k.ranked OR k.is_decision)
        AND (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
    GROUP BY f.layer, f.feature, f.game, f.step
),
by_feature AS (
    SELECT
        layer, feature, count(*) AS n_seen,
        count(CASE WHEN at_decision < coalesce(getvariable('silent'), 0.1)::DOUBLE THEN 1 END) AS n_missed
    FROM by_step
    WHERE strongest > coalesce(getvariable('threshold'), 0.5)::DOUBLE
    GROUP BY layer, feature
),
together AS (
    SELECT
        layer, feature, n_seen, n_missed,
        row_number() OVER (PARTITION BY layer ORDER BY n_missed DESC, feature) AS place
    FROM by_feature
    UNION ALL
    SELECT
        layer, NULL::INTEGER AS feature, sum(n_seen)::BIGINT AS n_seen, sum(n_missed)::BIGINT AS n_missed,
        0 AS place
    FROM by_feature
    GROUP BY layer
)
SELECT
    t.layer, t.feature, l.n_steps, t.n_seen, t.n_missed,
    (t.n_missed::DOUBLE / t.n_seen)::FLOAT AS share
FROM together AS t
JOIN layers AS l ON t.layer = l.layer
WHERE t.place <= coalesce(getvariable('limit'), 20)
ORDER BY t.layer, t.place;
