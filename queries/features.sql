-- Which features a decision attends to: over the positions where a feature fires, the sum of the attention that the
-- decision pays to the position (mean over all heads), times the activation there, times the feature's importance.
-- The meaning of every part is in features.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'n_steps > 3'; -- default: every game
--   SET VARIABLE game = 42;               -- default: the smallest key
--   SET VARIABLE step = 0;                -- default: the game's first step
--   SET VARIABLE layer = 8;               -- default: the last layer with features
--   SET VARIABLE span = 'balance';        -- only the tokens of this span; default: every ranked token
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE importance = 'importance.parquet';  -- layer, feature, importance; default: 1 for every feature
--   SET VARIABLE "limit" = 10;            -- default: 10
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 are not ranked
--
-- Order of the rows: rank. No rows come back if there is no such game, step, layer, span or feature.
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
one_game AS (
    SELECT game, game_block, run
    FROM query(
        'SELECT game, game_block, run FROM read_parquet(''' || getvariable('lake') || '/games/*.parquet'') WHERE '
        || coalesce(getvariable('where'), 'true')
    )
    WHERE game = getvariable('game') OR getvariable('game') IS NULL
    ORDER BY game
    LIMIT 1
),
one_step AS (
    SELECT g.game, g.game_block, r.n_heads, s.step, s.decision_position
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN one_game AS g ON s.game = g.game
    JOIN read_parquet(getvariable('lake') || '/runs/*.parquet') AS r ON g.run = r.run
    WHERE s.step = getvariable('step') OR getvariable('step') IS NULL
    ORDER BY s.step
    LIMIT 1
),
one_layer AS (
    SELECT max(p.layer) AS layer
    FROM all_positions AS p
    JOIN one_step AS s ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    WHERE p.layer = getvariable('layer') OR getvariable('layer') IS NULL
),
ranked AS (
    SELECT t.position, t.token, t.is_special
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
-- The ranked tokens, or those of the span that is asked for.
counted AS (
    SELECT position, token FROM ranked WHERE getvariable('span') IS NULL
    UNION
    SELECT r.position, r.token
    FROM ranked AS r
    JOIN read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
        ON r.position >= n.position_start AND r.position < n.position_end
    JOIN one_step AS s ON n.game = s.game AND n.step = s.step
    WHERE n.name = getvariable('span')
    UNION
    SELECT t.position, t.token
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN one_step AS s ON t.game = s.game AND t.step = s.step AND t.position = s.decision_position
    WHERE getvariable('span') = 'decision'
),
decision_row AS (
    SELECT a.key AS position, sum(a.weight::DOUBLE) / max(s.n_heads) AS attention
    FROM all_attention AS a
    JOIN one_step AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step AND a.query = s.decision_position
    JOIN one_layer AS l ON a.layer = l.layer
    GROUP BY a.key
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
        f.game, f.step, f.layer, f.feature, f.activation, f.position, c.token,
        coalesce(d.attention, 0) AS attention,
        coalesce(i.importance, 1) AS importance,
        coalesce(d.attention, 0) * f.activation::DOUBLE * coalesce(i.importance, 1) AS contribution
    FROM all_features AS f
    JOIN one_step AS s ON f.game_block = s.game_block AND f.game = s.game AND f.step = s.step
    JOIN one_layer AS l ON f.layer = l.layer
    JOIN counted AS c ON f.position = c.position
    LEFT JOIN decision_row AS d ON f.position = d.position
    LEFT JOIN importances AS i ON f.layer = i.layer AND f.feature = i.feature
    WHERE (i.importance IS NOT NULL OR getvariable('importance') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
),
-- The first cell of a feature is its strongest.
strongest AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY feature ORDER BY abs(contribution)::FLOAT DESC, position) AS place,
        sum(contribution) OVER (PARTITION BY feature) AS score,
        count(*) OVER (PARTITION BY feature) AS n_positions
    FROM cells
),
ranks AS (
    SELECT *, row_number() OVER (ORDER BY abs(score)::FLOAT DESC, feature)::INTEGER AS rank
    FROM strongest
    WHERE place = 1
)
SELECT
    game, step, layer, rank, feature, score::FLOAT AS score, importance::FLOAT AS importance, activation,
    position, token, attention::FLOAT AS attention, n_positions::BIGINT AS n_positions
FROM ranks
WHERE rank <= coalesce(getvariable('limit'), 10)
ORDER BY rank;
