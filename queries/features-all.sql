-- Which features the decisions attend to in each named span: what features.sql says of the tokens of the span, and
-- the mean of that over the steps that have the span. The meaning of every part is in features.rs, whose rows these
-- are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'bet_type = ''fixed''';   -- default: every game; columns of `games`
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE span = 'balance';        -- only this span; default: every span
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE importance = 'importance.parquet';  -- layer, feature, importance; default: 1 for every feature
--   SET VARIABLE "limit" = 10;            -- how many features of a layer and span; default: 10
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Order of the rows: layer, span, size of the score from high to low, feature.
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
        'SELECT game, game_block, run FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT g.game, g.game_block, r.n_heads, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
    LEFT JOIN read_parquet(getvariable('lake') || '/runs/*.parquet') AS r ON g.run = r.run
),
ranked AS (
    SELECT s.game, s.game_block, t.step, t.position
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
members AS (
    SELECT t.game, t.game_block, t.step, n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN ranked AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    UNION
    SELECT game, game_block, step, 'decision' AS span, decision_position AS position
    FROM chosen_steps
),
-- A step has rows at a layer, or none at all if it failed.
captured AS (
    SELECT p.game, p.step, p.layer
    FROM all_positions AS p
    JOIN chosen_steps AS s ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.position = 0
        AND (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
),
span_steps AS (
    SELECT c.layer, m.span, count(*) AS n_steps, count(DISTINCT c.game) AS n_games
    FROM (SELECT DISTINCT game, step, span FROM members) AS m
    JOIN captured AS c ON m.game = c.game AND m.step = c.step
    GROUP BY c.layer, m.span
),
decision_row AS (
    SELECT a.layer, a.game, a.step, a.key AS position, sum(a.weight::DOUBLE) / max(s.n_heads) AS attention
    FROM all_attention AS a
    JOIN chosen_steps AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step AND a.query = s.decision_position
    WHERE a.layer = getvariable('layer') OR getvariable('layer') IS NULL
    GROUP BY a.layer, a.game, a.step, a.key
),
importances AS (
    FROM query(
        CASE WHEN getvariable('importance') IS NULL
            THEN 'SELECT NULL::INTEGER AS layer, NULL::INTEGER AS feature, NULL::DOUBLE AS importance WHERE false'
            ELSE 'SELECT layer, feature, importance::DOUBLE AS importance FROM read_parquet('''
                || getvariable('importance') || ''')'
        END
    )
),
cells AS (
    SELECT
        f.layer, m.span, f.feature, f.game, f.step, f.activation::DOUBLE AS activation,
        coalesce(d.attention, 0) * f.activation::DOUBLE AS contribution
    FROM all_features AS f
    JOIN members AS m
        ON f.game_block = m.game_block AND f.game = m.game AND f.step = m.step AND f.position = m.position
    LEFT JOIN decision_row AS d
        ON f.layer = d.layer AND f.game = d.game AND f.step = d.step AND f.position = d.position
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
        AND (m.span = getvariable('span') OR getvariable('span') IS NULL)
),
per_step AS (
    SELECT
        layer, span, feature, game, step,
        sum(contribution) AS contribution, sum(activation) AS activation, count(*) AS n_tokens
    FROM cells
    GROUP BY layer, span, feature, game, step
),
sums AS (
    SELECT
        layer, span, feature,
        sum(contribution) AS contribution, sum(activation) / sum(n_tokens) AS activation, count(*) AS fires
    FROM per_step
    GROUP BY layer, span, feature
),
scores AS (
    SELECT
        f.layer, f.span, f.feature, s.n_steps, s.n_games, f.activation,
        (f.contribution / s.n_steps * coalesce(i.importance, 1))::FLOAT AS score,
        f.fires::DOUBLE / s.n_steps AS share
    FROM sums AS f
    JOIN span_steps AS s ON f.layer = s.layer AND f.span = s.span
    LEFT JOIN importances AS i ON f.layer = i.layer AND f.feature = i.feature
    WHERE i.importance IS NOT NULL OR getvariable('importance') IS NULL
),
ranks AS (
    SELECT *, row_number() OVER (PARTITION BY layer, span ORDER BY abs(score) DESC, feature) AS rank
    FROM scores
)
SELECT
    layer, span, feature, n_steps::BIGINT AS n_steps, n_games::BIGINT AS n_games, score,
    activation::FLOAT AS activation, share::FLOAT AS share
FROM ranks
WHERE rank <= coalesce(getvariable('limit'), 10)
ORDER BY layer, span, rank;
