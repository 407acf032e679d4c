//! A question about one layer opens no file of another.

use std::path::Path;

use queries::Tables;
use tempfile::TempDir;

use super::{
    asked::{Case, ask_each, of_one_layer},
    copy_of, games, rows,
};

const LARGE: [&str; 5] = ["features", "feature_rollup", "positions", "attention", "attention_rows"];

/// The layers of the lake, the one that is asked about first.
const LAYER: i32 = 3;
const OTHERS: [i32; 2] = [7, 11];

/// Questions that look at other layers by what they ask.
const OF_SEVERAL_LAYERS: [&str; 1] = ["trace"];

fn asked(lake: &Path) -> Vec<Case> {
    let tables = Tables::open(lake).unwrap();
    let mut cases = Vec::new();
    for (selection, of_all) in of_one_layer(LAYER).iter().zip([false, true]) {
        cases.extend(ask_each(&tables, selection, of_all, "of one layer"));
    }
    cases.retain(|case| !OF_SEVERAL_LAYERS.contains(&case.name));
    cases
}

#[test]
fn the_files_of_other_layers_are_not_opened() {
    let folder = TempDir::new().unwrap();
    let lake = copy_of(&games().join("lake"), &folder);
    for table in LARGE {
        for layer in OTHERS {
            for block in [0, 1, 9] {
                let folder = lake.join(format!("{table}/game_block={block}/layer={layer}"));
                std::fs::write(folder.join("part-z.parquet"), "not Parquet").unwrap();
            }
        }
    }
    for (whole, damaged) in asked(&games().join("lake")).into_iter().zip(asked(&lake)) {
        let found = rows(damaged.asked).unwrap_or_else(|error| panic!("{}: {error}", damaged.what));
        assert_eq!(found, rows(whole.asked).unwrap(), "{}", whole.what);
    }
}

#[test]
fn a_plan_says_which_layer_it_scans() {
    for case in asked(&games().join("lake")) {
        let plan = queries::explain(&case.asked.plan).unwrap();
        let lines = plan.lines().collect::<Vec<_>>();
        for (number, line) in lines.iter().enumerate() {
            if line.contains("SCAN") && line.contains("layer=") {
                let below = lines[number + 1..].iter().take_while(|line| !line.contains("SCAN"));
                let mut chosen = below.filter(|line| line.contains("SELECTION"));
                assert!(
                    chosen.any(|line| line.contains("col(\"layer\")")),
                    "{} scans every layer:\n{plan}",
                    case.what
                );
            }
        }
    }
}
