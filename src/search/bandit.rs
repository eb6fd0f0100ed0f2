//! Bandit: who is asked next: which proposer, and which of its operators. Each is an arm; what it has brought for what it
//! has cost lately decides, and whoever was asked seldom is asked again now and then.
//!
//! The index of an arm is its rate of reward relative to the best arm's, plus `EXPLORATION * share * sqrt(all tries) / (1 +
//! own tries)` (the form of PUCT, Rosin 2011), where the shares say how often arms are tried as long as nothing speaks for
//! any of them. Only +, *, / and sqrt, so every machine decides alike. Old tries fade, as what helps early is not what
//! helps late.

use serde::{Deserialize, Serialize};

use crate::values::cost::Charge;

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
pub enum Reward {
    /// No candidate, or one that was rejected, outclassed, or no better than what was there.
    Nothing,
    /// It got into the population of its island.
    Admitted,
    /// It extended the front of quality and speed.
    Front,
    /// It looked better than the best.
    Contender,
}

impl Reward {
    fn reward(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Admitted => 0.1,
            Self::Front => 0.3,
            Self::Contender => 1.0,
        }
    }
}

/// How many attempts of a proposer or an operator ended in which way, for the closing table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// A proposer or an operator with its account and its recent success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm<T> {
    /// Who.
    pub who: T,
    /// All that came of it.
    pub account: Account,
    /// How often it is tried where nothing is known, relative to the average arm.
    share: f64,
    tries: f64,
    reward: f64,
    cost: f64,
}

/// All arms, in a fixed order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandit<T> {
    arms: Vec<Arm<T>>,
}

impl<T: Copy + PartialEq> Bandit<T> {
    /// With these arms, each with its share, none of them tried yet.
    pub fn new(shares: impl IntoIterator<Item = (T, u32)>) -> Self {
        let shares: Vec<(T, u32)> = shares.into_iter().collect();
        let average = shares.iter().map(|(_, share)| f64::from(*share)).sum::<f64>() / shares.len().max(1) as f64;
        let arm = |(who, share): (T, u32)| Arm {
            who,
            account: Account::default(),
            share: f64::from(share) / average,
            tries: 0.0,
            reward: 0.0,
            cost: 0.0,
        };
        Self { arms: shares.into_iter().map(arm).collect() }
    }

    /// All arms.
    pub fn arms(&self) -> &[Arm<T>] {
        &self.arms
    }

    /// The account of an arm, if it is one.
    pub fn account(&mut self, who: T) -> Option<&mut Account> {
        self.arm(who).map(|arm| &mut arm.account)
    }

    fn arm(&mut self, who: T) -> Option<&mut Arm<T>> {
        self.arms.iter_mut().find(|arm| arm.who == who)
    }

    /// Whom to ask, of those that `can` be asked: the highest index, of equal ones the first.
    pub fn choose(&self, can: impl Fn(T) -> bool) -> Option<T> {
        let tries: f64 = self.arms.iter().map(|arm| arm.tries).sum();
        let best_rate = self.arms.iter().map(Arm::<T>::rate).fold(0.0, f64::max);
        let index = |arm: &Arm<T>| {
            let value = if best_rate > 0.0 { arm.rate() / best_rate } else { 0.0 };
            value + EXPLORATION * arm.share * tries.sqrt() / (1.0 + arm.tries)
        };
        let mut chosen: Option<(&Arm<T>, f64)> = None;
        for arm in self.arms.iter().filter(|arm| can(arm.who)) {
            if chosen.is_none_or(|(_, highest)| index(arm) > highest) {
                chosen = Some((arm, index(arm)));
            }
        }
        chosen.map(|(arm, _)| arm.who)
    }

    /// An arm is tried.
    pub fn tried(&mut self, who: T) {
        if self.account(who).is_none() {
            return;
        }
        for arm in &mut self.arms {
            arm.tries *= FADING;
            arm.reward *= FADING;
            arm.cost *= FADING;
        }
        let arm = self.arm(who).expect("BUG: looked up before");
        arm.tries += 1.0;
        arm.account.tried += 1;
    }

    /// What a request cost.
    pub fn charged(&mut self, who: T, charge: Charge) {
        if let Some(arm) = self.arm(who) {
            arm.cost += charge.dollars() * SECONDS_OF_A_DOLLAR;
            arm.account.tokens = arm.account.tokens.saturating_add(charge.tokens());
            arm.account.nanodollars = arm.account.nanodollars.saturating_add(charge.nanodollars);
        }
    }

    /// What came of an attempt, and what it cost beside being made, in seconds.
    pub fn ended(&mut self, who: T, success: Reward, seconds: f64) {
        if let Some(arm) = self.arm(who) {
            arm.reward += success.reward();
            arm.cost += OVERHEAD_SECONDS + seconds;
            arm.account.seconds += seconds;
        }
    }
}

impl<T> Arm<T> {
    /// Reward a second, lately.
    fn rate(&self) -> f64 {
        if self.cost > 0.0 { self.reward / self.cost } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::event::Proposer;

    const ARMS: [Proposer; 3] = [Proposer::Mutate, Proposer::Compose, Proposer::Cross];

    /// How often each arm is chosen in 300 tries whose success and cost these say.
    fn shares(outcome: impl Fn(Proposer) -> (Reward, f64)) -> [u64; 3] {
        let mut bandit = Bandit::new(ARMS.map(|arm| (arm, 1)));
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
            Proposer::Compose => (Reward::Front, 1.0),
            Proposer::Cross => (Reward::Admitted, 1.0),
            _ => (Reward::Nothing, 1.0),
        });
        assert!(shares[1] > 150 && shares[1] > shares[2] && shares[2] >= shares[0], "{shares:?}");
        assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
    }

    #[test]
    fn what_costs_ten_times_as_much_has_to_bring_ten_times_as_much() {
        let shares = shares(|proposer| match proposer {
            Proposer::Mutate => (Reward::Admitted, 0.5),
            Proposer::Compose => (Reward::Admitted, 9.5),
            _ => (Reward::Nothing, 0.5),
        });
        assert!(shares[0] > 3 * shares[1], "{shares:?}");
    }

    #[test]
    fn a_model_that_takes_money_has_to_bring_more_than_one_that_takes_none() {
        let models = [Proposer::Model(0), Proposer::Model(1)];
        let mut bandit = Bandit::new(models.map(|model| (model, 1)));
        for _ in 0..300 {
            let proposer = bandit.choose(|_| true).unwrap();
            bandit.tried(proposer);
            let nanodollars = if proposer == models[0] { 20_000_000 } else { 0 };
            bandit.charged(proposer, Charge { nanodollars, ..Charge::NONE });
            bandit.ended(proposer, Reward::Admitted, 1.0);
        }
        let [dear, cheap] = models.map(|model| bandit.account(model).copied().unwrap());
        assert!(cheap.tried > 3 * dear.tried, "{dear:?} {cheap:?}");
        assert_eq!((dear.nanodollars, cheap.nanodollars), (dear.tried * 20_000_000, 0));
    }

    #[test]
    fn as_long_as_nothing_speaks_for_anybody_the_shares_do() {
        let mut bandit = Bandit::new([("often", 8), ("seldom", 1)]);
        for _ in 0..300 {
            let who = bandit.choose(|_| true).unwrap();
            bandit.tried(who);
            bandit.ended(who, Reward::Nothing, 1.0);
        }
        let [often, seldom] = ["often", "seldom"].map(|who| bandit.account(who).unwrap().tried);
        assert!(often > 3 * seldom && seldom > 10, "{often} {seldom}");
    }

    #[test]
    fn whoever_cannot_be_asked_is_not_chosen() {
        let bandit = Bandit::new(ARMS.map(|arm| (arm, 1)));
        assert_eq!(bandit.choose(|proposer| proposer == Proposer::Cross), Some(Proposer::Cross));
        assert_eq!(bandit.choose(|_| false), None);
    }
}
