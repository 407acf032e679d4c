//! A full disk, and permission lost halfway: one clear error, and the lake as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use saelake::lake::{Lake, LakeError};

use super::checksum::Expected;
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{data_files, folder};

const FIRST: [i64; 2] = [5, 3];
const SECOND: [i64; 2] = [4, 8];
/// Half a megabyte of features a layer.
const LARGE: Shape = Shape { steps: 3, tokens: 200, layers: &[8, 15, 29], top_k: 64, heads: 2, keys: 8 };
const ROOT: &str = "SAELAKE_TEST_FULL_ROOT";
const EXPECT: &str = "SAELAKE_TEST_FULL_EXPECT";
pub(super) const NOBODY: u32 = 65_534;

/// Files may not grow beyond 64 KiB: the write fails as it does on a full disk.
#[test]
fn a_limit_on_file_sizes_leaves_the_lake_as_it_was() {
    let (folder, former) = lake_of_first();
    // The signal that comes with the limit would end the process before it sees the error.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).arg(std::env::current_exe().unwrap());
    check_failed_append(shell, folder.path(), "full", &former);
    append_after(folder.path(), former);
}

/// A disk of two megabytes, where mounting one is allowed.
#[test]
fn a_full_disk_leaves_the_lake_as_it_was() {
    let mount_point = folder();
    let place = mount_point.path().to_str().unwrap().to_owned();
    let mount =
        |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", &place]).output();
    if !mount("size=2m").is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("no permission to mount a small disk: only the limit on file sizes is tested");
        return;
    }
    let checked = std::panic::catch_unwind(|| {
        let root = mount_point.path().join("lake");
        let mut lake = Lake::create_or_open(&root).unwrap();
        lake.append(first_batch(&FIRST, SMALL)).unwrap();
        let former = Expected::of_lake(&lake);
        let files = data_files(&root);
        let error = lake.append(batch(&SECOND, LARGE)).unwrap_err();
        assert!(matches!(error, LakeError::Full { .. }), "{error}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_eq!(error.exit_code(), 3);
        assert_eq!(data_files(&root), files);
        Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&former);
        assert!(mount("remount,size=64m").unwrap().status.success());
        // The same handle goes on when there is room.
        let mut expected = former;
        expected.add(&batch(&SECOND, LARGE));
        lake.append(batch(&SECOND, LARGE)).unwrap();
        Expected::of_lake(&lake).assert_same(&expected);
    });
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}

/// The folder of `steps` cannot be written any more: `features` to `spans` are in place by then.
#[test]
fn permission_lost_halfway_leaves_the_lake_as_it_was() {
    let (folder, former) = lake_of_first();
    let steps = folder.path().join("steps");
    fs::set_permissions(&steps, Permissions::from_mode(0o555)).unwrap();
    let exe = folder.path().with_extension("exe");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let mut child = Command::new(&exe);
    if fs::metadata(folder.path()).unwrap().uid() == 0 {
        // Permissions do not bind root.
        give_away(folder.path());
        child.uid(NOBODY).gid(NOBODY);
    }
    check_failed_append(child, folder.path(), "denied", &former);
    fs::remove_file(exe).unwrap();
    fs::set_permissions(&steps, Permissions::from_mode(0o755)).unwrap();
    append_after(folder.path(), former);
}

pub(super) fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

fn lake_of_first() -> (tempfile::TempDir, Expected) {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&FIRST, SMALL)).unwrap();
    (folder, Expected::of_lake(&lake))
}

/// Appends the second batch in another process, where that must fail.
fn check_failed_append(mut command: Command, root: &Path, error: &str, former: &Expected) {
    let files = data_files(root);
    let child: Output = command
        .args(["lake::full::child", "--exact", "--nocapture"])
        .env(ROOT, root)
        .env(EXPECT, error)
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    assert_eq!(data_files(root), files, "files are left behind");
    Expected::of_lake(&Lake::open(root).unwrap()).assert_same(former);
}

/// Once the cause is gone, the same batch goes in.
fn append_after(root: &Path, former: Expected) {
    let mut expected = former;
    expected.add(&batch(&SECOND, LARGE));
    let mut lake = Lake::open(root).unwrap();
    lake.append(batch(&SECOND, LARGE)).unwrap();
    Expected::of_lake(&lake).assert_same(&expected);
}

/// The process whose append fails; without the variables there is nothing to do.
#[test]
fn child() {
    let (Some(root), Ok(expect)) = (std::env::var_os(ROOT), std::env::var(EXPECT)) else { return };
    let mut lake = Lake::open(root).unwrap();
    let error = lake.append(batch(&SECOND, LARGE)).unwrap_err();
    let is_expected = match expect.as_str() {
        "full" => matches!(error, LakeError::Full { .. }),
        "denied" => matches!(error, LakeError::Denied { .. }),
        _ => false,
    };
    assert!(is_expected, "{error}");
    assert_eq!(error.exit_code(), 3);
    assert!(error.hint().is_some());
    assert_eq!(lake.n_games(), FIRST.len());
}
