//! One request done by several processes: what schedulers say, and that every game is there once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use saelake::lake::Lake;
use serde_json::json;

use crate::support::{program, python, repository, said};

fn collect(lake: &Path, prompts: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saelake"));
    command.args(["collect", "--device", "cpu", "--layers", "15", "--commit-games", "2"]);
    command.arg("--lake").arg(lake).arg("--prompts").arg(prompts).stdout(Stdio::null());
    command
}

fn prompts(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("prompts.jsonl");
    let line = |index| json!({"game": format!("g{index}"), "text": format!("Prompt {index} says so.")});
    fs::write(&path, (0..9).map(|index| line(index).to_string()).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

/// A Slurm array of three and an Indexed Job of two share the games out, whoever had some before.
#[test]
fn shards_of_schedulers_add_every_game_once() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, prompts) = (folder.path().join("lake"), prompts(folder.path()));
    let slurm = |index: &'static str| {
        let variables = [("ID", index), ("MIN", "1"), ("COUNT", "3")];
        variables.map(|(name, value)| (format!("SLURM_ARRAY_TASK_{name}"), value))
    };
    let job = |index: &'static str| {
        [("JOB_COMPLETION_INDEX", index), ("SAELAKE_SHARDS", "2")]
            .map(|(name, value)| (name.to_owned(), value))
    };
    // Two tasks at once, the third never ran; then a job of two parts does what is left.
    let tasks = ["1", "3"].map(|index| collect(&lake, &prompts).envs(slurm(index)).spawn().unwrap());
    for mut task in tasks {
        assert!(task.wait().unwrap().success());
    }
    let before = Lake::open(&lake).unwrap().n_games();
    assert!((1..9).contains(&before), "{before}");
    for index in ["0", "1"] {
        assert!(collect(&lake, &prompts).envs(job(index)).status().unwrap().success());
    }
    let lake = Lake::open(&lake).unwrap();
    assert_eq!((lake.n_games(), lake.games().collect::<BTreeSet<_>>().len()), (9, 9));
    assert!(lake.runs().iter().all(|run| run.settings.contains("\"shard\":\"")), "a run names its part");
}

/// The same part done twice at once: what one has added, the other leaves out.
#[test]
fn a_part_that_two_processes_do_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, prompts) = (folder.path().join("lake"), prompts(folder.path()));
    let twice = [0, 1].map(|_| collect(&lake, &prompts).spawn().unwrap());
    for mut process in twice {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(Lake::open(&lake).unwrap().n_games(), 9);
    assert_eq!(saelake::lake::verify(&lake).unwrap().findings, []);
}

#[test]
fn a_part_of_more_games_is_refused() {
    let output = program(&["collect", "--lake", "none", "--games", "4", "--shard", "0/2"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--total-games"), "{}", said(&output));
    assert!(!Path::new("none").exists());
}

/// The files in deploy/ are read by what they are for, and name options and variables that the program knows.
#[test]
fn the_files_for_schedulers_hold_together() {
    let slurm = repository("deploy/slurm.sh");
    assert!(Command::new("bash").arg("-n").arg(&slurm).status().unwrap().success());
    let ray = repository("deploy/ray_driver.py");
    let mut compiled = Command::new(python());
    compiled.args(["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"]);
    assert!(compiled.arg(&ray).status().unwrap().success());
    let help = program(&["collect", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for file in ["slurm.sh", "kubernetes.yaml", "ray_driver.py"] {
        let text = fs::read_to_string(repository("deploy").join(file)).unwrap();
        let options = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let options: BTreeSet<&str> =
            options.filter(|word| word.starts_with("--") && word.len() > 3).collect();
        let of_others =
            ["--array", "--job-name", "--gpus-per-task", "--cpus-per-task", "--requeue", "--signal"];
        for option in options.iter().filter(|option| !of_others.contains(option)) {
            assert!(help.contains(option), "{file}: {option}");
        }
    }
    let job = fs::read_to_string(repository("deploy/kubernetes.yaml")).unwrap();
    let number = |key: &str| {
        let after = job.split(key).nth(1).unwrap();
        let digits = after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit);
        digits.collect::<String>()
    };
    let shards = number("  completions:");
    assert_eq!([number("parallelism:"), number("SAELAKE_SHARDS\n")], [shards.clone(), shards]);
}
