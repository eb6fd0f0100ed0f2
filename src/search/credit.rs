//! Credit: what proposers and their operators have achieved, and which of them is next: a [`Bandit`] chooses the proposer,
//! another one its operator.

use crate::search::bandit::{Bandit, ProposerStats, Reward};
use crate::search::candidate::Outcome;
use crate::values::event::Proposer;
use crate::values::operator::Operator;

/// How often `mutate` uses each operator while their statistics are equal.
const MUTATE: [u32; 12] = [20, 12, 12, 8, 6, 6, 6, 6, 8, 8, 4, 4];
/// The same for `compose`, which always replaces a parent that it did not make.
const COMPOSE: [u32; 6] = [15, 40, 20, 10, 10, 5];
/// The same for `cross`.
const CROSS: [u32; 2] = [50, 50];

#[derive(Clone, Debug, PartialEq)]
pub struct Credit {
    pub(super) proposers: Bandit<Proposer>,
    /// For each proposer that has operators.
    operators: Vec<(Proposer, Bandit<Operator>)>,
}

/// What a candidate returned to its proposer, and the seconds for which it kept a judge: compiling, waiting and the way to
/// a rejection cost as much as calls do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return<'a> {
    pub(super) outcome: &'a Outcome,
    pub(super) reward: Reward,
    pub(super) seconds: f64,
}

impl Return<'_> {
    pub(super) fn count_in(self, stats: &mut ProposerStats) {
        stats.rejected += u64::from(*self.outcome == Outcome::Rejected);
        stats.inconsistent += u64::from(matches!(self.outcome, Outcome::Inconsistent(_)));
        stats.outclassed += u64::from(*self.outcome == Outcome::Outclassed);
        stats.admitted += u64::from(self.reward != Reward::Nothing);
        stats.contenders += u64::from(self.reward == Reward::Contender);
    }
}

impl Credit {
    pub fn new(proposers: impl IntoIterator<Item = Proposer>) -> Self {
        let proposers: Vec<Proposer> = proposers.into_iter().collect();
        let with_operators = proposers.iter().filter_map(|proposer| Some((*proposer, operators(*proposer)?)));
        Self {
            operators: with_operators.map(|(proposer, shares)| (proposer, Bandit::new(shares))).collect(),
            proposers: Bandit::new(proposers.into_iter().map(|proposer| (proposer, 1))),
        }
    }

    pub fn operators(&self, proposer: Proposer) -> Option<&Bandit<Operator>> {
        self.operators.iter().find(|(other, _)| *other == proposer).map(|(_, bandit)| bandit)
    }

    /// The next proposer, of those that `can` propose, and its operator.
    pub(super) fn choose(&self, can: impl Fn(Proposer) -> bool) -> Option<(Proposer, Option<Operator>)> {
        let proposer = self.proposers.choose(can)?;
        Some((proposer, self.operators(proposer).and_then(|bandit| bandit.choose(|_| true))))
    }

    pub(super) fn declined(&mut self, proposer: Proposer, operator: Option<Operator>) {
        self.proposers.ended(proposer, Reward::Nothing, 0.0);
        self.proposers.stats(proposer).into_iter().for_each(|stats| stats.declined += 1);
        self.had_nothing(proposer, operator);
    }

    /// An attempt made a candidate, by the operator that was selected or by another one in its place.
    pub(super) fn made(&mut self, proposer: Proposer, asked: Option<Operator>, made: Option<Operator>) {
        if asked != made {
            self.had_nothing(proposer, asked);
        }
        self.of(proposer, made, |bandit, operator| bandit.tried(operator));
    }

    pub(super) fn ended(&mut self, proposer: Proposer, operator: Option<Operator>, returned: Return<'_>) {
        let Return { reward, seconds, .. } = returned;
        self.proposers.ended(proposer, reward, seconds);
        self.proposers.stats(proposer).into_iter().for_each(|stats| returned.count_in(stats));
        self.of(proposer, operator, |bandit, operator| {
            bandit.ended(operator, reward, seconds);
            bandit.stats(operator).into_iter().for_each(|stats| returned.count_in(stats));
        });
    }

    fn had_nothing(&mut self, proposer: Proposer, operator: Option<Operator>) {
        self.of(proposer, operator, |bandit, operator| {
            bandit.tried(operator);
            bandit.ended(operator, Reward::Nothing, 0.0);
            bandit.stats(operator).into_iter().for_each(|stats| stats.declined += 1);
        });
    }

    fn of(&mut self, proposer: Proposer, operator: Option<Operator>, act: impl Fn(&mut Bandit<Operator>, Operator)) {
        let Some(operator) = operator else { return };
        let own = self.operators.iter_mut().find(|(other, _)| *other == proposer);
        own.into_iter().for_each(|(_, bandit)| act(bandit, operator));
    }
}

fn operators(proposer: Proposer) -> Option<Vec<(Operator, u32)>> {
    let shares = match proposer {
        Proposer::Mutate => &MUTATE[..],
        Proposer::Compose => &COMPOSE,
        Proposer::Cross => &CROSS,
        // The operators of prune take turns in a fixed order.
        Proposer::Corpus(_) | Proposer::Person(_) | Proposer::Prune | Proposer::Model(_) => return None,
    };
    Some(proposer.operators().iter().copied().zip(shares.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(reward: Reward) -> Return<'static> {
        Return { outcome: &Outcome::Outclassed, reward, seconds: 1.0 }
    }

    #[test]
    fn an_operator_that_brings_more_is_asked_more_and_none_is_forgotten() {
        let mut credit = Credit::new([Proposer::Mutate, Proposer::Model(0)]);
        for _ in 0..400 {
            let (proposer, operator) = credit.choose(|proposer| proposer == Proposer::Mutate).unwrap();
            credit.proposers.tried(proposer);
            credit.made(proposer, operator, operator);
            let reward = if operator == Some(Operator::Types) { Reward::Front } else { Reward::Nothing };
            credit.ended(proposer, operator, returned(reward));
        }
        let arms = credit.operators(Proposer::Mutate).unwrap().arms();
        let tried = |operator| arms.iter().find(|arm| arm.who == operator).unwrap().stats.tried;
        assert!(tried(Operator::Types) > 200, "{arms:?}");
        assert!(Operator::MUTATE.iter().all(|operator| tried(*operator) > 0), "{arms:?}");
        assert_eq!(arms.iter().map(|arm| arm.stats.tried).sum::<u64>(), 400);
        assert!(credit.operators(Proposer::Model(0)).is_none());
    }

    #[test]
    fn a_stand_in_gets_the_credit_and_the_other_is_said_to_have_had_nothing() {
        let mut credit = Credit::new([Proposer::Compose]);
        credit.proposers.tried(Proposer::Compose);
        credit.made(Proposer::Compose, Some(Operator::Tune), Some(Operator::Assemble));
        credit.ended(Proposer::Compose, Some(Operator::Assemble), returned(Reward::Contender));
        credit.proposers.tried(Proposer::Compose);
        credit.declined(Proposer::Compose, Some(Operator::Tune));
        let arms = credit.operators(Proposer::Compose).unwrap().arms();
        let stats = |operator| arms.iter().find(|arm| arm.who == operator).unwrap().stats;
        let tune = stats(Operator::Tune);
        assert_eq!((tune.tried, tune.declined, tune.contenders), (2, 2, 0));
        let assemble = stats(Operator::Assemble);
        assert_eq!((assemble.tried, assemble.declined, assemble.contenders), (1, 0, 1));
        let compose = credit.proposers.arms()[0].stats;
        assert_eq!((compose.tried, compose.declined, compose.contenders), (2, 1, 1));
    }
}
