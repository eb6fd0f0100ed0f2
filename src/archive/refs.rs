//! The targets of the archive's refs: the best program, the Pareto front, and the best of every island. A view of the
//! search; only `fsck` reads it back, to compare it with the journal.

use crate::archive::error::ArchiveError;
use crate::archive::front;
use crate::archive::id::CommitId;
use crate::archive::object::Object;
use crate::archive::store::{Archive, BEST, FRONT, ISLANDS};
use crate::search::Search;
use crate::values::candidate::CandidateId;

/// The refs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refs {
    /// The best program; the seed program until a program is measured.
    pub best: CommitId,
    /// The Pareto front of quality and speed, the fastest first.
    pub front: Vec<CommitId>,
    /// The best of every island; `None` for an empty one.
    pub islands: Vec<Option<CommitId>>,
    /// Seconds since 1970, not before the newest member of the front.
    pub(super) time: u64,
}

impl Refs {
    /// Those of a search.
    pub fn of(search: &Search) -> Self {
        let commit = |id: CandidateId| search.candidate(id).expect("BUG: a member is a candidate").commit;
        let members: Vec<CandidateId> = search.elites().front().map(|member| member.candidate).collect();
        let epoch = u64::try_from(search.origin().epoch).unwrap_or(0);
        Self {
            best: commit(search.best().map_or(CandidateId::SEED, |best| best.candidate)),
            time: epoch.saturating_add(members.iter().max().map_or(0, |newest| newest.0)),
            front: members.into_iter().map(commit).collect(),
            islands: (0..search.islands().count()).map(|island| best_of(search, island).map(commit)).collect(),
        }
    }

    /// Not before any object that they name.
    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// The objects that the refs need beside candidates.
    pub(super) fn objects(&self) -> Vec<Object> {
        if self.front.is_empty() { Vec::new() } else { front::draft(&self.front, self.time).0.into() }
    }

    pub(super) fn show(&self, archive: &Archive) -> Result<(), ArchiveError> {
        self.named().into_iter().try_for_each(|(name, commit)| archive.point(&name, commit))?;
        archive.point_head()
    }

    /// Descriptions of the refs that name another object.
    ///
    /// # Errors
    /// A ref cannot be read.
    pub fn differences(&self, archive: &Archive) -> Result<Vec<String>, ArchiveError> {
        let mut differences = Vec::new();
        for (name, expected) in self.named() {
            let found = archive.target(&name)?;
            if found != Some(expected) {
                let found = found.map_or("nothing".to_owned(), |found| found.to_string());
                differences.push(format!("{} names {found}, by the journal it is {expected}", short(&name)));
            }
        }
        if !archive.head_is_best() {
            differences.push("HEAD does not lead to best".to_owned());
        }
        Ok(differences)
    }

    fn named(&self) -> Vec<(String, CommitId)> {
        let front = (!self.front.is_empty()).then(|| (FRONT.to_owned(), front::draft(&self.front, self.time).1));
        let islands = self.islands.iter().enumerate();
        let islands = islands.filter_map(|(number, best)| Some((format!("{ISLANDS}/{number}"), (*best)?)));
        std::iter::once((BEST.to_owned(), self.best)).chain(front).chain(islands).collect()
    }
}

/// The short name of a ref.
fn short(name: &str) -> &str {
    name.trim_start_matches("refs/").trim_start_matches("heads/")
}

/// Of equal ones the oldest, as for the best of a run.
fn best_of(search: &Search, island: usize) -> Option<CandidateId> {
    let members = search.islands().members(island).iter();
    let best = members.max_by(|a, b| a.score.total_cmp(&b.score).then(b.candidate.cmp(&a.candidate)))?;
    Some(best.candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::testing::{Script, World};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn refs_are_the_pareto_front(script in Script::any()) {
            let search = World::finished(script).search;
            let refs = Refs::of(&search);
            let members = |island| search.islands().members(island).iter();
            for (island, best) in refs.islands.iter().enumerate() {
                let score = |commit| members(island).find(|member| search.candidate(member.candidate).unwrap().commit == commit);
                match best {
                    None => prop_assert_eq!(members(island).count(), 0),
                    Some(best) => {
                        let best = score(*best).unwrap();
                        prop_assert!(members(island).all(|other| (other.score, best.candidate) <= (best.score, other.candidate)));
                    }
                }
            }
            let front: BTreeSet<_> = search.elites().front().map(|member| member.candidate).collect();
            let commits: BTreeSet<_> = front.iter().map(|id| search.candidate(*id).unwrap().commit).collect();
            prop_assert_eq!(refs.front.iter().copied().collect::<BTreeSet<_>>(), commits);
            prop_assert_eq!(refs.front.len(), front.len());
        }
    }
}
