//! Option: a way to place the experts, and what its plans do to the windows that they serve.

use packevolve_contract::moves::Moves;
use packevolve_contract::plan::Plan;
use packevolve_contract::rebalance::{PlanLoads, Policy};
use packevolve_contract::statistic::{balance, mean};
use schemars::JsonSchema;
use serde::Serialize;
use strum::IntoStaticStr;

use crate::view::worth::traffic::Traffic;

/// Who places the experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Planner {
    /// There is none: the placement with which engines start stays.
    None,
    /// The planner that engines ship.
    Engine,
    /// The chosen program.
    Program,
}

/// A way to place the experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub planner: Planner,
    /// `None` without a planner.
    pub policy: Option<Policy>,
    /// Redundant experts of a layer.
    pub redundant: usize,
}

/// What the plans of a choice do, pooled over all windows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effect {
    /// The loads of each layer on the windows that the plans were made on.
    now: Vec<PlanLoads>,
    /// The same on the windows that they served; `None` without any.
    next: Option<Vec<PlanLoads>>,
    /// The heaviest GPU of each layer of each of those windows, or else of their own.
    pub heaviest: Vec<f64>,
    /// The mean of (max - mean) / mean over layers and served windows, TensorRT-LLM's measure; of the planned windows where
    /// none was served.
    pub imbalance: f64,
    pub moves: MeanMoves,
}

/// What a rebalance moves, the mean over rebalances.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MeanMoves {
    pub share: f64,
    /// Replicas that a GPU loads, the mean over the GPUs.
    pub mean_gpu: f64,
    pub busiest_gpu: f64,
}

impl Effect {
    /// Of plans, one for each planned window of `traffic`. With a single plan, `start` is the plan that it replaces.
    pub fn of(plans: &[Plan], traffic: &Traffic, start: &Plan) -> Self {
        assert_eq!(plans.len(), traffic.planned.len(), "BUG: a plan for each planned window");
        let now: Vec<Vec<PlanLoads>> =
            plans.iter().zip(&traffic.planned).map(|(plan, window)| plan.layer_loads(&window.counts)).collect();
        let served = plans.iter().zip(&traffic.served);
        let next: Vec<Vec<PlanLoads>> = served
            .flat_map(|(plan, windows)| windows.iter().map(move |window| plan.layer_loads(&window.counts)))
            .collect();
        let judged = if next.is_empty() { &now } else { &next };
        let loaded = judged.iter().flatten().filter(|loads| loads.mean_gpu > 0.0);
        let heaviest = judged.iter().flatten().map(|loads| loads.max_gpu).collect();
        let imbalance = mean(loaded.map(|loads| loads.max_gpu / loads.mean_gpu - 1.0)).unwrap_or(0.0);
        let next = (!next.is_empty()).then(|| pooled(&next));
        Self { now: pooled(&now), next, heaviest, imbalance, moves: MeanMoves::of(plans, start) }
    }

    pub fn balancedness_now(&self) -> f64 {
        balancedness(&self.now)
    }

    /// On the windows that the plans served.
    pub fn balancedness_next(&self) -> Option<f64> {
        self.next.as_deref().map(balancedness)
    }

    /// What counts: the loads of each layer on the windows that the plans served, or else on their own.
    pub fn layers(&self) -> &[PlanLoads] {
        self.next.as_deref().unwrap_or(&self.now)
    }

    /// Σ of the heaviest GPU over the layers, on those windows.
    pub fn peak(&self) -> f64 {
        self.heaviest.iter().sum()
    }
}

/// The sums of each layer over windows, at least one.
fn pooled(windows: &[Vec<PlanLoads>]) -> Vec<PlanLoads> {
    let mut sums = vec![PlanLoads::default(); windows[0].len()];
    for loads in windows {
        for (sum, loads) in sums.iter_mut().zip(loads) {
            sum.mean_gpu += loads.mean_gpu;
            sum.max_gpu += loads.max_gpu;
            sum.mean_replica += loads.mean_replica;
            sum.max_replica += loads.max_replica;
        }
    }
    sums
}

fn balancedness(layers: &[PlanLoads]) -> f64 {
    balance(layers.iter().map(|loads| loads.mean_gpu).sum(), layers.iter().map(|loads| loads.max_gpu).sum())
}

impl MeanMoves {
    /// From each plan to the next one; from `start` to the plan if there is only one.
    fn of(plans: &[Plan], start: &Plan) -> Self {
        let moves: Vec<Moves> = match plans {
            [only] => vec![Moves::between(start, only)],
            _ => plans.windows(2).map(|pair| Moves::between(&pair[0], &pair[1])).collect(),
        };
        let mean = |of: fn(&Moves) -> f64| mean(moves.iter().map(of)).unwrap_or(0.0);
        Self {
            share: mean(|moves| moves.share),
            mean_gpu: mean(|moves| moves.mean_gpu),
            busiest_gpu: mean(|moves| moves.busiest_gpu as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::topology::Topology;
    use packevolve_loads::window::Window;

    use super::*;
    use crate::view::worth::traffic::Steps;

    fn traffic(next: Vec<Window>) -> Traffic {
        let planned = vec![Window::new(2, vec![6.0, 2.0, 1.0, 1.0])];
        Traffic { planned, served: vec![next], windows: 2, steps: Steps::Unknown }
    }

    fn plan(phy2log: [i64; 8]) -> Plan {
        let topology = Topology { layers: 2, experts: 2, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        Plan::new(&phy2log, &topology).unwrap()
    }

    #[test]
    fn an_effect_is_that_of_the_windows_that_were_served() {
        let start = plan([0, 0, 1, 1, 0, 1, 0, 1]);
        let plans = [plan([0, 1, 0, 1, 0, 1, 0, 1])];
        let next = Window::new(2, vec![2.0, 6.0, 3.0, 1.0]);
        let effect = Effect::of(&plans, &traffic(vec![next.clone()]), &start);
        assert_eq!((effect.balancedness_now(), effect.balancedness_next()), (1.0, Some(1.0)));
        assert_eq!((effect.imbalance, effect.peak()), (0.0, 6.0));
        assert_eq!(effect.moves, MeanMoves { share: 0.25, mean_gpu: 1.0, busiest_gpu: 1.0 });
        let kept = Effect::of(std::slice::from_ref(&start), &traffic(vec![next]), &start);
        // Layer 0: GPUs of 2 and 6. Layer 1: 2 and 2.
        assert_eq!((kept.balancedness_next(), kept.peak(), kept.imbalance), (Some(6.0 / 8.0), 8.0, 0.25));
        assert_eq!(kept.moves, MeanMoves::default());
    }

    #[test]
    fn without_a_next_window_the_own_one_is_all_there_is() {
        let start = plan([0, 0, 1, 1, 0, 1, 0, 1]);
        let effect = Effect::of(std::slice::from_ref(&start), &traffic(Vec::new()), &start);
        assert_eq!((effect.balancedness_next(), effect.peak()), (None, 6.0 + 1.0));
        assert_eq!(effect.imbalance, 0.25);
    }
}
