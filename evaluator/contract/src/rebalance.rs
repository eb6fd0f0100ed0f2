//! Rebalance: the measurement of a program's whole `rebalance_experts`, and its figures. They do not affect the scores
//! of packing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::clock::Clock;
use crate::statistic::{Quartiles, balance, mean, median, quartiles};
use crate::topology::Topology;

/// EPLB's two policies of `rebalance_experts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Policy {
    /// Packs groups to nodes first, with the topology's groups and nodes.
    Hierarchical,
    /// Packs any replica to any GPU: one group, one node.
    Global,
}

impl Policy {
    pub const ALL: [Self; 2] = [Self::Hierarchical, Self::Global];

    /// The policies that differ on `topology`, its own first.
    pub fn of(topology: &Topology) -> &'static [Self] {
        if topology.is_hierarchical() && topology.nodes > 1 { &Self::ALL } else { &[Self::Global] }
    }

    /// `num_groups` and `num_nodes` of a call.
    pub fn groups_and_nodes(self, topology: &Topology) -> (usize, usize) {
        match self {
            Self::Hierarchical => (topology.groups, topology.nodes),
            Self::Global => (1, 1),
        }
    }

    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The loads of a plan on a window, tokens, each summed over the layers. An expert's load is spread evenly over its
/// replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanLoads {
    /// Mean load of a GPU.
    pub mean_gpu: f64,
    /// Load of the heaviest GPU.
    pub max_gpu: f64,
    /// Mean load of a replica.
    pub mean_replica: f64,
    /// Load of the heaviest replica.
    pub max_replica: f64,
}

impl PlanLoads {
    /// Of all these layers.
    pub fn sum(layers: &[Self]) -> Self {
        layers.iter().fold(Self::default(), |sum, layer| Self {
            mean_gpu: sum.mean_gpu + layer.mean_gpu,
            max_gpu: sum.max_gpu + layer.max_gpu,
            mean_replica: sum.mean_replica + layer.mean_replica,
            max_replica: sum.max_replica + layer.max_replica,
        })
    }

    /// Mean over heaviest GPU; 1 is perfect.
    pub fn balancedness(&self) -> f64 {
        balance(self.mean_gpu, self.max_gpu)
    }

    /// Mean over heaviest replica. Packing does not affect it.
    pub fn replica_balancedness(&self) -> f64 {
        balance(self.mean_replica, self.max_replica)
    }
}

/// One call of `rebalance_experts` on a window, with its plan verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RebalanceSample {
    pub policy: Policy,
    /// Number of the window in the pool of the run.
    pub window: usize,
    /// The plan on its own window.
    pub now: PlanLoads,
    /// The plan on the next window; `None` for the last window of the set.
    pub next: Option<PlanLoads>,
    /// The number of replicas, of all layers, that GPUs must load after the previous window's plan; `None` for the
    /// first window.
    pub moved: Option<u64>,
    /// The number of replicas of all layers.
    pub replicas: u64,
    /// Time of the call by the device's clock, as in [`Sample`](crate::evaluation::Sample).
    pub seconds: f64,
    /// Wall time of the call.
    pub wall_seconds: f64,
    /// Time of the reference program right after the call, by the same clock.
    pub reference_seconds: f64,
}

impl RebalanceSample {
    /// Time in units of the reference program's.
    pub fn relative_time(&self) -> f64 {
        self.seconds / self.reference_seconds
    }
}

/// The figures of `rebalance_experts` by one policy, pooled over windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RebalanceScore {
    pub policy: Policy,
    /// The number of planned windows.
    pub windows: usize,
    /// Σ mean / Σ heaviest GPU on the planned windows; 1 is perfect.
    pub balancedness: f64,
    /// The same on the next windows; `None` with a single window.
    pub next_balancedness: Option<f64>,
    /// Share of the replicas that a plan moves; `None` with a single window.
    pub moved: Option<f64>,
    /// Median time of a call as it was measured, seconds.
    pub seconds: f64,
    /// Quartiles of that time, seconds.
    pub seconds_quartiles: Quartiles,
    /// Median time of a call, normalised by the reference program, seconds. Ratios of these are speedups.
    pub normalised_seconds: f64,
    /// Quartiles of that time, seconds.
    pub normalised_quartiles: Quartiles,
    /// Time of the baseline over time of this program, both relative to the reference program, over shared windows;
    /// `None` if the baseline was not measured so.
    pub speedup: Option<f64>,
}

/// The figures of `samples` by policy, with times relative to `baseline`.
pub fn rebalance_scores(
    samples: &[RebalanceSample],
    baseline: &[RebalanceSample],
    clock: Clock,
) -> Vec<RebalanceScore> {
    let by = |policy, samples: &[RebalanceSample]| -> Vec<RebalanceSample> {
        samples.iter().filter(|sample| sample.policy == policy).cloned().collect()
    };
    let scores = Policy::ALL.map(|policy| score(policy, &by(policy, samples), &by(policy, baseline), clock));
    scores.into_iter().filter(|score| score.windows > 0).collect()
}

fn score(policy: Policy, ours: &[RebalanceSample], theirs: &[RebalanceSample], clock: Clock) -> RebalanceScore {
    let balancedness = |loads: &[PlanLoads]| {
        balance(loads.iter().map(|plan| plan.mean_gpu).sum(), loads.iter().map(|plan| plan.max_gpu).sum())
    };
    let now: Vec<PlanLoads> = ours.iter().map(|sample| sample.now).collect();
    let next: Vec<PlanLoads> = ours.iter().filter_map(|sample| sample.next).collect();
    let moved = ours.iter().filter_map(|sample| sample.moved.map(|moved| moved as f64 / sample.replicas as f64));
    let seconds = || ours.iter().map(|sample| sample.seconds);
    let relative = || ours.iter().map(RebalanceSample::relative_time);
    RebalanceScore {
        policy,
        windows: ours.len(),
        balancedness: balancedness(&now),
        next_balancedness: (!next.is_empty()).then(|| balancedness(&next)),
        moved: mean(moved),
        seconds: median(seconds()),
        seconds_quartiles: quartiles(seconds()),
        normalised_seconds: clock.normalised(median(relative())),
        normalised_quartiles: clock.normalised_quartiles(quartiles(relative())),
        speedup: speedup(ours, theirs),
    }
}

fn speedup(ours: &[RebalanceSample], theirs: &[RebalanceSample]) -> Option<f64> {
    let time = |of: &[RebalanceSample], with: &[RebalanceSample]| {
        let shared = of.iter().filter(|sample| with.iter().any(|other| other.window == sample.window));
        median(shared.map(RebalanceSample::relative_time))
    };
    let (theirs, ours) = (time(theirs, ours), time(ours, theirs));
    (ours > 0.0).then(|| theirs / ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(mean_gpu: f64, max_gpu: f64) -> PlanLoads {
        PlanLoads { mean_gpu, max_gpu, mean_replica: mean_gpu / 2.0, max_replica: max_gpu / 2.0 }
    }

    fn sample(policy: Policy, window: usize, seconds: f64) -> RebalanceSample {
        RebalanceSample {
            policy,
            window,
            now: loads(3.0, 4.0),
            next: (window < 2).then(|| loads(1.0, 2.0)),
            moved: (window > 0).then_some(window as u64),
            replicas: 4,
            seconds,
            wall_seconds: seconds,
            reference_seconds: 0.5,
        }
    }

    #[test]
    fn figures_are_pooled_over_the_windows_of_a_policy() {
        let samples: Vec<_> = (0..3).map(|window| sample(Policy::Global, window, window as f64 + 1.0)).collect();
        let baseline =
            [sample(Policy::Global, 1, 8.0), sample(Policy::Global, 9, 1e9), sample(Policy::Hierarchical, 1, 1e9)];
        let scores = rebalance_scores(&samples, &baseline, Clock { reference_seconds: 0.25 });
        assert_eq!(
            scores,
            [RebalanceScore {
                policy: Policy::Global,
                windows: 3,
                balancedness: 0.75,
                next_balancedness: Some(0.5),
                moved: Some(0.375),
                seconds: 2.0,
                seconds_quartiles: Quartiles { lower: 1.5, upper: 2.5 },
                normalised_seconds: 1.0,
                normalised_quartiles: Quartiles { lower: 0.75, upper: 1.25 },
                speedup: Some(4.0),
            }]
        );
    }

    #[test]
    fn of_a_single_window_nothing_is_said_of_a_next_one() {
        let mut only = sample(Policy::Hierarchical, 0, 1.0);
        only.next = None;
        let [score] = &rebalance_scores(&[only], &[], Clock::RELATIVE)[..] else { panic!() };
        assert_eq!((score.next_balancedness, score.moved, score.speedup), (None, None, None));
    }

    #[test]
    fn a_topology_on_one_node_or_with_odd_groups_has_the_global_policy_alone() {
        let topology = Topology::deepseek_v3();
        assert_eq!(Policy::of(&topology), [Policy::Hierarchical, Policy::Global]);
        assert_eq!(Policy::of(&Topology { groups: 1, ..topology.clone() }), [Policy::Global]);
        assert_eq!(Policy::of(&Topology { nodes: 1, ..topology.clone() }), [Policy::Global]);
        assert_eq!(Policy::Hierarchical.groups_and_nodes(&topology), (8, 4));
        assert_eq!(Policy::Global.groups_and_nodes(&topology), (1, 1));
    }
}
