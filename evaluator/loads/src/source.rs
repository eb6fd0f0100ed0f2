//! Source: a file of loads, found by name, and read from where it lies, unpacked if it is packed with gzip.
//!
//! The only file that names flate2.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::LoadsError;

/// The size of a read, and of what [`Source::start`] holds, bytes.
const CHUNK: usize = 1 << 16;

/// The most bytes of a file that is read into memory as a whole: texts with tables, and packed archives.
const MOST_IN_MEMORY: u64 = 1 << 28;

/// The most bytes that a packed file may unpack to.
const MOST_UNPACKED: u64 = 1 << 34;

const GZIP: &[u8] = b"\x1f\x8b";

/// A file of loads on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadsAt {
    /// The path that messages name, and whose ending tells what the file is where its content does not.
    pub name: PathBuf,
    /// Where its content is.
    pub at: PathBuf,
}

impl LoadsAt {
    /// A file that lies where it is named.
    pub fn here(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.clone(), at: path }
    }
}

pub(crate) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// A file that can be read, from its beginning, any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub name: PathBuf,
    at: PathBuf,
    /// The first bytes, unpacked.
    pub start: Vec<u8>,
    pub is_packed: bool,
    /// As it lies there.
    length: u64,
}

impl Source {
    pub fn open(LoadsAt { name, at }: &LoadsAt) -> Result<Self, LoadsError> {
        let failed = |error| LoadsError::read(name, error);
        let mut file = File::open(at).map_err(failed)?;
        let data = file.metadata().map_err(failed)?;
        if data.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut source =
            Self { name: name.clone(), at: at.clone(), start: Vec::new(), is_packed: false, length: data.len() };
        let mut magic = Vec::new();
        (&mut file).take(2).read_to_end(&mut magic).map_err(failed)?;
        source.is_packed = magic == GZIP;
        let mut start = Vec::new();
        let read = source.stream()?.take(CHUNK as u64).read_to_end(&mut start);
        match read {
            // A damaged end is found by who reads that far.
            Err(_) if source.is_packed && !start.is_empty() => {}
            read => drop(read.map_err(|error| LoadsError::at(name, "gzip", error))?),
        }
        if start.starts_with(GZIP) {
            return Err(LoadsError::invalid(name, "gzip", "packed twice"));
        }
        source.start = start;
        Ok(source)
    }

    /// The extension that says what is in the file, lower-case: that before `.gz`, if there is one.
    pub fn extension(&self) -> String {
        extension(&self.name)
    }

    /// The number of bytes, if it is known before they are read.
    pub fn length(&self) -> Option<u64> {
        (!self.is_packed).then_some(self.length)
    }

    /// The content from its beginning.
    pub fn stream(&self) -> Result<Box<dyn Read>, LoadsError> {
        let file = File::open(&self.at).map_err(|error| LoadsError::read(&self.name, error))?;
        if self.is_packed {
            let unpacked = Limited { reader: MultiGzDecoder::new(BufReader::new(file)), left: MOST_UNPACKED };
            return Ok(Box::new(BufReader::with_capacity(CHUNK, unpacked)));
        }
        Ok(Box::new(BufReader::with_capacity(CHUNK, file)))
    }

    /// The content to be read anywhere. What is packed goes into memory.
    pub fn seekable(&self) -> Result<Box<dyn ReadSeek>, LoadsError> {
        if self.is_packed {
            return Ok(Box::new(Cursor::new(self.all()?)));
        }
        let file = File::open(&self.at).map_err(|error| LoadsError::read(&self.name, error))?;
        Ok(Box::new(BufReader::with_capacity(CHUNK, file)))
    }

    fn all(&self) -> Result<Vec<u8>, LoadsError> {
        let mut bytes = Vec::new();
        let read = self.stream()?.take(MOST_IN_MEMORY + 1).read_to_end(&mut bytes);
        read.map_err(|error| LoadsError::at(&self.name, "gzip", error))?;
        if bytes.len() as u64 > MOST_IN_MEMORY {
            let problem = format!("more than {} MiB", MOST_IN_MEMORY >> 20);
            let hint = if self.is_packed { ": unpack it first" } else { "" };
            return Err(LoadsError::invalid(&self.name, "size", problem + hint));
        }
        Ok(bytes)
    }

    /// The content as UTF-8 without its byte order mark, from its beginning.
    pub fn text(&self) -> Result<Box<dyn Read>, LoadsError> {
        if self.is_utf16() {
            return Ok(Box::new(Cursor::new(self.all_text()?)));
        }
        let mut stream = self.stream()?;
        if self.start.starts_with(UTF8_MARK) {
            let skipped = stream.read_exact(&mut [0; UTF8_MARK.len()]);
            skipped.map_err(|error| LoadsError::read(&self.name, error))?;
        }
        Ok(stream)
    }

    /// [`Source::text`] in memory.
    pub fn all_text(&self) -> Result<Vec<u8>, LoadsError> {
        let bytes = self.all()?;
        if !self.is_utf16() {
            return Ok(bytes.strip_prefix(UTF8_MARK).map(<[u8]>::to_vec).unwrap_or(bytes));
        }
        let of = if bytes.starts_with(UTF16_LITTLE) { u16::from_le_bytes } else { u16::from_be_bytes };
        let units = bytes[2..].chunks(2).map(|unit| unit.try_into().map_or(0xd800, of));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(String::into_bytes).map_err(|_| LoadsError::invalid(&self.name, "text", "this is not UTF-16"))
    }

    pub fn is_utf16(&self) -> bool {
        self.start.starts_with(UTF16_LITTLE) || self.start.starts_with(UTF16_BIG)
    }
}

pub(crate) const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_LITTLE: &[u8] = b"\xff\xfe";
const UTF16_BIG: &[u8] = b"\xfe\xff";

pub(crate) fn extension(name: &Path) -> String {
    let of = |name: &Path| name.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match of(name) {
        packed if packed == "gz" => name.file_stem().map_or(packed, |stem| of(Path::new(stem))),
        extension => extension,
    }
}

/// A reader that fails rather than give more than a number of bytes.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it unpacks to too much"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_before_gz_counts() {
        let names = ["w.CSV", "w.npy.gz", "w.gz", "w", "a.b/w.JSON.GZ"];
        assert_eq!(names.map(|name| extension(Path::new(name))), ["csv", "npy", "", "", "json"]);
    }

    #[test]
    fn a_limited_reader_fails_at_its_limit() {
        let read = |left| io::read_to_string(Limited { reader: &b"abc"[..], left });
        assert_eq!(read(3).unwrap(), "abc");
        assert_eq!(read(2).unwrap_err().to_string(), "it unpacks to too much");
    }
}
