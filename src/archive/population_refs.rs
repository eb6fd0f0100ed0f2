//! Leaders: the programs of a population that git shows beside the best: the front, and the best of every island. A view of
//! the search, like the notes; nobody goes by it, and `fsck` holds it against the journal.

use crate::archive::error::RepositoryError;
use crate::archive::repository::Repository;
use crate::search::Search;
use crate::values::candidate::{CandidateId, CommitId};

/// Who leads in a population.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopulationRefs {
    /// What nothing exceeds in both quality and speed, the fastest first.
    pub front: Vec<CommitId>,
    /// The best of every island; `None` of one that is empty yet.
    pub islands: Vec<Option<CommitId>>,
    /// Seconds since 1970: no earlier than the newest of the front.
    time: u64,
}

impl PopulationRefs {
    /// Those of a search.
    pub fn of(search: &Search) -> Self {
        let commit = |id: CandidateId| search.candidate(id).expect("BUG: a member is a candidate").commit;
        let members: Vec<CandidateId> = search.elites().front().map(|member| member.candidate).collect();
        let epoch = u64::try_from(search.origin().epoch).unwrap_or(0);
        Self {
            time: epoch.saturating_add(members.iter().max().map_or(0, |newest| newest.0)),
            front: members.into_iter().map(commit).collect(),
            islands: (0..search.islands().count()).map(|island| best_of(search, island).map(commit)).collect(),
        }
    }

    /// Lets git show them.
    ///
    /// # Errors
    /// An archive that cannot be written to. A ref that cannot be moved is none.
    pub fn show(&self, repository: &Repository) -> Result<(), RepositoryError> {
        for (number, best) in self.islands.iter().enumerate() {
            best.iter().for_each(|best| repository.show_island(number, *best));
        }
        repository.show_front(&self.front, self.time)
    }

    /// What git shows otherwise, in words. Older archives show nothing of it.
    pub fn differences(&self, repository: &Repository) -> Vec<String> {
        let front = (!self.front.is_empty()).then(|| Repository::front_id(&self.front, self.time));
        let islands = self.islands.iter().enumerate();
        let islands = islands.map(|(number, best)| (format!("islands/{number}"), *best, repository.island(number)));
        let all = std::iter::once(("front".to_owned(), front, repository.front())).chain(islands);
        let differ = all.filter_map(|(name, expected, found)| Some((name, expected?, found?)));
        let differ = differ.filter(|(_, expected, found)| expected != found);
        differ.map(|(name, expected, found)| told(&name, expected, found)).collect()
    }
}

fn told(name: &str, expected: CommitId, found: CommitId) -> String {
    format!("packevolve/{name} names {found}, by the journal it is {expected}")
}

/// Of equals the oldest, as with the best of a run.
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
        fn leaders_are_what_nobody_exceeds(script in Script::any()) {
            let search = World::finished(script).search;
            let leaders = PopulationRefs::of(&search);
            let members = |island| search.islands().members(island).iter();
            for (island, best) in leaders.islands.iter().enumerate() {
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
            prop_assert_eq!(leaders.front.iter().copied().collect::<BTreeSet<_>>(), commits);
            prop_assert_eq!(leaders.front.len(), front.len());
        }
    }
}
