//! Front: the commit by which git shows the front: its parents are the programs. One ref to one commit, and no branch for
//! each of them, as branches would have to be removed again: libgit2 then writes anew what refs a collection of garbage has
//! packed, by what it had read before, and can turn back others that were packed meanwhile.

use crate::archive::id::{CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// The objects to be written, and the commit.
pub(super) fn draft(members: &[CommitId], time: u64) -> ([Object; 2], CommitId) {
    let tree = Object::tree([]);
    let by = Signature { name: "packevolve", email: "packevolve@packevolve", time };
    let message = "front\n\nThe parents are the programs that nothing exceeds in both quality and speed.\n";
    let commit = Object::commit(TreeId::from_oid(tree.id), members, &by, message);
    let id = CommitId::from_oid(commit.id);
    ([tree, commit], id)
}
