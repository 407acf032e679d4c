-- Which tokens a decision looks at: the mean over all heads of the attention that the decision position
-- pays to a position, times the norm of the position's features, as a share of the sum over the ranked
-- positions. The meaning of every part is in attribution.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: the last layer with features
--   SET VARIABLE "limit" = 10;            -- default: 10
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Equal importances go by position. No rows come back if there is no such game, step or layer.
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
    SELECT
        p.game, p.game_block, p.step, p.layer, p.position, p.feature_norm, s.n_heads, s.decision_position,
        max(p.layer) OVER () AS last_layer
    FROM all_positions AS p
    JOIN one_step AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND p.position <= s.decision_position
),
place AS (
    SELECT DISTINCT game, game_block, step, layer, n_heads, decision_position
    FROM seen
    WHERE layer = last_layer
),
pattern AS (
    SELECT a.query, a.key, a.weight::DOUBLE / p.n_heads AS weight, p.decision_position
    FROM all_attention AS a
    JOIN place AS p
        ON a.game_block = p.game_block AND a.layer = p.layer AND a.game = p.game AND a.step = p.step
    WHERE a.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
decision_row AS (
    SELECT key AS position, sum(weight) AS attention
    FROM pattern WHERE query = decision_position GROUP BY key
),
weighted AS (
    SELECT
        s.game, s.step, s.layer, s.position, t.token, s.feature_norm,
        coalesce(r.attention, 0) AS attention,
        coalesce(r.attention, 0) * s.feature_norm::DOUBLE AS weight,
        (NOT t.is_special AND s.position > 0)
            OR coalesce(getvariable('specials') = 'include', false) AS ranked
    FROM seen AS s
    JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
        ON s.game = t.game AND s.step = t.step AND s.position = t.position
    LEFT JOIN decision_row AS r ON s.position = r.position
    WHERE s.layer = s.last_layer
),
shares AS (
    SELECT
        *,
        CASE WHEN ranked
            THEN coalesce(weight / nullif(sum(CASE WHEN ranked THEN weight END) OVER (), 0), 0)
        END::FLOAT AS importance
    FROM weighted
),
ranks AS (
    SELECT
        game, step, layer,
        row_number() OVER (ORDER BY importance DESC NULLS LAST, position)::INTEGER AS rank,
        position, token, importance, attention::FLOAT AS attention, feature_norm
    FROM shares
    WHERE ranked
)
SELECT *
FROM ranks
WHERE rank <= coalesce(getvariable('limit'), 10)
ORDER BY rank;
