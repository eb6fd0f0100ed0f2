//! Delivery: the files of loads of a session. A file is taken from where the harness has it, if this machine sees that
//! too, from a folder that keeps earlier deliveries, or else from the harness, chunk by chunk. Never uses a file without
//! the digest that the session gives it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;
use packevolve_contract::loads::LoadsFile;
use packevolve_contract::protocol::{CHUNK, Chunk};
use packevolve_loads::source::LoadsAt;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The digits of a digest.
const DIGITS: usize = 32;
/// The folder forgets what was not used for this long.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The size of a read, bytes.
const READ: usize = 1 << 16;

#[derive(Debug, Error)]
pub enum DeliveryError {
    #[error("cannot keep loads in {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{} belongs to another user, or others can read it", .0.display())]
    Shared(PathBuf),
    #[error("{:?} is not the digest of a file", .0)]
    Digest(String),
    #[error("loads arrive that were not asked for")]
    Unasked,
    #[error("the content of {} has changed while it was sent", .0.display())]
    Changed(PathBuf),
}

/// The files of a session, as far as they are here.
#[derive(Debug)]
pub struct Delivery {
    files: Vec<LoadsFile>,
    /// The first of them.
    found: Vec<LoadsAt>,
    /// The next one, if it comes from the harness.
    arriving: Option<Arriving>,
    folder: PathBuf,
}

/// A file of which a part has arrived. Dropped, it leaves nothing behind.
#[derive(Debug)]
struct Arriving {
    path: PathBuf,
    file: File,
    bytes: u64,
    hash: Sha256,
}

impl Delivery {
    /// Nothing is looked for yet.
    pub fn new(files: Vec<LoadsFile>) -> Self {
        Self::into_folder(files, std::env::temp_dir().join(format!("packevolve-loads-{}", geteuid())))
    }

    fn into_folder(files: Vec<LoadsFile>, folder: PathBuf) -> Self {
        Self { files, found: Vec::new(), arriving: None, folder }
    }

    /// The digest of the file that is missing next, and how much of it has arrived; `None` once all files are here.
    ///
    /// # Errors
    /// The folder of deliveries cannot be used.
    pub fn missing(&mut self) -> Result<Option<(String, u64)>, DeliveryError> {
        while let Some(file) = self.files.get(self.found.len()) {
            if let Some(arriving) = &self.arriving {
                return Ok(Some((file.digest.clone(), arriving.bytes)));
            }
            if file.digest.len() != DIGITS || !file.digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(DeliveryError::Digest(file.digest.clone()));
            }
            let kept = self.folder.join(&file.digest);
            if holds(&file.path, file) {
                self.found.push(LoadsAt { name: file.path.clone(), at: file.path.clone() });
            } else if is_own(&self.folder) && holds(&kept, file) {
                used_now(&kept);
                self.found.push(LoadsAt { name: file.path.clone(), at: kept });
            } else {
                self.arriving = Some(Arriving::new(&self.folder, &file.digest)?);
                self.end_if_whole()?;
            }
        }
        Ok(None)
    }

    /// Takes a chunk of the file that is missing.
    ///
    /// # Errors
    /// It is another chunk, or it cannot be written.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), DeliveryError> {
        let file = self.files.get(self.found.len()).ok_or(DeliveryError::Unasked)?;
        let arriving = self.arriving.as_mut().ok_or(DeliveryError::Unasked)?;
        let bytes = hex::decode(&chunk.bytes).map_err(|_| DeliveryError::Unasked)?;
        let fits = (1..=CHUNK).contains(&bytes.len()) && bytes.len() as u64 <= file.bytes - arriving.bytes;
        if chunk.digest != file.digest || chunk.offset != arriving.bytes || !fits {
            return Err(DeliveryError::Unasked);
        }
        arriving.hash.update(&bytes);
        arriving.bytes += bytes.len() as u64;
        arriving.file.write_all(&bytes).map_err(|source| in_folder(&self.folder, source))?;
        self.end_if_whole()
    }

    fn end_if_whole(&mut self) -> Result<(), DeliveryError> {
        let file = &self.files[self.found.len()];
        let Some(arriving) = self.arriving.take_if(|arriving| arriving.bytes == file.bytes) else { return Ok(()) };
        if digits(arriving.hash.clone()) != file.digest {
            return Err(DeliveryError::Changed(file.path.clone()));
        }
        let kept = self.folder.join(&file.digest);
        fs::rename(&arriving.path, &kept).map_err(|source| in_folder(&self.folder, source))?;
        forget_old(&self.folder);
        self.found.push(LoadsAt { name: file.path.clone(), at: kept });
        Ok(())
    }

    /// All files, in the order of the session.
    pub fn into_files(self) -> Vec<LoadsAt> {
        assert_eq!(self.found.len(), self.files.len(), "BUG: a file is missing");
        self.found
    }
}

impl Arriving {
    fn new(folder: &Path, digest: &str) -> Result<Self, DeliveryError> {
        let made = fs::DirBuilder::new().mode(0o700).create(folder);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(in_folder(folder, error)),
            _ if !is_own(folder) => return Err(DeliveryError::Shared(folder.to_owned())),
            _ => {}
        }
        let path = folder.join(format!("{digest}.{}", std::process::id()));
        // Left by a process of the same number.
        let _ = fs::remove_file(&path);
        let file = File::create_new(&path).map_err(|source| in_folder(folder, source))?;
        Ok(Self { path, file, bytes: 0, hash: Sha256::new() })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Once it is whole it has another name.
        let _ = fs::remove_file(&self.path);
    }
}

fn in_folder(folder: &Path, source: io::Error) -> DeliveryError {
    DeliveryError::Folder { path: folder.to_owned(), source }
}

/// Whether a folder belongs to this user alone.
fn is_own(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|data| data.is_dir() && data.uid() == geteuid().as_raw() && data.mode() & 0o077 == 0)
}

/// Whether a path leads to the content of `file`.
fn holds(path: &Path, file: &LoadsFile) -> bool {
    let is_as_long = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == file.bytes);
    is_as_long && digest_of(path).is_ok_and(|digest| digest == file.digest)
}

fn digest_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), vec![0; READ]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(digits(hash)),
            read => hash.update(&bytes[..read]),
        }
    }
}

fn digits(hash: Sha256) -> String {
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(DIGITS);
    digits
}

fn used_now(path: &Path) {
    let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes what was not used for long.
fn forget_old(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > KEPT) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> LoadsFile {
        let digest = digits(Sha256::new_with_prefix(content));
        LoadsFile { path: "/nowhere/w.csv".into(), bytes: content.len() as u64, digest }
    }

    fn chunk(file: &LoadsFile, offset: usize, content: &[u8]) -> Chunk {
        Chunk { digest: file.digest.clone(), offset: offset as u64, bytes: hex::encode(content) }
    }

    /// Has a file delivered in chunks of two bytes; how many there were.
    fn deliver(delivery: &mut Delivery, content: &[u8]) -> usize {
        let mut chunks = 0;
        while let Some((digest, offset)) = delivery.missing().unwrap() {
            let offset = offset as usize;
            let bytes = hex::encode(&content[offset..content.len().min(offset + 2)]);
            delivery.take(&Chunk { digest, offset: offset as u64, bytes }).unwrap();
            chunks += 1;
        }
        chunks
    }

    #[test]
    fn a_file_travels_once_and_is_found_by_its_digest_after_that() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("kept");
        let (one, other) = (file(b"1,2,3"), file(b""));
        for chunks in [3, 0] {
            let mut delivery = Delivery::into_folder(vec![one.clone(), other.clone(), one.clone()], folder.clone());
            assert_eq!(deliver(&mut delivery, b"1,2,3"), chunks);
            let files = delivery.into_files();
            assert!(files.iter().all(|file| file.name == Path::new("/nowhere/w.csv")));
            let contents: Vec<_> = files.iter().map(|file| fs::read(&file.at).unwrap()).collect();
            assert_eq!(contents, [&b"1,2,3"[..], b"", b"1,2,3"]);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing but the files is left");
        // What was changed there is sent again.
        fs::write(folder.join(&one.digest), "1,2,4").unwrap();
        let mut delivery = Delivery::into_folder(vec![one], folder);
        assert_eq!(deliver(&mut delivery, b"1,2,3"), 3);
    }

    #[test]
    fn a_file_that_this_machine_sees_does_not_travel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        fs::write(&path, "1,2,3").unwrap();
        let seen = LoadsFile { path: path.clone(), ..file(b"1,2,3") };
        let mut delivery = Delivery::into_folder(vec![seen], folder.path().join("kept"));
        assert_eq!(delivery.missing().unwrap(), None);
        assert_eq!(delivery.into_files(), [LoadsAt { name: path.clone(), at: path }]);
    }

    #[test]
    fn what_was_not_asked_for_is_refused_and_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("kept");
        let wanted = file(b"1,2,3");
        for wrong in [
            chunk(&file(b"other"), 0, b"1,2"),
            chunk(&wanted, 1, b"1,2"),
            chunk(&wanted, 0, b"1,2,3,4"),
            chunk(&wanted, 0, b""),
            Chunk { bytes: "xy".to_owned(), ..chunk(&wanted, 0, b"") },
        ] {
            let mut delivery = Delivery::into_folder(vec![wanted.clone()], folder.clone());
            assert!(delivery.take(&wrong).is_err(), "before anything is missing");
            delivery.missing().unwrap();
            assert!(matches!(delivery.take(&wrong), Err(DeliveryError::Unasked)), "{wrong:?}");
        }
        let mut delivery = Delivery::into_folder(vec![wanted.clone()], folder.clone());
        delivery.missing().unwrap();
        assert!(matches!(delivery.take(&chunk(&wanted, 0, b"1,2,4")), Err(DeliveryError::Changed(_))));
        drop(delivery);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        for digest in ["../../etc/passwd", "", "é0000000000000000000000000000000"] {
            let file = LoadsFile { digest: digest.to_owned(), ..wanted.clone() };
            assert!(matches!(
                Delivery::into_folder(vec![file], folder.clone()).missing(),
                Err(DeliveryError::Digest(_))
            ));
        }
    }

    #[test]
    fn a_folder_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut delivery = Delivery::into_folder(vec![file(b"1,2,3")], folder.path().to_owned());
        assert!(matches!(delivery.missing(), Err(DeliveryError::Shared(_))));
    }
}
