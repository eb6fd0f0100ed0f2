//! The bytes of git objects, made without an archive. Pure.

use git2::{ObjectType, Oid};

use crate::archive::id::{BlobId, CommitId, GitId, TreeId};

/// An object with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub kind: ObjectType,
    pub bytes: Vec<u8>,
    pub id: Oid,
}

/// The author, who is also the committer.
pub(super) struct Signature<'a> {
    pub name: &'a str,
    pub email: &'a str,
    /// Seconds since 1970, UTC.
    pub time: u64,
}

/// The objects that an object names, with their kinds. Invalid bytes name nothing.
pub(super) fn children(kind: ObjectType, bytes: &[u8]) -> Vec<(Oid, ObjectType)> {
    match kind {
        ObjectType::Commit => commit_children(bytes).unwrap_or_default(),
        ObjectType::Tree => tree_children(bytes).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn commit_children(bytes: &[u8]) -> Option<Vec<(Oid, ObjectType)>> {
    let head = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?.0;
    let named = head.lines().filter_map(|line| match line.split_once(' ')? {
        ("tree", id) => Some((Oid::from_str(id).ok()?, ObjectType::Tree)),
        ("parent", id) => Some((Oid::from_str(id).ok()?, ObjectType::Commit)),
        _ => None,
    });
    Some(named.collect())
}

fn tree_children(mut bytes: &[u8]) -> Option<Vec<(Oid, ObjectType)>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (id, rest) = bytes[end + 1..].split_at_checked(20)?;
        let kind = if bytes.starts_with(b"40000 ") { ObjectType::Tree } else { ObjectType::Blob };
        entries.push((Oid::from_bytes(id).ok()?, kind));
        bytes = rest;
    }
    Some(entries)
}

impl Object {
    pub fn new(kind: ObjectType, bytes: Vec<u8>) -> Self {
        let id = Oid::hash_object(kind, &bytes).expect("BUG: hashing bytes in memory cannot fail");
        Self { kind, bytes, id }
    }

    pub fn blob(bytes: Vec<u8>) -> Self {
        Self::new(ObjectType::Blob, bytes)
    }

    /// A folder of plain files; git requires them sorted by the bytes of their names.
    pub fn tree<'a>(files: impl IntoIterator<Item = (&'a str, BlobId)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_unstable();
        files.dedup();
        let mut bytes = Vec::new();
        for (name, id) in files {
            bytes.extend_from_slice(b"100644 ");
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(id.oid().as_bytes());
        }
        Self::new(ObjectType::Tree, bytes)
    }

    /// A folder of folders.
    pub fn folders<'a>(folders: impl IntoIterator<Item = (&'a str, TreeId)>) -> Self {
        let mut folders: Vec<_> = folders.into_iter().collect();
        folders.sort_unstable();
        let mut bytes = Vec::new();
        for (name, id) in folders {
            bytes.extend_from_slice(format!("40000 {name}\0").as_bytes());
            bytes.extend_from_slice(id.oid().as_bytes());
        }
        Self::new(ObjectType::Tree, bytes)
    }

    pub fn commit(tree: TreeId, parents: &[CommitId], by: &Signature<'_>, message: &str) -> Self {
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            text += &format!("parent {parent}\n");
        }
        let Signature { name, email, time } = by;
        for role in ["author", "committer"] {
            text += &format!("{role} {name} <{email}> {time} +0000\n");
        }
        text.push('\n');
        text += message;
        Self::new(ObjectType::Commit, text.into_bytes())
    }
}
