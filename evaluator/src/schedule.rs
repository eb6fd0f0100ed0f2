//! Schedule: the window of each call of a case, round by round, and the cases that share a child.
//!
//! All cases of a window are made from the same loads, so a child that was called on two cases of one window could solve
//! one while it is timed on the other. No child sees the same loads twice: cases share a child only as far as there are
//! windows enough for each of their calls. A child costs ten milliseconds, so as many cases as possible share one.

use std::ops::Range;

/// The calls of an evaluation on one split of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    windows: Range<usize>,
    rounds: usize,
    cases: usize,
    cases_per_child: usize,
}

impl Schedule {
    /// Calls each of `cases` in each of `rounds`, on `windows`.
    pub fn new(windows: Range<usize>, rounds: usize, cases: usize) -> Self {
        assert!(windows.len() >= rounds, "BUG: {} windows for {rounds} rounds", windows.len());
        let cases_per_child = windows.len().checked_div(rounds).unwrap_or(1).clamp(1, cases.max(1));
        Self { windows, rounds, cases, cases_per_child }
    }

    /// In each round, every case is called once.
    pub fn rounds(&self) -> Range<usize> {
        0..self.rounds
    }

    /// The window of a case in a round. The calls of a child all have different windows.
    pub fn window(&self, case: usize, round: usize) -> usize {
        self.windows.start + round * self.cases_per_child + case % self.cases_per_child
    }

    /// The number of the child of a case.
    pub fn child(&self, case: usize) -> usize {
        case / self.cases_per_child
    }

    /// The cases that are called in the child of `case`, itself included.
    pub fn cases_with(&self, case: usize) -> Range<usize> {
        let first = self.child(case) * self.cases_per_child;
        first..(first + self.cases_per_child).min(self.cases)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_child_sees_a_window_twice_and_no_case_misses_a_round() {
        for (windows, rounds, cases) in (1..40)
            .flat_map(|windows| (1..=windows.min(7)).flat_map(move |rounds| (1..10).map(move |c| (windows, rounds, c))))
        {
            let schedule = Schedule::new(5..5 + windows, rounds, cases);
            let mut seen = BTreeSet::new();
            for case in 0..cases {
                assert!(schedule.cases_with(case).contains(&case));
                assert!(schedule.cases_with(case).all(|other| schedule.child(other) == schedule.child(case)));
                for round in schedule.rounds() {
                    let window = schedule.window(case, round);
                    assert!((5..5 + windows).contains(&window), "{schedule:?}");
                    assert!(seen.insert((schedule.child(case), window)), "{schedule:?}: case {case}, round {round}");
                }
            }
            assert_eq!(seen.len(), cases * rounds);
        }
    }

    #[test]
    fn cases_share_a_child_as_far_as_there_are_windows() {
        let children = |windows| Schedule::new(0..windows, 4, 8).child(7) + 1;
        assert_eq!([4, 7, 8, 12, 16, 31, 32, 99].map(children), [8, 8, 4, 3, 2, 2, 1, 1]);
    }

    #[test]
    fn where_nothing_is_held_out_there_is_no_round() {
        assert!(Schedule::new(4..4, 0, 8).rounds().is_empty());
    }
}
