-- What changes inside the model do to a decision, exactly and by estimate. The meaning of every part is in
-- effects.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE position = 5;            -- default: every position
--   SET VARIABLE feature = 59;            -- default: every node
--   SET VARIABLE "limit" = 20;            -- default: 20
--
-- The largest first. No rows come back if there is no such game or step.
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
    JOIN one_step AS s ON e.game = s.game AND e.step = s.step
    WHERE e.step >= 0 AND e.method <> 'direct-logit'
        AND (e.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (e.feature = getvariable('feature') OR getvariable('feature') IS NULL)
    GROUP BY
        e.game, e.step, e.analysis, e.node, e.layer, e.position_start, e.position_end, e.head, e.feature
),
ranked AS (
    SELECT
        n.*, t.token,
        CASE WHEN n.metric_other::DOUBLE - n.metric_base::DOUBLE <> 0
            THEN n.exact::DOUBLE / (n.metric_other::DOUBLE - n.metric_base::DOUBLE)
        END::FLOAT AS share,
        row_number() OVER (
            ORDER BY
                abs(coalesce(n.exact, n.integrated, n.estimate)::DOUBLE) DESC NULLS LAST, n.analysis, n.node,
                n.layer NULLS LAST, n.position_start NULLS LAST, n.head NULLS LAST, n.feature NULLS LAST
        ) AS place
    FROM nodes AS n
    LEFT JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
        ON n.game = t.game AND n.step = t.step AND n.position_start = t.position
    WHERE n.position_start = getvariable('position') OR getvariable('position') IS NULL
)
SELECT
    game, step, analysis, node, layer, position_start, position_end, token, head, feature, exact, share,
    integrated, estimate, attention, published
FROM ranked
WHERE place <= coalesce(getvariable('limit'), 20)
ORDER BY place;
