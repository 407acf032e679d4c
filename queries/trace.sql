-- Where the features of a decision come from: the strongest features of the decision position, for each the
-- features of lower layers that it may have been made of, and for each of these the tokens that it looked at.
-- The meaning of every part is in trace.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 29;              -- layer of the targets; default: the last layer with features
--   SET VARIABLE feature = 59;            -- the one target; default: those with the highest scores
--   SET VARIABLE "limit" = 8;             -- targets, and sources of each; default: 8
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are no sources
--   SET VARIABLE importance = 'importance.parquet';  -- layer, feature, importance; default: 1 for each
--   SET VARIABLE couplings = 'couplings.parquet';    -- from_layer, from_feature, to_layer, to_feature,
--                                                    -- coupling; default: 1 for each
--
-- Sorted by kind (output, feature, token), to_layer, to_position, to_feature, the size of score from high to
-- low, from_layer, from_position, from_feature. No rows come back if there is no such game, step or layer.
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
chosen AS (
    SELECT game, game_block, run
    FROM query(
        'SELECT game, game_block, run FROM read_parquet(''' || getvariable('lake')
        || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
importance AS (
    SELECT layer, feature, importance::DOUBLE AS importance
    FROM query(
        CASE
            WHEN getvariable('importance') IS NULL THEN
                'SELECT NULL::INTEGER AS layer, NULL::INTEGER AS feature, NULL::DOUBLE AS importance WHERE false'
            ELSE
                'SELECT layer, feature, importance FROM read_parquet(''' || getvariable('importance') || ''')'
        END
    )
),
couplings AS (
    SELECT from_layer, from_feature, to_layer, to_feature, coupling::DOUBLE AS coupling
    FROM query(
        CASE
            WHEN getvariable('couplings') IS NULL THEN
                'SELECT NULL::INTEGER AS from_layer, NULL::INTEGER AS from_feature, NULL::INTEGER AS to_layer, '
                || 'NULL::INTEGER AS to_feature, NULL::DOUBLE AS coupling WHERE false'
            ELSE
                'SELECT from_layer, from_feature, to_layer, to_feature, coupling FROM read_parquet('''
                || getvariable('couplings') || ''')'
        END
    )
),
every_step AS (
    SELECT s.game, g.game_block, s.step, s.decision_position, r.n_heads
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen AS g ON s.game = g.game
    LEFT JOIN read_parquet(getvariable('lake') || '/runs/*.parquet') AS r ON g.run = r.run
),
one_game AS (
    SELECT min(game) AS game
    FROM chosen
    WHERE game = getvariable('game') OR getvariable('game') IS NULL
),
one_step AS (
    SELECT s.game, s.game_block, s.step, s.decision_position, s.n_heads
    FROM every_step AS s
    JOIN one_game AS g ON s.game = g.game
    WHERE s.step = getvariable('step') OR getvariable('step') IS NULL
    ORDER BY s.step
    LIMIT 1
),
target_layer AS (
    SELECT max(p.layer) AS layer
    FROM all_positions AS p
    JOIN one_step AS s ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
-- The tokens up to the decision of every step; the decision is a source even where it is not ranked.
looked AS (
    SELECT
        t.game, s.game_block, t.step, t.position, t.token, t.position = s.decision_position AS is_decision,
        (NOT t.is_special AND t.position > 0)
            OR coalesce(getvariable('specials') = 'include', false) AS ranked
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN every_step AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
),
here AS (
    SELECT k.position, k.token, k.is_decision, k.ranked
    FROM looked AS k
    JOIN one_step AS s ON k.game = s.game AND k.step = s.step
),
active AS (
    SELECT f.layer, f.position, k.token, f.feature, f.activation::DOUBLE AS activation, k.is_decision
    FROM all_features AS f
    JOIN one_step AS s ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    JOIN target_layer AS l ON f.layer <= l.layer
    JOIN here AS k ON f.position = k.position
    WHERE k.ranked OR k.is_decision
),
outputs AS (
    SELECT
        a.layer, a.position, a.token, a.feature, a.activation, i.importance,
        (a.activation * coalesce(i.importance, 1))::FLOAT AS score
    FROM active AS a
    JOIN target_layer AS l ON a.layer = l.layer
    LEFT JOIN importance AS i ON a.layer = i.layer AND a.feature = i.feature
    WHERE a.is_decision
        AND (i.importance IS NOT NULL OR getvariable('importance') IS NULL)
        AND (a.feature = getvariable('feature') OR getvariable('feature') IS NULL)
),
targets AS (
    SELECT *
    FROM (SELECT *, row_number() OVER (ORDER BY abs(score) DESC, feature) AS place FROM outputs WHERE score <> 0) AS o
    WHERE o.place <= coalesce(getvariable('limit'), 8)
),
pattern AS (
    SELECT a.layer, a.query, a.key, sum(a.weight::DOUBLE / s.n_heads) AS attention
    FROM all_attention AS a
    JOIN one_step AS s ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step
    GROUP BY a.layer, a.query, a.key
),
sources AS (
    SELECT
        a.layer, a.position, a.token, a.feature, a.activation, l.layer AS to_layer,
        CASE WHEN a.is_decision THEN 1.0::DOUBLE ELSE coalesce(r.attention, 0) END AS attention
    FROM active AS a
    JOIN target_layer AS l ON a.layer < l.layer
    JOIN one_step AS s ON true
    LEFT JOIN pattern AS r
        ON r.layer = l.layer AND r.query = s.decision_position AND r.key = a.position
),
candidates AS (
    SELECT
        s.layer AS from_layer, s.position AS from_position, s.token AS from_token, s.feature AS from_feature,
        t.layer AS to_layer, t.position AS to_position, t.token AS to_token, t.feature AS to_feature,
        s.attention, s.activation, c.coupling,
        (s.attention * s.activation * coalesce(c.coupling, 1))::FLOAT AS score
    FROM sources AS s
    JOIN targets AS t ON s.to_layer = t.layer
    LEFT JOIN couplings AS c
        ON s.layer = c.from_layer AND s.feature = c.from_feature
        AND t.layer = c.to_layer AND t.feature = c.to_feature
    WHERE c.coupling IS NOT NULL OR getvariable('couplings') IS NULL
),
features AS (
    SELECT *
    FROM (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY to_feature ORDER BY abs(score) DESC, from_layer, from_position, from_feature
            ) AS place
        FROM candidates
        WHERE score <> 0
    ) AS c
    WHERE c.place <= coalesce(getvariable('limit'), 8)
),
-- How the two ends of an edge go together over all steps of the games in the step's block.
pairs AS (
    SELECT DISTINCT from_layer, from_feature, to_layer, to_feature FROM features
),
read_steps AS (
    SELECT s.game, s.game_block, s.step, s.decision_position
    FROM all_positions AS p
    JOIN every_step AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
        AND p.position = s.decision_position
    JOIN one_step AS o ON p.game_block = o.game_block
    JOIN target_layer AS l ON p.layer = l.layer
),
target_values AS (
    SELECT f.game, f.step, f.feature, f.activation::DOUBLE AS y
    FROM all_features AS f
    JOIN targets AS t ON f.layer = t.layer AND f.feature = t.feature
    JOIN read_steps AS s
        ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
        AND f.position = s.decision_position
),
source_values AS (
    SELECT f.game, f.step, f.layer, f.feature, max(f.activation::DOUBLE) AS x
    FROM all_features AS f
    JOIN (SELECT DISTINCT from_layer, from_feature FROM pairs) AS c
        ON f.layer = c.from_layer AND f.feature = c.from_feature
    JOIN one_step AS o ON f.game_block = o.game_block
    JOIN looked AS k
        ON f.game_block = k.game_block AND f.game = k.game AND f.step = k.step AND f.position = k.position
    WHERE k.ranked OR k.is_decision
    GROUP BY f.game, f.step, f.layer, f.feature
),
sums AS (
    SELECT
        c.from_layer, c.from_feature, c.to_layer, c.to_feature, count(*)::DOUBLE AS n,
        coalesce(sum(v.x), 0) AS x, coalesce(sum(v.x * v.x), 0) AS xx,
        coalesce(sum(w.y), 0) AS y, coalesce(sum(w.y * w.y), 0) AS yy, coalesce(sum(v.x * w.y), 0) AS xy
    FROM pairs AS c
    CROSS JOIN read_steps AS s
    LEFT JOIN source_values AS v
        ON s.game = v.game AND s.step = v.step AND c.from_layer = v.layer AND c.from_feature = v.feature
    LEFT JOIN target_values AS w ON s.game = w.game AND s.step = w.step AND c.to_feature = w.feature
    GROUP BY c.from_layer, c.from_feature, c.to_layer, c.to_feature
),
correlations AS (
    SELECT
        from_layer, from_feature, to_layer, to_feature,
        CASE
            WHEN xx - x * x / n > 1e-8 * xx AND yy - y * y / n > 1e-8 * yy
                THEN (xy - x * y / n) / sqrt((xx - x * x / n) * (yy - y * y / n))
        END AS correlation
    FROM sums
),
-- The tokens that a source looked at: its own, and those that its layer attends to from there.
ends AS (
    SELECT DISTINCT from_layer AS layer, from_position AS position, from_token AS token,
        from_feature AS feature, activation
    FROM features
),
looks AS (
    SELECT
        e.layer, e.position, e.token, e.feature, e.activation, e.position AS from_position,
        e.token AS from_token, 1.0::DOUBLE AS attention
    FROM ends AS e
    UNION ALL
    SELECT
        e.layer, e.position, e.token, e.feature, e.activation, k.position AS from_position,
        k.token AS from_token, r.attention
    FROM ends AS e
    JOIN pattern AS r ON e.layer = r.layer AND e.position = r.query
    JOIN here AS k ON r.key = k.position
    WHERE k.ranked AND k.position < e.position
),
tokens AS (
    SELECT *
    FROM (
        SELECT
            *, (attention * activation)::FLOAT AS score,
            row_number() OVER (
                PARTITION BY layer, position, feature
                ORDER BY (attention * activation)::FLOAT DESC, from_position
            ) AS place
        FROM looks
        WHERE attention > 0
    ) AS k
    WHERE k.place <= 3
),
edges AS (
    SELECT
        0 AS place, 'output' AS kind, layer AS from_layer, position AS from_position, token AS from_token,
        feature AS from_feature, NULL::INTEGER AS to_layer, NULL::INTEGER AS to_position,
        NULL::VARCHAR AS to_token, NULL::INTEGER AS to_feature, NULL::DOUBLE AS attention, activation,
        importance AS coupling, score, NULL::DOUBLE AS correlation
    FROM targets
    UNION ALL
    SELECT
        1 AS place, 'feature' AS kind, f.from_layer, f.from_position, f.from_token, f.from_feature,
        f.to_layer, f.to_position, f.to_token, f.to_feature, f.attention, f.activation, f.coupling, f.score,
        c.correlation
    FROM features AS f
    LEFT JOIN correlations AS c
        ON f.from_layer = c.from_layer AND f.from_feature = c.from_feature
        AND f.to_layer = c.to_layer AND f.to_feature = c.to_feature
    UNION ALL
    SELECT
        2 AS place, 'token' AS kind, NULL::INTEGER AS from_layer, from_position, from_token,
        NULL::INTEGER AS from_feature, layer AS to_layer, position AS to_position, token AS to_token,
        feature AS to_feature, attention, activation, NULL::DOUBLE AS coupling, score,
        NULL::DOUBLE AS correlation
    FROM tokens
)
SELECT
    s.game, s.step, e.kind, e.from_layer, e.from_position, e.from_token, e.from_feature, e.to_layer,
    e.to_position, e.to_token, e.to_feature, e.attention::FLOAT AS attention,
    e.activation::FLOAT AS activation, e.coupling::FLOAT AS coupling, e.score,
    e.correlation::FLOAT AS correlation
FROM edges AS e
CROSS JOIN one_step AS s
ORDER BY
    e.place, e.to_layer, e.to_position, e.to_feature, abs(e.score) DESC, e.from_layer, e.from_position,
    e.from_feature;
