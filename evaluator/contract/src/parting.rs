//! Parting: takes doubles apart. An expert that a GPU holds twice changes places with one of another GPU.

use crate::plan::{Plan, doubled};

/// The plan without the doubles that a change of places can part, at the least cost in balancedness on the window that
/// the plan was made for: loads `[layers, experts]` in tokens, row-major.
///
/// Replicas stay on their node, one of `nodes`: with the hierarchical policy their group does. A double remains only where
/// every other GPU of the node holds that expert already, or each change would make another double.
pub fn part_doubles(plan: &Plan, window: &[f64], nodes: usize) -> Plan {
    let gpus_of_node = plan.gpus() / nodes;
    let parted = |layer: usize| -> Vec<usize> {
        let loads = &window[layer * plan.experts()..][..plan.experts()];
        let load_of = |expert: usize| f64::from(loads[expert] as f32) / plan.counts(layer)[expert] as f64;
        let mut gpus: Vec<Vec<usize>> = plan.gpus_of(layer).map(<[usize]>::to_vec).collect();
        let of_gpu = |gpu: &Vec<usize>| gpu.iter().map(|&expert| load_of(expert)).sum();
        let mut packed = Packed { loads: gpus.iter().map(of_gpu).collect() };
        for gpu in 0..gpus.len() {
            while let Some(swap) = packed.best_swap(&gpus, gpu, gpus_of_node, load_of) {
                packed.apply(&mut gpus, &swap, load_of);
            }
        }
        gpus.concat()
    };
    plan.reordered((0..plan.layers()).map(parted))
}

/// The loads of the GPUs of a layer.
struct Packed {
    loads: Vec<f64>,
}

/// Two slots whose experts change places.
#[derive(Clone, Copy, Debug)]
struct Swap {
    /// GPU and slot on it.
    double: (usize, usize),
    other: (usize, usize),
}

impl Packed {
    /// The change of places that parts a double of `gpu`, makes no other, and leaves the lightest heaviest GPU; among
    /// equals the one that leaves the two GPUs lightest, then the first.
    fn best_swap(
        &self,
        gpus: &[Vec<usize>],
        gpu: usize,
        gpus_of_node: usize,
        load_of: impl Fn(usize) -> f64 + Copy,
    ) -> Option<Swap> {
        let first = gpu / gpus_of_node * gpus_of_node;
        let others = (first..first + gpus_of_node).filter(|other| *other != gpu);
        let mut best: Option<([f64; 2], Swap)> = None;
        for (other, slot) in others.flat_map(|other| doubled(&gpus[gpu]).map(move |slot| (other, slot))) {
            if gpus[other].contains(&gpus[gpu][slot]) {
                continue;
            }
            let heaviest = self.heaviest_besides([gpu, other]);
            for (other_slot, &expert) in gpus[other].iter().enumerate() {
                if gpus[gpu].contains(&expert) {
                    continue;
                }
                let gained = load_of(expert) - load_of(gpus[gpu][slot]);
                let pair = (self.loads[gpu] + gained).max(self.loads[other] - gained);
                let cost = [pair.max(heaviest), pair];
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, Swap { double: (gpu, slot), other: (other, other_slot) }));
                }
            }
        }
        best.map(|(_, swap)| swap)
    }

    fn heaviest_besides(&self, gpus: [usize; 2]) -> f64 {
        let others = self.loads.iter().enumerate().filter(|(gpu, _)| !gpus.contains(gpu));
        others.map(|(_, load)| *load).fold(0.0, f64::max)
    }

    fn apply(&mut self, gpus: &mut [Vec<usize>], swap: &Swap, load_of: impl Fn(usize) -> f64) {
        let Swap { double: (gpu, slot), other: (other, other_slot) } = *swap;
        let before = doubled(&gpus[gpu]).count() + doubled(&gpus[other]).count();
        let (leaving, coming) = (gpus[gpu][slot], gpus[other][other_slot]);
        (gpus[gpu][slot], gpus[other][other_slot]) = (coming, leaving);
        for changed in [gpu, other] {
            self.loads[changed] = gpus[changed].iter().map(|&expert| load_of(expert)).sum();
        }
        let after = doubled(&gpus[gpu]).count() + doubled(&gpus[other]).count();
        assert!(after < before, "BUG: a change of places parted nothing");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::Doubles;
    use crate::topology::Topology;

    fn topology() -> Topology {
        Topology { layers: 1, experts: 4, groups: 1, nodes: 1, gpus: 3, replicas: 6 }
    }

    #[test]
    fn a_double_is_parted_where_that_costs_least() {
        // Replicas have 10, 3, 6 and 3.5, GPUs 20, 9 and 7.
        let plan = Plan::new(&[0, 0, 1, 2, 3, 3], &topology()).unwrap();
        let window = [20.0, 3.0, 6.0, 7.0];
        assert_eq!(plan.doubles(), Doubles { layers: 1, slots: 2 });
        let parted = part_doubles(&plan, &window, 1);
        assert_eq!(parted.doubles(), Doubles::default());
        // 0 and 1, or 0 and 2, make a GPU of 16; 0 and 3 make 13.5, 9 and 13.5, and part both doubles at once.
        assert_eq!(parted.layer(0), [0, 3, 1, 2, 0, 3]);
    }

    #[test]
    fn what_cannot_be_parted_stays() {
        let topology = Topology { layers: 1, experts: 2, groups: 1, nodes: 1, gpus: 2, replicas: 6 };
        let plan = Plan::new(&[0, 0, 0, 0, 0, 1], &topology).unwrap();
        assert_eq!(part_doubles(&plan, &[5.0, 1.0], 1), plan);
    }

    #[test]
    fn with_the_hierarchical_policy_replicas_stay_on_their_node() {
        let topology = Topology { layers: 1, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 12 };
        let plan = Plan::new(&[0, 0, 1, 2, 3, 1, 4, 4, 5, 6, 7, 5], &topology).unwrap();
        let parted = part_doubles(&plan, &[1.0; 8], 2);
        assert_eq!(parted.doubles(), Doubles::default());
        let sorted = |slots: &[usize]| {
            let mut slots = slots.to_vec();
            slots.sort_unstable();
            slots
        };
        for node in [0..6, 6..12] {
            assert_eq!(sorted(&parted.layer(0)[node.clone()]), sorted(&plan.layer(0)[node]));
        }
    }

    proptest! {
        #[test]
        fn parting_never_adds_a_double_and_keeps_every_replica(
            more in proptest::collection::vec(0..8i64, 8),
            order in Just((0..16).collect::<Vec<usize>>()).prop_shuffle(),
            window in proptest::collection::vec(0..1000u32, 8),
        ) {
            let topology = Topology { layers: 1, experts: 8, groups: 1, nodes: 1, gpus: 4, replicas: 16 };
            let replicas: Vec<i64> = (0..8).chain(more).collect();
            let phy2log: Vec<i64> = order.into_iter().map(|at| replicas[at]).collect();
            let plan = Plan::new(&phy2log, &topology).unwrap();
            let window: Vec<f64> = window.into_iter().map(f64::from).collect();
            let parted = part_doubles(&plan, &window, 1);
            prop_assert_eq!(parted.counts(0), plan.counts(0));
            prop_assert!(parted.doubles().slots <= plan.doubles().slots);
            if plan.doubles().slots == 0 {
                prop_assert_eq!(parted, plan);
            }
        }
    }
}
