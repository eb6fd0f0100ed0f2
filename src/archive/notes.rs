//! The notes of all commits at once. Pure.
//!
//! libgit2 reads all notes to write one, which takes time quadratic in their number. So this file makes the tree of
//! notes, with git's fan-out of two digits.

use std::collections::BTreeMap;

use crate::archive::id::{BlobId, CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// The objects of these notes and their commit, without history, because every write replaces all notes.
pub(super) fn draft(notes: &BTreeMap<CommitId, String>, time: u64) -> (Vec<Object>, CommitId) {
    let mut objects = Vec::new();
    let mut folders: BTreeMap<String, Vec<(String, BlobId)>> = BTreeMap::new();
    for (commit, text) in notes {
        let blob = Object::blob(text.as_bytes().to_vec());
        let name = commit.to_string();
        let (folder, file) = name.split_at(2);
        folders.entry(folder.to_owned()).or_default().push((file.to_owned(), BlobId::from_oid(blob.id)));
        objects.push(blob);
    }
    let mut entries = Vec::new();
    for (folder, files) in folders {
        let tree = Object::tree(files.iter().map(|(name, blob)| (name.as_str(), *blob)));
        entries.push((folder, TreeId::from_oid(tree.id)));
        objects.push(tree);
    }
    let root = Object::folders(entries.iter().map(|(name, tree)| (name.as_str(), *tree)));
    let by = Signature { name: "packevolve", email: "packevolve@packevolve", time };
    let message = "notes\n\nScores of candidates. A view of the journal, rewritten at the end of the run.\n";
    let commit = Object::commit(TreeId::from_oid(root.id), &[], &by, message);
    let id = CommitId::from_oid(commit.id);
    objects.extend([root, commit]);
    // Equal texts are one object.
    objects.sort_by_key(|object| object.id);
    objects.dedup_by_key(|object| object.id);
    (objects, id)
}
