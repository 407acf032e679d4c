//! Times every question in polars, from opening the lake to the last row, and its SQL in DuckDB, on a made lake.
//!
//! Each question runs in a process of its own, so that its peak of memory is its own: once with the lake put out
//! of the page cache, which says how much is read, then a few times for the median.

mod made;
mod questions;
#[path = "../tests/lake/synthetic.rs"]
mod synthetic;

use std::{
    env,
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use queries::{Asked, Tables, Variable};
use serde_json::{Value, json};

use questions::Question;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Puts the files of a lake out of the page cache, so that the next reader reads them from the disk.
const FORGET: &str = "
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        file = os.open(os.path.join(folder, name), os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
";

struct Options {
    games: usize,
    runs: usize,
    short: bool,
    /// Only questions whose name holds this.
    only: String,
    /// The question that this process is to time, by its number.
    child: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::read()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-queries");
    fs::create_dir_all(&folder)?;
    let lake = made::lake(&folder, made::Size { games: options.games, short: options.short })?;
    if let Some(number) = options.child {
        let answer = time(&lake, &questions::ALL[number], options.runs)?;
        return Ok(writeln!(std::io::stdout(), "{answer}")?);
    }
    let mut out = std::io::stdout();
    let size = made::bytes(&lake, ".parquet")?;
    writeln!(out, "{} games, {:.2} GB\n", options.games, size as f64 / 1e9)?;
    writeln!(out, "| question | rows | polars, ms | peak, MB | read, MB | DuckDB, ms | peak, MB |")?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|")?;
    for (number, question) in questions::ALL.iter().enumerate() {
        if question.title.contains(&options.only) {
            let polars = in_polars(&lake, number, &options)?;
            let duckdb = in_duckdb(&lake, question, options.runs)?;
            writeln!(
                out,
                "| {} | {} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} |",
                question.title,
                polars["rows"],
                median(&polars["ms"])?,
                number_of(&polars["peak"])? / 1e6,
                number_of(&polars["read"])? / 1e6,
                median(&duckdb["ms"])?,
                number_of(&duckdb["peak"])? / 1e6,
            )?;
        }
    }
    Ok(())
}

impl Options {
    /// What the command line says. Cargo adds `--bench`, which means nothing here.
    fn read() -> Result<Self> {
        let mut options = Self { games: 1000, runs: 5, short: false, only: String::new(), child: None };
        let mut words = env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--games" => options.games = value()?.parse()?,
                "--runs" => options.runs = value()?.parse()?,
                "--only" => options.only = value()?,
                "--child" => options.child = Some(value()?.parse()?),
                "--short" => options.short = true,
                _ => return Err(format!("there is no option {word}").into()),
            }
        }
        Ok(options)
    }
}

/// Times a question in a process of its own.
fn in_polars(lake: &Path, number: usize, options: &Options) -> Result<Value> {
    let forgotten = Command::new(python()).args(["-c", FORGET]).arg(lake).status()?;
    if !forgotten.success() {
        return Err("the lake cannot be put out of the page cache".into());
    }
    let mut command = Command::new(env::current_exe()?);
    command.args(["--child", &number.to_string(), "--games", &options.games.to_string()]);
    command.args(["--runs", &options.runs.to_string()]);
    if options.short {
        command.arg("--short");
    }
    let answer = command.stderr(Stdio::inherit()).output()?;
    Ok(serde_json::from_slice(&answer.stdout)?)
}

fn in_duckdb(lake: &Path, question: &Question, runs: usize) -> Result<Value> {
    let asked = ask(lake, question)?;
    let job = json!({"sql": asked.sql, "variables": variables(&asked), "runs": runs});
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/duckdb_times.py");
    let mut child =
        Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(job.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&child.wait_with_output()?.stdout)?)
}

/// Answers a question again and again: the times in milliseconds, the rows, and what the process used.
fn time(lake: &Path, question: &Question, runs: usize) -> Result<Value> {
    let before = proc_number("io", "read_bytes:")?;
    let rows = queries::run(ask(lake, question)?.plan)?.height();
    let read = proc_number("io", "read_bytes:")? - before;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        queries::run(ask(lake, question)?.plan)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let peak = proc_number("status", "VmHWM:")? * 1024;
    Ok(json!({"ms": times, "rows": rows, "peak": peak, "read": read}))
}

fn ask(lake: &Path, question: &Question) -> Result<Asked> {
    let tables = Tables::open(lake)?;
    let selection = (question.selection)();
    Ok((question.ask)(&tables, &selection)?)
}

/// A number that Linux says of this process.
fn proc_number(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("not told")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn variables(asked: &Asked) -> Value {
    let value = |variable: &Variable| match variable {
        Variable::Integer(value) => Value::from(*value),
        Variable::Real(value) => Value::from(*value),
        Variable::Text(value) => Value::from(value.as_str()),
        Variable::Flag(value) => Value::from(*value),
    };
    asked.variables.iter().map(|(name, variable)| (name.to_owned(), value(variable))).collect()
}

fn number_of(value: &Value) -> Result<f64> {
    value.as_f64().ok_or_else(|| "not a number".into())
}

fn median(times: &Value) -> Result<f64> {
    let times = times.as_array().ok_or("no times")?;
    let mut times = times.iter().filter_map(Value::as_f64).collect::<Vec<_>>();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().ok_or_else(|| "no times".into())
}

fn python() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    env::var_os("SAELAKE_PYTHON").map_or_else(own, PathBuf::from)
}
