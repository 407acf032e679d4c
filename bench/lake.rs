//! What a lake costs: appends one by one, by one process and by eight, compaction and checks with the memory they take,
//! bytes a token against other ways to store the same, opening a large lake, and the memory of a long collection.
//!
//! Every number is of one run, printed as tables; memory is the peak of a process of its own.

#[path = "lake/appends.rs"]
mod appends;
#[path = "lake/child.rs"]
mod child;
#[path = "lake/collection.rs"]
mod collection;
#[path = "lake/large.rs"]
mod large;
#[path = "lake/sizes.rs"]
mod sizes;
#[path = "../tests/lake/synthetic.rs"]
mod synthetic;
#[path = "lake/upkeep.rs"]
mod upkeep;

use std::error::Error;
use std::io::{Write as _, stdout};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A part: its name, and what it does.
type Part = (&'static str, fn() -> Result<()>);

/// The parts; all of them run where none is named.
const PARTS: [Part; 5] = [
    ("appends", appends::run),
    ("upkeep", upkeep::run),
    ("sizes", sizes::run),
    ("open", large::run),
    ("collect", collection::run),
];

fn main() -> Result<()> {
    // Cargo adds a word of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [child::WORD, what @ ..] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return child::run(what);
    }
    if let Some(unknown) = words.iter().find(|word| !PARTS.iter().any(|(name, _)| name == word)) {
        return Err(format!("`{unknown}` is none of {:?}", PARTS.map(|(name, _)| name)).into());
    }
    for (name, part) in PARTS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            part()?;
        }
    }
    Ok(())
}

/// Prints a line.
fn say(line: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
