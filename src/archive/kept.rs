//! Kept: how everything that the journal names stays reachable, in batches.
//!
//! One ref a candidate would be simpler, but listing 20,000 refs takes seconds. So there is one ref, to the newest of a
//! chain of commits; each has a batch of candidates' commits as further parents and a batch of blobs as its tree. The
//! chain is a function of what was added and in what order: the last, unfinished batch is written anew when it has
//! grown, so that a run that was interrupted ends with the same chain as one that was not.

use git2::Oid;
use serde::{Deserialize, Serialize};

use crate::archive::id::{BlobId, CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// Commits and blobs of one batch together; git walks a commit of that many parents without trouble.
const BATCH: usize = 256;

/// What the journal names, in the journal's order; see [`Repository::keep`](crate::archive::Repository::keep).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    epoch: i64,
    batch_size: usize,
    /// The newest finished batch.
    head: Option<CommitId>,
    /// Finished batches that are not in the archive yet.
    #[serde(skip)]
    finished: Vec<Object>,
    batch: Batch,
    /// What was added since the last write.
    #[serde(skip)]
    fresh: Vec<Oid>,
    last: Last,
}

/// The last write, as far as it is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    /// The newest commit of the chain that it wrote, and the newest finished batch then.
    newest: Option<CommitId>,
    finished: Option<CommitId>,
    /// How much of the batch that was begun then had been added.
    begun: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Batch {
    commits: Vec<CommitId>,
    blobs: Vec<BlobId>,
    /// The newest candidate so far; a commit should not be older than its parents.
    number: u64,
}

impl Kept {
    /// Nothing yet; times count from the run's epoch.
    pub fn new(epoch: i64) -> Self {
        Self {
            epoch,
            batch_size: BATCH,
            head: None,
            finished: Vec::new(),
            batch: Batch::default(),
            fresh: Vec::new(),
            last: Last::default(),
        }
    }

    /// As if all that was added had been written.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if let Some((_, head)) = self.draft() {
            self.written(head);
        }
        self
    }

    /// Smaller batches, for tests of what happens between them.
    #[cfg(test)]
    pub(super) fn with_batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// Adds a candidate, and with it its program and its proposal.
    pub fn add_candidate(&mut self, number: u64, commit: CommitId) {
        self.batch.commits.push(commit);
        self.batch.number = self.batch.number.max(number);
        self.added(commit.oid());
    }

    /// Adds a blob that no commit holds.
    pub fn add_blob(&mut self, blob: BlobId) {
        self.batch.blobs.push(blob);
        self.added(blob.oid());
    }

    fn added(&mut self, id: Oid) {
        self.fresh.push(id);
        if self.batch.len() == self.batch_size {
            let (objects, head) = self.batch.draft(self.head, self.epoch);
            self.finished.extend(objects);
            self.head = Some(head);
            self.batch = Batch { number: self.batch.number, ..Batch::default() };
        }
    }

    /// Forgets what `head` keeps, if that is a commit of this chain, with `before` as its first parent and so many
    /// `members` of a batch behind that, which was written no earlier than the last write that is known here. Whether it is
    /// one; it may be in the middle of a batch.
    pub(super) fn recall(&mut self, head: CommitId, (before, members): (Option<CommitId>, usize)) -> bool {
        let added = self.last.begun + self.fresh.len();
        assert_eq!(added / self.batch_size, self.finished.len() / 2, "BUG: something was written meanwhile");
        if self.draft().is_some_and(|(_, all)| all == head) {
            self.written(head);
            return true;
        }
        let is_kept = |commit: &Object| commit.id == head.oid() || Some(commit.id) == before.map(|id| id.oid());
        if let Some(newest) = self.finished.chunks(2).rposition(|batch| is_kept(&batch[1])) {
            let finished = CommitId::from_oid(self.finished[2 * newest + 1].id);
            self.finished.drain(..2 * (newest + 1));
            self.fresh.drain(..self.batch_size * (newest + 1) - self.last.begun);
            self.last = Last { newest: Some(head), finished: Some(finished), begun: 0 };
            return true;
        }
        let has_grown = before.is_some() && self.last.finished == before && members > self.last.begun;
        self.last.newest == Some(head) || has_grown
    }

    pub(super) fn fresh(&self) -> &[Oid] {
        &self.fresh
    }

    /// The objects to be written, and the newest commit; none if nothing was added since the last write.
    pub(super) fn draft(&self) -> Option<(Vec<Object>, CommitId)> {
        if self.fresh.is_empty() {
            return None;
        }
        let mut objects = self.finished.clone();
        if self.batch.len() == 0 {
            return Some((objects, self.head.expect("BUG: something was added, so a batch is finished or begun")));
        }
        let (last, head) = self.batch.draft(self.head, self.epoch);
        objects.extend(last);
        Some((objects, head))
    }

    /// All of it is in the archive, and this is the newest commit.
    pub(super) fn written(&mut self, newest: CommitId) {
        self.finished.clear();
        self.fresh.clear();
        self.last = Last { newest: Some(newest), finished: self.head, begun: self.batch.len() };
    }
}

impl Batch {
    fn len(&self) -> usize {
        self.commits.len() + self.blobs.len()
    }

    fn draft(&self, before: Option<CommitId>, epoch: i64) -> (Vec<Object>, CommitId) {
        let names: Vec<_> = self.blobs.iter().map(|blob| (blob.to_string(), *blob)).collect();
        let tree = Object::tree(names.iter().map(|(name, blob)| (name.as_str(), *blob)));
        let parents: Vec<_> = before.into_iter().chain(self.commits.iter().copied()).collect();
        let time = u64::try_from(epoch).unwrap_or(0).saturating_add(self.number);
        let by = Signature { name: "packevolve", email: "packevolve@packevolve", time };
        let message = "kept\n\nKeeps candidates and blobs that the journal names from garbage collection.\n";
        let commit = Object::commit(TreeId::from_oid(tree.id), &parents, &by, message);
        let id = CommitId::from_oid(commit.id);
        (vec![tree, commit], id)
    }
}
