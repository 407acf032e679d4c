-- What a lake holds: how many games, steps and tokens, how games ended, what the dictionaries see at each layer.
-- The meaning of every part is in overview.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'bet_type = ''fixed''';   -- default: every game; columns of `games`
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE specials = 'include';    -- default: means leave out special tokens and position 0
--
-- Order of the rows: kind, layer, name.
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
chosen_games AS (
    FROM query(
        'SELECT game, game_block, outcome FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT g.game, g.game_block, s.step, s.decision_position, s.decision, s.status
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
),
chosen_tokens AS (
    SELECT g.game, t.step, t.position, t.is_special
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_games AS g ON t.game = g.game
),
ranked AS (
    SELECT s.game, s.game_block, t.step, t.position
    FROM chosen_tokens AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
measured AS (
    SELECT
        p.layer, p.l0::DOUBLE AS l0, p.feature_norm::DOUBLE AS feature_norm, p.residual_norm::DOUBLE AS residual_norm,
        p.kept_share::DOUBLE AS kept_share,
        CASE WHEN p.residual_norm > 0 THEN p.reconstruction_error::DOUBLE / p.residual_norm::DOUBLE END AS unexplained
    FROM all_positions AS p
    JOIN ranked AS r
        ON p.game_block = r.game_block AND p.game = r.game AND p.step = r.step AND p.position = r.position
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
means AS (
    SELECT
        layer, count(l0) AS n_l0, avg(l0) AS l0, count(feature_norm) AS n_feature_norm, avg(feature_norm) AS feature_norm,
        count(residual_norm) AS n_residual_norm, avg(residual_norm) AS residual_norm,
        count(kept_share) AS n_kept_share, avg(kept_share) AS kept_share,
        count(unexplained) AS n_unexplained, avg(unexplained) AS unexplained
    FROM measured
    GROUP BY layer
),
parts AS (
    SELECT 'count' AS kind, NULL::INTEGER AS layer, 'games' AS name, count(*) AS n, NULL::DOUBLE AS mean FROM chosen_games
    UNION ALL
    SELECT 'count', NULL, 'steps', count(*), NULL FROM chosen_steps
    UNION ALL
    SELECT 'count', NULL, 'tokens', count(*), NULL FROM chosen_tokens
    UNION ALL
    SELECT 'count', NULL, 'failed', count(*), NULL FROM chosen_steps WHERE status = 'error'
    UNION ALL
    SELECT 'decision', NULL, coalesce(decision, 'none'), count(*), NULL FROM chosen_steps GROUP BY coalesce(decision, 'none')
    UNION ALL
    SELECT 'outcome', NULL, coalesce(outcome, 'none'), count(*), NULL FROM chosen_games GROUP BY coalesce(outcome, 'none')
    UNION ALL
    SELECT 'layer', layer, 'l0', n_l0, l0 FROM means
    UNION ALL
    SELECT 'layer', layer, 'feature_norm', n_feature_norm, feature_norm FROM means
    UNION ALL
    SELECT 'layer', layer, 'residual_norm', n_residual_norm, residual_norm FROM means
    UNION ALL
    SELECT 'layer', layer, 'kept_share', n_kept_share, kept_share FROM means
    UNION ALL
    SELECT 'layer', layer, 'unexplained', n_unexplained, unexplained FROM means
)
SELECT kind, layer, name, n, mean::FLOAT AS mean
FROM parts
ORDER BY kind, layer NULLS FIRST, name;
