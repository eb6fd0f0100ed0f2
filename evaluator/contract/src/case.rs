//! Case: a shape at which `balanced_packing` is called, and where its weights come from.

use std::fmt;

use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stream::{Purpose, stream};
use crate::topology::{Topology, TopologyError, divides};

/// The source of a case's weights, given a window of loads `[layers, experts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The loads of the expert groups, packed to nodes: `[layers, groups]`.
    Groups,
    /// The replicas of one node, packed to its GPUs: `[layers * nodes, replicas / nodes]`. The judge assigns groups to
    /// nodes by the exact pairing, and chooses replicas greedily in float64.
    NodeReplicas,
    /// All replicas of a layer, packed to all GPUs: `[layers, replicas]`. With `replicas = experts` nothing is
    /// replicated.
    GlobalReplicas,
    /// A random shape, for which no program can prepare. Rows and items are drawn from the window's layers and experts;
    /// if a row has more items than experts, replicas are chosen greedily.
    Random,
}

/// A shape at which packing is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    pub source: Source,
    /// X, the independent rows of a call.
    pub rows: usize,
    /// n, the items of a row.
    pub items: usize,
    /// m, the packs; each gets exactly `items / packs` items.
    pub packs: usize,
}

/// The name of a case in tables and in the journal, such as `72->8`; unique among the cases of a run.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, rows, items, packs } = self;
        match source {
            Source::Random => write!(f, "{items}->{packs} x{rows}"),
            _ => write!(f, "{items}->{packs}"),
        }
    }
}

/// A global case as config.yaml names it: a number of replicas of a layer on a number of GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalShape {
    /// n: physical experts of a layer.
    pub replicas: usize,
    /// m: GPUs.
    pub gpus: usize,
}

impl Case {
    /// k, the items that every pack gets.
    pub fn items_per_pack(&self) -> usize {
        self.items / self.packs
    }
}

/// *The unit*: the packing calls of one rebalance of `topology`: groups to nodes and replicas to GPUs, or one call with the global
/// policy.
pub fn unit(topology: &Topology) -> Vec<Case> {
    let Topology { layers, groups, nodes, gpus, replicas, .. } = *topology;
    if !topology.is_hierarchical() {
        return vec![Case { source: Source::GlobalReplicas, rows: layers, items: replicas, packs: gpus }];
    }
    vec![
        Case { source: Source::Groups, rows: layers, items: groups, packs: nodes },
        Case { source: Source::NodeReplicas, rows: layers * nodes, items: replicas / nodes, packs: gpus / nodes },
    ]
}

/// The default global cases of a topology: its GPUs and twice as many, each with the fewest redundant replicas that
/// fill them evenly, and without any if the experts fill them evenly.
///
/// For DeepSeek-V3: 288 and 256 on 32, 320 and 256 on 64.
pub fn global_shapes(topology: &Topology) -> Vec<GlobalShape> {
    let gpus = [topology.gpus, 2 * topology.gpus];
    let redundant = gpus.map(|gpus| GlobalShape { replicas: (topology.experts / gpus + 1) * gpus, gpus });
    let bare = gpus.map(|gpus| GlobalShape { replicas: topology.experts, gpus });
    redundant.into_iter().chain(bare.into_iter().filter(|shape| shape.replicas.is_multiple_of(shape.gpus))).collect()
}

/// All cases of a run, without duplicates: the unit of `topology`, the `global` shapes, and `random` shapes drawn by
/// `rng_seed`.
pub fn cases(
    topology: &Topology,
    global: &[GlobalShape],
    random: usize,
    rng_seed: u64,
) -> Result<Vec<Case>, TopologyError> {
    topology.check()?;
    let mut cases = unit(topology);
    for shape in global {
        let &GlobalShape { replicas, gpus } = shape;
        divides("replicas", replicas, "gpus", gpus)?;
        if replicas < topology.experts {
            return Err(TopologyError::TooFewReplicas { replicas, experts: topology.experts });
        }
        let case = Case { source: Source::GlobalReplicas, rows: topology.layers, items: replicas, packs: gpus };
        push_new(&mut cases, case);
    }
    let mut rng = stream(rng_seed, 0, Purpose::RandomCases);
    let wanted = cases.len() + random;
    while cases.len() < wanted {
        // The range of real deployments, at a bounded cost.
        let (per_pack, packs) = (rng.random_range(3..=12), rng.random_range(4..=40));
        let rows = rng.random_range(16..=96);
        push_new(&mut cases, Case { source: Source::Random, rows, items: per_pack * packs, packs });
    }
    Ok(cases)
}

fn push_new(cases: &mut Vec<Case>, case: Case) {
    if cases.iter().all(|known| known.to_string() != case.to_string()) {
        cases.push(case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cases: &[Case]) -> Vec<String> {
        cases.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_rebalance_of_deepseek_v3_packs_groups_to_nodes_and_replicas_to_gpus() {
        let unit = unit(&Topology::deepseek_v3());
        assert_eq!(names(&unit), ["8->4", "72->8"]);
        assert_eq!((unit[0].rows, unit[1].rows), (58, 232));
        assert_eq!(unit[1].items_per_pack(), 9);
    }

    #[test]
    fn with_the_global_policy_the_unit_is_one_call() {
        let topology = Topology { groups: 1, nodes: 4, ..Topology::deepseek_v3() };
        assert_eq!(names(&unit(&topology)), ["288->32"]);
    }

    #[test]
    fn every_preset_has_cases_of_its_own() {
        let shapes = global_shapes(&Topology::deepseek_v3());
        let shapes: Vec<_> = shapes.iter().map(|shape| (shape.replicas, shape.gpus)).collect();
        assert_eq!(shapes, [(288, 32), (320, 64), (256, 32), (256, 64)]);
        let of_preset = |name| {
            let topology = Topology::preset(name).unwrap();
            names(&cases(&topology, &global_shapes(&topology), 0, 1).unwrap())
        };
        assert_eq!(of_preset("deepseek-v3-320"), ["8->8", "40->8", "320->64", "384->128", "256->64", "256->128"]);
        assert_eq!(of_preset("no-redundancy"), ["8->4", "64->8", "288->32", "320->64", "256->32", "256->64"]);
        assert_eq!(of_preset("qwen3-235b"), ["160->32", "192->64", "128->32", "128->64"]);
        assert_eq!(of_preset("kimi-k2"), ["480->96", "576->192", "384->96", "384->192"]);
        assert_eq!(of_preset("mixtral"), ["1->1", "12->4", "16->8", "8->4", "8->8"]);
    }

    #[test]
    fn random_cases_follow_the_seed_and_no_case_is_listed_twice() {
        let topology = Topology { groups: 1, ..Topology::deepseek_v3() };
        let shape = GlobalShape { replicas: 288, gpus: 32 };
        let all = cases(&topology, &[shape, shape], 2, 1).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all, cases(&topology, &[shape], 2, 1).unwrap());
        assert_ne!(all, cases(&topology, &[shape], 2, 2).unwrap());
        assert!(all.iter().all(|case| case.items % case.packs == 0));
    }

    #[test]
    fn a_shape_that_does_not_divide_is_refused() {
        let shape = GlobalShape { replicas: 290, gpus: 32 };
        let error = cases(&Topology::deepseek_v3(), &[shape], 0, 1).unwrap_err();
        assert_eq!(error.to_string(), "replicas (290) is not a multiple of gpus (32)");
    }
}
