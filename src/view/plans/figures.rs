//! Figures: what a plan is worth on the loads that it was made from, and what it moves.

use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::moves::{Moves, keep_slots};
use packevolve_contract::parting::part_doubles;
use packevolve_contract::plan::{Doubles, Plan};
use packevolve_contract::rebalance::{PlanLoads, Policy};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::statistic::{median, percentile};
use packevolve_contract::topology::Topology;
use schemars::JsonSchema;
use serde::Serialize;

use crate::values::digest::Digest;
use crate::view::plans::layers::ModelLayers;

/// The output of `packevolve plan --format json`. Its shape is part of the interface.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Planning {
    pub format: u32,
    /// Where the program comes from.
    pub program: String,
    /// Of the text of the program.
    pub program_digest: Digest,
    /// The files of the loads.
    pub loads: Vec<String>,
    /// The number of windows that are summed.
    pub windows: usize,
    pub topology: Topology,
    pub policy: Policy,
    /// The file that was written.
    pub output: Option<String>,
    /// In what way its plans, or the answers of its packing, depend on the process or on other layers; empty if they do
    /// not.
    pub inconsistencies: Vec<Inconsistency>,
    /// `None` if the program was rejected.
    pub figures: Option<Figures>,
    pub rejection: Option<Rejection>,
    pub evidence: Option<Evidence>,
}

/// The figures of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Figures {
    /// Median time of a call of `rebalance_experts`, seconds.
    pub seconds: f64,
    /// Whether `before` is of the plan that was given; otherwise it is of the one that engines start with.
    pub has_old_plan: bool,
    pub before: Balance,
    pub after: Balance,
    pub layers: Vec<LayerFigures>,
    /// Experts that a GPU has more than once.
    pub doubles: Doubles,
    /// The same before doubles were parted; `None` if they were only counted.
    pub doubles_before_parting: Option<Doubles>,
    /// Against the plan that was given.
    pub moves: Option<Moved>,
}

/// The balancedness of the layers of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Balance {
    /// Sum of mean loads over sum of heaviest loads.
    pub balancedness: f64,
    /// Of the least balanced layer.
    pub min: f64,
    pub median: f64,
    /// Nine of ten layers have less.
    pub p90: f64,
    /// The layer of the model with the least, or its row in the loads where the layers are unknown.
    pub worst_layer: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LayerFigures {
    /// The layer of the model, or its row in the loads where that is unknown.
    pub layer: usize,
    /// Mean load of a GPU over that of the heaviest one.
    pub before: f64,
    pub after: f64,
    /// Slots beyond the first one of an expert on its GPU.
    pub doubles: usize,
}

/// What a plan moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Moved {
    /// Replicas of all layers that GPUs must load, beyond those that they hold.
    pub slots: u64,
    /// Share of all slots.
    pub share: f64,
    /// On a GPU in the mean.
    pub mean_gpu: f64,
    /// On the GPU that loads most.
    pub busiest_gpu: u64,
    /// Slots whose expert would also have changed, although it stays on its GPU, if the plan had not kept it there.
    pub kept: u64,
    /// Bytes that the busiest GPU, a GPU in the mean, and all GPUs load; `None` where the size of an expert is unknown.
    pub bytes: Option<MovedBytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MovedBytes {
    pub busiest_gpu: f64,
    pub mean_gpu: f64,
    pub all: f64,
}

/// What a plan is changed by before it is written, and compared with.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// `[layers, experts]`, the loads that the plan was made from.
    pub loads: &'a [f64],
    /// The plan in force, if it was given.
    pub old: Option<&'a Plan>,
    /// Whether to part doubles, on nodes that replicas do not leave.
    pub part_on: Option<usize>,
    /// Bytes of an expert of a layer.
    pub expert_bytes: Option<f64>,
    pub layers: &'a ModelLayers,
    pub topology: &'a Topology,
}

/// The plan that is written, and its figures: with doubles parted if that is wanted, and with experts that stay on a GPU
/// in their slots there.
pub fn arranged(plan: &Plan, seconds: f64, against: Against<'_>) -> (Plan, Figures) {
    let Against { loads, old, part_on, expert_bytes, layers, topology } = against;
    let parted = part_on.map_or_else(|| plan.clone(), |nodes| part_doubles(plan, loads, nodes));
    let arranged = old.map_or_else(|| parted.clone(), |old| keep_slots(old, &parted));
    let identity = Plan::identity(topology);
    let (before, after) = (old.unwrap_or(&identity).layer_loads(loads), arranged.layer_loads(loads));
    let by_layer = before.iter().zip(&after).enumerate().map(|(row, (before, after))| LayerFigures {
        layer: layers.id(row),
        before: before.balancedness(),
        after: after.balancedness(),
        doubles: arranged.doubles_of(row),
    });
    let figures = Figures {
        seconds,
        has_old_plan: old.is_some(),
        layers: by_layer.collect(),
        before: balance(&before, layers),
        after: balance(&after, layers),
        doubles: arranged.doubles(),
        doubles_before_parting: part_on.map(|_| plan.doubles()),
        moves: old.map(|old| moved(old, &parted, &arranged, expert_bytes)),
    };
    (arranged, figures)
}

fn balance(by_layer: &[PlanLoads], layers: &ModelLayers) -> Balance {
    let values = || by_layer.iter().map(PlanLoads::balancedness);
    let least = values().enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
    let (worst, min) = least.expect("BUG: a plan has layers");
    Balance {
        balancedness: PlanLoads::sum(by_layer).balancedness(),
        min,
        median: median(values()),
        p90: percentile(values(), 0.9),
        worst_layer: layers.id(worst),
    }
}

fn moved(old: &Plan, parted: &Plan, arranged: &Plan, expert_bytes: Option<f64>) -> Moved {
    let Moves { slots, share, mean_gpu, busiest_gpu } = Moves::between(old, arranged);
    let changed = |plan: &Plan| {
        let slots = (0..old.layers()).flat_map(|layer| old.layer(layer).iter().zip(plan.layer(layer)));
        slots.filter(|(then, now)| then != now).count() as u64
    };
    let bytes = expert_bytes.map(|bytes| MovedBytes {
        busiest_gpu: busiest_gpu as f64 * bytes,
        mean_gpu: mean_gpu * bytes,
        all: slots as f64 * bytes,
    });
    Moved { slots, share, mean_gpu, busiest_gpu, kept: changed(parted) - changed(arranged), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 }
    }

    const LOADS: [f64; 6] = [8.0, 1.0, 5.0, 3.0, 4.0, 2.0];

    fn arranged_against<'a>(old: Option<&'a Plan>, layers: &'a ModelLayers, topology: &'a Topology) -> (Plan, Figures) {
        let plan = Plan::new(&[1, 0, 0, 2, 1, 1, 2, 0], topology).unwrap();
        let against = Against { loads: &LOADS, old, part_on: Some(1), expert_bytes: Some(10.0), layers, topology };
        arranged(&plan, 0.5, against)
    }

    #[test]
    fn figures_are_of_the_plan_that_is_written() {
        let (layers, topology) = (ModelLayers::after(3, 2), topology());
        let old = Plan::new(&[0, 1, 2, 0, 1, 1, 0, 2], &topology).unwrap();
        let (plan, figures) = arranged_against(Some(&old), &layers, &topology);
        // Layer 3 has its slots back. In layer 4 the second 1 has changed places with 2.
        assert_eq!((plan.layer(0), plan.layer(1)), (&[0, 1, 2, 0][..], &[1, 2, 0, 1][..]));
        assert_eq!(
            (figures.doubles, figures.doubles_before_parting),
            (Doubles::default(), Some(Doubles { layers: 1, slots: 1 }))
        );
        let Moved { slots, busiest_gpu, mean_gpu, kept, bytes, .. } = figures.moves.unwrap();
        assert_eq!((slots, busiest_gpu, mean_gpu, kept), (2, 1, 1.0, 5));
        assert_eq!(bytes, Some(MovedBytes { busiest_gpu: 10.0, mean_gpu: 10.0, all: 20.0 }));
        let layer = figures.layers[0];
        assert_eq!((layer.layer, layer.before, layer.after), (3, 7.0 / 9.0, 7.0 / 9.0));
        assert_eq!((figures.after.worst_layer, figures.after.min), (3, 7.0 / 9.0));
        assert_eq!(figures.after.balancedness, (7.0 + 4.5) / (9.0 + 5.0));
    }

    #[test]
    fn without_an_old_plan_the_identity_is_compared_with_and_nothing_moves() {
        let (layers, topology) = (ModelLayers::default(), topology());
        let (_, figures) = arranged_against(None, &layers, &topology);
        assert_eq!((figures.moves, figures.has_old_plan), (None, false));
        let identity = Plan::identity(&topology).loads(&LOADS);
        assert_eq!(figures.before.balancedness, identity.balancedness());
    }
}
