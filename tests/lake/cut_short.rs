//! Commands that keep a lake, killed at any time or refused halfway: done again, they give what they would have given.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use saelake::lake::{Lake, verify};

use super::checksum::Expected;
use super::full::{NOBODY, give_away};
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{copy, folder};
use crate::support::{program, repository, said};

const SHAPE: Shape = Shape { layers: &[8, 15], ..SMALL };

/// How often each command is killed; the times lie between its start and its end.
fn kills() -> u32 {
    if std::env::var_os("SAELAKE_SOAK").is_some() { 100 } else { 10 }
}

/// Runs a command on copies of the lake that `make` makes, once undisturbed and then killed at many times. `check` looks
/// at what is there after a kill; then the command is run again, and gives the rows that it gives undisturbed.
fn kill_and_do_again(make: &dyn Fn(&Path), command: &[&str], check: &dyn Fn(&Path)) {
    let work = folder();
    let (whole, arguments) = (work.path().join("whole"), |root: &Path| {
        [&["lake"], command, &[root.to_str().unwrap()]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    make(&whole);
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_saelake")).args(arguments(&whole)).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let time = begun.elapsed();
    let expected = Expected::of_lake(&Lake::open(&whole).unwrap());
    let mut killed = 0;
    for kill in 0..kills() {
        let root = work.path().join(format!("killed-{kill}"));
        make(&root);
        let mut child = Command::new(env!("CARGO_BIN_EXE_saelake"));
        let mut child =
            child.args(arguments(&root)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(time * kill / kills());
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        check(&root);
        let again = Command::new(env!("CARGO_BIN_EXE_saelake")).args(arguments(&root)).output().unwrap();
        assert!(again.status.success(), "killed after {:?}: {}", time * kill / kills(), said(&again));
        Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&expected);
        assert_eq!(verify(&root).unwrap().findings, []);
        fs::remove_dir_all(root).unwrap();
    }
    // The undisturbed run may have been much slower.
    assert!(killed > 0, "{command:?} was through {} of {} times", kills() - killed, kills());
}

#[test]
fn a_killed_upgrade_is_run_again() {
    let earlier = repository("tests/fixtures/lake/format-1/lake");
    let answer = overview(&earlier);
    let check = |root: &Path| assert_eq!(overview(root), answer);
    kill_and_do_again(&|root| copy(&earlier, root), &["upgrade"], &check);
}

/// Killed after its last commit, an upgrade leaves the file that it has replaced.
#[test]
fn what_an_upgrade_leaves_at_its_end_is_cleared_away() {
    let earlier = repository("tests/fixtures/lake/format-1/lake");
    let work = folder();
    let root = work.path().join("lake");
    copy(&earlier, &root);
    let file = Lake::open(&earlier).unwrap().files(&schemas::runs::TABLE).unwrap().remove(0).path;
    let upgrade = || assert!(program(&["lake", "upgrade", root.to_str().unwrap()]).status.success());
    upgrade();
    fs::copy(earlier.join("runs").join(&file), root.join("runs").join(&file)).unwrap();
    fs::write(root.join("_staging/lock"), "writing\n").unwrap();
    assert_eq!(verify(&root).unwrap().findings.len(), 1);
    upgrade();
    assert_eq!(verify(&root).unwrap().findings, []);
}

#[test]
fn a_killed_repair_is_run_again() {
    let work = folder();
    let sound = work.path().join("sound");
    let mut lake = Lake::create_or_open(&sound).unwrap();
    lake.append(first_batch(&[5, 3], SHAPE)).unwrap();
    lake.append(batch(&[4, -9, 8], SHAPE)).unwrap();
    lake.append(batch(&[70], SHAPE)).unwrap();
    // A file of the second batch is gone, and its games with it.
    let lost =
        fs::read_dir(sound.join("features/game_block=0/layer=8")).unwrap().map(|entry| entry.unwrap().path());
    let lost: Vec<_> = lost.filter(|path| path.to_str().unwrap().contains("fffffffffffffff7")).collect();
    assert_eq!(lost.len(), 1);
    fs::remove_file(&lost[0]).unwrap();
    let check = |root: &Path| {
        let lake = Lake::open(root).unwrap();
        assert!([3, 6].contains(&lake.n_games()), "{}", lake.n_games());
    };
    kill_and_do_again(&|root| copy(&sound, root), &["verify", "--repair"], &check);
}

fn overview(root: &Path) -> Vec<u8> {
    let output = program(&["query", "overview", root.to_str().unwrap(), "--format", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    output.stdout
}

/// The folder of `steps` cannot be written any more: the tables before it are compacted by then.
#[test]
fn a_compaction_that_loses_permission_halfway_changes_no_row() {
    let folder = folder();
    let root = folder.path();
    let mut lake = Lake::create_or_open(root).unwrap();
    lake.append(first_batch(&[5, 3], SHAPE)).unwrap();
    lake.append(batch(&[4, -9, 8], SHAPE)).unwrap();
    let before = Expected::of_lake(&lake);
    let compact = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saelake"));
        command.args(["lake", "compact", root.to_str().unwrap()]);
        command
    };
    let exe = root.with_extension("exe");
    fs::copy(env!("CARGO_BIN_EXE_saelake"), &exe).unwrap();
    let (steps, mut denied) = (root.join("steps"), Command::new(&exe));
    denied.args(["lake", "compact", root.to_str().unwrap()]);
    fs::set_permissions(&steps, Permissions::from_mode(0o555)).unwrap();
    if fs::metadata(root).unwrap().uid() == 0 {
        // Permissions do not bind root.
        give_away(root);
        denied.uid(NOBODY).gid(NOBODY);
    }
    let output = denied.output().unwrap();
    fs::remove_file(exe).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("steps") && said(&output).lines().count() <= 2, "{}", said(&output));
    let lake = Lake::open(root).unwrap();
    assert_eq!(lake.files(&schemas::features::TABLE).unwrap().len(), 2, "a table before it is compacted");
    assert_eq!(lake.files(&schemas::steps::TABLE).unwrap().len(), 2);
    Expected::of_lake(&lake).assert_same(&before);
    fs::set_permissions(&steps, Permissions::from_mode(0o755)).unwrap();
    let output = compact().output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    Expected::of_lake(&Lake::open(root).unwrap()).assert_same(&before);
    assert_eq!(verify(root).unwrap().findings, []);
}
