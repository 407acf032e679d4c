//! How large and how fast: the numbers of `data-layout.md` are those that this test prints.

use std::time::Instant;

use saelake::lake::{Info, Lake};
use schemas::{attention, features, positions};

use super::folder;
use super::synthetic::{Shape, first_batch};

/// Three layers of a model with nine heads, 64 features and 8 keys kept, as a default run has them.
const REAL: Shape = Shape { steps: 4, tokens: 240, layers: &[8, 15, 29], top_k: 64, heads: 9, keys: 8 };

/// Bytes that the features of a token may take, by the bits that activations keep. Above these an encoding or the size
/// of pages is not what it should be; activations in a dictionary alone add 150.
const FEATURE_BYTES: [(i32, f64); 3] = [(23, 1_000.0), (10, 750.0), (7, 600.0)];

#[test]
fn rows_are_as_small_as_the_layout_says() {
    for (bits, most) in FEATURE_BYTES {
        let info = told(bits);
        let of = |name: &str| info.tables.iter().find(|table| table.name == name).unwrap();
        let features = of(features::TABLE.name);
        assert_eq!(features.rows, info.tokens * 3 * 64);
        assert_eq!(of(positions::TABLE.name).rows, info.tokens * 3);
        assert!(of(attention::TABLE.name).rows > info.tokens * 3 * 9 * 7);
        let bytes = features.bytes_per_token.unwrap();
        assert!(bytes < most, "the features of a token take {bytes:.0} bytes with {bits} bits");
    }
}

/// Appends games whose activations keep so many bits, and prints what they take.
fn told(bits: i32) -> Info {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let mut batch = first_batch(&(1..=6).collect::<Vec<_>>(), REAL);
    batch.run.as_mut().unwrap().activation_bits = bits;
    let start = Instant::now();
    let receipt = lake.append(batch).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let info = lake.info().unwrap();
    println!(
        "{bits} bits: {} games, {} tokens, {} rows, {} bytes, {:.0} bytes a token, {:.1} million rows a second",
        info.games,
        info.tokens,
        receipt.rows,
        receipt.bytes,
        receipt.bytes as f64 / info.tokens as f64,
        receipt.rows as f64 / seconds / 1e6,
    );
    for table in &info.tables {
        println!(
            "{:<16} {:>9} rows {:>10} bytes {:>8.2} bytes a row {:>8.2} bytes a token",
            table.name,
            table.rows,
            table.bytes,
            table.bytes as f64 / table.rows as f64,
            table.bytes_per_token.unwrap(),
        );
    }
    info
}
