-- What changes inside the model do to decisions, over all games. The meaning of every part is in effects.rs,
-- whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE feature = 59;            -- default: every node
--   SET VARIABLE "limit" = 20;            -- default: 20
--
-- The largest mean first.
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
nodes AS (
    SELECT
        e.game, e.step, e.analysis, e.node, e.layer, e.position_start, e.position_end, e.head, e.feature,
        max(CASE WHEN e.method = 'attribution' THEN e.estimate END) AS estimate,
        max(CASE WHEN e.method = 'integrated-gradients' THEN e.estimate END) AS integrated,
        max(CASE WHEN e.method = 'attention x activation' THEN e.estimate END) AS attention,
        max(CASE WHEN e.method = 'published' THEN e.estimate END) AS published,
        max(e.exact) AS exact, max(e.metric_base) AS metric_base, max(e.metric_other) AS metric_other
    FROM read_parquet(getvariable('lake') || '/effects/*.parquet') AS e
    JOIN made AS m ON e.analysis = m.analysis
    JOIN chosen AS g ON e.game = g.game
    WHERE e.step >= 0 AND e.method <> 'direct-logit'
        AND (e.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (e.feature = getvariable('feature') OR getvariable('feature') IS NULL)
    GROUP BY
        e.game, e.step, e.analysis, e.node, e.layer, e.position_start, e.position_end, e.head, e.feature
),
by_step AS (
    SELECT
        node, layer, head, feature, game, step, count(*) AS n_nodes, count(exact) AS n_exact,
        count(estimate) AS n_estimate, coalesce(sum(exact::DOUBLE), 0) AS exact,
        coalesce(sum(estimate::DOUBLE), 0) AS estimate
    FROM nodes
    GROUP BY node, layer, head, feature, game, step
),
means AS (
    SELECT
        node, layer, head, feature, count(*) AS n_steps, sum(n_nodes)::BIGINT AS n_nodes,
        sum(n_exact)::BIGINT AS n_exact, (sum(exact) / nullif(sum(n_exact), 0))::FLOAT AS mean_exact,
        (sum(estimate) / nullif(sum(n_estimate), 0))::FLOAT AS mean_estimate
    FROM by_step
    GROUP BY node, layer, head, feature
),
ranked AS (
    SELECT
        *,
        row_number() OVER (
            ORDER BY
                abs(coalesce(mean_exact, mean_estimate)::DOUBLE) DESC NULLS LAST, node, layer NULLS LAST,
                head NULLS LAST, feature NULLS LAST
        ) AS place
    FROM means
)
SELECT node, layer, head, feature, n_steps, n_nodes, n_exact, mean_exact, mean_estimate
FROM ranked
WHERE place <= coalesce(getvariable('limit'), 20)
ORDER BY place;
