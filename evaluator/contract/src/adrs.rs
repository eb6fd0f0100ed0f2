//! ADRS: the two published scores of the ADRS benchmark's EPLB task, computed from a measurement. They are here for
//! comparison with published results, weaknesses included: expert balancedness does not depend on packing at all.
//!
//! A plan is made on a window and scored on the next one. Balancedness is the mean of the windows' ratios, time the
//! mean over the same windows. Differences: plans are verified, loads are those of the run, and the judge's clock times
//! `rebalance_experts` alone (the evaluator of the older formula also charged its own simulation).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::Measurement;
use crate::rebalance::{PlanLoads, RebalanceSample};
use crate::statistic::mean;

/// The scores and their parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdrsScores {
    /// The leaderboard's score: 90 balancedness_gpu + 5 min(0.002 / t, 2), less min(20 t, 20) if t is above 10 ms.
    pub leaderboard: f64,
    /// The older score: (balancedness_expert + 0.002 / t) / 2.
    pub combined: f64,
    /// Mean over heaviest GPU on the next window.
    pub balancedness_gpu: f64,
    /// Mean over heaviest replica on the next window.
    pub balancedness_expert: f64,
    /// t: mean time of `rebalance_experts`, seconds.
    pub seconds: f64,
    /// The number of planned windows that had a next one.
    pub windows: usize,
}

/// The scores by the topology's own policy; `None` unless `rebalance_experts` was measured on at least two windows.
pub fn adrs_scores(measurement: &Measurement) -> Option<AdrsScores> {
    let own = measurement.rebalance.first()?.policy;
    let scored: Vec<(&RebalanceSample, PlanLoads)> = measurement
        .rebalance
        .iter()
        .filter(|sample| sample.policy == own)
        .filter_map(|sample| Some((sample, sample.next?)))
        .collect();
    let seconds = mean(scored.iter().map(|(sample, _)| sample.seconds))?;
    let balancedness_gpu = mean(scored.iter().map(|(_, next)| next.balancedness()))?;
    let balancedness_expert = mean(scored.iter().map(|(_, next)| next.replica_balancedness()))?;
    Some(AdrsScores {
        leaderboard: leaderboard(balancedness_gpu, seconds),
        combined: f64::midpoint(balancedness_expert, 0.002 / seconds),
        balancedness_gpu,
        balancedness_expert,
        seconds,
        windows: scored.len(),
    })
}

fn leaderboard(balancedness_gpu: f64, seconds: f64) -> f64 {
    let penalty = if seconds > 0.01 { (20.0 * seconds).min(20.0) } else { 0.0 };
    90.0 * balancedness_gpu + 5.0 * (0.002 / seconds).min(2.0) - penalty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::Policy;

    #[track_caller]
    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} != {right}");
    }

    fn sample(policy: Policy, next: Option<[f64; 4]>, seconds: f64) -> RebalanceSample {
        let loads = |[mean_gpu, max_gpu, mean_replica, max_replica]: [f64; 4]| PlanLoads {
            mean_gpu,
            max_gpu,
            mean_replica,
            max_replica,
        };
        RebalanceSample {
            policy,
            window: 0,
            now: PlanLoads::default(),
            next: next.map(loads),
            moved: None,
            replicas: 1,
            seconds,
            wall_seconds: 9.0,
            reference_seconds: 9.0,
        }
    }

    #[test]
    fn both_formulas_are_means_over_the_windows_that_have_a_next_one() {
        let rebalance = vec![
            sample(Policy::Hierarchical, Some([3.0, 4.0, 1.0, 2.0]), 0.001),
            sample(Policy::Global, Some([1.0, 1.0, 1.0, 1.0]), 1e-9),
            sample(Policy::Hierarchical, Some([10.0, 40.0, 1.0, 10.0]), 0.003),
            sample(Policy::Hierarchical, None, 77.0),
        ];
        let scores = adrs_scores(&Measurement { rebalance, ..Measurement::default() }).unwrap();
        assert_close(scores.balancedness_gpu, 0.5);
        assert_close(scores.balancedness_expert, 0.3);
        assert_close(scores.seconds, 0.002);
        assert_close(scores.leaderboard, 45.0 + 5.0);
        assert_close(scores.combined, 0.65);
        assert_eq!(scores.windows, 2);
    }

    #[test]
    fn beyond_ten_milliseconds_there_is_a_penalty_and_speed_is_capped() {
        assert_close(leaderboard(1.0, 1e-6), 100.0);
        assert_close(leaderboard(1.0, 0.01), 91.0);
        assert_close(leaderboard(1.0, 0.02), 90.0 + 0.5 - 0.4);
        assert_close(leaderboard(1.0, 5.0), 90.0 + 0.002 - 20.0);
    }

    #[test]
    fn without_two_windows_there_is_no_score() {
        assert_eq!(adrs_scores(&Measurement::default()), None);
        let rebalance = vec![sample(Policy::Global, None, 1.0)];
        assert_eq!(adrs_scores(&Measurement { rebalance, ..Measurement::default() }), None);
    }
}
