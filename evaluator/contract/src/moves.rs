//! Moves: what GPUs must load to get from one plan to another, and in which slots experts stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The replicas that GPUs must load for a plan, beyond those that they hold in the plan before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moves {
    /// Of all layers and GPUs.
    pub slots: u64,
    /// Share of all slots.
    pub share: f64,
    /// Of all layers, the mean over the GPUs.
    pub mean_gpu: f64,
    /// Of all layers, on the GPU that loads most.
    pub busiest_gpu: u64,
}

impl Moves {
    /// From `before` to `after`, two plans of one topology.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let of_gpus = moved_to_gpus(before, after);
        let slots: u64 = of_gpus.iter().sum();
        Self {
            slots,
            share: slots as f64 / after.replicas() as f64,
            mean_gpu: slots as f64 / of_gpus.len() as f64,
            busiest_gpu: of_gpus.into_iter().max().unwrap_or(0),
        }
    }
}

/// The replicas of all layers that each GPU must load.
fn moved_to_gpus(before: &Plan, after: &Plan) -> Vec<u64> {
    assert_eq!(shape(before), shape(after), "BUG: plans of two topologies");
    let mut moved = vec![0; after.gpus()];
    for layer in 0..after.layers() {
        for (gpu, (then, now)) in before.gpus_of(layer).zip(after.gpus_of(layer)).enumerate() {
            moved[gpu] += lacking(then, now) as u64;
        }
    }
    moved
}

/// Of the replicas of all layers that GPUs must load, those whose expert no GPU of their node held.
pub fn moved_between_nodes(before: &Plan, after: &Plan, nodes: usize) -> u64 {
    assert_eq!(shape(before), shape(after), "BUG: plans of two topologies");
    let slots_of_node = after.slots() / nodes;
    let of_layer = |layer: usize| -> u64 {
        let (then, now) = (before.layer(layer), after.layer(layer));
        let on_nodes = then.chunks(slots_of_node).zip(now.chunks(slots_of_node));
        let of_node = |(then, now): (&[usize], &[usize])| {
            let gpus = then.chunks(after.slots_of_gpu()).zip(now.chunks(after.slots_of_gpu()));
            gpus.flat_map(|(held, now)| lacked(held, now)).filter(|expert| !then.contains(expert)).count() as u64
        };
        on_nodes.map(of_node).sum()
    };
    (0..after.layers()).map(of_layer).sum()
}

/// How many of the replicas that a GPU has `now` it did not hold `then`.
fn lacking(then: &[usize], now: &[usize]) -> usize {
    lacked(then, now).len()
}

/// The replicas that a GPU has `now` and did not hold `then`.
fn lacked(then: &[usize], now: &[usize]) -> Vec<usize> {
    let mut held = then.to_vec();
    let mut is_held =
        |expert: &usize| held.iter().position(|other| other == expert).map(|at| held.swap_remove(at)).is_some();
    now.iter().copied().filter(|expert| !is_held(expert)).collect()
}

/// The plan `after` with the slots of each GPU in another order: an expert that stays on its GPU keeps its slot there,
/// as vLLM's default policy arranges it and vllm-ascend demands. The others fill the free slots in their order.
pub fn keep_slots(before: &Plan, after: &Plan) -> Plan {
    assert_eq!(shape(before), shape(after), "BUG: plans of two topologies");
    let kept = |layer: usize| -> Vec<usize> {
        before.gpus_of(layer).zip(after.gpus_of(layer)).flat_map(|(then, now)| keep_slots_of(then, now)).collect()
    };
    after.reordered((0..after.layers()).map(kept))
}

fn keep_slots_of(then: &[usize], now: &[usize]) -> Vec<usize> {
    let mut coming = now.to_vec();
    let stays = |expert: &usize| {
        let at = coming.iter().position(|other| other == expert)?;
        Some(coming.remove(at))
    };
    let kept: Vec<Option<usize>> = then.iter().map(stays).collect();
    let mut coming = coming.into_iter();
    kept.into_iter().map(|kept| kept.or_else(|| coming.next()).expect("BUG: as many slots as before")).collect()
}

/// Layers, experts, slots and GPUs.
fn shape(plan: &Plan) -> [usize; 4] {
    [plan.layers(), plan.experts(), plan.slots(), plan.gpus()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topology::Topology;

    /// Two layers, three experts, four replicas on two GPUs.
    fn plan(phy2log: [i64; 8]) -> Plan {
        let topology = Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        Plan::new(&phy2log, &topology).unwrap()
    }

    #[test]
    fn only_what_a_gpu_lacks_is_moved() {
        let before = plan([0, 1, 2, 0, 1, 1, 0, 2]);
        let slots = |after: [i64; 8]| Moves::between(&before, &plan(after)).slots;
        assert_eq!(slots([0, 1, 2, 0, 1, 1, 0, 2]), 0);
        // Within a GPU order is free.
        assert_eq!(slots([1, 0, 0, 2, 1, 1, 2, 0]), 0);
        // Layer 0: the GPUs change places; each has its 0 already. Layer 1: one of two 1s is replaced.
        assert_eq!(slots([2, 0, 0, 1, 1, 0, 0, 2]), 2 + 1);
        // A second replica of an expert that is there once is moved, too.
        assert_eq!(slots([0, 0, 2, 1, 1, 1, 0, 2]), 2);
    }

    #[test]
    fn moves_are_those_of_all_gpus_of_the_mean_one_and_of_the_busiest_one() {
        let moves = Moves::between(&plan([0, 1, 2, 0, 1, 1, 0, 2]), &plan([2, 0, 0, 1, 1, 0, 0, 2]));
        assert_eq!(moves, Moves { slots: 3, share: 3.0 / 8.0, mean_gpu: 1.5, busiest_gpu: 2 });
    }

    #[test]
    fn what_a_node_holds_need_not_come_from_another() {
        let topology = Topology { layers: 1, experts: 4, groups: 1, nodes: 2, gpus: 4, replicas: 4 };
        let plan = |phy2log: [i64; 4]| Plan::new(&phy2log, &topology).unwrap();
        let before = plan([0, 1, 2, 3]);
        let between = |after| moved_between_nodes(&before, &plan(after), 2);
        assert_eq!((between([0, 1, 2, 3]), between([1, 0, 2, 3]), between([2, 1, 0, 3])), (0, 0, 2));
    }

    #[test]
    fn an_expert_that_stays_keeps_its_slot() {
        let (before, after) = (plan([0, 1, 2, 0, 1, 1, 0, 2]), plan([1, 2, 0, 0, 0, 1, 2, 1]));
        let kept = keep_slots(&before, &after);
        assert_eq!((kept.layer(0), kept.layer(1)), (&[2, 1, 0, 0][..], &[1, 0, 1, 2][..]));
    }

    /// Two plans of 2 layers, 5 experts, 3 GPUs of 3 slots.
    fn plans() -> impl Strategy<Value = [Plan; 2]> {
        let row = || proptest::collection::vec(0..5i64, 4).prop_map(|more| [vec![0, 1, 2, 3, 4], more].concat());
        let rows = || (row().prop_shuffle(), row().prop_shuffle());
        let topology = Topology { layers: 2, experts: 5, groups: 1, nodes: 1, gpus: 3, replicas: 9 };
        (rows(), rows()).prop_map(move |rows| {
            <[_; 2]>::from(rows).map(|(one, other)| Plan::new(&[one, other].concat(), &topology).unwrap())
        })
    }

    proptest! {
        #[test]
        fn slots_that_change_are_exactly_what_moves([before, after] in plans()) {
            let kept = keep_slots(&before, &after);
            let moves = Moves::between(&before, &after);
            prop_assert_eq!(moves, Moves::between(&before, &kept));
            let changed = (0..2).flat_map(|layer| before.layer(layer).iter().zip(kept.layer(layer)));
            prop_assert_eq!(changed.filter(|(then, now)| then != now).count() as u64, moves.slots);
            let window = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
            prop_assert!((kept.loads(&window).max_gpu - after.loads(&window).max_gpu).abs() < 1e-12);
        }
    }
}
