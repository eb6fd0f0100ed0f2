//! Loose: reads the file of one object, believing none of its bytes.
//!
//! Not git2's reader, which does not come back from a file that ends too early (its inflate loop makes no progress
//! and asks again, seen with libgit2 1.9.7), takes a file for whole that has bytes after its end, and pads a body that
//! is too short. This one is as strict as `git fsck`. What both leave unseen is a change of the compressed form that
//! means the same content: nothing tells it from another way to compress.

use std::io::Read;

use flate2::read::ZlibDecoder;
use git2::{ObjectType, Oid};

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
