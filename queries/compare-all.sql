-- What differs between two groups of games: those of a lake that meet a condition, and those of the same or
-- another lake that meet another. The meaning of every part is in compare.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE other = 'data/second';   -- default: the same lake, to compare two conditions
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';       -- of the first; default: every game
--   SET VARIABLE "against" = 'outcome = ''voluntary_stop'''; -- of the second; default: every game
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE "limit" = 10;            -- features a layer; default: 10
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 do not count
--
-- Sorted by kind (games, decision, outcome, layer, feature), layer, within games and decision as they are
-- listed below, within outcome and layer by name, within feature by the size of difference from high to low,
-- then feature.
WITH
-- What every step has of the large tables: its own rows, and those of positions that it shares with an earlier step,
-- which are stored there alone if the lake was collected with --positions new.
prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(getvariable('lake') || '/prefixes/*.parquet')
),
other_prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(coalesce(getvariable('other'), getvariable('lake')) || '/prefixes/*.parquet')
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
other_all_positions AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, position, l0, feature_norm, residual_norm, reconstruction_error, kept_share
    FROM read_parquet(
        coalesce(getvariable('other'), getvariable('lake')) || '/positions/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.position, r.l0, r.feature_norm, r.residual_norm,
        r.reconstruction_error, r.kept_share
    FROM read_parquet(
        coalesce(getvariable('other'), getvariable('lake')) || '/positions/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN other_prefixes AS p
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
other_all_features AS NOT MATERIALIZED (
    SELECT game_block, layer, game, step, position, feature, activation
    FROM read_parquet(
        coalesce(getvariable('other'), getvariable('lake')) || '/features/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    )
    UNION ALL
    SELECT r.game_block, r.layer, r.game, p.step, r.position, r.feature, r.activation
    FROM read_parquet(
        coalesce(getvariable('other'), getvariable('lake')) || '/features/game_block=*/layer=*/*.parquet',
        hive_partitioning = true,
        hive_types = {'game_block': INTEGER, 'layer': INTEGER}
    ) AS r
    JOIN other_prefixes AS p
        ON r.game = p.game AND r.step = p.stored_step AND r.position >= p.position_start AND r.position < p.position_end
),
first_games AS (
    SELECT game, game_block, n_steps, outcome, final_balance
    FROM query(
        'SELECT game, game_block, n_steps, outcome, final_balance FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
second_games AS (
    SELECT game, game_block, n_steps, outcome, final_balance
    FROM query(
        'SELECT game, game_block, n_steps, outcome, final_balance FROM read_parquet('''
        || coalesce(getvariable('other'), getvariable('lake')) || '/games/*.parquet'') WHERE ' || coalesce(getvariable('against'), 'true')
    )
),
-- Both sides one under the other: side 1 is the first, side 2 the second.
games AS (
    SELECT 1 AS side, game, n_steps, outcome, final_balance FROM first_games
    UNION ALL
    SELECT 2 AS side, game, n_steps, outcome, final_balance FROM second_games
),
shared AS (
    SELECT count(*)::DOUBLE AS n FROM first_games AS a JOIN second_games AS b ON a.game = b.game
),
game_counts AS (
    SELECT
        count(CASE WHEN side = 1 THEN 1 END) AS n_first, count(CASE WHEN side = 2 THEN 1 END) AS n_second
    FROM games
),
game_rows AS (
    SELECT 0 AS place, 'total' AS name, n_first::DOUBLE AS first, n_second::DOUBLE AS second, n_first, n_second
    FROM game_counts
    UNION ALL
    SELECT 1 AS place, 'shared' AS name, s.n AS first, s.n AS second, c.n_first, c.n_second
    FROM game_counts AS c CROSS JOIN shared AS s
    UNION ALL
    SELECT 2 AS place, 'only_first' AS name, c.n_first - s.n AS first, 0.0::DOUBLE AS second, c.n_first, c.n_second
    FROM game_counts AS c CROSS JOIN shared AS s
    UNION ALL
    SELECT 3 AS place, 'only_second' AS name, 0.0::DOUBLE AS first, c.n_second - s.n AS second, c.n_first, c.n_second
    FROM game_counts AS c CROSS JOIN shared AS s
),
steps AS (
    SELECT 1 AS side, g.game, g.game_block, s.step, s.decision_position, s.decision
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN first_games AS g ON s.game = g.game
    UNION ALL
    SELECT 2 AS side, g.game, g.game_block, s.step, s.decision_position, s.decision
    FROM read_parquet(coalesce(getvariable('other'), getvariable('lake')) || '/steps/*.parquet') AS s
    JOIN second_games AS g ON s.game = g.game
),
decision_values AS (
    SELECT 0 AS place, 'bet_share' AS name, side, CASE WHEN decision = 'bet' THEN 1.0::DOUBLE ELSE 0 END AS x
    FROM steps
    WHERE decision IN ('bet', 'stop')
    UNION ALL
    SELECT 1 AS place, 'steps_a_game' AS name, side, n_steps::DOUBLE AS x FROM games
    UNION ALL
    SELECT 2 AS place, 'final_balance' AS name, side, final_balance::DOUBLE AS x
    FROM games
    WHERE final_balance IS NOT NULL
),
decision_rows AS (
    SELECT
        place, name,
        avg(CASE WHEN side = 1 THEN x END) AS first, avg(CASE WHEN side = 2 THEN x END) AS second,
        count(CASE WHEN side = 1 THEN x END) AS n_first, count(CASE WHEN side = 2 THEN x END) AS n_second
    FROM decision_values
    GROUP BY place, name
),
ended AS (
    SELECT
        count(CASE WHEN side = 1 THEN 1 END) AS n_first, count(CASE WHEN side = 2 THEN 1 END) AS n_second
    FROM games
    WHERE outcome IS NOT NULL
),
outcome_rows AS (
    SELECT
        g.outcome AS name,
        count(CASE WHEN g.side = 1 THEN 1 END)::DOUBLE / nullif(max(e.n_first), 0) AS first,
        count(CASE WHEN g.side = 2 THEN 1 END)::DOUBLE / nullif(max(e.n_second), 0) AS second,
        max(e.n_first) AS n_first, max(e.n_second) AS n_second
    FROM games AS g
    CROSS JOIN ended AS e
    WHERE g.outcome IS NOT NULL
    GROUP BY g.outcome
),
ranked AS (
    SELECT s.side, s.game, s.game_block, s.step, t.position
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN steps AS s ON t.game = s.game AND t.step = s.step AND s.side = 1
    WHERE t.position <= s.decision_position
        AND (
            (NOT t.is_special AND t.position > 0)
            OR coalesce(getvariable('specials') = 'include', false)
        )
    UNION ALL
    SELECT s.side, s.game, s.game_block, s.step, t.position
    FROM read_parquet(coalesce(getvariable('other'), getvariable('lake')) || '/tokens/*.parquet') AS t
    JOIN steps AS s ON t.game = s.game AND t.step = s.step AND s.side = 2
    WHERE t.position <= s.decision_position
        AND (
            (NOT t.is_special AND t.position > 0)
            OR coalesce(getvariable('specials') = 'include', false)
        )
),
positions AS (
    SELECT 1 AS side, p.layer, p.l0, p.feature_norm, p.reconstruction_error, p.residual_norm, p.kept_share
    FROM all_positions AS p
    JOIN ranked AS k
        ON k.side = 1 AND p.game_block = k.game_block AND p.game = k.game AND p.step = k.step
        AND p.position = k.position
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
    UNION ALL
    SELECT 2 AS side, p.layer, p.l0, p.feature_norm, p.reconstruction_error, p.residual_norm, p.kept_share
    FROM other_all_positions AS p
    JOIN ranked AS k
        ON k.side = 2 AND p.game_block = k.game_block AND p.game = k.game AND p.step = k.step
        AND p.position = k.position
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
layer_values AS (
    SELECT side, layer, 'l0' AS name, l0::DOUBLE AS x FROM positions
    UNION ALL
    SELECT side, layer, 'feature_norm' AS name, feature_norm::DOUBLE AS x FROM positions
    UNION ALL
    SELECT side, layer, 'kept_share' AS name, kept_share::DOUBLE AS x FROM positions
    UNION ALL
    SELECT
        side, layer, 'relative_error' AS name,
        reconstruction_error::DOUBLE / nullif(residual_norm::DOUBLE, 0) AS x
    FROM positions
),
layer_rows AS (
    SELECT
        layer, name,
        avg(CASE WHEN side = 1 THEN x END) AS first, avg(CASE WHEN side = 2 THEN x END) AS second,
        count(CASE WHEN side = 1 THEN x END) AS n_first, count(CASE WHEN side = 2 THEN x END) AS n_second
    FROM layer_values
    GROUP BY layer, name
),
-- Numbers of features mean the same where both sides have the same dictionary.
same_dictionary AS (
    SELECT DISTINCT a.layer
    FROM read_parquet(getvariable('lake') || '/dictionaries/*.parquet') AS a
    JOIN read_parquet(coalesce(getvariable('other'), getvariable('lake')) || '/dictionaries/*.parquet') AS b
        ON a.layer = b.layer AND a.hook = b.hook AND a.hash = b.hash
),
layer_counts AS (
    SELECT
        p.layer, count(CASE WHEN p.side = 1 THEN 1 END) AS n_first,
        count(CASE WHEN p.side = 2 THEN 1 END) AS n_second
    FROM positions AS p
    JOIN same_dictionary AS d ON p.layer = d.layer
    GROUP BY p.layer
),
fired AS (
    SELECT 1 AS side, f.layer, f.feature, count(*) AS n
    FROM all_features AS f
    JOIN ranked AS k
        ON k.side = 1 AND f.game_block = k.game_block AND f.game = k.game AND f.step = k.step
        AND f.position = k.position
    WHERE f.layer = getvariable('layer') OR getvariable('layer') IS NULL
    GROUP BY f.layer, f.feature
    UNION ALL
    SELECT 2 AS side, f.layer, f.feature, count(*) AS n
    FROM other_all_features AS f
    JOIN ranked AS k
        ON k.side = 2 AND f.game_block = k.game_block AND f.game = k.game AND f.step = k.step
        AND f.position = k.position
    WHERE f.layer = getvariable('layer') OR getvariable('layer') IS NULL
    GROUP BY f.layer, f.feature
),
feature_shares AS (
    SELECT
        f.layer, f.feature,
        coalesce(sum(CASE WHEN f.side = 1 THEN f.n END), 0)::DOUBLE / max(c.n_first) AS first,
        coalesce(sum(CASE WHEN f.side = 2 THEN f.n END), 0)::DOUBLE / max(c.n_second) AS second,
        max(c.n_first) AS n_first, max(c.n_second) AS n_second
    FROM fired AS f
    JOIN layer_counts AS c ON f.layer = c.layer
    WHERE c.n_first > 0 AND c.n_second > 0
    GROUP BY f.layer, f.feature
),
feature_rows AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY layer ORDER BY abs(first::FLOAT - second::FLOAT) DESC, feature) AS place
    FROM feature_shares
),
lines AS (
    SELECT
        0 AS block, place, 'games' AS kind, NULL::INTEGER AS layer, name, NULL::INTEGER AS feature,
        first, second, n_first, n_second
    FROM game_rows
    UNION ALL
    SELECT
        1 AS block, place, 'decision' AS kind, NULL::INTEGER AS layer, name, NULL::INTEGER AS feature,
        first, second, n_first, n_second
    FROM decision_rows
    UNION ALL
    SELECT
        2 AS block, row_number() OVER (ORDER BY name) AS place, 'outcome' AS kind, NULL::INTEGER AS layer, name,
        NULL::INTEGER AS feature, first, second, n_first, n_second
    FROM outcome_rows
    UNION ALL
    SELECT
        3 AS block, row_number() OVER (PARTITION BY layer ORDER BY name) AS place, 'layer' AS kind, layer, name,
        NULL::INTEGER AS feature, first, second, n_first, n_second
    FROM layer_rows
    UNION ALL
    SELECT
        4 AS block, place, 'feature' AS kind, layer, NULL::VARCHAR AS name, feature, first, second,
        n_first, n_second
    FROM feature_rows
    WHERE place <= coalesce(getvariable('limit'), 10)
)
SELECT
    kind, layer, name, feature, first::FLOAT AS first, second::FLOAT AS second,
    first::FLOAT - second::FLOAT AS difference, n_first, n_second
FROM lines
ORDER BY block, layer, place;
