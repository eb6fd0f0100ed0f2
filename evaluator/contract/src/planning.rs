//! Planning: calls of a program's `rebalance_experts` that are made for their plans, and what came of them.

use serde::{Deserialize, Serialize};

use crate::inconsistency::Inconsistency;
use crate::plan::Plan;
use crate::rebalance::Policy;
use crate::rejection::{Evidence, Rejection};
use crate::statistic::median;
use crate::topology::Topology;

/// The arguments of a call of `rebalance_experts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rebalance {
    /// It has passed its [`check`](Topology::check).
    pub topology: Topology,
    pub policy: Policy,
    /// `[layers, experts]` in tokens, row-major, finite and not negative.
    pub loads: Vec<f64>,
    /// What it starts from; only programs with these keywords are given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
}

/// What a planner may start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InForce {
    /// `[layers, replicas]`, row-major: the expert in each slot of the plan in force.
    pub old_phy2log: Vec<i64>,
    /// `[windows, layers, experts]`, row-major: the loads of earlier windows, the oldest first.
    pub history: Vec<f64>,
}

impl Rebalance {
    /// A call that starts from nothing.
    pub fn fresh(topology: Topology, policy: Policy, loads: Vec<f64>) -> Self {
        Self { topology, policy, loads, in_force: None }
    }

    /// The same call for some of its layers, in this order.
    #[must_use]
    pub fn of_layers(&self, layers: &[usize]) -> Self {
        let Topology { layers: all, experts, replicas, .. } = self.topology;
        let rows = |values: &[f64]| -> Vec<f64> {
            layers.iter().flat_map(|&layer| &values[layer * experts..][..experts]).copied().collect()
        };
        let in_force = |InForce { old_phy2log, history }: &InForce| InForce {
            old_phy2log: layers
                .iter()
                .flat_map(|&layer| &old_phy2log[layer * replicas..][..replicas])
                .copied()
                .collect(),
            history: history.chunks(all * experts).flat_map(rows).collect(),
        };
        Self {
            topology: Topology { layers: layers.len(), ..self.topology.clone() },
            policy: self.policy,
            loads: rows(&self.loads),
            in_force: self.in_force.as_ref().map(in_force),
        }
    }

    /// The number of earlier windows, if there is a plan in force.
    pub fn history(&self) -> Option<usize> {
        let window = self.topology.layers * self.topology.experts;
        self.in_force.as_ref().map(|in_force| in_force.history.len() / window)
    }

    /// Such as `hierarchical, 288 replicas on 32 GPUs`.
    pub fn name(&self) -> String {
        format!("{}, {} replicas on {} GPUs", self.policy.name(), self.topology.replicas, self.topology.gpus)
    }

    /// Why no program can be asked for it.
    pub fn problem(&self) -> Option<String> {
        if let Err(error) = self.topology.check() {
            return Some(error.to_string());
        }
        let wanted = self.topology.layers * self.topology.experts;
        if self.loads.len() != wanted {
            return Some(format!("{} loads, but layers x experts is {wanted}", self.loads.len()));
        }
        if let Some(problem) = self.in_force.as_ref().and_then(|in_force| in_force.problem(&self.topology)) {
            return Some(problem);
        }
        let history = self.in_force.iter().flat_map(|in_force| &in_force.history);
        let unfit = self.loads.iter().chain(history).find(|load| !load.is_finite() || **load < 0.0);
        unfit.map(|load| format!("a load of {load}: it must be finite and not negative"))
    }
}

impl InForce {
    fn problem(&self, topology: &Topology) -> Option<String> {
        let window = topology.layers * topology.experts;
        if !self.history.len().is_multiple_of(window) {
            return Some(format!("{} loads of earlier windows, but a window has {window}", self.history.len()));
        }
        let slots = topology.layers * topology.replicas;
        if self.old_phy2log.len() != slots {
            return Some(format!("{} slots of the plan in force, but there are {slots}", self.old_phy2log.len()));
        }
        Plan::new(&self.old_phy2log, topology).err().map(|error| format!("the plan in force: {error}"))
    }
}

/// What came of a program's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "planned", rename_all = "kebab-case")]
pub enum Planned {
    /// Each call made a valid plan.
    Plans {
        /// One for each call, in their order.
        plans: Vec<TimedPlan>,
        /// The ways in which plans depend on the process or on other layers; empty if they do not, or if that was not
        /// asked.
        inconsistencies: Vec<Inconsistency>,
    },
    /// The program has no `rebalance_experts`.
    Absent,
    Rejected {
        rejection: Rejection,
        evidence: Evidence,
    },
}

/// A verified plan, and the times of calls on such loads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedPlan {
    /// `[layers, replicas]`, row-major: the expert in each slot.
    pub phy2log: Vec<i64>,
    /// By the clock of the device, the call that made the plan first. The others are made on loads that are resampled from
    /// the given ones, so that no call is fast because the program remembers it.
    pub seconds: Vec<f64>,
}

impl TimedPlan {
    /// The plan for the topology of its call.
    pub fn plan(&self, topology: &Topology) -> Plan {
        Plan::new(&self.phy2log, topology).expect("BUG: the judge has verified it")
    }

    /// The median time of a call, seconds.
    pub fn median_seconds(&self) -> f64 {
        median(self.seconds.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebalance() -> Rebalance {
        let topology = Topology { layers: 1, experts: 2, groups: 1, nodes: 1, gpus: 2, replicas: 2 };
        Rebalance::fresh(topology, Policy::Global, vec![1.0, 2.0])
    }

    #[test]
    fn a_call_for_some_layers_has_their_rows_in_all_its_parts() {
        let topology = Topology { layers: 2, experts: 2, groups: 1, nodes: 1, gpus: 2, replicas: 2 };
        let in_force = InForce { old_phy2log: vec![0, 1, 1, 0], history: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] };
        let call = Rebalance::fresh(topology, Policy::Global, vec![9.0, 10.0, 11.0, 12.0]);
        let call = Rebalance { in_force: Some(in_force), ..call };
        assert_eq!((call.problem(), call.history()), (None, Some(2)));
        let second = call.of_layers(&[1]);
        assert_eq!((second.topology.layers, &second.loads[..]), (1, &[11.0, 12.0][..]));
        let in_force = InForce { old_phy2log: vec![1, 0], history: vec![3.0, 4.0, 7.0, 8.0] };
        assert_eq!(second.in_force, Some(in_force));
        assert_eq!(call.of_layers(&[0, 1]), call);
    }

    #[test]
    fn what_no_program_can_plan_is_named() {
        assert_eq!(rebalance().problem(), None);
        assert_eq!(rebalance().name(), "global, 2 replicas on 2 GPUs");
        let problem = |change: fn(&mut Rebalance)| {
            let mut rebalance = rebalance();
            change(&mut rebalance);
            rebalance.problem().unwrap()
        };
        assert_eq!(problem(|call| call.topology.gpus = 3), "replicas (2) is not a multiple of gpus (3)");
        assert_eq!(problem(|call| call.loads.truncate(1)), "1 loads, but layers x experts is 2");
        assert_eq!(problem(|call| call.loads[1] = -1.0), "a load of -1: it must be finite and not negative");
        let in_force = |old_phy2log, history| Some(InForce { old_phy2log, history });
        assert_eq!(Rebalance { in_force: in_force(vec![1, 0], vec![1.0; 4]), ..rebalance() }.problem(), None);
        let problem_of = |in_force| Rebalance { in_force, ..rebalance() }.problem().unwrap();
        assert_eq!(
            problem_of(in_force(vec![1, 1], vec![])),
            "the plan in force: phy2log, layer 0: expert 0 has no replica"
        );
        assert_eq!(problem_of(in_force(vec![1], vec![])), "1 slots of the plan in force, but there are 2");
        assert_eq!(problem_of(in_force(vec![1, 0], vec![1.0])), "1 loads of earlier windows, but a window has 2");
        assert_eq!(problem(|call| call.loads[0] = f64::NAN), "a load of NaN: it must be finite and not negative");
    }
}
