//! Notes: texts that git shows below commits, all of them at once. Pure.
//!
//! libgit2 writes one note at a time and reads all the others for it, which grows with the square of their number. So the
//! tree of notes is made here, with the two digits that git fans such a tree out by.

use std::collections::BTreeMap;

use crate::archive::id::{BlobId, CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// The objects of these notes, and their commit; it has no history, as notes are made anew.
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
    let message = "notes\n\nHow candidates were judged. A view of the journal, made anew at the end of the run.\n";
    let commit = Object::commit(TreeId::from_oid(root.id), &[], &by, message);
    let id = CommitId::from_oid(commit.id);
    objects.extend([root, commit]);
    // Equal texts are one object.
    objects.sort_by_key(|object| object.id);
    objects.dedup_by_key(|object| object.id);
    (objects, id)
}
