//! Loose: the file of one object. Writes it; reads it, believing none of its bytes.
//!
//! Not git2's writer, which looks at every pack of the archive for each object that is new, and compresses it well,
//! though a pack will do so once more. Not git2's reader, which does not come back from a file that ends too early (its
//! inflate loop makes no progress and asks again, seen with libgit2 1.9.7), takes a file for whole that has bytes after
//! its end, and pads a body that is too short. This one is as strict as `git fsck`. What both leave unseen is a change of
//! the compressed form that means the same content: nothing tells it from another way to compress.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use git2::{ObjectType, Oid};

use crate::archive::layout::OBJECT_DRAFT;
use crate::archive::object::Object;

/// Objects are read only, as git has them.
const FILE_MODE: u32 = 0o444;

/// How often the folder of an object is made for it.
const MOST_FOLDERS: usize = 100;

/// Where the file of an object is, in the archive at `archive`.
pub(super) fn path(archive: &Path, id: Oid) -> PathBuf {
    let hex = id.to_string();
    archive.join("objects").join(&hex[..2]).join(&hex[2..])
}

/// Writes the file of an object unless it is there. It appears whole or not at all, and is not synced.
pub(super) fn write(archive: &Path, object: &Object) -> io::Result<()> {
    let (path, draft) = (path(archive, object.id), archive.join(OBJECT_DRAFT));
    if path.try_exists()? {
        return Ok(());
    }
    let open = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft);
    let mut file = match open() {
        // What could not be finished before.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&draft).and_then(|()| open()),
        file => file,
    }?;
    file.write_all(&deflated(object)?)?;
    put(&draft, &path)
}

/// Moves the file of an object to its place. A collection of garbage removes folders that it has emptied, and may come upon
/// one before something is in it.
fn put(draft: &Path, path: &Path) -> io::Result<()> {
    let folder = path.parent().expect("BUG: an object's file is in a folder");
    let mut left = MOST_FOLDERS;
    loop {
        match fs::rename(draft, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && left > 0 => fs::create_dir_all(folder)?,
            moved => return moved,
        }
        left -= 1;
    }
}

/// Compressed as fast as can be: a pack will store it better.
fn deflated(Object { kind, bytes, .. }: &Object) -> io::Result<Vec<u8>> {
    let mut stream = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    stream.write_all(format!("{kind} {}\0", bytes.len()).as_bytes())?;
    stream.write_all(bytes)?;
    stream.finish()
}

/// The kind and the content of an object, from its file: one zlib stream and nothing after it; a header as git writes
/// it; the body that the header announces; all of it hashing to the id. Otherwise what is wrong, as a fragment.
pub(super) fn parse(file: &[u8], id: Oid) -> Result<(ObjectType, Vec<u8>), String> {
    let mut content = inflate(file)?;
    let end = content.iter().position(|byte| *byte == 0).ok_or("its header does not end")?;
    let body = content.split_off(end + 1);
    let header = &content[..end];
    let kind = header.split(|byte| *byte == b' ').next().and_then(|kind| std::str::from_utf8(kind).ok());
    let kind = kind.and_then(ObjectType::from_str).ok_or("its header names no kind of object")?;
    if header != format!("{kind} {}", body.len()).as_bytes() {
        return Err("its header does not fit its body".into());
    }
    match Oid::hash_object(kind, &body) {
        Ok(found) if found == id => Ok((kind, body)),
        Ok(found) => Err(format!("its content is that of {found}")),
        Err(error) => Err(error.message().to_owned()),
    }
}

fn inflate(file: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = ZlibDecoder::new(file);
    let mut content = Vec::new();
    stream.read_to_end(&mut content).map_err(|error| format!("its file does not decompress: {error}"))?;
    match file.len() as u64 - stream.total_in() {
        0 => Ok(content),
        extra => Err(format!("{extra} bytes too many stand at the end of its file")),
    }
}
