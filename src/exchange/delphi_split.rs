//! The features of a range, as delphi's cache has them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{Dtype, View};

use super::ExchangeError;
use super::spool::Spool;

/// Features from `first` on, as they come.
pub(super) struct Split {
    first: i32,
    last: i32,
    is_narrow: bool,
    locations: Spool,
    activations: Spool,
    /// How many values it has.
    pub(super) n_values: u64,
    /// Activations that are too small for half precision and become zero there.
    pub(super) n_vanished: u64,
}

impl Split {
    /// An empty one of the features `first` to `last`, on the disk of `folder`; `is_narrow` if 16 bits hold sequences,
    /// positions and features.
    pub(super) fn new(
        folder: &Path,
        (first, last): (i32, i32),
        is_narrow: bool,
    ) -> Result<Self, ExchangeError> {
        let (locations, activations) = (Spool::new(folder)?, Spool::new(folder)?);
        Ok(Self { first, last, is_narrow, locations, activations, n_values: 0, n_vanished: 0 })
    }

    /// Whether the feature is in its range.
    pub(super) fn has(&self, feature: i32) -> bool {
        (self.first..=self.last).contains(&feature)
    }

    /// Adds a value; false if half precision cannot hold it.
    pub(super) fn push(&mut self, at: (u32, u32), feature: i32, activation: f32) -> io::Result<bool> {
        let half = f16::from_f32(activation);
        if !half.is_finite() {
            return Ok(false);
        }
        self.n_vanished += u64::from(half.to_f32() == 0.0);
        for place in [at.0, at.1, (feature - self.first) as u32] {
            if self.is_narrow {
                self.locations.write_all(&(place as u16).to_le_bytes())?;
            } else {
                self.locations.write_all(&place.to_le_bytes())?;
            }
        }
        self.activations.write_all(&half.to_le_bytes())?;
        self.n_values += 1;
        Ok(true)
    }

    /// Writes the file, with the tokens of all sequences, and reads it back.
    ///
    /// The tensors of one file are in memory meanwhile, as the format's library wants them; more splits make them smaller.
    pub(super) fn write(
        mut self,
        folder: &Path,
        tokens: &mut Spool,
        (n_sequences, context): (u64, usize),
    ) -> Result<(), ExchangeError> {
        let path = folder.join(format!("{}_{}.safetensors", self.first, self.last));
        let unwritable = |error| ExchangeError::unwritable(&path, error);
        let whole = |spool: &mut Spool| {
            let mut bytes = Vec::new();
            spool.reader()?.read_to_end(&mut bytes).map(|_| bytes)
        };
        let n = self.n_values as usize;
        let of_place = if self.is_narrow { Dtype::U16 } else { Dtype::U32 };
        let tensor = |dtype, shape, bytes| Tensor { dtype, shape, bytes };
        let tensors = BTreeMap::from([
            ("activations", tensor(Dtype::F16, vec![n], whole(&mut self.activations).map_err(unwritable)?)),
            ("locations", tensor(of_place, vec![n, 3], whole(&mut self.locations).map_err(unwritable)?)),
            (
                "tokens",
                tensor(Dtype::I64, vec![n_sequences as usize, context], whole(tokens).map_err(unwritable)?),
            ),
        ]);
        let expected: usize = tensors.values().map(View::data_len).sum();
        safetensors::serialize_to_file(tensors, None, &path)
            .map_err(|error| unwritable(io::Error::other(error)))?;
        check(path, expected)
    }
}

/// Refuses a file whose tensors do not have the bytes that were written.
fn check(path: PathBuf, expected: usize) -> Result<(), ExchangeError> {
    let read = || {
        let mut file = File::open(&path)?;
        let (mut length, size) = ([0; 8], file.metadata()?.len());
        file.read_exact(&mut length)?;
        Ok(size - 8 - u64::from_le_bytes(length))
    };
    let found = read().map_err(|error| ExchangeError::unreadable(&path, error))?;
    if found == expected as u64 {
        return Ok(());
    }
    Err(ExchangeError::Lost { path, what: format!("{found} bytes of tensors, and {expected} were written") })
}

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
