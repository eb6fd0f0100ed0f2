//! Elites: the Pareto front of quality and speed, and the best candidate of each cell of a grid over the two. Their set
//! does not depend on the order in which candidates come.
//!
//! Each cell keeps its highest score and each band of quality its fastest program; the Pareto front holds those of the
//! fastest that no other one dominates. (The grid is MAP-Elites, Mouret and Clune 2015.)

use std::collections::BTreeMap;

use crate::search::population::Member;
use crate::values::candidate::CandidateId;

/// How many bands quality is divided into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bands {
    /// For each unit of quality.
    OfQuality(usize),
    /// For each tenfold of what quality lacks of 1. Policies that move little may lack a hundred times as much as those that
    /// move much, so bands of one width would be too narrow for the former, and too wide for the latter.
    OfLack(usize),
}

impl Bands {
    fn holding(self, member: &Member) -> i64 {
        let place = match self {
            Self::OfQuality(bands) => member.quality * bands as f64,
            Self::OfLack(bands) => -member.lack().log10() * bands as f64,
        };
        place.floor() as i64
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Elites {
    bands: Bands,
    fastest: BTreeMap<i64, Member>,
    cells: BTreeMap<(i64, i64), Member>,
}

impl Elites {
    /// With a Pareto front of at most one member for each band.
    pub fn new(bands: Bands) -> Self {
        Self { bands, fastest: BTreeMap::new(), cells: BTreeMap::new() }
    }

    /// Admits a candidate to its cell and its band if it is better. Whether it is on the Pareto front now.
    pub fn admit(&mut self, member: Member) -> bool {
        let band = self.bands.holding(&member);
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

    pub fn remove(&mut self, candidate: CandidateId) {
        self.cells.retain(|_, member| member.candidate != candidate);
        self.fastest.retain(|_, member| member.candidate != candidate);
    }

    /// The Pareto front: members that no other one equals or exceeds in both quality and speed, the fastest first.
    pub fn front(&self) -> impl Iterator<Item = &Member> {
        let members = || self.fastest.values();
        members().filter(move |member| !members().any(|other| other.dominates(member)))
    }

    /// All members, each once, by number.
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

    fn filled(members: &[Member]) -> Elites {
        let mut elites = Elites::new(Bands::OfQuality(20));
        for member in members {
            elites.admit(*member);
        }
        elites
    }

    proptest! {
        #[test]
        fn the_elites_do_not_depend_on_the_order_of_arrival(
            (members, shuffled) in some_members().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            prop_assert_eq!(filled(&members), filled(&shuffled));
        }

        #[test]
        fn no_member_of_the_front_is_dominated_and_all_others_are_or_are_near_one_that_is_not(members in some_members()) {
            let elites = filled(&members);
            let front: Vec<Member> = elites.front().copied().collect();
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
        fn the_highest_score_is_always_a_member(members in some_members()) {
            let elites = filled(&members);
            let best = members.iter().copied().reduce(|a, b| if b.precedes(&a) { b } else { a });
            prop_assert!(best.is_none_or(|best| elites.members().contains(&best)));
        }
    }

    #[test]
    fn of_policies_that_plan_alike_the_front_has_the_one_with_the_highest_score_and_of_those_the_oldest() {
        let member = |number, score| Member { score, ..Member::at(CandidateId(number), 0.5, 0.5) };
        let members = [member(1, 0.5), member(2, 0.6), member(3, 0.6), member(4, 0.4)];
        let reversed: Vec<Member> = members.into_iter().rev().collect();
        for members in [&members[..], &reversed] {
            let front: Vec<u64> = filled(members).front().map(|member| member.candidate.0).collect();
            assert_eq!(front, [2]);
        }
    }

    #[test]
    fn bands_of_what_is_lacking_are_finer_the_better_a_policy_is() {
        let members = [(1, -9.0, 0.9), (2, -8.9, 0.8), (3, 0.946, 0.7), (4, 0.956, 0.6)];
        let front = |bands| {
            let mut elites = Elites::new(bands);
            members.iter().for_each(|(number, quality, speed)| {
                elites.admit(Member::at(CandidateId(*number), *quality, *speed));
            });
            elites.front().map(|member| member.candidate.0).collect::<Vec<_>>()
        };
        assert_eq!(front(Bands::OfLack(50)), [1, 3, 4]);
        assert_eq!(front(Bands::OfQuality(50)), [1, 2, 3]);
        let alike = [1.0, 1.5].map(|quality| Bands::OfLack(50).holding(&Member::at(CandidateId(1), quality, 0.5)));
        assert_eq!(alike, [200, 200]);
    }

    #[test]
    fn a_removed_candidate_is_in_no_part() {
        let mut elites = filled(&[Member::at(CandidateId(1), 0.5, 0.5), Member::at(CandidateId(2), -0.5, 0.9)]);
        elites.remove(CandidateId(1));
        assert_eq!(elites.members().len(), 1);
        assert_eq!(elites.front().count(), 1);
    }
}
