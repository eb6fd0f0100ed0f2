//! Population: the candidates that may become parents: the best of each cell of a grid over quality and speed, and of
//! those the best, bounded. Its content does not depend on the order in which they came.
//!
//! Without the grid the population fills with copies of its best member: most mutations change next to nothing, so a
//! dozen of them score within the noise of their parent, and everything that is good in another way is crowded out.
//! (The grid is MAP-Elites, Mouret and Clune 2015.)

use packevolve_contract::objective::Scores;
use serde::{Deserialize, Serialize};

use crate::values::candidate::CandidateId;

/// Width of a cell, in units of `quality` and of `speed_score`: well above what the same program scores from one
/// evaluation to the next.
const CELL: f64 = 0.04;

/// The members, best first; of equal scores the older first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Population {
    capacity: usize,
    members: Vec<Member>,
}

/// A candidate that may be chosen as a parent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Which one.
    pub candidate: CandidateId,
    /// Its `combined_score`.
    pub score: f64,
    /// Its `quality`; 0 where no case counts.
    pub quality: f64,
    /// Its `speed_score`.
    pub speed: f64,
}

impl Member {
    /// A candidate with its scores.
    pub fn new(candidate: CandidateId, scores: &Scores) -> Self {
        let Scores { combined_score: score, quality, speed_score: speed, .. } = *scores;
        Self { candidate, score, quality: quality.unwrap_or(0.0), speed }
    }

    /// Its place in the grid over quality and speed.
    pub fn cell(&self) -> (i64, i64) {
        let cell = |value: f64| (value / CELL).floor() as i64;
        (cell(self.quality), cell(self.speed))
    }

    /// Whether it comes before another: the higher score, or else the lower number.
    pub fn precedes(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.candidate < other.candidate)
    }

    /// Whether it is faster than another, or as fast and better, or else has the lower number.
    pub fn is_faster(&self, other: &Self) -> bool {
        let order = self.speed.total_cmp(&other.speed).then(self.quality.total_cmp(&other.quality));
        order.then(other.candidate.cmp(&self.candidate)).is_gt()
    }

    /// Whether it is at least as good as another in quality and in speed; of two that are alike, the older one.
    pub fn dominates(&self, other: &Self) -> bool {
        let alike = self.quality == other.quality && self.speed == other.speed;
        self.quality >= other.quality && self.speed >= other.speed && (!alike || self.candidate < other.candidate)
    }
}

impl Population {
    /// Room for `capacity` members, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), members: Vec::new() }
    }

    /// Takes in a candidate if it is the best of its cell and among the best of all; the worse ones make room. Whether
    /// it is a member now.
    pub fn admit(&mut self, member: Member) -> bool {
        match self.members.iter().position(|other| other.cell() == member.cell()) {
            Some(at) if member.precedes(&self.members[at]) => drop(self.members.remove(at)),
            Some(at) => return self.members[at].candidate == member.candidate,
            None => {}
        }
        let rank = self.members.iter().take_while(|other| other.precedes(&member)).count();
        self.members.insert(rank, member);
        self.members.truncate(self.capacity);
        rank < self.capacity
    }

    /// Takes a candidate out, if it is a member.
    pub fn remove(&mut self, candidate: CandidateId) {
        self.members.retain(|member| member.candidate != candidate);
    }

    /// Best first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The score that a candidate of a new cell has to beat to be admitted; `None` while there is room.
    pub fn admission_score(&self) -> Option<f64> {
        if self.members.len() < self.capacity { None } else { self.members.last().map(|member| member.score) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Member {
        /// With equal weights.
        pub(crate) fn at(candidate: CandidateId, quality: f64, speed: f64) -> Self {
            Self { candidate, score: 0.5 * quality + 0.5 * speed, quality, speed }
        }
    }

    fn member(candidate: u64, quality: f64, speed: f64) -> Member {
        Member::at(CandidateId(candidate), quality, speed)
    }

    fn filled(members: &[Member], capacity: usize) -> Population {
        let mut population = Population::new(capacity);
        for member in members {
            population.admit(*member);
        }
        population
    }

    fn numbers(population: &Population) -> Vec<u64> {
        population.members().iter().map(|member| member.candidate.0).collect()
    }

    #[test]
    fn the_worst_makes_room_and_sets_the_score_to_beat() {
        let members = [member(0, 0.1, 0.1), member(1, 0.5, 0.5), member(2, 0.3, 0.3)];
        let population = filled(&members, 2);
        assert_eq!(numbers(&population), [1, 2]);
        assert_eq!(population.admission_score(), Some(0.3));
        assert_eq!(filled(&members[..1], 2).admission_score(), None);
    }

    #[test]
    fn copies_of_the_best_do_not_crowd_out_what_is_good_in_another_way() {
        let members = [member(0, 0.9, 0.1), member(1, 0.61, 0.61), member(2, 0.611, 0.611), member(3, 0.612, 0.612)];
        assert_eq!(numbers(&filled(&members, 3)), [3, 0]);
    }

    pub(crate) fn some_members() -> impl Strategy<Value = Vec<Member>> {
        let scores = prop::collection::vec((-1.0f64..1.0, -1.0f64..1.0), 0..40);
        scores.prop_map(|scores| {
            let numbered = scores.into_iter().enumerate();
            numbered.map(|(number, (quality, speed))| member(number as u64, quality, speed)).collect()
        })
    }

    proptest! {
        #[test]
        fn the_members_do_not_depend_on_the_order_of_arrival(
            (members, shuffled) in some_members().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            capacity in 1usize..10,
        ) {
            prop_assert_eq!(filled(&members, capacity), filled(&shuffled, capacity));
        }

        #[test]
        fn the_best_of_all_is_always_a_member(members in some_members(), capacity in 1usize..10) {
            let population = filled(&members, capacity);
            let best = members.iter().copied().reduce(|a, b| if b.precedes(&a) { b } else { a });
            prop_assert_eq!(population.members().first().copied(), best);
        }
    }
}
