-- Which features come and go over the tokens of a step: those whose activation varies most, wherever they fire.
-- The meaning of every part is in heatmap.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: the last layer with features
--   SET VARIABLE span = 'balance';        -- only its tokens; default: every ranked token up to the decision
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE "limit" = 50;            -- how many features; default: 50
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Order of the rows: position, feature. No rows come back if there is no such game, step, layer, span or feature.
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
one_game AS (
    SELECT game, game_block
    FROM query(
        'SELECT game, game_block FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
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
ranked AS (
    SELECT t.position, t.token
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
places AS (
    SELECT position, token
    FROM ranked
    WHERE getvariable('span') IS NULL
    UNION
    SELECT t.position, t.token
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN one_step AS s ON n.game = s.game AND n.step = s.step
    JOIN ranked AS t ON t.position >= n.position_start AND t.position < n.position_end
    WHERE n.name = getvariable('span')
    UNION
    SELECT t.position, t.token
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step AND t.position = s.decision_position
    WHERE getvariable('span') = 'decision'
),
one_layer AS (
    SELECT max(p.layer) AS layer
    FROM all_positions AS p
    JOIN one_step AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
cells AS (
    SELECT f.game, f.step, f.layer, f.position, t.token, f.feature, f.activation
    FROM all_features AS f
    JOIN one_step AS s
        ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    JOIN one_layer AS l ON f.layer = l.layer
    JOIN places AS t ON f.position = t.position
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
),
-- A feature that does not fire at a token is 0 there.
moments AS (
    SELECT
        c.feature,
        sum(c.activation::DOUBLE * c.activation::DOUBLE) / max(n.n) AS square,
        sum(c.activation::DOUBLE) / max(n.n) AS mean
    FROM cells AS c
    CROSS JOIN (SELECT count(*) AS n FROM places) AS n
    GROUP BY c.feature
),
varying AS (
    SELECT feature, row_number() OVER (ORDER BY variance DESC, level DESC, feature) AS rank
    FROM (SELECT feature, (square - mean * mean)::FLOAT AS variance, mean::FLOAT AS level FROM moments) AS v
)
SELECT c.game, c.step, c.layer, c.position, c.token, c.feature, c.activation
FROM cells AS c
JOIN varying AS v ON c.feature = v.feature
WHERE v.rank <= coalesce(getvariable('limit'), 50)
ORDER BY c.position, c.feature;
