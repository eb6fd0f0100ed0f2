//! Bandit: chooses the next proposer, or the next operator of a proposer. Each is an arm. The recent return on the cost of
//! an arm decides; an arm with few tries gets another one now and then.
//!
//! The index of an arm is its rate of reward relative to the best arm's, plus `EXPLORATION * share * sqrt(all tries) / (1 +
//! own tries)` (the form of PUCT, Rosin 2011), where the share says how often the arm is tried while all rates are equal.
//! It uses only +, *, / and sqrt, so every machine decides alike. Old tries fade: what helps early does not help late.

use schemars::JsonSchema;
use serde::Serialize;

use crate::values::cost::Charge;

/// The weight of the exploration term.
const EXPLORATION: f64 = 0.4;
/// Each try multiplies all earlier tries, rewards and costs by this.
const FADING: f64 = 0.98;
/// Seconds that an attempt costs beside its evaluation. It bounds the rate of an arm that costs next to nothing.
const OVERHEAD_SECONDS: f64 = 0.5;
/// Judge seconds per dollar: a reply for a cent costs as much as an evaluation of ten seconds.
const SECONDS_OF_A_DOLLAR: f64 = 1000.0;

/// The best that a candidate achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reward {
    /// No candidate; or it was rejected, inconsistent, outclassed, or not admitted anywhere.
    Nothing,
    /// It entered the population of its island.
    Admitted,
    /// It extended the Pareto front.
    Front,
    /// It looked better than the best.
    Contender,
}

impl Reward {
    fn value(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Admitted => 0.1,
            Self::Front => 0.3,
            Self::Contender => 1.0,
        }
    }
}

/// How the attempts of a proposer or an operator ended, and their cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ProposerStats {
    /// Attempts.
    pub tried: u64,
    /// Attempts without a candidate.
    pub declined: u64,
    pub rejected: u64,
    pub inconsistent: u64,
    pub outclassed: u64,
    /// Candidates that entered a population.
    pub admitted: u64,
    pub contenders: u64,
    /// Judge seconds of its candidates, however their evaluations ended.
    pub seconds: f64,
    /// Tokens of all requests to it, both ways.
    pub tokens: u64,
    /// The price of these requests, in billionths of a dollar.
    pub nanodollars: u64,
}

/// A proposer or an operator with its statistics and its recent rate of reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm<T> {
    pub who: T,
    pub stats: ProposerStats,
    /// How often it is tried while all rates are equal, relative to the average arm.
    share: f64,
    tries: f64,
    reward: f64,
    cost: f64,
}

/// All arms, in a fixed order.
#[derive(Clone, Debug, PartialEq)]
pub struct Bandit<T> {
    arms: Vec<Arm<T>>,
}

impl<T: Copy + PartialEq> Bandit<T> {
    pub fn new(shares: impl IntoIterator<Item = (T, u32)>) -> Self {
        let shares: Vec<(T, u32)> = shares.into_iter().collect();
        let average = shares.iter().map(|(_, share)| f64::from(*share)).sum::<f64>() / shares.len().max(1) as f64;
        let arm = |(who, share): (T, u32)| Arm {
            who,
            stats: ProposerStats::default(),
            share: f64::from(share) / average,
            tries: 0.0,
            reward: 0.0,
            cost: 0.0,
        };
        Self { arms: shares.into_iter().map(arm).collect() }
    }

    pub fn arms(&self) -> &[Arm<T>] {
        &self.arms
    }

    pub fn stats(&mut self, who: T) -> Option<&mut ProposerStats> {
        self.arm(who).map(|arm| &mut arm.stats)
    }

    fn arm(&mut self, who: T) -> Option<&mut Arm<T>> {
        self.arms.iter_mut().find(|arm| arm.who == who)
    }

    /// The arm with the highest index, of those that `can` be chosen; of equal ones the first.
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

    pub fn tried(&mut self, who: T) {
        if self.stats(who).is_none() {
            return;
        }
        for arm in &mut self.arms {
            arm.tries *= FADING;
            arm.reward *= FADING;
            arm.cost *= FADING;
        }
        let arm = self.arm(who).expect("BUG: looked up before");
        arm.tries += 1.0;
        arm.stats.tried += 1;
    }

    pub fn charged(&mut self, who: T, charge: Charge) {
        if let Some(arm) = self.arm(who) {
            arm.cost += charge.dollars() * SECONDS_OF_A_DOLLAR;
            arm.stats.tokens = arm.stats.tokens.saturating_add(charge.tokens());
            arm.stats.nanodollars = arm.stats.nanodollars.saturating_add(charge.nanodollars);
        }
    }

    pub fn ended(&mut self, who: T, reward: Reward, seconds: f64) {
        if let Some(arm) = self.arm(who) {
            arm.reward += reward.value();
            arm.cost += OVERHEAD_SECONDS + seconds;
            arm.stats.seconds += seconds;
        }
    }
}

impl<T> Arm<T> {
    /// Recent reward per second.
    fn rate(&self) -> f64 {
        if self.cost > 0.0 { self.reward / self.cost } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::event::Proposer;

    const ARMS: [Proposer; 3] = [Proposer::Mutate, Proposer::Compose, Proposer::Cross];

    /// How often each arm is chosen in 300 tries with these rewards and costs.
    fn shares(outcome: impl Fn(Proposer) -> (Reward, f64)) -> [u64; 3] {
        let mut bandit = Bandit::new(ARMS.map(|arm| (arm, 1)));
        for _ in 0..300 {
            let proposer = bandit.choose(|_| true).unwrap();
            bandit.tried(proposer);
            let (reward, seconds) = outcome(proposer);
            bandit.ended(proposer, reward, seconds);
        }
        ARMS.map(|proposer| bandit.stats(proposer).unwrap().tried)
    }

    #[test]
    fn an_arm_with_more_reward_is_chosen_more_often_and_none_is_forgotten() {
        let shares = shares(|proposer| match proposer {
            Proposer::Compose => (Reward::Front, 1.0),
            Proposer::Cross => (Reward::Admitted, 1.0),
            _ => (Reward::Nothing, 1.0),
        });
        assert!(shares[1] > 150 && shares[1] > shares[2] && shares[2] >= shares[0], "{shares:?}");
        assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
    }

    #[test]
    fn an_arm_of_ten_times_the_cost_needs_ten_times_the_reward() {
        let shares = shares(|proposer| match proposer {
            Proposer::Mutate => (Reward::Admitted, 0.5),
            Proposer::Compose => (Reward::Admitted, 9.5),
            _ => (Reward::Nothing, 0.5),
        });
        assert!(shares[0] > 3 * shares[1], "{shares:?}");
    }

    #[test]
    fn a_model_that_costs_money_needs_more_reward_than_a_free_one() {
        let models = [Proposer::Model(0), Proposer::Model(1)];
        let mut bandit = Bandit::new(models.map(|model| (model, 1)));
        for _ in 0..300 {
            let proposer = bandit.choose(|_| true).unwrap();
            bandit.tried(proposer);
            let nanodollars = if proposer == models[0] { 20_000_000 } else { 0 };
            bandit.charged(proposer, Charge { nanodollars, ..Charge::NONE });
            bandit.ended(proposer, Reward::Admitted, 1.0);
        }
        let [dear, cheap] = models.map(|model| bandit.stats(model).copied().unwrap());
        assert!(cheap.tried > 3 * dear.tried, "{dear:?} {cheap:?}");
        assert_eq!((dear.nanodollars, cheap.nanodollars), (dear.tried * 20_000_000, 0));
    }

    #[test]
    fn equal_arms_are_tried_by_their_shares() {
        let mut bandit = Bandit::new([("often", 8), ("seldom", 1)]);
        for _ in 0..300 {
            let who = bandit.choose(|_| true).unwrap();
            bandit.tried(who);
            bandit.ended(who, Reward::Nothing, 1.0);
        }
        let [often, seldom] = ["often", "seldom"].map(|who| bandit.stats(who).unwrap().tried);
        assert!(often > 3 * seldom && seldom > 10, "{often} {seldom}");
    }

    #[test]
    fn an_arm_that_is_not_available_is_not_chosen() {
        let bandit = Bandit::new(ARMS.map(|arm| (arm, 1)));
        assert_eq!(bandit.choose(|proposer| proposer == Proposer::Cross), Some(Proposer::Cross));
        assert_eq!(bandit.choose(|_| false), None);
    }
}
