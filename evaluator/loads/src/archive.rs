//! Archive: a zip file, as torch and NumPy write it. A member's checksum is compared where its end is read.
//!
//! The only file that names the zip crate.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::LoadsError;
use crate::source::ReadSeek;
use crate::window::quoted;

/// The most members; a recorder writes a member for each forward pass.
const MOST_MEMBERS: usize = 1 << 20;

pub struct Archive {
    path: PathBuf,
    zip: ZipArchive<Box<dyn ReadSeek>>,
}

impl Archive {
    pub fn open(path: &Path, file: Box<dyn ReadSeek>) -> Result<Self, LoadsError> {
        let zip = ZipArchive::new(file).map_err(|error| broken(path, "archive", error))?;
        if zip.len() > MOST_MEMBERS {
            return Err(LoadsError::invalid(path, "archive", format!("more than {MOST_MEMBERS} members")));
        }
        Ok(Self { path: path.to_owned(), zip })
    }

    pub fn names(&self) -> Vec<String> {
        self.zip.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// A member, and its length in bytes.
    pub fn member<'a>(&'a mut self, name: &str) -> Result<(impl Read + use<'a>, u64), LoadsError> {
        let found = self.zip.by_name(name);
        let member = found.map_err(|error| broken(&self.path, &spot(name), error))?;
        let length = member.size();
        Ok((member, length))
    }

    /// A member that is not compressed, and its length in bytes: all that torch writes.
    pub fn stored_member<'a>(&'a mut self, name: &str) -> Result<(impl Read + use<'a>, u64), LoadsError> {
        let found = self.zip.by_name(name);
        let member = found.map_err(|error| broken(&self.path, &spot(name), error))?;
        if member.compression() != CompressionMethod::Stored {
            return Err(LoadsError::invalid(&self.path, spot(name), "compressed, as torch writes none"));
        }
        let length = member.size();
        Ok((member, length))
    }

    /// A member as a whole.
    pub fn bytes(&mut self, name: &str, most: u64) -> Result<Vec<u8>, LoadsError> {
        let path = self.path.clone();
        let (member, _) = self.member(name)?;
        let mut bytes = Vec::new();
        let read = member.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| LoadsError::at(&path, spot(name), error))?;
        if bytes.len() as u64 > most {
            return Err(LoadsError::invalid(&path, spot(name), format!("longer than {most} bytes")));
        }
        Ok(bytes)
    }
}

/// How messages name a member.
pub fn spot(name: &str) -> String {
    format!("member {}", quoted(name))
}

/// Reads the end of a member of which all was read that it should hold.
pub fn at_end(path: &Path, name: &str, mut member: impl Read) -> Result<(), LoadsError> {
    match member.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(LoadsError::invalid(path, spot(name), "longer than it should be")),
        Err(error) => Err(LoadsError::at(path, spot(name), error)),
    }
}

fn broken(path: &Path, spot: &str, error: ZipError) -> LoadsError {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            LoadsError::invalid(path, spot, "the file ends too early")
        }
        ZipError::Io(error) => LoadsError::at(path, spot, error),
        ZipError::InvalidArchive(why) => LoadsError::invalid(path, spot, format!("damaged, or cut short: {why}")),
        ZipError::FileNotFound => LoadsError::invalid(path, spot, "not there"),
        error => LoadsError::invalid(path, spot, error.to_string()),
    }
}
