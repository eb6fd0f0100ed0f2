//! Archive: what is worth keeping of all that was measured: the front of quality and speed, and the best of each cell of
//! a small grid over the same two. Its content does not depend on the order in which candidates came.
//!
//! Both are bounded without an order: each cell keeps its highest score, and each band of quality its fastest program;
//! the front is what of those no other one dominates. (The grid is MAP-Elites, Mouret and Clune 2015.)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::search::population::Member;
use crate::values::candidate::CandidateId;

/// The candidates that were the best at something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Archive {
    /// Bands of quality.
    bands: f64,
    fastest: BTreeMap<i64, Member>,
    cells: BTreeMap<(i64, i64), Member>,
}

impl Archive {
    /// With a front of at most `bands` members for each unit of quality.
    pub fn new(bands: usize) -> Self {
        Self { bands: bands as f64, fastest: BTreeMap::new(), cells: BTreeMap::new() }
    }

    /// Takes in a candidate if it is the best at something; whether it is on the front now.
    pub fn admit(&mut self, member: Member) -> bool {
        let band = (member.quality * self.bands).floor() as i64;
        let keep = |kept: &mut Member, better: bool| {
            if better {
                *kept = member;
            }
        };
        let cell = self.cells.entry(member.cell()).or_insert(member);
        keep(cell, member.precedes(cell));
        let fastest = self.fastest.entry(band).or_insert(member);
        keep(fastest, member.is_faster(fastest));
        fastest.candidate == member.candidate && self.front().any(|other| other.candidate == member.candidate)
    }

    /// Takes a candidate out, wherever it is.
    pub fn remove(&mut self, candidate: CandidateId) {
        self.cells.retain(|_, member| member.candidate != candidate);
        self.fastest.retain(|_, member| member.candidate != candidate);
    }

    /// Those that no other one equals or exceeds in both quality and speed, the fastest first.
    pub fn front(&self) -> impl Iterator<Item = &Member> {
        let members = || self.fastest.values();
        members().filter(move |member| !members().any(|other| other.dominates(member)))
    }

    /// All members, each once, by their numbers.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self.front().chain(self.cells.values()).copied().collect();
        members.sort_by_key(|member| member.candidate);
        members.dedup_by_key(|member| member.candidate);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::population::tests::some_members;
    use proptest::prelude::*;

    fn filled(members: &[Member]) -> Archive {
        let mut archive = Archive::new(20);
        for member in members {
            archive.admit(*member);
        }
        archive
    }

    proptest! {
        #[test]
        fn the_archive_does_not_depend_on_the_order_of_arrival(
            (members, shuffled) in some_members().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            prop_assert_eq!(filled(&members), filled(&shuffled));
        }

        #[test]
        fn nobody_on_the_front_is_dominated_and_everybody_else_is_or_is_near_one_who_is_not(members in some_members()) {
            let archive = filled(&members);
            let front: Vec<Member> = archive.front().copied().collect();
            prop_assert!(members.is_empty() || !front.is_empty());
            for member in &front {
                prop_assert!(!front.iter().any(|other| other.dominates(member)));
            }
            for member in &members {
                let near = |other: &Member| other.quality > member.quality - 0.05 && other.speed >= member.speed;
                prop_assert!(front.iter().any(near), "{member:?}");
            }
        }

        #[test]
        fn the_highest_score_is_always_in_it(members in some_members()) {
            let archive = filled(&members);
            let best = members.iter().copied().reduce(|a, b| if b.precedes(&a) { b } else { a });
            prop_assert!(best.is_none_or(|best| archive.members().contains(&best)));
        }
    }

    #[test]
    fn whoever_is_taken_out_is_in_it_nowhere() {
        let mut archive = filled(&[Member::at(CandidateId(1), 0.5, 0.5), Member::at(CandidateId(2), -0.5, 0.9)]);
        archive.remove(CandidateId(1));
        assert_eq!(archive.members().len(), 1);
        assert_eq!(archive.front().count(), 1);
    }
}
