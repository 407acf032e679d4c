-- What a span of a prompt says that the rest of it does not: how often and how strongly each feature fires at the tokens
-- of the span, and at the other ranked tokens of the same steps. The meaning of every part is in position.rs, whose
-- rows these are.
--
-- For DuckDB. Set the lake and the span, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE span = 'balance';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE layer = 8;               -- default: every layer with features
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE "limit" = 20;            -- how many features of a layer; default: 20
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Order of the rows: layer, share - elsewhere_share from high to low, activation from high to low, feature.
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
here AS (
    SELECT t.game, t.game_block, t.step, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN ranked AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    WHERE n.name = getvariable('span')
    UNION
    SELECT game, game_block, step, decision_position AS position
    FROM chosen_steps
    WHERE getvariable('span') = 'decision'
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
-- The tokens of the span, and the other ranked tokens of the steps that have it.
places AS (
    SELECT game, game_block, step, position, 1 AS is_here
    FROM here
    UNION ALL
    SELECT r.game, r.game_block, r.step, r.position, 0 AS is_here
    FROM ranked AS r
    JOIN (SELECT DISTINCT game, step FROM here) AS s ON r.game = s.game AND r.step = s.step
    LEFT JOIN here AS h ON r.game = h.game AND r.step = h.step AND r.position = h.position
    WHERE h.position IS NULL
),
sizes AS (
    SELECT
        c.layer,
        sum(p.is_here) AS n_here, sum(1 - p.is_here) AS n_elsewhere,
        sum(p.is_first) AS n_steps
    FROM captured AS c
    JOIN (
        SELECT
            game, step, is_here,
            CASE WHEN row_number() OVER (PARTITION BY game, step ORDER BY position) = 1 THEN 1 ELSE 0 END AS is_first
        FROM places
    ) AS p ON c.game = p.game AND c.step = p.step
    GROUP BY c.layer
),
sums AS (
    SELECT
        f.layer, f.feature,
        sum(p.is_here) AS fires_here, sum(1 - p.is_here) AS fires_elsewhere,
        sum(p.is_here * f.activation::DOUBLE) AS sum_here,
        sum((1 - p.is_here) * f.activation::DOUBLE) AS sum_elsewhere
    FROM all_features AS f
    JOIN places AS p
        ON f.game_block = p.game_block AND f.game = p.game AND f.step = p.step AND f.position = p.position
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
    GROUP BY f.layer, f.feature
),
shares AS (
    SELECT
        s.layer, s.feature, n.n_steps,
        s.fires_here::DOUBLE / n.n_here AS share,
        s.sum_here / n.n_here AS activation,
        CASE WHEN n.n_elsewhere > 0 THEN s.fires_elsewhere::DOUBLE / n.n_elsewhere END AS elsewhere_share,
        CASE WHEN n.n_elsewhere > 0 THEN s.sum_elsewhere / n.n_elsewhere END AS elsewhere_activation
    FROM sums AS s
    JOIN sizes AS n ON s.layer = n.layer
    WHERE s.fires_here > 0
),
ranks AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer ORDER BY more DESC, shown_activation DESC, feature) AS rank
    FROM (
        SELECT
            *, (share - coalesce(elsewhere_share, 0))::FLOAT AS more, activation::FLOAT AS shown_activation
        FROM shares
    ) AS m
)
SELECT
    layer, feature, n_steps::BIGINT AS n_steps, share::FLOAT AS share, shown_activation AS activation,
    elsewhere_share::FLOAT AS elsewhere_share, elsewhere_activation::FLOAT AS elsewhere_activation,
    CASE WHEN elsewhere_share > 0 THEN share / elsewhere_share END::FLOAT AS lift
FROM ranks
WHERE rank <= coalesce(getvariable('limit'), 20)
ORDER BY layer, rank;
