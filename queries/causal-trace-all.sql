-- What adds to decisions, over the graphs of all games. The meaning of every part is in causal_trace.rs, whose
-- rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE layer = 8;               -- source or target; default: every layer
--   SET VARIABLE feature = 59;            -- source or target; default: every node
--   SET VARIABLE "limit" = 50;            -- default: 50
--
-- The largest sum of shares first.
WITH
chosen AS (
    SELECT game
    FROM query(
        'SELECT game FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
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
    JOIN chosen AS g ON e.game = g.game
),
asked AS (
    SELECT *
    FROM kept
    WHERE (source_layer = getvariable('layer') OR target_layer = getvariable('layer')
            OR getvariable('layer') IS NULL)
        AND (source_feature = getvariable('feature') OR target_feature = getvariable('feature')
            OR getvariable('feature') IS NULL)
),
by_step AS (
    SELECT
        frozen, target_node, target_layer, target_feature, source_node, source_layer, source_feature, game, step,
        count(*) AS n_edges, sum(weight::DOUBLE) AS weight, sum(share) AS share
    FROM asked
    GROUP BY
        frozen, target_node, target_layer, target_feature, source_node, source_layer, source_feature, game, step
),
sums AS (
    SELECT
        frozen, target_node, target_layer, target_feature, source_node, source_layer, source_feature,
        count(*) AS n_steps, sum(n_edges)::BIGINT AS n_edges, sum(weight) AS weight, sum(share) AS share
    FROM by_step
    GROUP BY frozen, target_node, target_layer, target_feature, source_node, source_layer, source_feature
),
ranked AS (
    SELECT
        *,
        row_number() OVER (
            ORDER BY
                share::FLOAT DESC, frozen, target_node, target_layer NULLS LAST,
                target_feature NULLS LAST, source_node, source_layer NULLS LAST, source_feature NULLS LAST
        ) AS place
    FROM sums
)
SELECT
    frozen, target_node, target_layer, target_feature, source_node, source_layer, source_feature, n_steps, n_edges,
    (weight / n_edges)::FLOAT AS mean_weight, (share / n_steps)::FLOAT AS mean_share
FROM ranked
WHERE place <= coalesce(getvariable('limit'), 50)
ORDER BY place;
