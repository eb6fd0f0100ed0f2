//! Chain: a program's rebalances of consecutive windows, each from the plan before it.
//!
//! The plan of a step is made from its window, from the windows before that and from the plan in force. It serves the next
//! window. The plan in force in the first step is the one that DeepSeek's planner makes for the window before it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::statistic::balance;

/// One call of `rebalance_experts` in a chain. In JSON an array of the fields in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "StepRow", into = "StepRow")]
pub struct Step {
    /// Σ over layers of the mean load of a GPU, and of the heaviest GPU's, on the window that the plan is made from,
    /// tokens.
    pub now: GpuLoads,
    /// The same on the next window, which the plan serves.
    pub served: GpuLoads,
    /// Σ over layers of a lower bound on the heaviest GPU's load on that next window, for a plan that is made for it, with
    /// the replicas that greedy replication chooses, tokens.
    pub floor: f64,
    /// What DeepSeek's planner does in this step: with that the program is compared.
    pub planner: PlannerStep,
    /// Balancedness of the layer that is served worst.
    pub worst_layer: f64,
    /// Balancedness that nine of ten layers reach on the window that is served.
    pub p90_layer: f64,
    /// Replicas, of all layers, that GPUs must load for this plan.
    pub moved: u64,
    /// Those of the GPU that loads most.
    pub busiest_gpu: u64,
    /// Those that no GPU of their node held.
    pub cross_node: u64,
    /// Slots of all layers, beyond the first, in which a GPU holds an expert.
    pub doubles: u64,
    /// Replicas of all layers.
    pub replicas: u64,
    /// GPUs among which they are spread.
    pub gpus: u64,
    /// Time of the call by the device's clock, as in [`Sample`](crate::evaluation::Sample).
    pub seconds: f64,
    /// Wall time of the call.
    pub wall_seconds: f64,
    /// Time of the reference program, by the same clock: the mean of right before and right after.
    pub reference_seconds: f64,
}

/// A step of DeepSeek's planner through the same chain, from window to window, without regard to the plan in force. In JSON
/// the array `[served, busiest_gpu]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(GpuLoads, u64)", into = "(GpuLoads, u64)")]
pub struct PlannerStep {
    /// On the window that its plan serves.
    pub served: GpuLoads,
    /// Replicas, of all layers, that the GPU must load that loads most.
    pub busiest_gpu: u64,
}

/// Loads of the GPUs, each summed over the layers, tokens. In JSON the array `[mean, max]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub struct GpuLoads {
    pub mean: f64,
    pub max: f64,
}

/// The rebalances of one chain, all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChainMeasurement {
    /// Its number in the pool of the run, or in its duel.
    pub chain: usize,
    /// In order of time.
    pub steps: Vec<Step>,
}

impl ChainMeasurement {
    /// As a measurement names it beside cases.
    pub fn name(&self) -> String {
        format!("chain {}", self.chain)
    }
}

impl GpuLoads {
    /// Mean over heaviest; 1 is perfect.
    pub fn balancedness(self) -> f64 {
        balance(self.mean, self.max)
    }

    /// The sum of several.
    pub fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::default(), |sum, one| Self { mean: sum.mean + one.mean, max: sum.max + one.max })
    }
}

impl From<(f64, f64)> for GpuLoads {
    fn from((mean, max): (f64, f64)) -> Self {
        Self { mean, max }
    }
}

impl From<GpuLoads> for (f64, f64) {
    fn from(loads: GpuLoads) -> Self {
        (loads.mean, loads.max)
    }
}

impl From<(GpuLoads, u64)> for PlannerStep {
    fn from((served, busiest_gpu): (GpuLoads, u64)) -> Self {
        Self { served, busiest_gpu }
    }
}

impl From<PlannerStep> for (GpuLoads, u64) {
    fn from(PlannerStep { served, busiest_gpu }: PlannerStep) -> Self {
        (served, busiest_gpu)
    }
}

impl Step {
    /// Time in units of the reference program's.
    pub fn relative_time(&self) -> f64 {
        self.seconds / self.reference_seconds
    }
}

/// [`Step`] as an array.
type StepRow = (GpuLoads, GpuLoads, f64, PlannerStep, f64, f64, [u64; 6], f64, f64, f64);

impl From<StepRow> for Step {
    fn from(row: StepRow) -> Self {
        let (now, served, floor, planner, worst_layer, p90_layer, counts, seconds, wall_seconds, reference_seconds) =
            row;
        let [moved, busiest_gpu, cross_node, doubles, replicas, gpus] = counts;
        Self {
            now,
            served,
            floor,
            planner,
            worst_layer,
            p90_layer,
            moved,
            busiest_gpu,
            cross_node,
            doubles,
            replicas,
            gpus,
            seconds,
            wall_seconds,
            reference_seconds,
        }
    }
}

impl From<Step> for StepRow {
    fn from(step: Step) -> Self {
        let Step { now, served, floor, planner, worst_layer, p90_layer, .. } = step;
        let Step { moved, busiest_gpu, cross_node, doubles, replicas, gpus, .. } = step;
        let Step { seconds, wall_seconds, reference_seconds, .. } = step;
        let counts = [moved, busiest_gpu, cross_node, doubles, replicas, gpus];
        (now, served, floor, planner, worst_layer, p90_layer, counts, seconds, wall_seconds, reference_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_an_array_and_reads_back_as_it_was() {
        let step = Step {
            now: GpuLoads { mean: 3.0, max: 4.0 },
            served: GpuLoads { mean: 1.0, max: 2.0 },
            floor: 1.5,
            planner: PlannerStep { served: GpuLoads { mean: 1.0, max: 3.0 }, busiest_gpu: 9 },
            moved: 7,
            gpus: 4,
            ..Step::default()
        };
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(json, "[[3.0,4.0],[1.0,2.0],1.5,[[1.0,3.0],9],0.0,0.0,[7,0,0,0,0,4],0.0,0.0,0.0]");
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), step);
        assert_eq!((step.now.balancedness(), GpuLoads::default().balancedness()), (0.75, 1.0));
    }
}
