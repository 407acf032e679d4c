-- Which named spans the decisions look at: what attribution.sql says of each token, added up over the tokens of a
-- span, and the mean of that over the steps that have the span. The meaning of every part is in
-- attribution_spans.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'bet_type = ''fixed''';   -- default: every game; columns of `games`
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE span = 'balance';        -- only this span; default: every span
--   SET VARIABLE "limit" = 10;            -- how many spans of a layer; default: all
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Order of the rows: layer, importance from high to low, span.
WITH
-- What every step has of the large tables: its own rows, and those of positions that it shares with an earlier step,
-- which are stored there alone if the lake was collected with --positions new.
prefixes AS (
    SELECT game, step, position_start, position_end, stored_step
    FROM read_parquet(getvariable('lake') || '/prefixes/*.parquet')
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
    SELECT t.game, t.step, t.position
    FROM read_parquet(getvariable('lake') || '/tokens/*.parquet') AS t
    JOIN chosen_steps AS s ON t.game = s.game AND t.step = s.step
    WHERE t.position <= s.decision_position
        AND ((NOT t.is_special AND t.position > 0) OR coalesce(getvariable('specials') = 'include', false))
),
members AS (
    SELECT t.game, t.step, n.name AS span, t.position
    FROM read_parquet(getvariable('lake') || '/spans/*.parquet') AS n
    JOIN ranked AS t
        ON n.game = t.game AND n.step = t.step
        AND t.position >= n.position_start AND t.position < n.position_end
    UNION
    SELECT game, step, 'decision' AS span, decision_position AS position
    FROM chosen_steps
),
decision_row AS (
    SELECT a.layer, a.game, a.step, a.key AS position, sum(a.weight::DOUBLE) / max(s.n_heads) AS attention
    FROM all_attention AS a
    JOIN chosen_steps AS s
        ON a.game_block = s.game_block AND a.game = s.game AND a.step = s.step AND a.query = s.decision_position
    WHERE a.layer = getvariable('layer') OR getvariable('layer') IS NULL
    GROUP BY a.layer, a.game, a.step, a.key
),
weighted AS (
    SELECT
        p.layer, p.game, p.step, p.position,
        r.position IS NOT NULL AS is_ranked,
        p.feature_norm::DOUBLE AS feature_norm,
        coalesce(d.attention, 0) AS attention,
        CASE WHEN r.position IS NULL THEN 0 ELSE coalesce(d.attention, 0) * p.feature_norm::DOUBLE END AS weight
    FROM all_positions AS p
    JOIN chosen_steps AS s ON p.game_block = s.game_block AND p.game = s.game AND p.step = s.step
    LEFT JOIN ranked AS r ON p.game = r.game AND p.step = r.step AND p.position = r.position
    LEFT JOIN decision_row AS d
        ON p.layer = d.layer AND p.game = d.game AND p.step = d.step AND p.position = d.position
    WHERE (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND p.position <= s.decision_position
),
totals AS (
    SELECT layer, game, step, sum(weight) AS total FROM weighted GROUP BY layer, game, step
),
per_step AS (
    SELECT
        w.layer, m.span, w.game, w.step,
        count(*) AS n_tokens,
        CASE WHEN max(t.total) > 0 THEN sum(w.weight) / max(t.total) ELSE 0 END AS importance,
        sum(w.attention) AS attention,
        sum(w.feature_norm) AS feature_norm
    FROM members AS m
    JOIN weighted AS w ON m.game = w.game AND m.step = w.step AND m.position = w.position
    JOIN totals AS t ON w.layer = t.layer AND w.game = t.game AND w.step = t.step
    WHERE m.span = getvariable('span') OR getvariable('span') IS NULL
    GROUP BY w.layer, m.span, w.game, w.step
),
spans AS (
    SELECT
        layer, span,
        count(DISTINCT game)::BIGINT AS n_games,
        count(*)::BIGINT AS n_steps,
        sum(n_tokens)::BIGINT AS n_tokens,
        avg(importance)::FLOAT AS importance,
        avg(attention)::FLOAT AS attention,
        (sum(feature_norm) / sum(n_tokens))::FLOAT AS feature_norm
    FROM per_step
    GROUP BY layer, span
),
ranks AS (
    SELECT *, row_number() OVER (PARTITION BY layer ORDER BY importance DESC, span) AS rank FROM spans
)
SELECT layer, span, n_games, n_steps, n_tokens, importance, attention, feature_norm
FROM ranks
WHERE rank <= getvariable('limit') OR getvariable('limit') IS NULL
ORDER BY layer, rank;
