//! Ahead: the log that objects are written to before they are written as files of their own.
//!
//! To sync the file and the folder of each of a candidate's objects takes eight waits for the disk. So what is to be
//! on the disk is first appended here, all objects of a call at once, and synced with one wait; the files that git knows
//! are written after it and not waited for. Now and then all of them are synced together, and the log begins anew. After
//! a crash the log has what the files may lack.
//!
//! The log begins anew only after what it holds is reachable for git: so whatever a crash, a power loss or a collection of
//! garbage takes of objects that the journal names, one of the two has it.
//!
//! A record is a line `KIND LENGTH ID` and so many bytes. One that does not hash to its id was never finished, and
//! ends the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use super::error::RepositoryError;
use super::object::Object;

/// Name of the log, in the archive's folder.
const FILE: &str = "packevolve.ahead";
/// The log begins anew when it has become longer than this.
const LONGEST: u64 = 16 << 20;

/// The log of an archive that is being written to.
#[derive(Debug)]
pub(super) struct Ahead {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Whether a write has failed: what would come after it could not be read back.
    broken: bool,
}

impl Ahead {
    /// Opens the log of the archive at `path` for appending, with what a crash left in it.
    pub fn open(path: &Path) -> Result<(Self, Vec<Object>), RepositoryError> {
        let Left { objects, bytes, is_torn } = Left::read(path)?;
        let path = path.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(RepositoryError::io(&path, "write ahead"))?;
        if is_torn {
            // What is appended behind it could not be found again.
            file.set_len(bytes).map_err(RepositoryError::io(&path, "cut an unfinished object off"))?;
        }
        Ok((Self { path, file, bytes, broken: false }, objects))
    }

    /// Appends objects and syncs them.
    pub fn write(&mut self, objects: &[Object]) -> Result<(), RepositoryError> {
        let mut bytes = Vec::new();
        for Object { kind, bytes: content, id } in objects {
            bytes.extend_from_slice(format!("{kind} {} {id}\n", content.len()).as_bytes());
            bytes.extend_from_slice(content);
        }
        assert!(!self.broken, "BUG: an archive is written to after it could not be");
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        self.broken = written.is_err();
        written.map_err(RepositoryError::io(&self.path, "write ahead"))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Whether it is time to begin anew.
    pub fn is_full(&self) -> bool {
        self.bytes > LONGEST
    }

    /// Begins anew: whatever was written to the file system of the archive until now is on its disk first.
    pub fn settle(&mut self) -> Result<(), RepositoryError> {
        if self.bytes == 0 {
            return Ok(());
        }
        let synced = nix::unistd::syncfs(&self.file).map_err(io::Error::from);
        synced.map_err(RepositoryError::io(&self.path, "sync the archive"))?;
        self.file.set_len(0).map_err(RepositoryError::io(&self.path, "begin anew"))?;
        self.bytes = 0;
        Ok(())
    }
}

/// Where the log of the archive at `path` is.
pub(super) fn file(path: &Path) -> PathBuf {
    path.join(FILE)
}

/// What is in the log of an archive.
#[derive(Debug)]
pub(super) struct Left {
    /// Up to the first that was not finished.
    pub objects: Vec<Object>,
    /// Where the last of them ends.
    pub bytes: u64,
    /// Whether something stands behind it.
    pub is_torn: bool,
}

impl Left {
    /// Reads the log of the archive at `path`, if it has one.
    pub fn read(path: &Path) -> Result<Self, RepositoryError> {
        let path = path.join(FILE);
        let log = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            log => log.map_err(RepositoryError::io(&path, "read what was written ahead"))?,
        };
        let (objects, rest) = records(&log);
        Ok(Self { objects, bytes: (log.len() - rest.len()) as u64, is_torn: !rest.is_empty() })
    }
}

/// The objects of a log, up to the first that was not finished, and the bytes from there on.
fn records(mut log: &[u8]) -> (Vec<Object>, &[u8]) {
    let mut objects = Vec::new();
    while let Some((object, rest)) = record(log) {
        objects.push(object);
        log = rest;
    }
    (objects, log)
}

fn record(log: &[u8]) -> Option<(Object, &[u8])> {
    let end = log.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&log[..end]).ok()?.split(' ');
    let kind = ObjectType::from_str(words.next()?)?;
    let (content, rest) = log[end + 1..].split_at_checked(words.next()?.parse().ok()?)?;
    let object = Object::new(kind, content.to_vec());
    (Oid::from_str(words.next()?).ok()? == object.id).then_some((object, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn blobs(texts: &[&str]) -> Vec<Object> {
        texts.iter().map(|text| Object::blob(text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_was_written_is_left_until_it_is_settled() {
        let folder = TempDir::new().unwrap();
        let (mut ahead, left) = Ahead::open(folder.path()).unwrap();
        assert_eq!(left, []);
        let all = blobs(&["a\n", "", "blob 3\nc\n"]);
        ahead.write(&all[..2]).unwrap();
        ahead.write(&all[2..]).unwrap();
        let (mut ahead, left) = Ahead::open(folder.path()).unwrap();
        assert_eq!(left, all);
        ahead.settle().unwrap();
        assert_eq!(Ahead::open(folder.path()).unwrap().1, []);
    }

    #[test]
    fn a_log_that_was_cut_off_or_changed_gives_what_was_whole() {
        let folder = TempDir::new().unwrap();
        let all = blobs(&["first\n", "second\n"]);
        Ahead::open(folder.path()).unwrap().0.write(&all).unwrap();
        let whole = fs::read(folder.path().join(FILE)).unwrap();
        let second = whole.len() / 2;
        for length in 0..=whole.len() {
            let (kept, rest) = records(&whole[..length]);
            assert_eq!(rest.is_empty(), length == whole.len() || length == 0 || length == second, "{length}");
            assert_eq!(kept, all[..kept.len()]);
            assert_eq!(kept.len(), usize::from(length + 1 > second) + usize::from(length == whole.len()), "{length}");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(records(&changed).0, all[..1]);
    }
}
