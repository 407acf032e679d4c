-- What the last token does not show: the features that fire strongly at some token of the prompt, and are
-- silent at the decision position. The meaning of every part is in last_token.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: the last layer with features
--   SET VARIABLE feature = 59;            -- default: every feature
--   SET VARIABLE threshold = 0.5;         -- fires strongly above this activation; default: 0.5
--   SET VARIABLE silent = 0.1;            -- silent below this activation; default: 0.1
--   SET VARIABLE "limit" = 20;            -- default: 20
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 do not count
--
-- Sorted by activation from high to low, then feature. No rows come back if there is no such game, step or
-- layer.
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
one_game AS (
    SELECT game, game_block
    FROM chosen
    WHERE game = getvariable('game') OR getvariable('game') IS NULL
    ORDER BY game
    LIMIT 1
),
one_step AS (
    SELECT g.game, g.game_block, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN one_game AS g ON s.game = g.game
    WHERE s.step = getvariable('step') OR getvariable('step') IS NULL
    ORDER BY s.step
    LIMIT 1
),
last_layer AS (
    SELECT max(p.layer) AS layer
    FROM all_positions AS p
    JOIN one_step AS s ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
active AS (
    SELECT
        f.game, f.step, f.layer, f.feature, f.position, t.token, f.activation, s.decision_position,
        (NOT t.is_special AND f.position > 0)
            OR coalesce(getvariable('specials') = 'include', false) AS ranked
    FROM all_features AS f
    JOIN one_step AS s ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    JOIN last_layer AS l ON f.layer = l.layer
    JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
        ON f.game = t.game AND f.step = t.step AND f.position = t.position
    WHERE f.position <= s.decision_position
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
),
strong AS (
    SELECT
        *, row_number() OVER (PARTITION BY feature ORDER BY activation DESC, position) AS place,
        count(*) OVER (PARTITION BY feature) AS n_positions
    FROM active
    WHERE ranked AND activation::DOUBLE > coalesce(getvariable('threshold'), 0.5)::DOUBLE
),
heard AS (
    SELECT feature
    FROM active
    WHERE position = decision_position
        AND activation::DOUBLE >= coalesce(getvariable('silent'), 0.1)::DOUBLE
),
missed AS (
    SELECT
        s.game, s.step, s.layer, s.feature, s.activation, s.position, s.token, s.n_positions,
        row_number() OVER (ORDER BY s.activation DESC, s.feature) AS place
    FROM strong AS s
    LEFT JOIN heard AS h ON s.feature = h.feature
    WHERE s.place = 1 AND h.feature IS NULL
)
SELECT game, step, layer, feature, activation, position, token, n_positions
FROM missed
WHERE place <= coalesce(getvariable('limit'), 20)
ORDER BY activation DESC, feature;
