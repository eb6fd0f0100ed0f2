//! Asset: a file or a folder that the settings name, or the one that the binary brings along if they name none.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::written;
use crate::values::shipped;

#[derive(Clone, Debug)]
pub enum Asset {
    /// That of the binary, by its path in the repository.
    Shipped(&'static str),
    At(PathBuf),
}

/// Two are equal if they name the same place of a checkout, so that the settings that a checkout has equal the defaults.
impl PartialEq for Asset {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Asset {
    /// Where it lies, in a checkout if it is the binary's.
    pub fn path(&self) -> &Path {
        match self {
            Self::Shipped(path) => Path::new(path),
            Self::At(path) => path,
        }
    }

    pub fn file_name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Resolves the path of a named one against the folder of the settings.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Self::At(path) = self {
            *path = folder.join(&*path);
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// The file that the settings name cannot be read.
    pub fn read(&self) -> io::Result<Cow<'static, [u8]>> {
        match self {
            Self::Shipped(path) => shipped::file(path).map(Cow::Borrowed).ok_or(io::ErrorKind::NotFound.into()),
            Self::At(path) => fs::read(path).map(Cow::Owned),
        }
    }
}

/// As messages name it.
impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(_) => write!(f, "{}, which PackEvolve brings along", self.file_name()),
            Self::At(path) => write!(f, "{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        written::path(deserializer).map(Self::At)
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.path().serialize(serializer)
    }
}

/// For a setting that may be null.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Asset>, D::Error> {
    Ok(written::optional_path(deserializer)?.map(Asset::At))
}
