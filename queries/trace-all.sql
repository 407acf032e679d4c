-- Where the features of decisions come from, over all games: for the features that are strongest at the
-- decision positions, the features of lower layers in named spans that go together with them from step to
-- step. The meaning of every part is in trace_games.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE layer = 29;              -- layer of the targets; default: the last layer with features
--   SET VARIABLE feature = 59;            -- the one target; default: those with the highest scores
--   SET VARIABLE span = 'balance';        -- default: every span, and `decision` for the decision position
--   SET VARIABLE "limit" = 8;             -- targets, and sources of each; default: 8
--   SET VARIABLE specials = 'include';    -- default: spans are without special tokens and position 0
--   SET VARIABLE importance = 'importance.parquet';  -- layer, feature, importance; default: 1 for each
--   SET VARIABLE couplings = 'couplings.parquet';    -- from_layer, from_feature, to_layer, to_feature,
--                                                    -- coupling; default: 1 for each
--
-- Sorted by to_layer, to_feature, the size of score from high to low, from_layer, from_span, from_feature.
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
chosen AS (
    SELECT game, game_block
    FROM query(
        'SELECT game, game_block FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
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
    SELECT s.game, g.game_block, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen AS g ON s.game = g.game
),
at_decision AS (
    SELECT p.layer, s.game, s.game_block, s.step, s.decision_position
    FROM all_positions AS p
    JOIN every_step AS s
        ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
        AND p.position = s.decision_position
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
target_layer AS (
    SELECT max(layer) AS layer FROM at_decision
),
read_steps AS (
    SELECT d.game, d.game_block, d.step, d.decision_position, d.layer
    FROM at_decision AS d
    JOIN target_layer AS l ON d.layer = l.layer
),
-- The targets: the strongest features of the last layer at the decisions.
at_target AS (
    SELECT f.layer, f.game, f.step, f.feature, f.activation::DOUBLE AS y
    FROM all_features AS f
    JOIN read_steps AS s
        ON f.game_block = s.game_block AND f.layer = s.layer AND f.game = s.game AND f.step = s.step
        AND f.position = s.decision_position
    WHERE f.feature = getvariable('feature') OR getvariable('feature') IS NULL
),
scored AS (
    SELECT
        a.layer, a.feature,
        (sum(a.y) / (SELECT count(*) FROM read_steps) * coalesce(max(i.importance), 1))::FLOAT AS score
    FROM at_target AS a
    LEFT JOIN importance AS i ON a.layer = i.layer AND a.feature = i.feature
    WHERE i.importance IS NOT NULL OR getvariable('importance') IS NULL
    GROUP BY a.layer, a.feature
),
targets AS (
    SELECT layer, feature
    FROM (
        SELECT layer, feature, row_number() OVER (ORDER BY abs(score) DESC, feature) AS place
        FROM scored
        WHERE score <> 0
    ) AS s
    WHERE s.place <= coalesce(getvariable('limit'), 8)
),
target_values AS (
    SELECT a.layer, a.feature, a.game, a.step, a.y
    FROM at_target AS a
    JOIN targets AS t ON a.feature = t.feature
),
-- The sources: of every step that has a span, the highest activation of each feature in it.
members AS (
    SELECT DISTINCT n.game, n.step, n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN every_step AS s ON n.game = s.game AND n.step = s.step
    JOIN read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    WHERE t.position <= s.decision_position
        AND (
            (NOT t.is_special AND t.position > 0)
            OR coalesce(getvariable('specials') = 'include', false)
        )
        AND (n.name = getvariable('span') OR getvariable('span') IS NULL)
    UNION
    SELECT s.game, s.step, 'decision' AS span, s.decision_position AS position
    FROM every_step AS s
    WHERE getvariable('span') = 'decision' OR getvariable('span') IS NULL
),
span_steps AS (
    SELECT DISTINCT m.span, m.game, m.step
    FROM members AS m
    JOIN read_steps AS s ON m.game = s.game AND m.step = s.step
),
span_values AS (
    SELECT f.layer, m.span, f.feature, f.game, f.step, max(f.activation::DOUBLE) AS x
    FROM all_features AS f
    JOIN target_layer AS l ON f.layer < l.layer
    JOIN read_steps AS s ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    JOIN members AS m ON f.game = m.game AND f.step = m.step AND f.position = m.position
    GROUP BY f.layer, m.span, f.feature, f.game, f.step
),
x_sums AS (
    SELECT
        layer, span, feature, count(DISTINCT game) AS support, sum(x) AS x, sum(x * x) AS xx
    FROM span_values
    GROUP BY layer, span, feature
),
xy_sums AS (
    SELECT v.layer, v.span, v.feature, w.feature AS to_feature, sum(v.x * w.y) AS xy
    FROM span_values AS v
    JOIN target_values AS w ON v.game = w.game AND v.step = w.step
    GROUP BY v.layer, v.span, v.feature, w.feature
),
counts AS (
    SELECT span, count(*) AS n_steps FROM span_steps GROUP BY span
),
y_sums AS (
    SELECT s.span, w.layer, w.feature, sum(w.y) AS y, sum(w.y * w.y) AS yy
    FROM span_steps AS s
    JOIN target_values AS w ON s.game = w.game AND s.step = w.step
    GROUP BY s.span, w.layer, w.feature
),
-- Features that fire in the span in too few games are left out, unless there are no more games than that.
enough AS (
    SELECT least(count(DISTINCT game), 5) AS support FROM read_steps
),
pairs AS (
    SELECT
        w.layer AS to_layer, w.feature AS to_feature, v.layer AS from_layer, v.span AS from_span,
        v.feature AS from_feature, n.n_steps, n.n_steps::DOUBLE AS n, v.x, v.xx, w.y, w.yy,
        coalesce(b.xy, 0) AS xy
    FROM x_sums AS v
    JOIN enough AS e ON v.support >= e.support OR e.support < 5
    JOIN counts AS n ON v.span = n.span
    JOIN y_sums AS w ON v.span = w.span
    LEFT JOIN xy_sums AS b
        ON v.layer = b.layer AND v.span = b.span AND v.feature = b.feature AND w.feature = b.to_feature
),
edges AS (
    SELECT
        p.to_layer, p.to_feature, p.from_layer, p.from_span, p.from_feature, p.n_steps,
        p.x / p.n AS activation, c.coupling,
        (p.xy - p.x * p.y / p.n) / sqrt((p.xx - p.x * p.x / p.n) * (p.yy - p.y * p.y / p.n)) AS correlation
    FROM pairs AS p
    LEFT JOIN couplings AS c
        ON p.from_layer = c.from_layer AND p.from_feature = c.from_feature
        AND p.to_layer = c.to_layer AND p.to_feature = c.to_feature
    WHERE p.xx - p.x * p.x / p.n > 1e-8 * p.xx AND p.yy - p.y * p.y / p.n > 1e-8 * p.yy
        AND (c.coupling IS NOT NULL OR getvariable('couplings') IS NULL)
),
scored_edges AS (
    SELECT *, (correlation * coalesce(coupling, 1))::FLOAT AS score FROM edges
),
ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY to_feature ORDER BY abs(score) DESC, from_layer, from_span, from_feature
        ) AS place
    FROM scored_edges
    WHERE score <> 0
)
SELECT
    to_layer, to_feature, from_layer, from_span, from_feature, n_steps, activation::FLOAT AS activation,
    coupling::FLOAT AS coupling, score, correlation::FLOAT AS correlation
FROM ranked
WHERE place <= coalesce(getvariable('limit'), 8)
ORDER BY to_layer, to_feature, abs(score) DESC, from_layer, from_span, from_feature;
