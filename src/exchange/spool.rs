//! Bytes that are written as they come, and copied when their count is known.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::ExchangeError;

/// A file without a name; the system takes it away with the process.
pub(super) struct Spool {
    file: BufWriter<File>,
    bytes: u64,
}

impl Spool {
    /// An empty one, on the disk of `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, ExchangeError> {
        let file = tempfile::tempfile_in(folder).map_err(|error| ExchangeError::unwritable(folder, error))?;
        Ok(Self { file: BufWriter::new(file), bytes: 0 })
    }

    /// Everything from the beginning.
    pub(super) fn reader(&mut self) -> io::Result<impl Read + '_> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::new(file).take(self.bytes))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
