//! Ahead: the log that objects are written to before they are written as files of their own.
//!
//! To sync the file and the folder of each of a candidate's objects takes eight waits for the disk. So what is to be
//! on the disk is first appended here, all objects of a call at once, and synced with one wait; the files that git knows
//! are written after it and not waited for. A log that is full is sealed, and packed beside the run ([`mod@super::pack`]);
//! what is left at the end is packed too, or, if that is little, its files are synced. After a crash the logs have what
//! the files may lack.
//!
//! A record is a line `KIND LENGTH ID` and so many bytes. One that does not hash to its id was never finished, and
//! ends the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use super::error::RepositoryError;
use super::layout::sync;
use super::object::Object;
use super::pack::gone;

/// Name of the log, in the archive's folder.
const FILE: &str = "packevolve.ahead";
/// Name of a log that is being packed.
const SEALED: &str = "packevolve.sealed";
/// A log is full when it has become longer than this; so much of it is in memory while it is packed.
const LONGEST: u64 = 32 << 20;
/// A pack of less is not worth it.
const SHORTEST: u64 = 1 << 20;

/// The log of an archive that is being written to.
#[derive(Debug)]
pub(super) struct Ahead {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Ahead {
    /// Opens the log of the archive at `path` for appending, with what a crash left in it. A record that was never
    /// finished is cut off.
    pub fn open(path: &Path) -> Result<(Self, Vec<Object>), RepositoryError> {
        let path = path.join(FILE);
        let log = read(&path)?;
        let (left, torn) = records(&log);
        let (file, bytes) = (append(&path)?, (log.len() - torn) as u64);
        let cut = if torn == 0 { Ok(()) } else { file.set_len(bytes).and_then(|()| file.sync_all()) };
        cut.map_err(RepositoryError::io(&path, "cut off what was never finished"))?;
        Ok((Self { path, file, bytes }, left))
    }

    /// Appends objects and syncs them.
    pub fn write(&mut self, objects: &[Object]) -> Result<(), RepositoryError> {
        let mut bytes = Vec::new();
        for Object { kind, bytes: content, id } in objects {
            bytes.extend_from_slice(format!("{kind} {} {id}\n", content.len()).as_bytes());
            bytes.extend_from_slice(content);
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(RepositoryError::io(&self.path, "write ahead"))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Whether it is time to have it packed.
    pub fn is_full(&self) -> bool {
        self.bytes > LONGEST
    }

    /// Whether a pack of it is worth a pack.
    pub fn is_worth_a_pack(&self) -> bool {
        self.bytes >= SHORTEST
    }

    /// Puts the log aside to be packed, and begins anew. The one before must have been packed.
    pub fn seal(&mut self) -> Result<(), RepositoryError> {
        let sealed = self.path.with_file_name(SEALED);
        assert!(!sealed.exists(), "BUG: a log is sealed while another one is packed");
        fs::rename(&self.path, sealed).map_err(RepositoryError::io(&self.path, "put it aside"))?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        // What is written to the new log from here on must be found by its name.
        let archive = self.path.parent().expect("BUG: the log lies in the archive");
        sync(archive).map_err(RepositoryError::io(archive, "sync it"))
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

/// The objects of the log that was put aside in the archive at `path`; none if there is none.
pub(super) fn sealed(path: &Path) -> Result<Vec<Object>, RepositoryError> {
    read(&path.join(SEALED)).map(|log| records(&log).0)
}

/// Removes the log that was put aside: its objects are on the disk elsewhere.
pub(super) fn remove_sealed(path: &Path) -> Result<(), RepositoryError> {
    let sealed = path.join(SEALED);
    gone(fs::remove_file(&sealed)).map_err(RepositoryError::io(&sealed, "remove it"))
}

fn read(log: &Path) -> Result<Vec<u8>, RepositoryError> {
    match fs::read(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => bytes.map_err(RepositoryError::io(log, "read what was written ahead")),
    }
}

fn append(log: &Path) -> Result<File, RepositoryError> {
    OpenOptions::new().create(true).append(true).open(log).map_err(RepositoryError::io(log, "write ahead"))
}

/// The objects of a log, up to the first that was not finished, and the number of bytes from there on.
fn records(mut log: &[u8]) -> (Vec<Object>, usize) {
    let mut objects = Vec::new();
    while let Some((object, rest)) = record(log) {
        objects.push(object);
        log = rest;
    }
    (objects, log.len())
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
            let (kept, _) = records(&whole[..length]);
            assert_eq!(kept, all[..kept.len()]);
            assert_eq!(kept.len(), usize::from(length + 1 > second) + usize::from(length == whole.len()), "{length}");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(records(&changed), (all[..1].to_vec(), whole.len() - second));
    }
}
