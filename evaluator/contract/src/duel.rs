//! Duel: how a contender becomes the best. Contender and best are measured in turns, in fresh processes in one slot, on
//! windows that are made for this duel. No program has ever seen them, so nothing that an earlier process may have left
//! behind can help.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::evaluation::{Evaluation, Measurement};
use crate::objective::{Objective, Yardstick, scores};
use crate::statistic::{mean, standard_error};

/// A duel ends no earlier, unless its time is used up.
pub const LEAST_ROUNDS: usize = 8;
/// A duel that is still undecided ends here.
pub const MOST_ROUNDS: usize = 16;

/// A generous standard deviation, over rounds, of the difference between the scores of two programs: measured .001 to .003
/// for programs that are almost as good as each other. It serves where there are too few rounds to measure it.
const GENEROUS_SPREAD: f64 = 0.01;
/// The same of two policies, over chains: a guess. What they do differs more, and from chain to chain.
const GENEROUS_SPREAD_OF_POLICIES: f64 = 0.03;

/// What a duel found out about both programs, each [`Measured`](Evaluation::Measured) or
/// [`Rejected`](Evaluation::Rejected). Their samples of one place in a case are of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Duel {
    pub contender: Evaluation,
    pub best: Evaluation,
}

/// The difference of the `combined_score` of two programs in a duel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub rounds: usize,
    /// The mean over the rounds of the contender's score minus the best's.
    pub difference: f64,
    /// Two standard errors of that mean.
    pub uncertainty: f64,
}

impl Verdict {
    /// From the rounds that both have. A few that agree by chance do not decide.
    pub fn new(contender: &Measurement, best: &Measurement, yardstick: Yardstick<'_>) -> Self {
        let measured = Self::as_measured(contender, best, yardstick);
        let spread = match yardstick.objective {
            Objective::Packing(_) => GENEROUS_SPREAD,
            Objective::Policy(_) => GENEROUS_SPREAD_OF_POLICIES,
        };
        let generous = 2.0 * spread / (measured.rounds.max(1) as f64).sqrt();
        let is_generous = measured.rounds < LEAST_ROUNDS && generous > measured.uncertainty;
        Self { uncertainty: if is_generous { generous } else { measured.uncertainty }, ..measured }
    }

    /// The same with the uncertainty that the rounds show, however few they are: none for a single one.
    pub fn as_measured(contender: &Measurement, best: &Measurement, yardstick: Yardstick<'_>) -> Self {
        let score = |measurement: &Measurement, round| {
            scores(&measurement.only_round(round), yardstick, &[], Clock::RELATIVE).combined_score
        };
        let rounds = contender.full_rounds().min(best.full_rounds());
        let differences: Vec<f64> = (0..rounds).map(|round| score(contender, round) - score(best, round)).collect();
        let uncertainty = 2.0 * standard_error(&differences);
        Self { rounds, difference: mean(differences.into_iter()).unwrap_or(0.0), uncertainty }
    }

    /// Whether the contender is better beyond the uncertainty.
    pub fn is_won(&self) -> bool {
        self.difference > self.uncertainty
    }

    /// Whether the contender is worse beyond the uncertainty.
    pub fn is_lost(&self) -> bool {
        -self.difference > self.uncertainty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{CaseMeasurement, Sample};
    use crate::objective::{Pairing, Weights};

    fn measurement(seconds: &[f64]) -> Measurement {
        let sample = |(window, seconds): (usize, &f64)| Sample {
            window,
            max_load: 1.01,
            bound: 1.0,
            seconds: *seconds,
            reference_seconds: 1.0,
            ..Sample::default()
        };
        let samples = seconds.iter().enumerate().map(sample).collect();
        Measurement { cases: vec![CaseMeasurement { case: "a".to_owned(), samples }], ..Measurement::default() }
    }

    fn verdict(contender: &[f64], best: &[f64]) -> Verdict {
        let baseline = measurement(&[1000.0]);
        let yardstick =
            Yardstick { baseline: &baseline, objective: Weights::default().into(), pairing: Pairing::Pooled };
        Verdict::new(&measurement(contender), &measurement(best), yardstick)
    }

    #[test]
    fn a_contender_wins_if_it_is_better_beyond_two_standard_errors() {
        // Ten times as fast is a sixth of a combined score.
        let steady = verdict(&[1.0; 8], &[10.0; 8]);
        assert!(steady.rounds == 8 && steady.uncertainty < 1e-12);
        assert!((steady.difference - 1.0 / 6.0).abs() < 1e-12 && steady.is_won() && !steady.is_lost());
        assert!(verdict(&[10.0; 8], &[1.0; 8]).is_lost());
        let even = verdict(&[1.0, 10.0, 1.0, 10.0, 1.0, 10.0, 1.0, 10.0], &[3.0; 8]);
        assert!(!even.is_won() && !even.is_lost() && even.uncertainty > 0.05, "{even:?}");
    }

    #[test]
    fn a_single_round_decides_only_between_programs_that_differ_much() {
        assert!(verdict(&[1.0], &[2.0]).is_won());
        assert!(!verdict(&[1.0], &[1.1]).is_won());
        let baseline = measurement(&[1000.0]);
        let yardstick =
            Yardstick { baseline: &baseline, objective: Weights::default().into(), pairing: Pairing::Pooled };
        assert!(Verdict::as_measured(&measurement(&[1.0]), &measurement(&[1.1]), yardstick).is_won());
        assert_eq!(verdict(&[], &[]).rounds, 0);
        assert!(!verdict(&[], &[]).is_won());
    }

    #[test]
    fn only_rounds_that_both_have_count() {
        assert_eq!(verdict(&[1.0; 9], &[1.0; 8]).rounds, 8);
    }
}
