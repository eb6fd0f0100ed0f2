//! Islands: populations that evolve apart, so that one leading idea does not crowd out all others at once.
//!
//! At intervals the best of each island is copied to the next one, in a ring. A stagnant island restarts from one member of
//! the Pareto front.

use crate::search::population::{Member, Population};
use crate::values::candidate::CandidateId;
use crate::values::settings::SearchSettings;

#[derive(Clone, Debug, PartialEq)]
struct Island {
    population: Population,
    /// The highest score since its start.
    best: f64,
    since_better: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Islands {
    settings: SearchSettings,
    islands: Vec<Island>,
    evaluations: u64,
}

impl Islands {
    pub fn new(settings: SearchSettings) -> Self {
        let island = Island::new(&settings);
        Self { islands: vec![island; settings.islands.max(1)], evaluations: 0, settings }
    }

    pub fn count(&self) -> usize {
        self.islands.len()
    }

    pub fn members(&self, island: usize) -> &[Member] {
        self.islands[island].population.members()
    }

    /// The score that a candidate has to beat to be admitted; `None` while the island has room.
    pub fn admission_score(&self, island: usize) -> Option<f64> {
        self.islands[island].population.admission_score()
    }

    pub fn found(&mut self, member: Member) {
        for island in &mut self.islands {
            island.admit(member);
        }
    }

    pub fn admit(&mut self, island: usize, member: Member) -> bool {
        self.islands[island].admit(member)
    }

    /// Removes a candidate from all islands, and returns on which it was.
    pub fn remove(&mut self, candidate: CandidateId) -> Vec<usize> {
        let inhabited =
            |island: &Island| island.population.members().iter().any(|member| member.candidate == candidate);
        let of: Vec<usize> = (0..self.count()).filter(|number| inhabited(&self.islands[*number])).collect();
        self.islands.iter_mut().for_each(|island| island.population.remove(candidate));
        of
    }

    pub fn pass(&mut self, island: usize) {
        self.islands[island].since_better += 1;
        self.evaluations += 1;
        if self.count() > 1 && self.evaluations.is_multiple_of(self.settings.migration_interval.max(1)) {
            self.migrate();
        }
    }

    pub fn is_stale(&self, island: usize) -> bool {
        self.count() > 1 && self.islands[island].since_better >= self.settings.stagnation_limit
    }

    pub fn restart(&mut self, island: usize, founder: Member) {
        self.islands[island] = Island::new(&self.settings);
        self.islands[island].admit(founder);
    }

    /// Copies the best of each island, as it was before, to the next one.
    fn migrate(&mut self) {
        let best: Vec<Option<Member>> = (0..self.count()).map(|island| self.members(island).first().copied()).collect();
        for (from, member) in best.into_iter().enumerate() {
            let to = (from + 1) % self.count();
            if let Some(member) = member {
                self.islands[to].admit(member);
            }
        }
    }
}

impl Island {
    fn new(settings: &SearchSettings) -> Self {
        Self { population: Population::new(settings.population_size), best: f64::NEG_INFINITY, since_better: 0 }
    }

    fn admit(&mut self, member: Member) -> bool {
        if member.score > self.best {
            (self.best, self.since_better) = (member.score, 0);
        }
        self.population.admit(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::population::tests::some_members;
    use crate::values::settings::Settings;
    use proptest::prelude::*;

    fn settings() -> SearchSettings {
        let Settings { search, .. } = Settings::example();
        SearchSettings { islands: 3, population_size: 4, migration_interval: 5, stagnation_limit: 7, ..search }
    }

    fn ids(islands: &Islands, island: usize) -> Vec<CandidateId> {
        islands.members(island).iter().map(|member| member.candidate).collect()
    }

    #[test]
    fn the_best_of_each_moves_on_by_one_island() {
        let mut islands = Islands::new(settings());
        for (island, score) in [0.1, 0.5, 0.9].into_iter().enumerate() {
            islands.admit(island, Member::at(CandidateId(island as u64), score, score));
        }
        (0..4).for_each(|_| islands.pass(0));
        assert_eq!(ids(&islands, 1), [CandidateId(1)]);
        islands.pass(0);
        let two = |a, b| vec![CandidateId(a), CandidateId(b)];
        assert_eq!([ids(&islands, 0), ids(&islands, 1), ids(&islands, 2)], [two(2, 0), two(1, 0), two(2, 1)]);
    }

    #[test]
    fn an_island_that_stagnates_is_stale_until_it_restarts() {
        let mut islands = Islands::new(settings());
        islands.found(Member::at(CandidateId(0), 0.5, 0.5));
        (0..7).for_each(|_| islands.pass(1));
        assert!(islands.is_stale(1) && !islands.is_stale(0));
        islands.restart(1, Member::at(CandidateId(9), 0.1, 0.1));
        assert!(!islands.is_stale(1));
        assert_eq!(ids(&islands, 1), [CandidateId(9)]);
    }

    proptest! {
        #[test]
        fn no_candidate_is_on_an_island_twice_and_none_is_overfull(members in some_members(), places in any::<u64>()) {
            let mut islands = Islands::new(settings());
            for (number, member) in members.iter().enumerate() {
                let island = (places.rotate_left(number as u32) % 3) as usize;
                islands.admit(island, *member);
                islands.pass(island);
                for island in 0..3 {
                    let mut numbers = ids(&islands, island);
                    prop_assert!(numbers.len() <= 4);
                    numbers.sort();
                    numbers.dedup();
                    prop_assert_eq!(numbers.len(), islands.members(island).len());
                }
            }
        }

        #[test]
        fn the_best_of_all_is_on_some_island(members in some_members()) {
            let mut islands = Islands::new(settings());
            for (number, member) in members.iter().enumerate() {
                islands.admit(number % 3, *member);
                islands.pass(number % 3);
            }
            let best = members.iter().copied().reduce(|a, b| if b.precedes(&a) { b } else { a });
            let lives = |member: Member| (0..3).any(|island| ids(&islands, island).contains(&member.candidate));
            prop_assert!(best.is_none_or(lives));
        }
    }
}
