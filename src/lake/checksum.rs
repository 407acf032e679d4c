//! A checksum of rows that depends neither on their order nor on the files that they are in.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Int32Type, Int64Type};

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const START: u64 = 0xCBF2_9CE4_8422_2325;
const MISSING: u64 = 0x5851_F42D_4C95_7F2D;
const PRIME: u64 = 0x0100_0000_01B3;

/// How many rows there are, and the sum of their hashes over all values of their columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) rows: u64,
    sum: u64,
}

impl Checksum {
    /// Takes rows in.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let hashes = hashes(batch);
        self.rows += hashes.len() as u64;
        self.sum = hashes.into_iter().fold(self.sum, u64::wrapping_add);
    }

    /// Takes in what another checksum is of.
    pub(super) fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// A hash of every row.
fn hashes(batch: &RecordBatch) -> Vec<u64> {
    let mut hashes = vec![START; batch.num_rows()];
    for column in batch.columns() {
        take_in(&mut hashes, column.as_ref());
    }
    hashes
}

fn take_in(hashes: &mut [u64], column: &dyn Array) {
    let cells = hashes.iter_mut();
    match column.data_type() {
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>().iter();
            cells.zip(values).for_each(|(hash, value)| mix(hash, value.map(|value| i64::from(value) as u64)));
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().iter();
            cells.zip(values).for_each(|(hash, value)| mix(hash, value.map(|value| value as u64)));
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().iter();
            cells.zip(values).for_each(|(hash, value)| mix(hash, value.map(|value| value.to_bits().into())));
        }
        DataType::Boolean => {
            cells.zip(column.as_boolean()).for_each(|(hash, value)| mix(hash, value.map(u64::from)));
        }
        DataType::Utf8 => {
            cells.zip(column.as_string::<i32>()).for_each(|(hash, value)| mix(hash, value.map(text)));
        }
        // No table has another type.
        _ => {}
    }
}

fn mix(hash: &mut u64, bits: Option<u64>) {
    let mixed = (*hash ^ bits.unwrap_or(MISSING)).wrapping_mul(MIX);
    *hash = mixed ^ (mixed >> 32);
}

/// FNV-1a over the UTF-8 bytes.
fn text(text: &str) -> u64 {
    text.bytes().fold(START, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use schemas::{Values, spans};

    use super::Checksum;
    use crate::lake::columns;

    fn sum(parts: &[&[(i64, &str)]]) -> Checksum {
        let mut sum = Checksum::default();
        for part in parts {
            let numbers = || part.iter().map(|_| 7).collect::<Vec<i32>>();
            let values = vec![
                Values::Int64(part.iter().map(|(game, _)| *game).collect()),
                Values::Int32(numbers()),
                Values::Utf8(part.iter().map(|(_, name)| (*name).to_owned()).collect()),
                Values::Int32(numbers()),
                Values::Int32(numbers()),
                Values::Int32(numbers()),
                Values::Int32(numbers()),
            ];
            sum.add(&columns::to_arrow(&spans::TABLE, values).unwrap());
        }
        sum
    }

    #[test]
    fn only_what_the_rows_hold_matters() {
        let whole = sum(&[&[(1, "a"), (2, "b"), (3, "c")]]);
        assert_eq!(whole, sum(&[&[(3, "c")], &[], &[(2, "b"), (1, "a")]]));
        assert_eq!(whole.rows, 3);
        for other in
            [[(1, "b"), (2, "a"), (3, "c")], [(1, "a"), (2, "b"), (3, "d")], [(1, "a"), (2, "b"), (-3, "c")]]
        {
            assert_ne!(whole, sum(&[&other]));
        }
        let mut joined = sum(&[&[(1, "a")]]);
        joined.join(sum(&[&[(2, "b"), (3, "c")]]));
        assert_eq!(joined, whole);
    }
}
