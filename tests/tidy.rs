//! The conventions of the tree, as tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::repository;

/// No file is longer than this, and half of them are shorter than [`MEDIAN_LINES`].
const MOST_LINES: usize = 600;
const MEDIAN_LINES: usize = 150;

/// Who may name what. A wall is a text that only files below the given paths may hold in their code.
const WALLS: &[(&[&str], &[&str])] = &[
    (
        &["burn::", "use burn", "cubecl::"],
        &["src/model", "src/dictionary", "src/capture", "src/cli", "src/intervene"],
    ),
    (&["polars::", "use polars"], &["queries"]),
    (&["cudarc::", "use cudarc"], &["gpu"]),
    (&["arrow::", "use arrow", "parquet::", "use parquet"], &["src/lake", "src/exchange"]),
    (&["deltalake::", "use deltalake", "object_store::", "use object_store"], &["src/lake"]),
    (&["npyz::", "use npyz"], &["src/exchange"]),
    (&["rquickjs::", "use rquickjs", "resvg::", "use resvg"], &["src/report"]),
    (&["println!", "print!", "eprintln!", "eprint!", "process::exit"], &["src/cli", "src/main.rs"]),
    // A bare `.collect()` may be a lazy frame's; iterators name what they collect into.
    (&[concat!(".coll", "ect()")], &["src", "schemas", "gpu", "queries/lib.rs"]),
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "base", "imp", "stuff", "types"];

/// Spellings that are not American, cut in two so that this file does not hold them.
const BRITISH: &[&str] = &[
    concat!("col", "our"),
    concat!("behavi", "our"),
    concat!("neighb", "our"),
    concat!("hon", "our"),
    concat!("fav", "our"),
    concat!("cent", "re"),
    concat!("licen", "ce"),
    concat!("normal", "is"),
    concat!("token", "ise"),
    concat!("token", "isa"),
    concat!("quant", "is"),
    concat!("optim", "ise"),
    concat!("optim", "isa"),
    concat!("initial", "is"),
    concat!("serial", "is"),
    concat!("util", "is"),
    concat!("recogn", "is"),
    concat!("analy", "se"),
];

/// Folders of one machine, likewise.
const MACHINE_PATHS: &[&str] =
    &[concat!("/", "work"), concat!("/", "root"), concat!("/", "home"), concat!("/", "tmp")];

/// A file of the repository that a person writes.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| Path::new(&self.path).starts_with(folder))
    }

    /// The lines of code outside of its own tests, comments left out, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate();
        lines.map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every file with one of the extensions, sorted, but for what is built, vendored or collected.
fn files(extensions: &[&str]) -> Vec<File> {
    const NOT_OURS: &[&str] = &["target", "vendor", "data", "shared"];
    let root = repository("");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_ours = !NOT_OURS.contains(&name.as_str()) && !name.starts_with('.');
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if extensions.iter().any(|extension| path.extension().is_some_and(|e| e == *extension)) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty());
    found
}

fn check(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Whether `line` holds `text` where a word begins.
fn holds(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        text.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn walls_stand() {
    let mut violations = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.is_below(&["src", "queries", "schemas", "gpu"])) {
        for (texts, allowed) in WALLS.iter().filter(|(_, allowed)| !file.is_below(allowed)) {
            for (line, code) in file.code() {
                if let Some(text) = texts.iter().find(|text| holds(code, text)) {
                    violations.push(format!("{}:{line}: `{text}` belongs to {allowed:?}", file.path));
                }
            }
        }
    }
    check(&violations);
}

#[test]
fn the_report_knows_a_lake_by_its_answers_alone() {
    let mut violations = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.is_below(&["src/report"])) {
        for (line, code) in file.code() {
            let module = ["model", "dictionary", "capture", "lake", "game", "tokens", "cli"];
            if let Some(module) = module.iter().find(|module| code.contains(&format!("crate::{module}"))) {
                violations.push(format!("{}:{line}: `{module}` is not its business", file.path));
            }
        }
    }
    check(&violations);
}

#[test]
fn the_eyes_see() {
    assert!(holds("let t: burn::Tensor<2>;", "burn::") && !holds("sunburn::cream()", "burn::"));
    assert!(holds("frame.lazy().x()", ".x()") && !holds("eprintln!()", "println!"));
    let folder = MACHINE_PATHS[3];
    for line in [format!("\"{folder}/a\""), format!("open({folder})"), folder.to_owned()] {
        assert!(is_path(&line, folder), "{line}");
    }
    for line in [format!("{folder}orary"), format!("target{folder}/a"), format!("https:/{folder}")] {
        assert!(!is_path(&line, folder), "{line}");
    }
    let text = "let a;\n    // burn::\nlet b; // burn\n#[cfg(test)]\nburn::c();\n".to_owned();
    let file = File { path: "src/a/b.rs".to_owned(), text };
    assert_eq!(file.code().map(|(line, _)| line).collect::<Vec<_>>(), [1, 3]);
    assert!(file.is_below(&["src/a"]) && !file.is_below(&["src/ab", "a"]));
    assert_eq!(
        commands("Use `./just a` or\n```console\n$ saelake b C\n```\n```sql\nSELECT `x`\n```\n"),
        ["./just a", "saelake b C"]
    );
}

#[test]
fn files_are_short() {
    let files = files(&["rs"]);
    let mut violations = Vec::new();
    for file in &files {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            violations.push(format!("{}: {lines} lines, {MOST_LINES} at most", file.path));
        }
    }
    let ours = files.iter().filter(|file| !file.is_below(&["tests"]));
    let mut lengths = ours.map(|file| file.text.lines().count()).collect::<Vec<_>>();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    if median >= MEDIAN_LINES {
        violations.push(format!("half of the files have {median} lines or more"));
    }
    check(&violations);
}

#[test]
fn files_say_what_they_are() {
    let mut violations = Vec::new();
    for file in files(&["rs"]) {
        if !file.text.starts_with("//! ") {
            violations.push(format!("{}: does not begin with `//!`", file.path));
        }
        let stem = Path::new(&file.path).file_stem().unwrap().to_str().unwrap();
        if EMPTY_NAMES.contains(&stem) {
            violations.push(format!("{}: find a name that says what is in it", file.path));
        }
    }
    check(&violations);
}

#[test]
fn lints_are_expected_and_errors_returned() {
    let allows = [concat!("#[al", "low("), concat!("#![al", "low(")];
    let panics = [concat!(".unw", "rap()"), concat!(".exp", "ect(\"")];
    let mut violations = Vec::new();
    for file in files(&["rs"]) {
        for (index, line) in file.text.lines().enumerate() {
            if allows.iter().any(|text| line.contains(text)) {
                violations.push(format!("{}:{}: expect it, with a reason", file.path, index + 1));
            }
        }
        if !file.is_below(&["tests", "bench"]) {
            for (line, code) in file.code() {
                if panics.iter().any(|text| code.contains(text)) {
                    violations.push(format!("{}:{line}: return an error", file.path));
                }
            }
        }
    }
    check(&violations);
}

#[test]
fn prose_is_american_and_names_no_machine() {
    let mut violations = Vec::new();
    for file in files(&["rs", "md", "sql", "py", "toml"]) {
        for (index, line) in file.text.lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some(word) = BRITISH.iter().find(|word| holds(&lower, word)) {
                violations.push(format!("{}:{}: `{word}…` is not American", file.path, index + 1));
            }
            if let Some(path) = MACHINE_PATHS.iter().find(|path| is_path(line, path)) {
                violations.push(format!("{}:{}: `{path}` is one machine's folder", file.path, index + 1));
            }
        }
    }
    check(&violations);
}

/// Whether the line holds `folder` as a path of its own or the beginning of one.
fn is_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | '}' | ')' | '/');
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        !before.is_some_and(inside) && !after.is_some_and(goes_on)
    })
}

#[test]
fn no_test_file_is_forgotten() {
    let (mut violations, named) = (Vec::new(), named_files());
    for file in files(&["rs"]).iter().filter(|file| file.is_below(&["tests"])) {
        let path = PathBuf::from(&file.path);
        let folder = path.parent().unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (parents, module) = match (folder == Path::new("tests"), stem) {
            (true, "main") => continue,
            (true, _) => (vec![PathBuf::from("tests/main.rs")], stem),
            (false, "mod") => {
                (vec![PathBuf::from("tests/main.rs")], folder.file_name().unwrap().to_str().unwrap())
            }
            (false, _) => (vec![folder.with_extension("rs"), folder.join("mod.rs")], stem),
        };
        let declared = format!("mod {module};");
        let is_declared = parents.iter().any(|parent| {
            let text = fs::read_to_string(repository(parent.to_str().unwrap())).unwrap_or_default();
            text.lines().any(|line| line.trim().trim_start_matches("pub ") == declared)
        });
        if !is_declared && !named.contains(&file.path) {
            violations.push(format!("{}: no `{declared}` above it", file.path));
        }
    }
    check(&violations);
}

/// The files that a `path` names, in Rust or in a `Cargo.toml`, from the root.
fn named_files() -> Vec<String> {
    let mut named = Vec::new();
    for file in files(&["rs", "toml"]) {
        let folder = Path::new(&file.path).parent().unwrap().to_owned();
        for line in file.text.lines().map(|line| line.trim().trim_start_matches("#[")) {
            if let Some(path) = line.strip_prefix("path = \"").and_then(|rest| rest.split('"').next()) {
                let mut parts = Vec::new();
                for part in folder.join(path).components() {
                    match part.as_os_str().to_str().unwrap() {
                        ".." => drop(parts.pop()),
                        part => parts.push(part.to_owned()),
                    }
                }
                named.push(parts.join("/"));
            }
        }
    }
    named
}

#[test]
fn every_question_has_a_twin_in_sql() {
    let mut named = BTreeSet::new();
    for query in queries::ALL {
        let plan = repository(&format!("queries/{}.rs", query.name.replace('-', "_")));
        assert!(plan.is_file(), "{} is missing", plan.display());
        assert!(query.step_sql.or(query.all_sql).is_some(), "{} has no SQL", query.name);
        let main = [("", query.step_sql), ("-all", query.all_sql)];
        let main = main.into_iter().filter_map(|(ending, sql)| Some((ending.to_owned(), sql?)));
        let more = query.more_sql.iter().map(|(word, sql)| (format!("-{word}"), *sql));
        for (ending, sql) in main.chain(more) {
            let path = format!("queries/{}{ending}.sql", query.name);
            assert!(fs::read_to_string(repository(&path)).unwrap() == sql, "{path} is other SQL");
            named.insert(path);
        }
    }
    let found = files(&["sql"]).into_iter().filter(|file| file.is_below(&["queries"])).map(|file| file.path);
    assert_eq!(named, found.collect::<BTreeSet<_>>());
}

#[test]
fn commands_of_the_readme_exist() {
    let Ok(readme) = fs::read_to_string(repository("README.md")) else { return };
    let recipes = recipes();
    let mut seen = BTreeSet::new();
    for command in commands(&readme) {
        let words = command.split_whitespace().collect::<Vec<_>>();
        match words.as_slice() {
            ["./just", recipe, ..] => {
                assert!(recipes.contains(*recipe), "README: there is no recipe `{recipe}`");
            }
            ["saelake" | "target/release/saelake", arguments @ ..] => {
                let subcommands = arguments.iter().copied().take_while(|word| {
                    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
                });
                let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
                let output = program.args(subcommands).arg("--help").output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "README: `{command}`: {said}");
            }
            _ => continue,
        }
        seen.insert(command);
    }
    assert!(seen.contains("./just collect-prototype") && seen.contains("./just test"), "{seen:?}");
}

/// The recipes of the justfile.
fn recipes() -> BTreeSet<String> {
    let justfile = fs::read_to_string(repository("justfile")).unwrap();
    let heads = justfile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let heads = heads.filter(|line| !line.contains(":=")).filter_map(|line| line.split_once(':'));
    heads.filter_map(|(head, _)| head.split_whitespace().next()).map(str::to_owned).collect()
}

/// The lines of `console` blocks and the code between backticks.
fn commands(readme: &str) -> Vec<String> {
    let (mut commands, mut language) = (Vec::new(), None);
    for line in readme.lines() {
        match (line.strip_prefix("```"), language) {
            (Some(_), Some(_)) => language = None,
            (Some(opened), None) => language = Some(opened),
            (None, Some("console")) => commands.push(line.trim_start_matches("$ ").trim().to_owned()),
            (None, Some(_)) => {}
            (None, None) => commands.extend(line.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    commands
}
