-- Which features differ between two groups of steps, bets and stops for example, in each named span. The meaning of
-- every part is in contrast.rs, whose rows these are; statistics.rs has the test.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'bet_type = ''fixed''';   -- default: every game; columns of `games`
--   SET VARIABLE "group" = 'outcome';     -- a text column of `games`; default: 'decision', bet against stop
--   SET VARIABLE first = 'bankruptcy';    -- the two values of the group; have defaults for 'decision' and 'outcome'
--   SET VARIABLE second = 'voluntary_stop';
--   SET VARIABLE min_support = 5;         -- in how many games a feature must fire in the span; default: 5
--   SET VARIABLE layer = 8;               -- default: every layer
--   SET VARIABLE span = 'balance';        -- only this span; default: every span
--   SET VARIABLE feature = 59;            -- only this one; needs its layer
--   SET VARIABLE "limit" = 50;            -- default: 50
--   SET VARIABLE specials = 'include';    -- default: special tokens and position 0 belong to no span
--
-- Layer, span and feature choose what is tested, so that the q-values are of that; the limit only cuts the rows.
-- Order of the rows: q_value, p_value, layer, span, feature; values that are missing come last.
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
chosen_games AS (
    FROM query(
        'SELECT game, game_id, game_block, run, source, outcome, bet_type, components, metadata FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
chosen_steps AS (
    SELECT
        g.game, g.game_block, s.step, s.decision_position,
        CASE coalesce(getvariable('group'), 'decision')
            WHEN 'decision' THEN s.decision
            WHEN 'outcome' THEN g.outcome
            WHEN 'bet_type' THEN g.bet_type
            WHEN 'components' THEN g.components
            WHEN 'source' THEN g.source
            WHEN 'run' THEN g.run
            WHEN 'game_id' THEN g.game_id
            WHEN 'metadata' THEN g.metadata
        END AS value
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    JOIN chosen_games AS g ON s.game = g.game
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
-- 1 for a step of the first group, 0 for one of the second. A step of neither is left out.
grouped AS (
    SELECT
        game, game_block, step,
        CASE
            WHEN value = coalesce(
                getvariable('first'),
                CASE coalesce(getvariable('group'), 'decision')
                    WHEN 'decision' THEN 'bet' WHEN 'outcome' THEN 'bankruptcy'
                END
            ) THEN 1
            WHEN value = coalesce(
                getvariable('second'),
                CASE coalesce(getvariable('group'), 'decision')
                    WHEN 'decision' THEN 'stop' WHEN 'outcome' THEN 'voluntary_stop'
                END
            ) THEN 0
        END AS is_first
    FROM chosen_steps
),
-- A step has rows at a layer, or none at all if it failed.
captured AS (
    SELECT p.game, p.step, p.layer, g.is_first
    FROM all_positions AS p
    JOIN grouped AS g ON p.game_block = g.game_block AND p.game = g.game AND p.step = g.step
    WHERE g.is_first IS NOT NULL
        -- One row of each step: that of the first token, or of the decision where that is all a run kept.
        AND (p.position = 0 OR (
            SELECT max(positions = 'last') FROM read_parquet(getvariable('lake') || '/runs/*.parquet')
        ))
        AND (p.layer = getvariable('layer') OR getvariable('layer') IS NULL)
),
-- How many steps of either group each game has, of those that have the span.
games_of_spans AS (
    SELECT
        c.layer, m.span, c.game,
        count(*)::DOUBLE AS m, sum(c.is_first)::DOUBLE AS m_first, sum(1 - c.is_first)::DOUBLE AS m_second
    FROM (SELECT DISTINCT game, step, span FROM members) AS m
    JOIN captured AS c ON m.game = c.game AND m.step = c.step
    WHERE m.span = getvariable('span') OR getvariable('span') IS NULL
    GROUP BY c.layer, m.span, c.game
),
totals AS (
    SELECT
        layer, span,
        sum(m) AS n, sum(m_first) AS n_first, sum(m_second) AS n_second, count(*)::DOUBLE AS games,
        sum(m * m) AS m_2, sum(m * m * m) AS m_3
    FROM games_of_spans
    GROUP BY layer, span
    HAVING sum(m_first) > 0 AND sum(m_second) > 0 AND count(*) > 2
),
-- A step weighs 1 / n_first or -1 / n_second; w_1 and w_2 are a game's sums of the weights and of their squares.
weights AS (
    SELECT
        g.layer, g.span,
        g.m_first / t.n_first - g.m_second / t.n_second AS w_1,
        g.m_first / (t.n_first * t.n_first) + g.m_second / (t.n_second * t.n_second) AS w_2
    FROM games_of_spans AS g
    JOIN totals AS t ON g.layer = t.layer AND g.span = t.span
),
design AS (
    SELECT
        t.layer, t.span, max(t.n) AS n, max(t.n_first) AS n_first, max(t.n_second) AS n_second,
        max(t.games) AS games, max(t.m_2) AS m_2, max(t.m_3) AS m_3,
        1 / max(t.n_first) + 1 / max(t.n_second) AS a_2,
        1 / (max(t.n_first) * max(t.n_first)) - 1 / (max(t.n_second) * max(t.n_second)) AS a_3,
        sum(w.w_1 * w.w_1) AS w_11, sum(w.w_1 * w.w_2) AS w_12, sum(w.w_1 * w.w_1 * w.w_1) AS w_111
    FROM totals AS t
    JOIN weights AS w ON t.layer = w.layer AND t.span = w.span
    GROUP BY t.layer, t.span
),
-- How strongly a feature fires in a span of a step, at most.
strongest AS (
    SELECT f.layer, m.span, f.feature, f.game, f.step, max(f.activation)::DOUBLE AS y
    FROM all_features AS f
    JOIN members AS m
        ON f.game_block = m.game_block AND f.game = m.game AND f.step = m.step AND f.position = m.position
    WHERE (f.layer = getvariable('layer') OR getvariable('layer') IS NULL)
        AND (f.feature = getvariable('feature') OR getvariable('feature') IS NULL)
        AND (m.span = getvariable('span') OR getvariable('span') IS NULL)
    GROUP BY f.layer, m.span, f.feature, f.game, f.step
),
per_game AS (
    SELECT
        s.layer, s.span, s.feature, s.game,
        sum(s.y) AS s_1, sum(s.y * s.y) AS s_2, sum(s.y * s.y * s.y) AS s_3,
        sum(s.y * g.is_first) AS first_1, sum(s.y * s.y * g.is_first) AS first_2
    FROM strongest AS s
    JOIN grouped AS g ON s.game = g.game AND s.step = g.step
    WHERE g.is_first IS NOT NULL
    GROUP BY s.layer, s.span, s.feature, s.game
),
sums AS (
    SELECT
        p.layer, p.span, p.feature, count(*) AS support,
        sum(p.s_1) AS s_1, sum(p.s_2) AS s_2, sum(p.s_3) AS s_3,
        sum(p.first_1) AS first_1, sum(p.first_2) AS first_2,
        sum(p.s_1 * p.s_1) AS s_11, sum(p.s_1 * p.s_2) AS s_12, sum(p.s_1 * p.s_1 * p.s_1) AS s_111,
        sum(p.s_1 * p.s_1 / g.m) AS s_11_m, sum(g.m * p.s_1) AS m_s_1, sum(g.m * p.s_2) AS m_s_2,
        sum(g.m * p.s_1 * p.s_1) AS m_s_11, sum(g.m * g.m * p.s_1) AS mm_s_1
    FROM per_game AS p
    JOIN games_of_spans AS g ON p.layer = g.layer AND p.span = g.span AND p.game = g.game
    GROUP BY p.layer, p.span, p.feature
    HAVING count(*) >= coalesce(getvariable('min_support'), 5)
),
means AS (
    SELECT
        s.*, d.n, d.n_first, d.n_second, d.games, d.m_2, d.m_3, d.a_2, d.a_3, d.w_11, d.w_12, d.w_111,
        s.s_1 / d.n AS mean,
        s.first_1 / d.n_first AS mean_first,
        (s.s_1 - s.first_1) / d.n_second AS mean_second,
        d.games * d.games / ((d.games - 1) * (d.games - 2)) AS small
    FROM sums AS s
    JOIN design AS d ON s.layer = d.layer AND s.span = d.span
),
-- The sums over games of what their steps differ from the mean: z_1 the sum of a game, z_2 of squares, z_3 of cubes.
moments AS (
    SELECT
        *,
        s_2 - n * mean * mean AS z_2,
        s_2 - s_11_m AS z_within,
        s_3 - 3 * mean * s_2 + 2 * n * mean * mean * mean AS z_3,
        s_11 - 2 * mean * m_s_1 + mean * mean * m_2 AS z_11,
        s_12 - 2 * mean * s_11 + 3 * mean * mean * m_s_1 - mean * m_s_2 - mean * mean * mean * m_2 AS z_12,
        s_111 - 3 * mean * m_s_11 + 3 * mean * mean * mm_s_1 - mean * mean * mean * m_3 AS z_111
    FROM means
),
shares AS (
    SELECT
        *,
        z_2 / n + z_11 / (n * n) * games / (games - 1) AS whole,
        z_3 / n * small AS cubes,
        CASE WHEN m_2 > n THEN (z_12 - z_3) / (m_2 - n) * small ELSE 0 END AS pairs,
        CASE WHEN m_3 - 3 * m_2 + 2 * n > 0
            THEN (z_111 - 3 * z_12 + 2 * z_3) / (m_3 - 3 * m_2 + 2 * n) * small ELSE 0
        END AS triples,
        s_2 - n_first * mean_first * mean_first - n_second * mean_second * mean_second AS apart
    FROM moments
),
variances AS (
    SELECT
        *,
        CASE WHEN n > games THEN z_within / (n - games) ELSE whole END AS within
    FROM shares
),
spreads AS (
    SELECT
        *,
        within * a_2 + CASE WHEN whole > within THEN (whole - within) * w_11 ELSE 0 END AS variance,
        cubes * a_3 + 3 * pairs * (w_12 - a_3) + triples * (w_111 - 3 * w_12 + 2 * a_3) AS third
    FROM variances
),
-- What is left of a variance by rounding alone is none.
statistics AS (
    SELECT
        *,
        CASE WHEN n > 2 AND apart > 1e-12 * s_2
            THEN (mean_first - mean_second) / sqrt(apart / (n - 2))
        END AS effect,
        CASE WHEN variance > 1e-12 * a_2 * s_2 / n THEN (mean_first - mean_second) / sqrt(variance) END AS statistic,
        CASE WHEN variance > 1e-12 * a_2 * s_2 / n THEN third / (variance * sqrt(variance)) END AS skewness
    FROM spreads
),
-- In the direction of the long tail, what the difference is worth on the scale of a normal one.
tails AS (
    SELECT
        *,
        CASE WHEN skewness < 0 THEN -statistic ELSE statistic END AS along,
        2 / CASE WHEN abs(skewness) > 1e-5 THEN abs(skewness) ELSE 1e-5 END AS root
    FROM statistics
),
bent AS (
    SELECT
        *,
        CASE WHEN along > 0
            THEN 3 * root * (power(1 + along / root, 1.0::DOUBLE / 3) - 1 + 1 / (9 * root * root))
            ELSE -along
        END AS free
    FROM tails
),
scores AS (
    SELECT
        *,
        CASE WHEN free < 0 THEN 0 WHEN free > abs(along) THEN abs(along) ELSE free END / sqrt(2.0::DOUBLE) AS x
    FROM bent
),
erfc AS (
    SELECT *, 1 / (1 + 0.5::DOUBLE * x) AS t FROM scores
),
probabilities AS (
    SELECT
        *,
        t * exp(
            -x * x - 1.26551223::DOUBLE + t * (1.00002368::DOUBLE + t * (0.37409196::DOUBLE
            + t * (0.09678418::DOUBLE + t * (-0.18628806::DOUBLE + t * (0.27886807::DOUBLE
            + t * (-1.13520398::DOUBLE + t * (1.48851587::DOUBLE + t * (-0.82215223::DOUBLE
            + t * 0.17087277::DOUBLE))))))))
        ) AS raw
    FROM erfc
),
ranks AS (
    SELECT
        *,
        CASE WHEN raw > 1 THEN 1 ELSE raw END AS p_value,
        row_number() OVER (ORDER BY raw::FLOAT NULLS LAST, layer, span, feature) AS rank,
        count(raw) OVER () AS tests
    FROM probabilities
),
discoveries AS (
    SELECT
        *,
        CASE WHEN p_value IS NOT NULL THEN min(p_value * tests / rank) OVER (
            ORDER BY rank ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) END AS q_value
    FROM ranks
)
SELECT
    layer, span, feature,
    n_first::BIGINT AS n_first, n_second::BIGINT AS n_second, games::BIGINT AS games, support::BIGINT AS support,
    mean_first::FLOAT AS mean_first, mean_second::FLOAT AS mean_second,
    (mean_first - mean_second)::FLOAT AS difference, effect::FLOAT AS effect, statistic::FLOAT AS statistic,
    p_value, q_value
FROM discoveries
ORDER BY q_value::FLOAT NULLS LAST, p_value::FLOAT NULLS LAST, layer, span, feature
LIMIT coalesce(getvariable('limit'), 50);
