//! Games appended one by one.

use std::time::Instant;

use saelake::lake::Lake;

use crate::synthetic::{SMALL, Shape, batch, first_batch};
use crate::{Result, child, middle, say};

/// The smallest game, and one as small as those of the tests.
pub(crate) const SHAPES: [(&str, Shape); 2] = [
    ("1 layer, 8 tokens", Shape { steps: 1, tokens: 8, layers: &[8], ..SMALL }),
    ("3 layers, 2 steps of 12 and 15 tokens", SMALL),
];

/// Appends, in the course of which every table gets a checkpoint.
const APPENDS: usize = 130;

/// Games of all writers together.
const GAMES: usize = 160;

pub(crate) fn run() -> Result<()> {
    say(
        "\n| append of one game, ms | first | hundredth (median of 5) | mean of 130 | slowest of the others |",
    )?;
    say("|---|--:|--:|--:|--:|")?;
    for (name, shape) in SHAPES {
        let times = times(shape)?;
        let slowest = times[1..].iter().copied().fold(0.0, f64::max);
        say(&format!(
            "| {name} | {:.1} | {:.1} | {:.1} | {slowest:.1} |",
            times[0],
            middle(times[95..100].to_vec()),
            times.iter().sum::<f64>() / times.len() as f64,
        ))?;
    }
    say("\n| commits of one game each | seconds | commits a second |")?;
    say("|---|--:|--:|")?;
    for writers in [1, 8] {
        let folder = tempfile::tempdir()?;
        let begun = Instant::now();
        let root = folder.path().join("lake");
        // Somebody has to bring the run.
        Lake::create_or_open(&root)?.append(first_batch(&[-1], SHAPES[0].1))?;
        let share = GAMES / writers;
        let mut children = (0..writers)
            .map(|writer| {
                child::start(&[
                    "append",
                    &root.display().to_string(),
                    &(writer * share).to_string(),
                    &share.to_string(),
                ])
            })
            .collect::<Result<Vec<_>>>()?;
        children.iter_mut().try_for_each(|child| child::end(child).map(drop))?;
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(Lake::open(&root)?.n_games(), GAMES + 1, "a game is lost");
        say(&format!("| {GAMES} by {writers} processes | {seconds:.2} | {:.1} |", GAMES as f64 / seconds))?;
    }
    Ok(())
}

/// The milliseconds of each append.
fn times(shape: Shape) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let mut lake = Lake::create_or_open(folder.path())?;
    let mut times = Vec::new();
    for key in 0..APPENDS as i64 {
        let batch = if key == 0 { first_batch(&[key], shape) } else { batch(&[key], shape) };
        let begun = Instant::now();
        lake.append(batch)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
