//! Bandit: which proposer is asked next. Each is an arm; what it has brought for what it has cost lately decides, and
//! whoever was asked seldom is asked again now and then.
//!
//! The index of an arm is its rate of reward relative to the best arm's, plus `EXPLORATION * sqrt(all tries) / (1 + own
//! tries)` (the form of PUCT, Rosin 2011). Only +, *, / and sqrt, so every machine decides alike. Old tries fade, as what
//! helps early is not what helps late.

use serde::Serialize;

use crate::charge::Charge;
use crate::event::Proposer;

/// How much an arm that was tried seldom is preferred.
const EXPLORATION: f64 = 0.4;
/// What is left of all tries, rewards and costs after each try.
const FADING: f64 = 0.98;
/// Seconds that an attempt costs beside its evaluation; keeps an arm that costs next to nothing from infinity.
const OVERHEAD_SECONDS: f64 = 0.5;
/// Judge seconds that a dollar counts as: an answer for a cent costs as much as an evaluation of ten seconds.
const SECONDS_OF_A_DOLLAR: f64 = 1000.0;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// No candidate, or one that was rejected, outclassed, or no better than what was there.
    Nothing,
    /// It got into the population of its island.
    Admitted,
    /// It extended the front of quality and speed.
    Front,
    /// It looked better than the best.
    Contender,
}

impl Success {
    fn reward(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Admitted => 0.1,
            Self::Front => 0.3,
            Self::Contender => 1.0,
        }
    }
}

/// How many attempts of a proposer ended in which way, for the closing table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// Attempts.
    pub tried: u64,
    /// Without a candidate.
    pub declined: u64,
    /// Candidates without a score.
    pub rejected: u64,
    /// Candidates that were stopped early.
    pub outclassed: u64,
    /// Candidates that got into a population.
    pub admitted: u64,
    /// Candidates that looked better than the best.
    pub contenders: u64,
    /// Judge seconds of its candidates.
    pub seconds: f64,
    /// Tokens of all requests to it, both ways.
    pub tokens: u64,
    /// What they cost, in billionths of a dollar.
    pub nanodollars: u64,
}

/// A proposer with its account and its recent success.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Who.
    pub proposer: Proposer,
    /// All that came of it.
    pub account: Account,
    tries: f64,
    reward: f64,
    cost: f64,
}

/// All arms, in a fixed order.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandit {
    arms: Vec<Arm>,
}

impl Bandit {
    /// With these arms, none of them tried yet.
    pub fn new(proposers: impl IntoIterator<Item = Proposer>) -> Self {
        let arm = |proposer| Arm { proposer, account: Account::default(), tries: 0.0, reward: 0.0, cost: 0.0 };
        Self { arms: proposers.into_iter().map(arm).collect() }
    }

    /// All arms.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The account of a proposer, if it is an arm.
    pub fn account(&mut self, proposer: Proposer) -> Option<&mut Account> {
        self.arms.iter_mut().find(|arm| arm.proposer == proposer).map(|arm| &mut arm.account)
    }

    /// Whom to ask, of those that `can` be asked: the highest index, of equal ones the first.
    pub fn choose(&self, can: impl Fn(Proposer) -> bool) -> Option<Proposer> {
        let tries: f64 = self.arms.iter().map(|arm| arm.tries).sum();
        let best_rate = self.arms.iter().map(Arm::rate).fold(0.0, f64::max);
        let index = |arm: &Arm| {
            let value = if best_rate > 0.0 { arm.rate() / best_rate } else { 0.0 };
            value + EXPLORATION * tries.sqrt() / (1.0 + arm.tries)
        };
        let mut chosen: Option<(&Arm, f64)> = None;
        for arm in self.arms.iter().filter(|arm| can(arm.proposer)) {
            if chosen.is_none_or(|(_, highest)| index(arm) > highest) {
                chosen = Some((arm, index(arm)));
            }
        }
        chosen.map(|(arm, _)| arm.proposer)
    }

    /// A proposer is asked.
    pub fn tried(&mut self, proposer: Proposer) {
        if self.account(proposer).is_none() {
            return;
        }
        for arm in &mut self.arms {
            arm.tries *= FADING;
            arm.reward *= FADING;
            arm.cost *= FADING;
        }
        let arm = self.arms.iter_mut().find(|arm| arm.proposer == proposer).expect("BUG: looked up before");
        arm.tries += 1.0;
        arm.account.tried += 1;
    }

    /// What a request to a proposer cost.
    pub fn charged(&mut self, proposer: Proposer, charge: Charge) {
        if let Some(arm) = self.arms.iter_mut().find(|arm| arm.proposer == proposer) {
            arm.cost += charge.dollars() * SECONDS_OF_A_DOLLAR;
            arm.account.tokens = arm.account.tokens.saturating_add(charge.tokens());
            arm.account.nanodollars = arm.account.nanodollars.saturating_add(charge.nanodollars);
        }
    }

    /// What came of an attempt, and what it cost beside being made, in seconds.
    pub fn ended(&mut self, proposer: Proposer, success: Success, seconds: f64) {
        if let Some(arm) = self.arms.iter_mut().find(|arm| arm.proposer == proposer) {
            arm.reward += success.reward();
            arm.cost += OVERHEAD_SECONDS + seconds;
            arm.account.seconds += seconds;
        }
    }
}

impl Arm {
    /// Reward a second, lately.
    fn rate(&self) -> f64 {
        if self.cost > 0.0 { self.reward / self.cost } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMS: [Proposer; 3] = [Proposer::Mutate, Proposer::Compose, Proposer::Cross];

    /// How often each arm is chosen in 300 tries whose success and cost these say.
    fn shares(outcome: impl Fn(Proposer) -> (Success, f64)) -> [u64; 3] {
        let mut bandit = Bandit::new(ARMS);
        for _ in 0..300 {
            let proposer = bandit.choose(|_| true).unwrap();
            bandit.tried(proposer);
            let (success, seconds) = outcome(proposer);
            bandit.ended(proposer, success, seconds);
        }
        ARMS.map(|proposer| bandit.account(proposer).unwrap().tried)
    }

    #[test]
    fn whoever_brings_more_is_asked_more_and_nobody_is_forgotten() {
        let shares = shares(|proposer| match proposer {
            Proposer::Compose => (Success::Front, 1.0),
            Proposer::Cross => (Success::Admitted, 1.0),
            _ => (Success::Nothing, 1.0),
        });
        assert!(shares[1] > 150 && shares[1] > shares[2] && shares[2] >= shares[0], "{shares:?}");
        assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
    }

    #[test]
    fn what_costs_ten_times_as_much_has_to_bring_ten_times_as_much() {
        let shares = shares(|proposer| match proposer {
            Proposer::Mutate => (Success::Admitted, 0.5),
            Proposer::Compose => (Success::Admitted, 9.5),
            _ => (Success::Nothing, 0.5),
        });
        assert!(shares[0] > 3 * shares[1], "{shares:?}");
    }

    #[test]
    fn a_model_that_takes_money_has_to_bring_more_than_one_that_takes_none() {
        let models = [Proposer::Model(0), Proposer::Model(1)];
        let mut bandit = Bandit::new(models);
        for _ in 0..300 {
            let proposer = bandit.choose(|_| true).unwrap();
            bandit.tried(proposer);
            let nanodollars = if proposer == models[0] { 20_000_000 } else { 0 };
            bandit.charged(proposer, Charge { nanodollars, ..Charge::NONE });
            bandit.ended(proposer, Success::Admitted, 1.0);
        }
        let [dear, cheap] = models.map(|model| bandit.account(model).copied().unwrap());
        assert!(cheap.tried > 3 * dear.tried, "{dear:?} {cheap:?}");
        assert_eq!((dear.nanodollars, cheap.nanodollars), (dear.tried * 20_000_000, 0));
    }

    #[test]
    fn whoever_cannot_be_asked_is_not_chosen() {
        let bandit = Bandit::new(ARMS);
        assert_eq!(bandit.choose(|proposer| proposer == Proposer::Cross), Some(Proposer::Cross));
        assert_eq!(bandit.choose(|_| false), None);
    }
}
