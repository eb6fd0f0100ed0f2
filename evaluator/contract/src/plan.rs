//! Plan: which expert lies in each slot of a deployment, and the loads of GPUs that follow from it.
//!
//! A slot holds a replica; slots are numbered through the GPUs of a layer. An expert's load is spread evenly over its
//! replicas, so the loads follow from the experts of the slots alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rebalance::PlanLoads;
use crate::topology::Topology;

/// How a plan breaks the contract. Layers, experts and replicas count from 0, as the program's own indices do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    #[error("phy2log, layer {layer}, replica {replica}: expert {expert} is not among experts 0 to {last}")]
    NoSuchExpert { layer: usize, replica: usize, expert: i64, last: usize },
    #[error("phy2log, layer {layer}: expert {expert} has no replica")]
    NoReplica { layer: usize, expert: usize },
    #[error("logcnt, layer {layer}, expert {expert}: {claimed} replicas claimed, but phy2log has {found}")]
    Count { layer: usize, expert: usize, claimed: i64, found: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} is not among replicas 0 to {last}")]
    NoSuchReplica { layer: usize, expert: usize, replica: i64, last: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} belongs to expert {of}")]
    OtherExpert { layer: usize, expert: usize, replica: i64, of: usize },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} is listed twice")]
    Twice { layer: usize, expert: usize, replica: i64 },
    #[error("log2phy, layer {layer}, expert {expert}: replica {replica} follows the padding")]
    BehindPadding { layer: usize, expert: usize, replica: i64 },
    #[error("log2phy, layer {layer}, expert {expert}: {listed} of its {found} replicas are listed")]
    Unlisted { layer: usize, expert: usize, listed: usize, found: usize },
    #[error(
        "phy2log, layer {layer}: the experts of group {group} are on nodes {one} and {other}, but a group stays together"
    )]
    SplitGroup { layer: usize, group: usize, one: usize, other: usize },
}

/// A verified plan: each slot holds an expert, and each expert has a slot. Slot `s` of a layer is on GPU
/// `s / (slots / gpus)`, so the shape alone gives each GPU equally many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    experts: usize,
    gpus: usize,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    /// The expert in each slot.
    slots: Vec<usize>,
    /// The number of replicas of each expert.
    counts: Vec<usize>,
}

/// Experts that a GPU holds more than once. A second replica there takes memory and lightens nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doubles {
    /// Layers that have any.
    pub layers: usize,
    /// Slots of all layers beyond the first one of an expert on its GPU.
    pub slots: usize,
}

impl Plan {
    /// The plan of `topology`, with any groups and nodes, that has these experts in its slots, row-major
    /// `[layers, replicas]`. The topology has passed its [`check`](Topology::check).
    ///
    /// # Errors
    /// The first slot of the first layer that holds no expert, or the first expert that has no slot.
    pub fn new(phy2log: &[i64], topology: &Topology) -> Result<Self, PlanError> {
        let &Topology { layers, experts, replicas, gpus, .. } = topology;
        assert_eq!(phy2log.len(), layers * replicas, "BUG: phy2log of another shape");
        let layers = phy2log.chunks(replicas).enumerate().map(|(layer, slots)| Layer::new(layer, slots, experts));
        Ok(Self { experts, gpus, layers: layers.collect::<Result<_, _>>()? })
    }

    /// What engines start with: expert `i` in slot `i`, and the redundant slots filled with experts in turn.
    ///
    /// SGLang's `init_trivial` and vLLM's initial map are both `i mod experts`.
    pub fn identity(topology: &Topology) -> Self {
        let row = || (0..topology.replicas).map(|slot| (slot % topology.experts) as i64);
        let phy2log: Vec<i64> = (0..topology.layers).flat_map(|_| row()).collect();
        Self::new(&phy2log, topology).expect("BUG: as many replicas as experts")
    }

    /// `[layers, replicas]`, row-major: the expert in each slot.
    pub fn phy2log(&self) -> Vec<i64> {
        self.layers.iter().flat_map(|layer| &layer.slots).map(|&expert| expert as i64).collect()
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Logical experts of a layer.
    pub fn experts(&self) -> usize {
        self.experts
    }

    pub fn gpus(&self) -> usize {
        self.gpus
    }

    /// Slots of a layer.
    pub fn slots(&self) -> usize {
        self.layers[0].slots.len()
    }

    pub fn slots_of_gpu(&self) -> usize {
        self.slots() / self.gpus
    }

    /// The number of replicas of all layers.
    pub fn replicas(&self) -> u64 {
        (self.slots() * self.layers()) as u64
    }

    /// The expert in each slot of a layer.
    pub fn layer(&self, layer: usize) -> &[usize] {
        &self.layers[layer].slots
    }

    /// The number of replicas of each expert of a layer.
    pub fn counts(&self, layer: usize) -> &[usize] {
        &self.layers[layer].counts
    }

    /// The experts on each GPU of a layer.
    pub fn gpus_of(&self, layer: usize) -> impl Iterator<Item = &[usize]> {
        self.layer(layer).chunks(self.slots_of_gpu())
    }

    /// The loads of each layer on a window, `[layers, experts]` in tokens, row-major; in float64 of the float32 loads
    /// that a program receives.
    pub fn layer_loads(&self, window: &[f64]) -> Vec<PlanLoads> {
        assert_eq!(window.len(), self.layers() * self.experts, "BUG: a window of another shape");
        let of_layer = |(layer, loads): (&Layer, &[f64])| layer.loads(loads, self.slots_of_gpu());
        self.layers.iter().zip(window.chunks(self.experts)).map(of_layer).collect()
    }

    /// The loads of the plan on a window, summed over the layers.
    pub fn loads(&self, window: &[f64]) -> PlanLoads {
        PlanLoads::sum(&self.layer_loads(window))
    }

    /// Checks that the experts of a group are on one node, as routing to few nodes needs it: for hierarchical topologies.
    pub fn check_groups(&self, topology: &Topology) -> Result<(), PlanError> {
        let (of_group, of_node) = (self.experts / topology.groups, self.slots() / topology.nodes);
        for layer in 0..self.layers() {
            let mut nodes = vec![None; topology.groups];
            for (slot, expert) in self.layer(layer).iter().enumerate() {
                let (group, other) = (expert / of_group, slot / of_node);
                let one = *nodes[group].get_or_insert(other);
                if one != other {
                    return Err(PlanError::SplitGroup { layer, group, one, other });
                }
            }
        }
        Ok(())
    }

    /// Slots of a layer beyond the first one of an expert on its GPU.
    pub fn doubles_of(&self, layer: usize) -> usize {
        self.gpus_of(layer).map(|slots| doubled(slots).count()).sum()
    }

    pub fn doubles(&self) -> Doubles {
        let slots = (0..self.layers()).map(|layer| self.doubles_of(layer));
        slots
            .filter(|slots| *slots > 0)
            .fold(Doubles::default(), |sum, slots| Doubles { layers: sum.layers + 1, slots: sum.slots + slots })
    }

    /// The same plan with other experts in the slots of each layer: each layer's are the same ones in another order.
    pub(crate) fn reordered(&self, layers: impl Iterator<Item = Vec<usize>>) -> Self {
        let layers = self.layers.iter().zip(layers).map(|(Layer { counts, .. }, slots)| {
            let layer = Layer { slots, counts: counts.clone() };
            assert!(
                layer.counts.len() == self.experts && layer.is_counted(),
                "BUG: other experts after a change of order"
            );
            layer
        });
        Self { layers: layers.collect(), ..*self }
    }
}

/// The slots of a GPU that hold an expert that a slot before them holds.
pub(crate) fn doubled(slots: &[usize]) -> impl Iterator<Item = usize> {
    (1..slots.len()).filter(|slot| slots[..*slot].contains(&slots[*slot]))
}

impl Layer {
    fn new(layer: usize, phy2log: &[i64], experts: usize) -> Result<Self, PlanError> {
        let (mut slots, mut counts) = (Vec::with_capacity(phy2log.len()), vec![0; experts]);
        for (replica, &expert) in phy2log.iter().enumerate() {
            let Some(number) = below(expert, experts) else {
                return Err(PlanError::NoSuchExpert { layer, replica, expert, last: experts - 1 });
            };
            slots.push(number);
            counts[number] += 1;
        }
        match counts.iter().position(|count| *count == 0) {
            Some(expert) => Err(PlanError::NoReplica { layer, expert }),
            None => Ok(Self { slots, counts }),
        }
    }

    fn loads(&self, loads: &[f64], slots_of_gpu: usize) -> PlanLoads {
        let of_expert = |&expert: &usize| f64::from(loads[expert] as f32) / self.counts[expert] as f64;
        let replicas: Vec<f64> = self.slots.iter().map(of_expert).collect();
        let gpus = replicas.chunks(slots_of_gpu).map(|gpu| gpu.iter().sum::<f64>());
        let total: f64 = replicas.iter().sum();
        PlanLoads {
            mean_gpu: total / gpus.len() as f64,
            max_gpu: gpus.fold(0.0, f64::max),
            mean_replica: total / replicas.len() as f64,
            max_replica: replicas.iter().copied().fold(0.0, f64::max),
        }
    }

    fn is_counted(&self) -> bool {
        let mut counts = vec![0; self.counts.len()];
        self.slots.iter().for_each(|&expert| counts[expert] += 1);
        counts == self.counts
    }
}

/// `number` as an index, if it is less than `count`.
pub(crate) fn below(number: i64, count: usize) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number < count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers, three experts, four replicas on two GPUs.
    fn topology() -> Topology {
        Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 }
    }

    fn plan(phy2log: [i64; 8]) -> Plan {
        Plan::new(&phy2log, &topology()).unwrap()
    }

    #[test]
    fn every_expert_has_a_slot_and_every_slot_an_expert() {
        let error = |phy2log: [i64; 8]| Plan::new(&phy2log, &topology()).unwrap_err().to_string();
        let message = "phy2log, layer 1, replica 1: expert 3 is not among experts 0 to 2";
        assert_eq!(error([0, 1, 2, 0, 1, 3, 0, 2]), message);
        let message = "phy2log, layer 0, replica 0: expert -1 is not among experts 0 to 2";
        assert_eq!(error([-1, 1, 2, 0, 1, 1, 0, 2]), message);
        assert_eq!(error([0, 1, 2, 0, 1, 1, 0, 0]), "phy2log, layer 1: expert 2 has no replica");
    }

    #[test]
    fn loads_are_those_of_the_replicas_that_there_are() {
        let window = [8.0, 1.0, 5.0, 3.0, 4.0, 2.0];
        // Layer 0: replicas 4, 1, 5, 4; GPUs 5 and 9. Layer 1: 2, 2, 3, 2; 4 and 5.
        let plan = plan([0, 1, 2, 0, 1, 1, 0, 2]);
        let [first, second] = plan.layer_loads(&window)[..] else { panic!("two layers") };
        assert_eq!(first, PlanLoads { mean_gpu: 7.0, max_gpu: 9.0, mean_replica: 3.5, max_replica: 5.0 });
        assert_eq!(second, PlanLoads { mean_gpu: 4.5, max_gpu: 5.0, mean_replica: 2.25, max_replica: 3.0 });
        assert_eq!(
            plan.loads(&window),
            PlanLoads { mean_gpu: 7.0 + 4.5, max_gpu: 9.0 + 5.0, mean_replica: 3.5 + 2.25, max_replica: 5.0 + 3.0 }
        );
        assert_eq!(plan.loads(&[0.0; 6]), PlanLoads::default());
        assert_eq!(PlanLoads::default().balancedness(), 1.0);
    }

    #[test]
    fn a_group_is_on_one_node() {
        let topology = Topology { layers: 1, experts: 4, groups: 2, nodes: 2, gpus: 2, replicas: 4 };
        let check = |phy2log: [i64; 4]| Plan::new(&phy2log, &topology).unwrap().check_groups(&topology);
        assert_eq!((check([0, 1, 2, 3]), check([3, 2, 0, 1])), (Ok(()), Ok(())));
        let split = |group| PlanError::SplitGroup { layer: 0, group, one: 0, other: 1 };
        assert_eq!(check([0, 2, 1, 3]), Err(split(0)));
        let larger = Topology { replicas: 6, ..topology.clone() };
        assert_eq!(Plan::new(&[2, 2, 3, 3, 0, 1], &larger).unwrap().check_groups(&larger), Err(split(1)));
    }

    #[test]
    fn an_engine_starts_with_the_experts_in_turn() {
        let identity = Plan::identity(&Topology { replicas: 8, gpus: 4, ..topology() });
        assert_eq!(identity.layer(1), [0, 1, 2, 0, 1, 2, 0, 1]);
        assert_eq!((identity.slots_of_gpu(), identity.counts(0)), (2, &[3, 3, 2][..]));
        assert_eq!(identity.replicas(), 16);
    }

    #[test]
    fn doubles_are_counted_by_slot_and_by_layer() {
        let topology = Topology { replicas: 8, ..topology() };
        let phy2log = [[0, 0, 0, 1, 2, 1, 2, 1], [0, 1, 2, 0, 0, 1, 2, 1]].concat();
        let plan = Plan::new(&phy2log, &topology).unwrap();
        // Layer 0: the third 0 is one more; layer 1 has a second 0 and a second 1.
        assert_eq!([0, 1].map(|layer| plan.doubles_of(layer)), [2 + 2, 1 + 1]);
        assert_eq!(plan.doubles(), Doubles { layers: 2, slots: 6 });
        assert_eq!(Plan::identity(&topology).doubles(), Doubles { layers: 2, slots: 2 + 2 });
    }
}
