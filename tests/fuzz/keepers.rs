//! What keeps a lake and what gives it away, told to do so to one that is not as it should be.

use std::collections::BTreeSet;
use std::path::Path;

use saelake::Error;
use saelake::exchange::{Exported, Kind, MatrixRows, Options, export};
use saelake::lake::{Compaction, Lake, Order};

use super::targets::code;

/// Compacts, drops a game of, upgrades and exports a copy of a lake each; what was refused.
pub(super) fn keep_lake(folder: &Path) -> Vec<u8> {
    let compact = |order| {
        on_a_copy(folder, |lake| {
            let compaction = Compaction { order, target_bytes: 1 << 27 };
            lake.compact(compaction, &mut |_| ()).map(drop).map_err(Error::from)
        })
    };
    let mut codes = vec![compact(Order::Game), compact(Order::Position)];
    codes.push(on_a_copy(folder, |lake| {
        let first: BTreeSet<i64> = lake.games().take(1).collect();
        lake.drop_games(&first, &mut |_| ()).map(drop).map_err(Error::from)
    }));
    codes.push(on_a_copy(folder, |lake| {
        lake.upgrade()?;
        // What is of the last format now is kept and given away as any other.
        let kinds = [
            Kind::GameLayerPosition,
            Kind::NpzCoo(MatrixRows::Tokens),
            Kind::Delphi { splits: 2 },
            Kind::Saelens,
        ];
        let exported: Vec<Result<Exported, Error>> =
            kinds.into_iter().map(|kind| give_away(lake, kind)).collect();
        exported.into_iter().try_for_each(|exported| exported.map(drop))
    }));
    codes.into_iter().flatten().collect()
}

fn give_away(lake: &Lake, layout: Kind) -> Result<Exported, Error> {
    let target = tempfile::tempdir().unwrap();
    let options = Options { layout, layers: BTreeSet::new() };
    Ok(export(lake, &target.path().join("exported"), &options, &mut || ())?)
}

/// What doing something to a copy of a lake comes to.
fn on_a_copy(folder: &Path, work: impl FnOnce(&mut Lake) -> Result<(), Error>) -> Option<u8> {
    let copied = tempfile::tempdir().unwrap();
    crate::lake::copy(folder, copied.path());
    code(Lake::open(copied.path()).map_err(Error::from).and_then(|mut lake| work(&mut lake)))
}
