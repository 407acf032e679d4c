-- Which features come and go over the spans of all games: those whose activation varies most between spans, and how
-- strong they are in each. The meaning of every part is in heatmap.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE layer = 8;               -- default: the last layer with features
--   SET VARIABLE span = 'balance';        -- show only this span; default: every span
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE "limit" = 50;            -- how many features; default: 50
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Order of the rows: span, feature.
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
chosen_games AS (
    FROM query(
        'SELECT game, game_block, run FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT g.game, g.game_block, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
),
ranked AS (
    SELECT s.game, s.game_block, t.step, t.position
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
members AS (
    SELECT t.game, t.game_block, t.step, n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN ranked AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    UNION
    SELECT game, game_block, step, 'decision' AS span, decision_position AS position
    FROM chosen_steps
),
-- A step has rows at a layer, or none at all if it failed.
captured AS (
    SELECT p.game, p.step, p.layer
    FROM all_positions AS p
    JOIN chosen_steps AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.position = 0
        AND (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
),
one_layer AS (
    SELECT max(layer) AS layer FROM captured
),
span_steps AS (
    SELECT c.layer, m.span, count(*) AS n_steps
    FROM (SELECT DISTINCT game, step, span FROM members) AS m
    JOIN captured AS c ON m.game = c.game AND m.step = c.step
    JOIN one_layer AS l ON c.layer = l.layer
    GROUP BY c.layer, m.span
),
-- How strongly a feature fires in a span of a step, at most.
strongest AS (
    SELECT f.game, f.step, f.layer, m.span, f.feature, max(f.activation)::DOUBLE AS activation
    FROM all_features AS f
    JOIN members AS m
        ON f.game_block = m.game_block AND f.game = m.game AND f.step = m.step AND f.position = m.position
    JOIN one_layer AS l ON f.layer = l.layer
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
    GROUP BY f.game, f.step, f.layer, m.span, f.feature
),
cells AS (
    SELECT
        f.layer, f.span, f.feature, max(n.n_steps) AS n_steps,
        count(*)::DOUBLE / max(n.n_steps) AS share,
        sum(f.activation) / max(n.n_steps) AS activation
    FROM strongest AS f
    JOIN span_steps AS n ON f.layer = n.layer AND f.span = n.span
    GROUP BY f.layer, f.span, f.feature
),
moments AS (
    SELECT
        c.feature,
        sum(c.activation * c.activation) / max(n.n) AS square,
        sum(c.activation) / max(n.n) AS mean
    FROM cells AS c
    CROSS JOIN (SELECT count(*) AS n FROM span_steps) AS n
    GROUP BY c.feature
),
varying AS (
    SELECT feature, row_number() OVER (ORDER BY variance DESC, level DESC, feature) AS rank
    FROM (SELECT feature, (square - mean * mean)::FLOAT AS variance, mean::FLOAT AS level FROM moments) AS v
)
SELECT
    c.layer, c.span, c.feature, c.n_steps::BIGINT AS n_steps, c.share::FLOAT AS share,
    c.activation::FLOAT AS activation
FROM cells AS c
JOIN varying AS v ON c.feature = v.feature
WHERE v.rank <= coalesce(getvariable('limit'), 50)
    AND (c.span = getvariable('span') OR getvariable('span') IS NULL)
ORDER BY c.span, c.feature;
