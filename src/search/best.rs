//! Best: which candidate is the best of a run.
//!
//! The highest of many noisy scores is partly luck. So a candidate whose score exceeds the best's by more than the
//! uncertainty of both is a *contender*: it meets the best in a duel, on windows that no program has ever seen, and becomes
//! the best only if it is better there. Without windows held out there are no duels, and the highest score is the best.
//!
//! Chains of windows differ more than policies do, so a policy is compared with the best chain by chain: what two programs
//! share on a chain does not count as uncertainty.

use packevolve_contract::duel::Verdict;
use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::{Objective, Scores, Yardstick};

use crate::values::candidate::CandidateId;

/// The least gain of a policy for which it meets the best, of what DeepSeek's planner loses. Policies that plan alike differ
/// in planning time alone, and surely so, but a duel walks both through sixteen chains.
const WORTH_A_DUEL: f64 = 0.001;

/// A `combined_score` and half the width of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub score: f64,
    pub half_width: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    pub candidate: CandidateId,
    /// On the windows of the search. The error of the baseline, which all scores share, is not in it.
    pub interval: Interval,
    /// On the windows of the search.
    pub measurement: Measurement,
    /// `None` until a duel has decided something.
    pub held_out: Option<Box<HeldOut>>,
}

/// What the duels of a program say about it; those that decided nothing do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// The number of duels.
    pub duels: usize,
    /// The samples of all of them.
    pub measurement: Measurement,
    /// The means of `combined_score`, `quality` and `speed_score` over the duels; all other figures are pooled.
    pub scores: Scores,
}

/// A duel under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenDuel {
    pub contender: CandidateId,
    /// The program that it has to beat.
    pub best: CandidateId,
    pub seed: u64,
}

/// A candidate that looks better than the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    pub candidate: CandidateId,
    /// On the windows of the search. The error of the baseline, which all scores share, is not in it.
    pub interval: Interval,
    pub measurement: Measurement,
    /// How many of its duels decided nothing.
    pub doubtful_duels: usize,
}

impl HeldOut {
    /// Of a first duel, or of one more after those `before`: its measurement with its scores, and the scores of all
    /// samples together.
    pub(super) fn new(
        before: Option<&Self>,
        measurement: &Measurement,
        scores: impl Fn(&Measurement) -> Scores,
    ) -> Box<Self> {
        let own = scores(measurement);
        let Some(before) = before else {
            return Box::new(Self { duels: 1, measurement: measurement.clone(), scores: own });
        };
        let (duels, measurement) = (before.duels + 1, before.measurement.pooled(measurement));
        let mean = |before: f64, own: f64| before + (own - before) / duels as f64;
        let scores = Scores {
            combined_score: mean(before.scores.combined_score, own.combined_score),
            quality: before.scores.quality.zip(own.quality).map(|(before, own)| mean(before, own)),
            speed_score: mean(before.scores.speed_score, own.speed_score),
            ..scores(&measurement)
        };
        Box::new(Self { duels, measurement, scores })
    }
}

impl Best {
    /// The score to report: the mean over its duels if there are any.
    pub fn reported_score(&self) -> f64 {
        self.held_out.as_ref().map_or(self.interval.score, |held_out| held_out.scores.combined_score)
    }
}

impl Contender {
    /// Whether it looks better than `best`, beyond the uncertainty of both; always without a best.
    pub fn exceeds(&self, best: Option<&Best>, yardstick: Yardstick<'_>) -> bool {
        best.is_none_or(|best| match yardstick.objective {
            Objective::Packing(_) => {
                let (own, other) = (self.interval, best.interval);
                own.score - other.score > own.half_width + other.half_width
            }
            // Of a single chain there is no uncertainty, but there is the duel.
            Objective::Policy(_) => {
                let verdict = Verdict::as_measured(&self.measurement, &best.measurement, yardstick);
                verdict.is_won() && verdict.difference > WORTH_A_DUEL
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::chain::{ChainMeasurement, GpuLoads, PlannerStep, Step};
    use packevolve_contract::evaluation::{CaseMeasurement, Sample};
    use packevolve_contract::objective::{Pairing, Weights};
    use packevolve_contract::serving::Serving;

    use super::*;

    fn contender(score: f64, half_width: f64, measurement: Measurement) -> Contender {
        let interval = Interval { score, half_width };
        Contender { candidate: CandidateId(2), interval, measurement, doubtful_duels: 0 }
    }

    fn best(score: f64, half_width: f64, measurement: Measurement) -> Best {
        let interval = Interval { score, half_width };
        Best { candidate: CandidateId(1), interval, measurement, held_out: None }
    }

    #[test]
    fn a_contender_is_better_beyond_the_uncertainty_of_both() {
        let baseline = Measurement::default();
        let objective = Weights::default().into();
        let yardstick = Yardstick { baseline: &baseline, objective, pairing: Pairing::Shared };
        let contends = |score, half_width, others| {
            let best = best(0.5, others, Measurement::default());
            contender(score, half_width, Measurement::default()).exceeds(Some(&best), yardstick)
        };
        assert!(contends(0.54, 0.02, 0.01) && !contends(0.529, 0.02, 0.01) && !contends(0.5, 0.0, 0.0));
        assert!(contender(-1.0, 9.0, Measurement::default()).exceeds(None, yardstick));
    }

    /// Chains on each of which a policy loses this share of what the planner loses.
    fn policy(shares: &[f64]) -> Measurement {
        let loads = |lost: f64| GpuLoads { mean: 1.0, max: 1.0 + lost };
        let chain = |(chain, share): (usize, &f64)| {
            let planner = PlannerStep { served: loads(0.5), busiest_gpu: 0 };
            let step =
                Step { served: loads(0.5 * share), floor: 1.0, planner, gpus: 1, replicas: 1, ..Step::default() };
            ChainMeasurement { chain, steps: vec![Step { reference_seconds: 1.0, ..step }] }
        };
        Measurement { chains: shares.iter().enumerate().map(chain).collect(), ..Measurement::default() }
    }

    #[test]
    fn a_policy_is_compared_chain_by_chain_however_much_chains_differ() {
        let baseline = policy(&[1.0; 4]);
        let objective = Objective::Policy(Serving::default());
        let yardstick = Yardstick { baseline: &baseline, objective, pairing: Pairing::Shared };
        let contends = |ours: &[f64], others: &[f64]| {
            // Intervals as wide as chains differ, in which no small gain shows.
            contender(0.5, 0.2, policy(ours)).exceeds(Some(&best(0.5, 0.2, policy(others))), yardstick)
        };
        assert!(contends(&[0.28, 0.47, 0.68, 0.87], &[0.3, 0.5, 0.7, 0.9]));
        assert!(!contends(&[0.2, 0.6, 0.6, 0.9], &[0.3, 0.5, 0.7, 0.9]));
        assert!(!contends(&[0.3, 0.5, 0.7, 0.9], &[0.3, 0.5, 0.7, 0.9]));
        assert!(!contends(&[0.2995, 0.4995, 0.6995, 0.8995], &[0.3, 0.5, 0.7, 0.9]), "plans alike, in less time");
        // A best that has one chain alone, as a slow one has.
        assert!(contends(&[0.2, 0.9], &[0.3]) && !contends(&[0.4, 0.1], &[0.3]));
    }

    #[test]
    fn the_held_out_score_is_the_mean_over_the_duels_and_the_cases_pool_their_samples() {
        let duel = |rounds: usize, score: f64| {
            let samples = vec![Sample { mean_load: score, ..Sample::default() }; rounds];
            let cases = vec![CaseMeasurement { case: "8->4".to_owned(), samples }];
            Measurement { cases, ..Measurement::default() }
        };
        let scores = |measurement: &Measurement| {
            let samples = measurement.samples("8->4");
            let pooled = samples.iter().map(|sample| sample.mean_load).sum::<f64>() / samples.len() as f64;
            let combined_score = pooled;
            Scores { combined_score, quality: Some(pooled), balancedness_score: pooled, ..Scores::default() }
        };
        let first = HeldOut::new(None, &duel(1, 0.25), scores);
        let second = HeldOut::new(Some(&first), &duel(3, 0.75), scores);
        assert_eq!((first.duels, first.scores.combined_score), (1, 0.25));
        assert_eq!((second.duels, second.measurement.full_rounds()), (2, 4));
        assert_eq!((second.scores.combined_score, second.scores.quality), (0.5, Some(0.5)));
        assert_eq!(second.scores.balancedness_score, 0.625);
        let third = HeldOut::new(Some(&second), &duel(2, 0.2), scores);
        assert!((third.scores.combined_score - 0.4).abs() < 1e-12);
    }
}
