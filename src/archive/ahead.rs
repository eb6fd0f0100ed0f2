//! Ahead: the log that objects are written to before they are written as files of their own.
//!
//! To sync the file and the folder of each of a candidate's objects takes eight waits for the disk. So what is to be
//! on the disk is first appended here, all objects of a call at once, and synced with one wait; the files that git knows
//! are written after it and not waited for. A log that is full is sealed: another one is begun, and the objects of this
//! one become a pack beside the run ([`mod@crate::archive::pack`]). What is little at the end stays in files, which are synced
//! together. After a crash the logs have what files and packs may lack.
//!
//! A log begins anew, or is removed, only after what it holds is reachable for git: so whatever a crash, a power loss or a
//! collection of garbage takes of objects that the journal names, a log has it, or git.
//!
//! A record is a line `KIND LENGTH ID` and so many bytes. One that does not hash to its id was never finished, and
//! ends the log. Logs have numbers and are never moved: the last one is written to, those before it are sealed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Take, Write};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use crate::archive::error::RepositoryError;
use crate::archive::layout::{gone, sync};
use crate::archive::object::Object;

/// Name of the first log, in the archive's folder; the others have their number behind it.
const FILE: &str = "packevolve.ahead";
/// A log is full when it has become longer than this; about so much is in memory while it is packed.
const LONGEST: u64 = 32 << 20;
/// The line before an object is shorter than this, bytes.
const LONGEST_LINE: u64 = 128;
/// A pack of less is not worth it.
const SHORTEST: u64 = 1 << 20;

/// The logs of an archive that is being written to.
#[derive(Debug)]
pub(super) struct Ahead {
    archive: PathBuf,
    path: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    longest: u64,
    /// Logs that are to be packed.
    sealed: Vec<PathBuf>,
    /// Whether a write has failed: what would come after it could not be read back.
    broken: bool,
}

impl Ahead {
    /// Opens the last log of the archive at `path` for appending, with what a crash left in all of them.
    pub fn open(archive: &Path) -> Result<(Self, Vec<Object>), RepositoryError> {
        let mut all = logs(archive)?;
        let (number, path) = all.pop().unwrap_or_else(|| (0, archive.join(FILE)));
        let mut objects = Vec::new();
        for (_, sealed) in &all {
            objects.append(&mut Left::of(sealed)?.objects);
        }
        let Left { objects: mut last, bytes, is_torn, .. } = Left::of(&path)?;
        objects.append(&mut last);
        let file = append(&path)?;
        if is_torn {
            // What is appended behind it could not be found again.
            file.set_len(bytes).map_err(RepositoryError::io(&path, "cut an unfinished object off"))?;
        }
        let sealed = all.into_iter().map(|(_, path)| path).collect();
        let (archive, longest, broken) = (archive.to_owned(), LONGEST, false);
        Ok((Self { archive, path, number, file, bytes, longest, sealed, broken }, objects))
    }

    /// Shorter logs, for tests of what happens when they are full.
    #[cfg(test)]
    pub fn set_longest(&mut self, longest: u64) {
        self.longest = longest;
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

    /// Whether it is time to have it packed.
    pub fn is_full(&self) -> bool {
        self.bytes > self.longest
    }

    /// Whether a pack of it is worth a pack.
    pub fn is_worth_a_pack(&self) -> bool {
        self.bytes >= SHORTEST.min(self.longest)
    }

    /// Leaves the log to be packed, and begins another.
    pub fn seal(&mut self) -> Result<(), RepositoryError> {
        let number = self.number + 1;
        let path = self.archive.join(format!("{FILE}.{number}"));
        self.file = append(&path)?;
        // What is written to it from here on must be found by its name.
        sync(&self.archive).map_err(RepositoryError::io(&self.archive, "sync it"))?;
        self.sealed.push(std::mem::replace(&mut self.path, path));
        (self.number, self.bytes) = (number, 0);
        Ok(())
    }

    /// The logs that are to be packed, which is up to the caller from here on.
    pub fn take_sealed(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.sealed)
    }

    /// Begins anew: whatever was written to the file system of the archive until now is on its disk first.
    pub fn settle(&mut self) -> Result<(), RepositoryError> {
        if self.bytes == 0 {
            return Ok(());
        }
        sync_all(&self.file, &self.path)?;
        self.file.set_len(0).map_err(RepositoryError::io(&self.path, "begin anew"))?;
        self.bytes = 0;
        Ok(())
    }
}

/// Removes a log whose objects were packed: the refs that lead to them are on the disk first.
pub(super) fn remove(log: &Path) -> Result<(), RepositoryError> {
    let file = File::open(log).map_err(RepositoryError::io(log, "open it"))?;
    sync_all(&file, log)?;
    gone(fs::remove_file(log)).map_err(RepositoryError::io(log, "remove it"))
}

/// What is in a log of an archive.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The log.
    pub path: PathBuf,
    /// Up to the first that was not finished.
    pub objects: Vec<Object>,
    /// Where the last of them ends.
    pub bytes: u64,
    /// Whether something stands behind it.
    pub is_torn: bool,
}

impl Left {
    /// Reads the logs of the archive at `path`, oldest first. A run that goes on may have removed some meanwhile.
    pub fn read(archive: &Path) -> Result<Vec<Self>, RepositoryError> {
        logs(archive)?.iter().map(|(_, log)| Self::of(log)).collect()
    }

    /// Reads one log; nothing is in one that is not there.
    pub fn of(log: &Path) -> Result<Self, RepositoryError> {
        let Some(mut records) = Records::of(log)? else { return Ok(Self { path: log.to_owned(), ..Self::default() }) };
        let objects = records.by_ref().collect::<Result<_, _>>()?;
        Ok(Self { path: log.to_owned(), objects, bytes: records.end, is_torn: records.end < records.length })
    }
}

/// The objects of a log, one after another, up to the first that was not finished. What is appended meanwhile is not
/// among them.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    log: BufReader<Take<File>>,
    /// Where the last one that was read ends, and the log.
    end: u64,
    length: u64,
}

impl Records {
    /// Of a log; `None` if it is not there.
    pub fn of(path: &Path) -> Result<Option<Self>, RepositoryError> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(RepositoryError::io(path, "read what was written ahead")),
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), log: BufReader::new(file.take(length)), end: 0, length })
    }

    /// Of the logs of the archive at `path`, oldest first. A run that goes on may have removed some meanwhile.
    pub fn all(archive: &Path) -> Result<impl Iterator<Item = Result<Object, RepositoryError>>, RepositoryError> {
        let logs = logs(archive)?.into_iter().filter_map(|(_, log)| Self::of(&log).transpose());
        Ok(logs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten())
    }
}

impl Iterator for Records {
    type Item = Result<Object, RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (object, length) = match record(&mut self.log) {
            Ok(next) => next?,
            Err(error) => return Some(Err(RepositoryError::io(&self.path, "read what was written ahead")(error))),
        };
        self.end += length;
        Some(Ok(object))
    }
}

/// The logs of an archive by their numbers.
fn logs(archive: &Path) -> Result<Vec<(u64, PathBuf)>, RepositoryError> {
    let unreadable = || RepositoryError::io(archive, "look for what was written ahead");
    let mut logs = Vec::new();
    for entry in fs::read_dir(archive).map_err(unreadable())? {
        let entry = entry.map_err(unreadable())?;
        logs.extend(entry.file_name().to_str().and_then(number).map(|number| (number, entry.path())));
    }
    logs.sort();
    Ok(logs)
}

/// The number in the name of a log.
fn number(name: &str) -> Option<u64> {
    match name.strip_prefix(FILE)? {
        "" => Some(0),
        rest => rest.strip_prefix('.')?.parse().ok(),
    }
}

fn append(log: &Path) -> Result<File, RepositoryError> {
    OpenOptions::new().create(true).append(true).open(log).map_err(RepositoryError::io(log, "write ahead"))
}

/// Syncs the whole file system of a file.
fn sync_all(file: &File, path: &Path) -> Result<(), RepositoryError> {
    let synced = nix::unistd::syncfs(file).map_err(io::Error::from);
    synced.map_err(RepositoryError::io(path, "sync the archive"))
}

/// The next object, and how long its record is; `None` where there is none that was finished.
fn record(log: &mut impl BufRead) -> io::Result<Option<(Object, u64)>> {
    let (mut line, mut content) = (Vec::new(), Vec::new());
    log.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    let Some((kind, length, id)) = told(&line) else { return Ok(None) };
    log.take(length).read_to_end(&mut content)?;
    if content.len() as u64 != length {
        return Ok(None);
    }
    let (object, length) = (Object::new(kind, content), line.len() as u64 + length);
    Ok((object.id == id).then_some((object, length)))
}

/// What the line before an object says of it: kind, length, id.
fn told(line: &[u8]) -> Option<(ObjectType, u64, Oid)> {
    let mut words = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split(' ');
    let kind = ObjectType::from_str(words.next()?)?;
    Some((kind, words.next()?.parse().ok()?, Oid::from_str(words.next()?).ok()?))
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
    fn what_was_sealed_is_left_until_it_is_removed_and_the_last_log_is_gone_on_with() {
        let folder = TempDir::new().unwrap();
        let all = blobs(&["a", "b", "c"]);
        let (mut ahead, _) = Ahead::open(folder.path()).unwrap();
        for object in &all {
            ahead.write(std::slice::from_ref(object)).unwrap();
            ahead.seal().unwrap();
        }
        let (mut ahead, left) = Ahead::open(folder.path()).unwrap();
        assert_eq!(left, all);
        let sealed = ahead.take_sealed();
        assert_eq!(sealed.len(), 3);
        sealed[..2].iter().for_each(|log| remove(log).unwrap());
        ahead.write(&blobs(&["d"])).unwrap();
        let (mut ahead, left) = Ahead::open(folder.path()).unwrap();
        assert_eq!(left, blobs(&["c", "d"]));
        assert_eq!(ahead.take_sealed(), sealed[2..]);
    }

    #[test]
    fn tens_come_after_ones() {
        let folder = TempDir::new().unwrap();
        for name in ["packevolve.ahead.10", "packevolve.ahead.9", "packevolve.ahead", "packevolve.ahead.old", "HEAD"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let numbers: Vec<u64> = logs(folder.path()).unwrap().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 9, 10]);
    }

    #[test]
    fn a_log_that_was_cut_off_or_changed_gives_what_was_whole() {
        let folder = TempDir::new().unwrap();
        let all = blobs(&["first\n", "second\n"]);
        Ahead::open(folder.path()).unwrap().0.write(&all).unwrap();
        let log = folder.path().join(FILE);
        let whole = fs::read(&log).unwrap();
        let second = whole.len() / 2;
        for length in 0..=whole.len() {
            fs::write(&log, &whole[..length]).unwrap();
            let Left { objects: kept, is_torn, bytes, .. } = Left::of(&log).unwrap();
            assert!(bytes as usize == length || is_torn && (bytes as usize) < length, "{length}: {bytes}");
            assert_eq!(!is_torn, length == whole.len() || length == 0 || length == second, "{length}");
            assert_eq!(kept, all[..kept.len()]);
            assert_eq!(kept.len(), usize::from(length + 1 > second) + usize::from(length == whole.len()), "{length}");
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&log, changed).unwrap();
        assert_eq!(Left::of(&log).unwrap().objects, all[..1]);
        for length in [u64::MAX, 9] {
            fs::write(&log, format!("blob {length} {}\nfirst\n", all[0].id)).unwrap();
            assert_eq!(Left::of(&log).unwrap().objects, [], "{length}");
        }
    }
}
