//! Object: the bytes of a git object, made without an archive. Pure.

use std::fmt;

use git2::{ObjectType, Oid};

use crate::archive::id::{BlobId, CommitId, GitId, TreeId};

/// An object to be written, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub kind: ObjectType,
    pub bytes: Vec<u8>,
    pub id: Oid,
}

/// What an object is to us; errors name it beside the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A commit itself.
    Commit,
    /// The files of a candidate.
    Tree {
        /// The candidate's commit.
        commit: CommitId,
    },
    /// The program of a candidate.
    Program {
        /// The candidate's commit.
        commit: CommitId,
    },
    /// The proposal that made a candidate.
    Proposal {
        /// The candidate's commit.
        commit: CommitId,
    },
    /// The commit of a candidate's parent.
    Parent,
    /// Something that the journal names and that was to be kept.
    Kept,
    /// A blob that the journal names.
    Blob,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit => f.write_str("commit"),
            Self::Tree { commit } => write!(f, "tree of commit {commit}"),
            Self::Program { commit } => write!(f, "program of commit {commit}"),
            Self::Proposal { commit } => write!(f, "proposal of commit {commit}"),
            Self::Parent => f.write_str("parent commit"),
            Self::Kept => f.write_str("kept object"),
            Self::Blob => f.write_str("blob"),
        }
    }
}

/// Author and committer of a commit at once.
pub(super) struct Signature<'a> {
    pub name: &'a str,
    pub email: &'a str,
    /// Seconds since 1970, UTC.
    pub time: u64,
}

/// What a commit says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts {
    /// The files of the candidate.
    pub tree: TreeId,
    /// The commits of its parents.
    pub parents: Vec<CommitId>,
    /// Who `git blame` names: the proposal.
    pub author: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Name, description and trailers.
    pub message: String,
}

impl CommitFacts {
    /// Reads what [`Object::commit`] writes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, message) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut fields = head.lines().filter_map(|line| line.split_once(' ')).peekable();
        let (_, tree) = fields.next_if(|(key, _)| *key == "tree")?;
        let mut parents = Vec::new();
        while let Some((_, parent)) = fields.next_if(|(key, _)| *key == "parent") {
            parents.push(parent.parse().ok()?);
        }
        let (_, by) = fields.next_if(|(key, _)| *key == "author")?;
        let (author, rest) = by.split_once(" <")?;
        let time = rest.split_once("> ")?.1.split_once(' ')?.0.parse().ok()?;
        Some(Self { tree: tree.parse().ok()?, parents, author: author.into(), time, message: message.into() })
    }
}

/// The names and ids in a tree of plain files.
pub(super) fn tree_entries(mut bytes: &[u8]) -> Option<Vec<(String, Oid)>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix("100644 ")?;
        let (id, rest) = bytes[end + 1..].split_at_checked(20)?;
        entries.push((name.to_owned(), Oid::from_bytes(id).ok()?));
        bytes = rest;
    }
    Some(entries)
}

/// What an object names, with the kind that it is to be. Of an object that is no git object, nothing.
pub(super) fn children(kind: ObjectType, bytes: &[u8]) -> Vec<(Oid, ObjectType)> {
    match kind {
        ObjectType::Commit => CommitFacts::parse(bytes).map_or(Vec::new(), |CommitFacts { tree, parents, .. }| {
            let parents = parents.iter().map(|parent| (parent.oid(), ObjectType::Commit));
            parents.chain([(tree.oid(), ObjectType::Tree)]).collect()
        }),
        ObjectType::Tree => tree_children(bytes).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Files and folders in a tree that anybody wrote.
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

    /// A folder of plain files; git wants them sorted by the bytes of their names.
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
