//! Arrays of somebody's npz, with nothing taken on trust: pickles are refused, and no memory is taken for a length that
//! only a header says.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use npyz::npz::NpzArchive;
use npyz::{Deserialize, NpyFile, Order};

use super::ExchangeError;
use super::spool::Spool;

/// A header is some hundred bytes long; numpy itself refuses longer ones than this.
const LONGEST_HEADER: u32 = 10_000;

/// The widest text of an array, in characters.
const WIDEST_TEXT: usize = 4_096;

/// An npz that is being read.
pub(super) struct Arrays {
    path: PathBuf,
    archive: NpzArchive<BufReader<File>>,
}

impl Arrays {
    /// Opens the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, ExchangeError> {
        let file = File::open(path).map_err(|error| ExchangeError::unreadable(path, error))?;
        let archive = NpzArchive::new(BufReader::new(file));
        let archive =
            archive.map_err(|error| ExchangeError::foreign(path, format!("it is no npz: {error}")))?;
        Ok(Self { path: path.to_owned(), archive })
    }

    /// Whether there is an array called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.archive.array_names().any(|known| known == name)
    }

    /// An error about an array.
    pub(super) fn wrong(&self, name: &str, what: impl std::fmt::Display) -> ExchangeError {
        ExchangeError::foreign(&self.path, format!("array `{name}` {what}"))
    }

    /// The whole numbers of a vector; none if there is no such array.
    pub(super) fn integers(&mut self, name: &str) -> Result<Option<Vec<i64>>, ExchangeError> {
        self.vector(name, &["<i8", "<i4", "<u4", "<i2"], |array, of_type| match of_type {
            "<i8" => each::<i64, _>(array, Ok),
            "<i4" => each::<i32, _>(array, |value| Ok(value.into())),
            "<u4" => each::<u32, _>(array, |value| Ok(value.into())),
            _ => each::<i16, _>(array, |value| Ok(value.into())),
        })
    }

    /// The numbers of a vector; none if there is no such array.
    pub(super) fn floats(&mut self, name: &str) -> Result<Option<Vec<f64>>, ExchangeError> {
        self.vector(name, &["<f8", "<f4"], |array, of_type| match of_type {
            "<f8" => each::<f64, _>(array, Ok),
            _ => each::<f32, _>(array, |value| Ok(value.into())),
        })
    }

    /// The truths of a vector; none if there is no such array.
    pub(super) fn flags(&mut self, name: &str) -> Result<Option<Vec<bool>>, ExchangeError> {
        self.vector(name, &["|b1"], |array, _| each::<bool, _>(array, Ok))
    }

    /// The texts of a vector; none if there is no such array.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ExchangeError> {
        self.vector(name, &["<U"], |array, _| each::<String, _>(array, Ok))
    }

    /// Copies whole numbers of a vector that may be long to a file, as 32 bits each; how many there are.
    pub(super) fn spool_integers(&mut self, name: &str, spool: &mut Spool) -> Result<u64, ExchangeError> {
        let narrow =
            |value: i64| i32::try_from(value).map_err(|_| io::Error::other(format!("{value} is no index")));
        let mut put = |value: i64| spool.write_all(&narrow(value)?.to_le_bytes());
        let copied = self.vector(name, &["<i8", "<i4"], |array, of_type| match of_type {
            "<i8" => copy::<i64>(array, &mut put),
            _ => copy::<i32>(array, &mut |value| put(value.into())),
        })?;
        copied.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Copies numbers of a vector that may be long to a file, in single precision; how many there are.
    pub(super) fn spool_floats(&mut self, name: &str, spool: &mut Spool) -> Result<u64, ExchangeError> {
        let mut put = |value: f32| spool.write_all(&value.to_le_bytes());
        let copied = self.vector(name, &["<f4"], |array, _| copy::<f32>(array, &mut put))?;
        copied.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Takes a vector of one of the types; `<U` stands for texts of any width.
    fn vector<T>(
        &mut self,
        name: &str,
        types: &[&str],
        take: impl FnOnce(NpyFile<&mut dyn Read>, &str) -> io::Result<T>,
    ) -> Result<Option<T>, ExchangeError> {
        if !self.has(name) {
            return Ok(None);
        }
        let path = self.path.clone();
        let wrong = |what: String| ExchangeError::foreign(&path, format!("array `{name}` {what}"));
        let unreadable = |error: io::Error| wrong(format!("cannot be read: {error}"));
        self.check_header(name)?;
        let array = self.archive.by_name(name).map_err(unreadable)?;
        let Some(array) = array else { return Ok(None) };
        if array.uses_pickled_array() {
            return Err(wrong("is a pickle, which may run any program and is not read".to_owned()));
        }
        let descr = array.dtype().descr();
        let found = descr.trim_matches('\'');
        let is_text = found.strip_prefix("<U").and_then(|width| width.parse().ok());
        let is_text = is_text.is_some_and(|width: usize| width <= WIDEST_TEXT);
        let of_type = types.iter().find(|of_type| found == **of_type || (**of_type == "<U" && is_text));
        let of_type =
            of_type.ok_or_else(|| wrong(format!("is of type {found}, and not {}", types.join(" or "))))?;
        if array.shape().len() != 1 || array.order() != Order::C {
            return Err(wrong(format!("has the shape {:?}, and is to be a vector", array.shape())));
        }
        let header = array.header().clone();
        let mut data = array.into_inner();
        take(NpyFile::with_header(header, &mut data), of_type).map(Some).map_err(unreadable)
    }

    /// Refuses an array whose header says that it is longer than headers are.
    fn check_header(&mut self, name: &str) -> Result<(), ExchangeError> {
        let mut begin = [0; 12];
        let file = npyz::npz::file_name_from_array_name(name);
        let read = match self.archive.zip_archive().by_name(&file) {
            Ok(mut entry) => entry.read_exact(&mut begin),
            Err(error) => Err(error.into()),
        };
        read.map_err(|error| self.wrong(name, format!("cannot be read: {error}")))?;
        let [.., major, _, a, b, c, d] = begin;
        let length =
            if major == 1 { u32::from_le_bytes([a, b, 0, 0]) } else { u32::from_le_bytes([a, b, c, d]) };
        if !begin.starts_with(b"\x93NUMPY") || length > LONGEST_HEADER {
            return Err(self.wrong(name, "does not begin as arrays do"));
        }
        Ok(())
    }
}

/// Every value of an array, made into another one.
fn each<T: Deserialize, U>(
    array: NpyFile<&mut dyn Read>,
    make: impl Fn(T) -> io::Result<U>,
) -> io::Result<Vec<U>> {
    let said = array.len();
    let mut values = Vec::new();
    for value in array.data::<T>().map_err(io::Error::other)? {
        values.push(make(value?)?);
    }
    same_length(said, values.len() as u64).map(|()| values)
}

/// Hands on every value of an array; how many there are.
fn copy<T: Deserialize>(
    array: NpyFile<&mut dyn Read>,
    put: &mut dyn FnMut(T) -> io::Result<()>,
) -> io::Result<u64> {
    let (said, mut count) = (array.len(), 0);
    for value in array.data::<T>().map_err(io::Error::other)? {
        put(value?)?;
        count += 1;
    }
    same_length(said, count).map(|()| count)
}

fn same_length(said: u64, found: u64) -> io::Result<()> {
    if said == found {
        Ok(())
    } else {
        Err(io::Error::other(format!("{found} of its {said} values are there")))
    }
}
