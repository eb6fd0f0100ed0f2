//! The commit whose parents are the programs of the Pareto front. A branch for each of them would have to be removed
//! again; when libgit2 removes a packed ref, it rewrites all packed refs from what it read before, and can revert
//! others.

use crate::archive::id::{CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

pub(super) fn draft(members: &[CommitId], time: u64) -> ([Object; 2], CommitId) {
    let tree = Object::tree([]);
    let by = Signature { name: "packevolve", email: "packevolve@packevolve", time };
    let message = "front\n\nThe parents are the programs that nothing exceeds in both quality and speed.\n";
    let commit = Object::commit(TreeId::from_oid(tree.id), members, &by, message);
    let id = CommitId::from_oid(commit.id);
    ([tree, commit], id)
}
