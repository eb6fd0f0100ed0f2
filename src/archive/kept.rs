//! Keeps every candidate reachable, in batches.
//!
//! One ref for each candidate would be simpler, but listing 20,000 refs takes seconds. Instead one ref names the newest
//! of a chain of commits, each of which has a batch of candidates as further parents. The chain follows from the
//! candidates and their order: the last, unfinished batch is replaced as it grows, so an interrupted run ends with the
//! same chain as an uninterrupted one.

use crate::archive::id::{CommitId, GitId, TreeId};
use crate::archive::object::{Object, Signature};

/// Git handles a commit with this many parents well.
const BATCH: usize = 256;

/// The commits of all candidates, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    epoch: i64,
    /// How many there are.
    count: u64,
    /// The newest finished batch.
    head: Option<CommitId>,
    /// Commits of finished batches that the caller has not taken yet.
    finished: Vec<Object>,
    batch: Vec<CommitId>,
}

impl Kept {
    /// Times count from the epoch of the run.
    pub fn new(epoch: i64) -> Self {
        Self { epoch, count: 0, head: None, finished: Vec::new(), batch: Vec::new() }
    }

    /// Adds the next candidate.
    pub fn add(&mut self, commit: CommitId) {
        self.batch.push(commit);
        self.count += 1;
        if self.batch.len() == BATCH {
            let object = self.commit();
            self.head = Some(CommitId::from_oid(object.id));
            self.finished.push(object);
            self.batch.clear();
        }
    }

    /// The new objects since the last call and the newest commit; `None` without a candidate.
    pub fn take(&mut self) -> Option<(Vec<Object>, CommitId)> {
        let mut objects = std::mem::take(&mut self.finished);
        objects.extend((!self.batch.is_empty()).then(|| self.commit()));
        let newest = objects.last().map(|object| CommitId::from_oid(object.id)).or(self.head)?;
        objects.push(Object::tree([]));
        Some((objects, newest))
    }

    /// The commit of the batch, not older than its parents.
    fn commit(&self) -> Object {
        let parents: Vec<_> = self.head.into_iter().chain(self.batch.iter().copied()).collect();
        let time = u64::try_from(self.epoch).unwrap_or(0).saturating_add(self.count - 1);
        let by = Signature { name: "packevolve", email: "packevolve@packevolve", time };
        let message = "kept\n\nKeeps the candidates of the run from garbage collection.\n";
        Object::commit(TreeId::from_oid(Object::tree([]).id), &parents, &by, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn commit(number: u64) -> CommitId {
        let mut bytes = [7; 20];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        CommitId(bytes)
    }

    #[test]
    fn the_chain_is_the_same_however_often_it_was_taken() {
        for count in [1, 255, 256, 257, 700] {
            let (mut once, mut often) = (Kept::new(9), Kept::new(9));
            let mut taken = BTreeSet::new();
            for number in 0..count {
                once.add(commit(number));
                often.add(commit(number));
                if number % 37 == 0 {
                    taken.extend(often.take().unwrap().0.into_iter().map(|object| object.id));
                }
            }
            let (all, head) = once.take().unwrap();
            let (last, same) = often.take().unwrap();
            taken.extend(last.into_iter().map(|object| object.id));
            assert_eq!(head, same, "{count}");
            assert!(all.iter().all(|object| taken.contains(&object.id)), "{count}");
        }
        assert_eq!(Kept::new(9).take(), None);
    }

    #[test]
    fn every_candidate_is_a_parent_in_the_chain() {
        let mut kept = Kept::new(9);
        (0..600).for_each(|number| kept.add(commit(number)));
        let (objects, head) = kept.take().unwrap();
        let parents: String = objects.iter().map(|object| String::from_utf8_lossy(&object.bytes)).collect();
        assert!((0..600).all(|number| parents.contains(&format!("parent {}\n", commit(number)))));
        assert!(objects.iter().any(|object| object.id == head.oid()));
    }
}
