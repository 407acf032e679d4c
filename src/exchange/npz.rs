//! An npz as numpy writes and reads it: a zip of arrays.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use npyz::npz::{NpzArchive, NpzWriter};
use npyz::zip::write::FileOptions;
use npyz::zip::{CompressionMethod, DateTime};
use npyz::{AutoSerialize, DType, WriteOptions, WriterBuilder as _};

use super::ExchangeError;

/// An npz that is being written.
pub(super) struct Archive {
    path: PathBuf,
    writer: NpzWriter<BufWriter<File>>,
}

impl Archive {
    /// An empty one.
    pub(super) fn create(path: PathBuf) -> Result<Self, ExchangeError> {
        let file = File::create(&path).map_err(|error| ExchangeError::unwritable(&path, error))?;
        Ok(Self { path, writer: NpzWriter::new(BufWriter::new(file)) })
    }

    /// Adds a vector of numbers or truths.
    pub(super) fn vector<T: AutoSerialize>(
        &mut self,
        name: &str,
        len: u64,
        values: impl Iterator<Item = T>,
    ) -> Result<(), ExchangeError> {
        self.array(name, &[len], values)
    }

    /// Adds a number that is no vector.
    pub(super) fn scalar<T: AutoSerialize>(&mut self, name: &str, value: T) -> Result<(), ExchangeError> {
        self.array(name, &[], std::iter::once(value))
    }

    fn array<T: AutoSerialize>(
        &mut self,
        name: &str,
        shape: &[u64],
        values: impl Iterator<Item = T>,
    ) -> Result<(), ExchangeError> {
        let write = || {
            let builder = self.writer.array::<T>(name, options())?;
            let mut array = builder.default_dtype().shape(shape).begin_nd()?;
            array.extend(values)?;
            array.finish()
        };
        write().map_err(|error| ExchangeError::unwritable(&self.path, error))
    }

    /// Adds a vector of texts, none longer than `width` characters.
    pub(super) fn texts<'a>(
        &mut self,
        name: &str,
        (len, width): (u64, usize),
        values: impl Iterator<Item = &'a str>,
    ) -> Result<(), ExchangeError> {
        let write = || {
            let builder = self.writer.array::<str>(name, options())?;
            // numpy has no texts of no characters.
            let dtype = dtype(&format!("<U{}", width.max(1)))?;
            let mut array = builder.dtype(dtype).shape(&[len]).begin_nd()?;
            values.into_iter().try_for_each(|value| array.push(value))?;
            array.finish()
        };
        write().map_err(|error| ExchangeError::unwritable(&self.path, error))
    }

    /// Adds a vector whose bytes are as numpy stores values of the type `dtype`, such as `<i4`.
    pub(super) fn bytes(
        &mut self,
        name: &str,
        (len, of_type): (u64, &str),
        bytes: io::Result<impl Read>,
    ) -> Result<(), ExchangeError> {
        let write = || {
            let zip = self.writer.zip_writer();
            zip.start_file(npyz::npz::file_name_from_array_name(name), options())?;
            let header = WriteOptions::new_header_only().dtype(dtype(of_type)?).shape(&[len]);
            header.writer(&mut *zip).write_header_only()?;
            io::copy(&mut bytes?, zip).map(drop)
        };
        write().map_err(|error: io::Error| ExchangeError::unwritable(&self.path, error))
    }

    /// Ends the file, reads it back, and refuses it if an array is not as long as said.
    pub(super) fn end(mut self, lengths: &[(&str, u64)]) -> Result<(), ExchangeError> {
        let finished = self.writer.zip_writer().finish().map_err(io::Error::from);
        let file = finished.and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error));
        drop(file.map_err(|error| ExchangeError::unwritable(&self.path, error))?);
        for (name, len) in lengths {
            let found = read_through(&self.path, name)
                .map_err(|error| ExchangeError::unreadable(&self.path, error))?;
            if found != *len {
                let what = format!("`{name}` has {found} values, and {len} were written");
                return Err(ExchangeError::Lost { path: self.path, what });
            }
        }
        Ok(())
    }
}

/// Values of an array, all of which are read; the sums of the zip are checked by that.
fn read_through(path: &Path, name: &str) -> io::Result<u64> {
    let mut archive = NpzArchive::new(BufReader::new(File::open(path)?))?;
    let Some(array) = archive.by_name(name)? else { return Ok(0) };
    let size = array.dtype().num_bytes().unwrap_or(1).max(1) as u64;
    let bytes = io::copy(&mut array.into_inner(), &mut io::sink())?;
    Ok(bytes / size)
}

fn dtype(name: &str) -> io::Result<DType> {
    name.parse().map(DType::new_scalar).map_err(|error| io::Error::other(format!("{error}")))
}

/// As `numpy.savez_compressed` does it, but for the time, which is always the same.
fn options() -> FileOptions {
    FileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true)
        .last_modified_time(DateTime::default())
}
