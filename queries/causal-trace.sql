-- What adds to a decision: the graph of a step. The meaning of every part is in causal_trace.rs, whose rows
-- these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- source or target; default: every layer
--   SET VARIABLE feature = 59;            -- source or target; default: every node
--   SET VARIABLE "limit" = 50;            -- default: 50
--
-- In the order in which the graph was followed. No rows come back if there is no such game or step.
WITH
chosen AS (
    SELECT game
    FROM query(
        'SELECT game FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
),
one_game AS (
    SELECT game
    FROM chosen
    WHERE game = getvariable('game') OR getvariable('game') IS NULL
    ORDER BY game
    LIMIT 1
),
one_step AS (
    SELECT g.game, s.step
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN one_game AS g ON s.game = g.game
    WHERE s.step = getvariable('step') OR getvariable('step') IS NULL
    ORDER BY s.step
    LIMIT 1
),
made AS (
    SELECT DISTINCT analysis
    FROM read_parquet(getvariable('lake') || '/interventions/*.parquet')
),
kept AS (
    SELECT
        e.*,
        abs(e.weight::DOUBLE) / sum(abs(e.weight::DOUBLE)) OVER (
            PARTITION BY
                e.game, e.step, e.analysis, e.target_node, e.target_layer, e.target_position, e.target_feature
        ) AS share
    FROM read_parquet(getvariable('lake') || '/edges/*.parquet') AS e
    JOIN made AS m ON e.analysis = m.analysis
    JOIN one_step AS s ON e.game = s.game AND e.step = s.step
),
asked AS (
    SELECT *
    FROM kept
    WHERE (source_layer = getvariable('layer') OR target_layer = getvariable('layer')
            OR getvariable('layer') IS NULL)
        AND (source_feature = getvariable('feature') OR target_feature = getvariable('feature')
            OR getvariable('feature') IS NULL)
),
numbered AS (
    SELECT
        a.*, t.token AS target_token, s.token AS source_token,
        row_number() OVER (ORDER BY a.analysis, a.row) AS place
    FROM asked AS a
    LEFT JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
        ON a.game = t.game AND a.step = t.step AND a.target_position = t.position
    LEFT JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS s
        ON a.game = s.game AND a.step = s.step AND a.source_position = s.position
)
SELECT
    game, step, analysis, frozen, target_node, target_layer, target_position, target_token, target_feature,
    source_node, source_layer, source_position, source_token, source_feature, weight, share::FLOAT AS share
FROM numbered
WHERE place <= coalesce(getvariable('limit'), 50)
ORDER BY place;
