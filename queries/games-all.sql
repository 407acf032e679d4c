-- The games of a lake. The meaning of every part is in games.rs, whose rows these are.
--
-- For DuckDB. Set the lake, and what is not to be the default, then run the file as it is:
--
--   SET VARIABLE lake = 'data/prototype';
--   SET VARIABLE "where" = 'outcome = ''bankruptcy''';  -- default: every game
--   SET VARIABLE "limit" = 20;            -- default: all of them
--
-- Sorted by game.
WITH
chosen AS (
    SELECT game, game_id, n_steps, outcome, final_balance, bet_type, components
    FROM query(
        'SELECT game, game_id, n_steps, outcome, final_balance, bet_type, components FROM read_parquet('''
        || getvariable('lake') || '/games/*.parquet'') WHERE ' || coalesce(getvariable('where'), 'true')
    )
),
bets AS (
    SELECT s.game, count(*) AS bets
    FROM read_parquet(getvariable('lake') || '/steps/*.parquet') AS s
    WHERE s.decision = 'bet'
    GROUP BY s.game
),
numbered AS (
    SELECT
        g.game, g.game_id, g.n_steps, g.outcome, g.final_balance, g.bet_type, g.components,
        coalesce(b.bets, 0) AS bets, row_number() OVER (ORDER BY g.game) AS place
    FROM chosen AS g
    LEFT JOIN bets AS b ON g.game = b.game
)
SELECT game, game_id, n_steps, outcome, final_balance, bet_type, components, bets
FROM numbered
WHERE place <= getvariable('limit') OR getvariable('limit') IS NULL
ORDER BY game;
