//! What is refused: with one clear line, the right exit code, and the lake untouched.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use saelake::lake::{Batch, Lake, LakeError};
use schemas::runs;

use super::synthetic::{SMALL, batch, first_batch};
use super::{data_files, folder};

/// What spoils a good batch, and what is said of it.
type Case = (fn(&mut Batch), &'static str);

/// Tries to append what `spoil` makes of a good batch, the lake having the game 1.
fn refused(spoil: impl FnOnce(&mut Batch)) -> LakeError {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[1], SMALL)).unwrap();
    let files = data_files(folder.path());
    let mut spoiled = batch(&[2, 3], SMALL);
    spoil(&mut spoiled);
    let error = lake.append(spoiled).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert_eq!(data_files(folder.path()), files, "{error}");
    assert_eq!(Lake::open(folder.path()).unwrap().games().collect::<Vec<_>>(), [1]);
    // The same handle takes a good batch afterwards.
    lake.append(batch(&[2, 3], SMALL)).unwrap();
    error
}

#[test]
fn a_game_comes_once() {
    let error = refused(|batch| *batch = self::batch(&[2, 1], SMALL));
    assert_eq!(error.to_string(), "game `game 1` (key 1) is in the lake already");
    let error = refused(|batch| batch.games.append(self::batch(&[3], SMALL).games));
    assert_eq!(error.to_string(), "table `games` has two rows with game 3");
}

#[test]
fn rows_belong_to_a_game_a_step_and_a_position() {
    let cases: [Case; 10] = [
        (
            |batch| batch.features.get_mut(&8).unwrap().game[0] = 1,
            "table `features` has rows of game 1, which is not among the batch's games",
        ),
        (|batch| batch.steps.game.fill(2), "table `steps` has two rows with game 2, step 0"),
        (
            |batch| batch.tokens.step[0] = 7,
            "table `tokens` has rows of game 2, step 7, which is not in `steps`",
        ),
        (
            |batch| batch.steps.n_tokens[1] = 16,
            "step 1 of game 2 says it has 16 tokens, and `tokens` has 15 of it",
        ),
        (|batch| batch.games.n_steps[1] = 3, "game 3 says it has 3 steps, and `steps` has 2 of it"),
        (
            |batch| batch.positions.get_mut(&15).unwrap().position[11] = 12,
            "table `positions` has position 12 in game 2, step 0, which has 12 tokens",
        ),
        (
            |batch| batch.attention.get_mut(&29).unwrap().key[0] = -1,
            "table `attention` has key -1 in game 2, step 0, which has 12 tokens",
        ),
        (
            |batch| batch.spans.position_end[0] = 13,
            "table `spans` has position_end 13 in game 2, step 0, which has 12 tokens",
        ),
        (
            |batch| batch.features.get_mut(&8).unwrap().rank[1] = 0,
            "table `features` has two rows with game 2, step 0, position 0, rank 0",
        ),
        (
            |batch| {
                let rows = batch.features.remove(&8).unwrap();
                batch.features.insert(9, rows);
            },
            "there are features of layer 9, and neither the batch nor the lake has its dictionary",
        ),
    ];
    for (spoil, message) in cases {
        assert_eq!(refused(spoil).to_string(), message);
    }
}

#[test]
fn numbers_are_finite() {
    let spoiled = refused(|batch| batch.features.get_mut(&15).unwrap().activation[7] = f32::NAN);
    assert!(
        spoiled.to_string().starts_with("table `features` has activation NaN at game 2, step 0, position 1,")
    );
    let spoiled = refused(|batch| batch.attention_rows.get_mut(&8).unwrap().entropy[0] = f32::INFINITY);
    assert_eq!(
        spoiled.to_string(),
        "table `attention_rows` has entropy inf at game 2, step 0, head 0, query 0"
    );
    let spoiled = refused(|batch| batch.steps.p_bet[3] = Some(f32::NEG_INFINITY));
    assert_eq!(spoiled.to_string(), "table `steps` has p_bet -inf at game 3, step 1");
}

#[test]
fn columns_are_of_one_length() {
    let error = refused(|batch| batch.tokens.token_id.truncate(53));
    assert!(
        error.to_string().starts_with("columns of `tokens` differ in length: [(\"game\", 54),"),
        "{error}"
    );
}

#[test]
fn a_batch_is_of_one_known_run() {
    let error = refused(|batch| batch.games.run[0] = "other".into());
    assert_eq!(
        error.to_string(),
        "a batch holds the games of one run, and this one names `0123456789abcdef` and `other`"
    );
    let error = refused(|batch| batch.games.run.fill("other".into()));
    assert_eq!(error.to_string(), "run `other` is neither in the batch nor in the lake");
}

#[test]
fn another_model_or_dictionary_is_refused_with_the_difference() {
    let cases: [Case; 15] = [
        (|batch| run(batch).model_hash = "cc".into(), "model_hash is {aa} in the lake and cc in this run"),
        (|batch| run(batch).d_model = 4096, "d_model is 576 in the lake and 4096 in this run"),
        (|batch| run(batch).n_layers = 32, "n_layers is 30 in the lake and 32 in this run"),
        (|batch| run(batch).n_heads = 32, "n_heads is 9 in the lake and 32 in this run"),
        (|batch| run(batch).dtype = "bf16".into(), "dtype is f32 in the lake and bf16 in this run"),
        (|batch| run(batch).bos = "template".into(), "bos is none in the lake and template in this run"),
        (|batch| run(batch).layers = "8".into(), "layers is 8,15,29 in the lake and 8 in this run"),
        (|batch| run(batch).top_k = None, "top_k is 64 in the lake and all in this run"),
        (|batch| run(batch).attention = "full".into(), "attention is top:8 in the lake and full in this run"),
        (|batch| run(batch).positions = "new".into(), "positions is all in the lake and new in this run"),
        (|batch| run(batch).activation_bits = 7, "activation_bits is 23 in the lake and 7 in this run"),
        (
            |batch| batch.dictionaries[1].hash = "dd".into(),
            "dictionary hash of layer 15 is {15} in the lake and dd in this run",
        ),
        (
            |batch| batch.dictionaries[0].input_scale = 0.25,
            "dictionary input_scale of layer 8 is 0.5 in the lake and 0.25 in this run",
        ),
        (
            |batch| drop(batch.dictionaries.remove(0)),
            "layers with a dictionary is 8,15,29 in the lake and 15,29 in this run",
        ),
        (
            |batch| {
                run(batch).run = "other".into();
                batch.games.run.fill("other".into());
                batch.dictionaries.clear();
            },
            "layers with a dictionary is 8,15,29 in the lake and none in this run",
        ),
    ];
    for (spoil, message) in cases {
        let error = refused(|batch| {
            *batch = first_batch(&[2, 3], SMALL);
            spoil(batch);
        });
        let message = message.replace("{aa}", &"aa".repeat(32)).replace("{15}", &"15".repeat(32));
        assert_eq!(error.to_string(), message);
        assert!(
            matches!(error, LakeError::Conflict { .. }) && error.hint().unwrap().contains("another lake")
        );
    }
}

fn run(batch: &mut Batch) -> &mut runs::Row {
    batch.run.as_mut().unwrap()
}

/// What opening says, with the exit code.
fn opened(path: impl AsRef<Path>) -> (String, u8) {
    let error = Lake::open(path).err().unwrap();
    (error.to_string(), error.exit_code())
}

#[test]
fn what_is_no_lake_is_said_to_be_none() {
    let folder = folder();
    let shown = folder.path().display();
    let absent = folder.path().join("absent");
    assert_eq!(opened(&absent), (format!("there is no lake at {shown}/absent"), 2));
    assert_eq!(opened(folder.path()), (format!("{shown} is not a lake: it holds no table `games`"), 2));
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    assert_eq!(opened(&file), (format!("{shown}/notes.txt is a file, and a lake is a folder"), 2));
    for (path, message) in [
        (file.as_path(), format!("{shown}/notes.txt is a file, and a lake is a folder")),
        (folder.path(), format!("{shown} is not a lake: it holds `notes.txt`, which belongs to no lake")),
    ] {
        let error = Lake::create_or_open(path).err().unwrap();
        assert_eq!((error.to_string(), error.exit_code()), (message, 2));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was made in somebody's folder");
    fs::rename(file, folder.path().join(".hidden")).unwrap();
    Lake::create_or_open(folder.path()).unwrap();
    let odd = folder.path().join(OsStr::from_bytes(b"lake-\xff"));
    let error = Lake::create_or_open(odd).err().unwrap();
    assert!(matches!(error, LakeError::NotUtf8 { .. }), "{error}");
}

/// Not even root can make a folder there.
#[test]
fn an_unwritable_folder_is_refused() {
    let error = Lake::create_or_open("/sys/saelake").err().unwrap();
    assert!(matches!(error, LakeError::Denied { .. }), "{error:?}");
    assert!(error.to_string().starts_with("no permission for /sys/saelake: "), "{error}");
    assert_eq!((error.exit_code(), error.hint().is_some()), (3, true));
}

/// A run that was killed while it made the lake left some of the tables.
#[test]
fn an_unfinished_lake_is_finished() {
    let folder = folder();
    drop(Lake::create_or_open(folder.path()).unwrap());
    for table in ["games", "steps", "tokens/_delta_log"] {
        fs::remove_dir_all(folder.path().join(table)).unwrap();
    }
    assert_eq!(opened(folder.path()).1, 2);
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[1], SMALL)).unwrap();
}

/// A lake with one game, after `spoil`; what opening it says must begin with `message`.
fn spoiled(spoil: impl FnOnce(&Path), message: impl Fn(&str) -> String) {
    let folder = folder();
    let root = folder.path().canonicalize().unwrap();
    let mut lake = Lake::create_or_open(&root).unwrap();
    lake.append(first_batch(&[1], SMALL)).unwrap();
    spoil(&root);
    for error in [Lake::open(&root).err().unwrap(), Lake::create_or_open(&root).err().unwrap()] {
        let (said, message) = (error.to_string(), message(root.to_str().unwrap()));
        assert!(said.starts_with(&message), "{said}");
        assert_eq!(error.exit_code(), 3);
    }
}

#[test]
fn damage_is_named() {
    spoiled(
        |root| fs::remove_dir_all(root.join("tokens")).unwrap(),
        |root| format!("the lake {root} has lost its table `tokens`"),
    );
    spoiled(
        |root| fs::write(root.join("spans/_delta_log/00000000000000000001.json"), "{\"add\": {").unwrap(),
        |root| format!("the log entry {root}/spans/_delta_log/00000000000000000001.json holds no commit: "),
    );
    spoiled(
        |root| {
            let games = "games/part-0123456789abcdef-0000000000000001-0000000000000001.parquet";
            fs::write(root.join(games), "PAR1").unwrap();
        },
        |root| {
            format!(
                "the Parquet file {root}/games/part-0123456789abcdef-0000000000000001-0000000000000001.parquet is unusable: "
            )
        },
    );
    spoiled(
        |root| fs::remove_file(root.join("runs/part-0123456789abcdef.parquet")).unwrap(),
        |root| format!("{root}/runs/part-0123456789abcdef.parquet cannot be read or written: No such file"),
    );
    spoiled(
        |root| {
            let entry = root.join("tokens/_delta_log/00000000000000000000.json");
            let text = fs::read_to_string(&entry).unwrap();
            assert!(text.contains("token_id"));
            fs::write(entry, text.replace("token_id", "token_ix")).unwrap();
        },
        |_| "table `tokens` of the lake has the columns ".to_owned(),
    );
}

/// The version is read before the other columns, which a later layout may have changed.
#[test]
fn a_later_format_is_refused() {
    let later = |root: &Path| {
        let path = root.join("runs/part-0123456789abcdef.parquet");
        let columns: [(&str, arrow::array::ArrayRef); 2] = [
            ("run", Arc::new(StringArray::from(vec!["0123456789abcdef"]))),
            ("format_version", Arc::new(Int32Array::from(vec![schemas::FORMAT_VERSION + 1]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    };
    spoiled(later, |_| "the lake is in format version 3, and this program knows up to 2".to_owned());
    let folder = folder();
    let mut batch = first_batch(&[1], SMALL);
    run(&mut batch).format_version = 3;
    let error = Lake::create_or_open(folder.path()).unwrap().append(batch).unwrap_err();
    assert!(matches!(error, LakeError::FormatTooNew { found: 3, supported: 2 }), "{error}");
}
