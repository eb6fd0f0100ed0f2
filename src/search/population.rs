//! Population: the candidates that may become parents: of the best candidates of each cell of a grid over quality and
//! speed, the best ones, bounded. Its members do not depend on the order in which candidates come.
//!
//! Without the grid a population fills with copies of its best member: most mutations change very little, so a dozen of
//! them score within the noise of their parent and crowd out everything that is good in another way. (The grid is
//! MAP-Elites, Mouret and Clune 2015.)

use packevolve_contract::objective::Scores;

use crate::values::candidate::CandidateId;

/// Width of a cell, in units of `quality` and of `speed_score`: well above the noise between two evaluations of one
/// program.
const CELL: f64 = 0.04;

/// The least that a member is taken to lack of quality 1, because 0 has no logarithm.
const LEAST_LACK: f64 = 1e-4;

/// Members are in order: the best first, of equal scores the older one.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    capacity: usize,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    pub candidate: CandidateId,
    /// Its `combined_score`.
    pub score: f64,
    /// Its `quality`; 0 where no case counts.
    pub quality: f64,
    /// Its `speed_score`.
    pub speed: f64,
}

impl Member {
    pub fn new(candidate: CandidateId, scores: &Scores) -> Self {
        let Scores { combined_score: score, quality, speed_score: speed, .. } = *scores;
        Self { candidate, score, quality: quality.unwrap_or(0.0), speed }
    }

    pub fn cell(&self) -> (i64, i64) {
        let cell = |value: f64| (value / CELL).floor() as i64;
        (cell(self.quality), cell(self.speed))
    }

    /// What its quality lacks of 1.
    pub fn lack(&self) -> f64 {
        (1.0 - self.quality).max(LEAST_LACK)
    }

    /// Whether it ranks before another: by the higher score, or else by the lower number.
    pub fn precedes(&self, other: &Self) -> bool {
        self.score > other.score || (self.score == other.score && self.candidate < other.candidate)
    }

    /// Whether it is faster than another; of two that are equally fast, the better one, or else the one that precedes.
    pub fn is_faster(&self, other: &Self) -> bool {
        let order = self.speed.total_cmp(&other.speed).then(self.quality.total_cmp(&other.quality));
        order.is_gt() || order.is_eq() && self.precedes(other)
    }

    /// Whether it is at least as good as another in quality and in speed; of two equal ones, whether it precedes: policies
    /// that plan alike differ in the time that this takes, which only their score contains.
    pub fn dominates(&self, other: &Self) -> bool {
        let alike = self.quality == other.quality && self.speed == other.speed;
        self.quality >= other.quality && self.speed >= other.speed && (!alike || self.precedes(other))
    }
}

impl Population {
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), members: Vec::new() }
    }

    /// Admits a candidate if it is the best of its cell and among the best of all; worse ones make room. Whether it is a
    /// member now.
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

    pub fn remove(&mut self, candidate: CandidateId) {
        self.members.retain(|member| member.candidate != candidate);
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The score that a candidate of a new cell has to beat to be admitted; `None` while the population has room.
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
    fn the_worst_member_makes_room_and_sets_the_score_to_beat() {
        let members = [member(0, 0.1, 0.1), member(1, 0.5, 0.5), member(2, 0.3, 0.3)];
        let population = filled(&members, 2);
        assert_eq!(numbers(&population), [1, 2]);
        assert_eq!(population.admission_score(), Some(0.3));
        assert_eq!(filled(&members[..1], 2).admission_score(), None);
    }

    #[test]
    fn copies_of_the_best_do_not_crowd_out_candidates_that_are_good_in_another_way() {
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
