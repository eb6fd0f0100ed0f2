//! Credit: what proposers and their operators have brought, and who is asked next: the proposer first, then one of its
//! operators, both by a [`Bandit`].

use serde::{Deserialize, Serialize};

use crate::search::bandit::{Account, Bandit, Reward};
use crate::values::cost::Charge;
use crate::values::event::Proposer;
use crate::values::operator::Operator;

/// How often `mutate` does what, as long as nothing speaks for any of it.
const MUTATE: [u32; 10] = [20, 12, 12, 8, 6, 6, 6, 6, 8, 8];
/// The same of `compose`; a parent that it did not make is always replaced.
const COMPOSE: [u32; 5] = [15, 42, 21, 11, 11];
/// The same of `cross`.
const CROSS: [u32; 2] = [50, 50];

/// The accounts of all that is drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    proposers: Bandit<Proposer>,
    /// For each proposer with operators theirs.
    operators: Vec<(Proposer, Bandit<Operator>)>,
}

/// How an evaluation ended, for the accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) rejected: bool,
    pub(super) outclassed: bool,
    pub(super) success: Reward,
    pub(super) seconds: f64,
}

impl Outcome {
    pub(super) fn enter(self, account: &mut Account) {
        account.rejected += u64::from(self.rejected);
        account.outclassed += u64::from(self.outclassed);
        account.admitted += u64::from(self.success != Reward::Nothing);
        account.contenders += u64::from(self.success == Reward::Contender);
    }
}

impl Credit {
    /// Of proposers that nobody has asked yet.
    pub fn new(proposers: impl IntoIterator<Item = Proposer>) -> Self {
        let proposers: Vec<Proposer> = proposers.into_iter().collect();
        let with_operators = proposers.iter().filter_map(|proposer| Some((*proposer, operators(*proposer)?)));
        Self {
            operators: with_operators.map(|(proposer, shares)| (proposer, Bandit::new(shares))).collect(),
            proposers: Bandit::new(proposers.into_iter().map(|proposer| (proposer, 1))),
        }
    }

    /// The proposers with their accounts.
    pub fn proposers(&self) -> &Bandit<Proposer> {
        &self.proposers
    }

    /// The operators of a proposer with their accounts; `None` of one that can do one thing only, or is not drawn from.
    pub fn operators(&self, proposer: Proposer) -> Option<&Bandit<Operator>> {
        self.operators.iter().find(|(other, _)| *other == proposer).map(|(_, bandit)| bandit)
    }

    /// Whom to ask, of those that `can` be asked, and for what.
    pub(super) fn choose(&self, can: impl Fn(Proposer) -> bool) -> Option<(Proposer, Option<Operator>)> {
        let proposer = self.proposers.choose(can)?;
        Some((proposer, self.operators(proposer).and_then(|bandit| bandit.choose(|_| true))))
    }

    pub(super) fn tried(&mut self, proposer: Proposer) {
        self.proposers.tried(proposer);
    }

    pub(super) fn charged(&mut self, proposer: Proposer, charge: Charge) {
        self.proposers.charged(proposer, charge);
    }

    /// Nothing came of an attempt.
    pub(super) fn declined(&mut self, proposer: Proposer, operator: Option<Operator>) {
        self.proposers.ended(proposer, Reward::Nothing, 0.0);
        self.proposers.account(proposer).into_iter().for_each(|account| account.declined += 1);
        self.had_nothing(proposer, operator);
    }

    /// A candidate came of an attempt: of the operator that was asked, or of another one where that had nothing.
    pub(super) fn made(&mut self, proposer: Proposer, asked: Option<Operator>, made: Option<Operator>) {
        if asked != made {
            self.had_nothing(proposer, asked);
        }
        self.of(proposer, made, |bandit, operator| bandit.tried(operator));
    }

    /// A candidate was judged.
    pub(super) fn ended(&mut self, proposer: Proposer, operator: Option<Operator>, outcome: Outcome) {
        let Outcome { success, seconds, .. } = outcome;
        self.proposers.ended(proposer, success, seconds);
        self.proposers.account(proposer).into_iter().for_each(|account| outcome.enter(account));
        self.of(proposer, operator, |bandit, operator| {
            bandit.ended(operator, success, seconds);
            bandit.account(operator).into_iter().for_each(|account| outcome.enter(account));
        });
    }

    fn had_nothing(&mut self, proposer: Proposer, operator: Option<Operator>) {
        self.of(proposer, operator, |bandit, operator| {
            bandit.tried(operator);
            bandit.ended(operator, Reward::Nothing, 0.0);
            bandit.account(operator).into_iter().for_each(|account| account.declined += 1);
        });
    }

    fn of(&mut self, proposer: Proposer, operator: Option<Operator>, act: impl Fn(&mut Bandit<Operator>, Operator)) {
        let Some(operator) = operator else { return };
        let own = self.operators.iter_mut().find(|(other, _)| *other == proposer);
        own.into_iter().for_each(|(_, bandit)| act(bandit, operator));
    }
}

/// What a proposer can do, each with its share.
fn operators(proposer: Proposer) -> Option<Vec<(Operator, u32)>> {
    let shares = match proposer {
        Proposer::Mutate => &MUTATE[..],
        Proposer::Compose => &COMPOSE,
        Proposer::Cross => &CROSS,
        // What is pruned is tried in its order.
        Proposer::Corpus(_) | Proposer::Prune | Proposer::Model(_) => return None,
    };
    Some(proposer.operators().iter().copied().zip(shares.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(success: Reward) -> Outcome {
        Outcome { rejected: false, outclassed: false, success, seconds: 1.0 }
    }

    #[test]
    fn an_operator_that_brings_more_is_asked_more_and_none_is_forgotten() {
        let mut credit = Credit::new([Proposer::Mutate, Proposer::Model(0)]);
        for _ in 0..400 {
            let (proposer, operator) = credit.choose(|proposer| proposer == Proposer::Mutate).unwrap();
            credit.tried(proposer);
            credit.made(proposer, operator, operator);
            let success = if operator == Some(Operator::Types) { Reward::Front } else { Reward::Nothing };
            credit.ended(proposer, operator, outcome(success));
        }
        let arms = credit.operators(Proposer::Mutate).unwrap().arms();
        let tried = |operator| arms.iter().find(|arm| arm.who == operator).unwrap().account.tried;
        assert!(tried(Operator::Types) > 200, "{arms:?}");
        assert!(Operator::MUTATE.iter().all(|operator| tried(*operator) > 0), "{arms:?}");
        assert_eq!(arms.iter().map(|arm| arm.account.tried).sum::<u64>(), 400);
        assert!(credit.operators(Proposer::Model(0)).is_none());
    }

    #[test]
    fn whoever_stands_in_for_another_gets_the_credit_and_the_other_is_said_to_have_had_nothing() {
        let mut credit = Credit::new([Proposer::Compose]);
        credit.tried(Proposer::Compose);
        credit.made(Proposer::Compose, Some(Operator::Tune), Some(Operator::Assemble));
        credit.ended(Proposer::Compose, Some(Operator::Assemble), outcome(Reward::Contender));
        credit.tried(Proposer::Compose);
        credit.declined(Proposer::Compose, Some(Operator::Tune));
        let arms = credit.operators(Proposer::Compose).unwrap().arms();
        let account = |operator| arms.iter().find(|arm| arm.who == operator).unwrap().account;
        let tune = account(Operator::Tune);
        assert_eq!((tune.tried, tune.declined, tune.contenders), (2, 2, 0));
        let assemble = account(Operator::Assemble);
        assert_eq!((assemble.tried, assemble.declined, assemble.contenders), (1, 0, 1));
        let compose = credit.proposers().arms()[0].account;
        assert_eq!((compose.tried, compose.declined, compose.contenders), (2, 1, 1));
    }
}
