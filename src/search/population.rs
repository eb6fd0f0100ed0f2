//! Population: the best candidates so far, bounded. Its content does not depend on the order in which they came.

use crate::candidate::CandidateId;

/// The best measured candidates, best first; of equal scores the older first.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    capacity: usize,
    members: Vec<Member>,
}

/// A candidate that may be chosen as a parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// Which one.
    pub candidate: CandidateId,
    /// Its `combined_score`.
    pub score: f64,
}

impl Population {
    /// Room for `capacity` members, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), members: Vec::new() }
    }

    /// Takes in a candidate if it is among the best; the worst makes room.
    pub fn admit(&mut self, member: Member) {
        let better = |other: &Member| {
            other.score > member.score || (other.score == member.score && other.candidate < member.candidate)
        };
        let rank = self.members.iter().take_while(|other| better(other)).count();
        self.members.insert(rank, member);
        self.members.truncate(self.capacity);
    }

    /// Best first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The score that a candidate has to beat to be admitted; `None` while there is room.
    pub fn admission_score(&self) -> Option<f64> {
        if self.members.len() < self.capacity { None } else { self.members.last().map(|member| member.score) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(scores: &[(u64, f64)], capacity: usize) -> Population {
        let mut population = Population::new(capacity);
        for (candidate, score) in scores {
            population.admit(Member { candidate: CandidateId(*candidate), score: *score });
        }
        population
    }

    #[test]
    fn the_worst_makes_room_and_sets_the_score_to_beat() {
        let population = filled(&[(0, 0.1), (1, 0.5), (2, 0.3)], 2);
        assert_eq!(population.members().iter().map(|m| m.candidate.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(population.admission_score(), Some(0.3));
        assert_eq!(filled(&[(0, 0.1)], 2).admission_score(), None);
    }

    proptest! {
        #[test]
        fn the_members_do_not_depend_on_the_order_of_arrival(
            scores in prop::collection::vec(-1.0f64..1.0, 0..30),
            capacity in 1usize..10,
            rotation in 0usize..30,
        ) {
            let numbered: Vec<(u64, f64)> = scores.into_iter().enumerate().map(|(i, s)| (i as u64, s)).collect();
            let mut other = numbered.clone();
            other.rotate_left(rotation.min(numbered.len()));
            prop_assert_eq!(filled(&numbered, capacity), filled(&other, capacity));
        }

        #[test]
        fn no_member_is_worse_than_anyone_left_out(scores in prop::collection::vec(-1.0f64..1.0, 1..30)) {
            let numbered: Vec<(u64, f64)> = scores.iter().enumerate().map(|(i, s)| (i as u64, *s)).collect();
            let population = filled(&numbered, 5);
            let mut sorted = scores;
            sorted.sort_by(|a, b| b.total_cmp(a));
            let kept: Vec<f64> = population.members().iter().map(|m| m.score).collect();
            prop_assert_eq!(&kept[..], &sorted[..kept.len()]);
        }
    }
}
