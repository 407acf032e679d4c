-- In which games a feature fires most. The meaning of every part is in feature.rs, whose rows these are.
--
-- For DuckDB. Set the lake and the feature, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE layer = 8;
--   SET VARIABLE feature = 59;
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE "limit" = 20;            -- games; default: 20
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Without specials, `feature_rollup` has the same numbers of every feature and game.
--
-- Order of the rows: sum from high to low, game.
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
chosen_games AS (
    FROM query(
        'SELECT game, game_id, game_block FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT g.game, g.game_block, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
),
ranked AS (
    SELECT s.game, s.game_block, t.step, t.position, t.token
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
cells AS (
    SELECT
        f.layer, f.feature, r.game, r.step, r.position, r.token, f.activation,
        row_number() OVER (PARTITION BY r.game ORDER BY f.activation DESC, r.step, r.position) AS place
    FROM all_features AS f
    JOIN ranked AS r
        ON f.game_block = r.game_block AND f.game = r.game AND f.step = r.step AND f.position = r.position
    WHERE f.layer = getvariable('layer') AND f.feature = getvariable('feature')
),
sums AS (
    SELECT game, count(*) AS fires, sum(activation::DOUBLE)::FLOAT AS total
    FROM cells
    GROUP BY game
),
ranks AS (
    SELECT
        s.game, g.game_id, c.layer, c.feature, s.fires, s.total, c.activation, c.step, c.position, c.token,
        row_number() OVER (ORDER BY s.total DESC, s.game) AS rank
    FROM sums AS s
    JOIN cells AS c ON s.game = c.game AND c.place = 1
    JOIN chosen_games AS g ON s.game = g.game
)
SELECT
    game, game_id, layer, feature, fires::INTEGER AS count, total AS sum, (total::DOUBLE / fires)::FLOAT AS mean,
    activation AS max, step, position, token
FROM ranks
WHERE rank <= coalesce(getvariable('limit'), 20)
ORDER BY rank;
