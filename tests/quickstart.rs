//! The example for Python runs as it stands and draws its pictures.

use std::path::PathBuf;
use std::process::Command;

use crate::{
    queries::{games, python},
    support,
};

const PICTURES: [&str; 3] = ["attribution.png", "heatmap.png", "contrast.png"];

/// Text and an axis alone have a few dozen shades of gray.
const FEWEST_COLORS: u64 = 100;

#[test]
fn the_example_draws_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(support::python())
        .arg(support::repository("examples/quickstart.py"))
        .current_dir(support::repository(""))
        .env("MPLBACKEND", "Agg")
        .env("SAELAKE_LAKE", games().join("lake"))
        .env("SAELAKE_PICTURES", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let paths = PICTURES.map(|name| folder.path().join(name));
    let seen = python("pictures.py", &paths.each_ref().map(PathBuf::as_path), "");
    for ([width, height, colors], name) in
        serde_json::from_str::<Vec<[u64; 3]>>(&seen).unwrap().into_iter().zip(PICTURES)
    {
        assert!(width > 600 && height > 400, "{name} is {width} by {height}");
        assert!(colors >= FEWEST_COLORS, "{name} has {colors} colors");
    }
}

#[test]
fn the_example_is_a_notebook() {
    let code = "import jupytext, sys; \
                print(sum(cell.cell_type == 'code' for cell in jupytext.read(sys.argv[1]).cells))";
    let output = Command::new(support::python())
        .args(["-c", code])
        .arg(support::repository("examples/quickstart.py"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let cells = String::from_utf8(output.stdout).unwrap().trim().parse::<usize>().unwrap();
    assert!(cells >= 6, "{cells} cells of code");
}
