//! Topology: the placement of a model's experts on a cluster, in EPLB's parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A model and its deployment: the arguments of one `rebalance_experts` call and the shape `[layers, experts]` of a
/// window of loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Mixture-of-experts layers; rows of a window.
    pub layers: usize,
    /// Logical experts of a layer; columns of a window.
    pub experts: usize,
    /// Expert groups of a layer; 0, as some engines say it of models without groups, means the same as 1.
    pub groups: usize,
    /// Server nodes.
    pub nodes: usize,
    /// GPUs of the whole cluster.
    pub gpus: usize,
    /// Physical experts of a layer: each logical expert once, and redundant replicas.
    pub replicas: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopologyError {
    #[error("{name} is 0, it must be at least 1")]
    Zero { name: &'static str },
    #[error("{what} ({dividend}) is not a multiple of {by} ({divisor})")]
    NotDivisible { what: &'static str, dividend: usize, by: &'static str, divisor: usize },
    #[error("{replicas} replicas cannot hold {experts} experts")]
    TooFewReplicas { replicas: usize, experts: usize },
    #[error(
        "experts ({experts}) is not a multiple of groups ({groups}), which the hierarchical policy needs; `groups: 1` is the global policy"
    )]
    UnevenGroups { experts: usize, groups: usize },
    #[error("replicas ({replicas}) is not a multiple of gpus ({gpus})")]
    UnevenReplicas { replicas: usize, experts: usize, gpus: usize },
}

impl TopologyError {
    /// The nearest that fits, if a number of replicas is at fault.
    pub fn cure(&self) -> Option<String> {
        match *self {
            Self::UnevenReplicas { replicas, experts, gpus } => Some(nearest(replicas, experts, gpus)),
            _ => None,
        }
    }
}

impl Topology {
    /// Models and deployments by name, the default first. Groups are those of the model's router. Without groups EPLB
    /// uses its global policy, unless there is a single node.
    pub const PRESETS: [(&'static str, Self); 6] = [
        // DeepSeek-V3's and R1's prefilling unit: 32 redundant experts, nine on each GPU (arXiv 2412.19437, 3.4.1).
        ("deepseek-v3", Self { layers: 58, experts: 256, groups: 8, nodes: 4, gpus: 32, replicas: 288 }),
        // The same model with the 64 redundant experts of its decoding unit (section 3.4.2), on 64 GPUs.
        ("deepseek-v3-320", Self { layers: 58, experts: 256, groups: 8, nodes: 8, gpus: 64, replicas: 320 }),
        // The same model without memory for replicas.
        ("no-redundancy", Self { layers: 58, experts: 256, groups: 8, nodes: 4, gpus: 32, replicas: 256 }),
        // Qwen3-235B-A22B (config.json: 94 layers, 128 experts) with one redundant expert a GPU, as DeepSeek does.
        ("qwen3-235b", Self { layers: 94, experts: 128, groups: 1, nodes: 4, gpus: 32, replicas: 160 }),
        // Kimi K2 decoding with 96 redundant experts on 12 nodes (lmsys.org/blog/2025-07-20-k2-large-scale-ep).
        ("kimi-k2", Self { layers: 60, experts: 384, groups: 1, nodes: 12, gpus: 96, replicas: 480 }),
        // Mixtral 8x7B (its config.json: 32 layers, 8 experts) on half a node, three experts on each GPU.
        ("mixtral", Self { layers: 32, experts: 8, groups: 1, nodes: 1, gpus: 4, replicas: 12 }),
    ];

    pub fn preset(name: &str) -> Option<Self> {
        Self::PRESETS.into_iter().find(|(known, _)| *known == name).map(|(_, topology)| topology)
    }

    /// DeepSeek-V3/R1 with 32 redundant experts on 32 GPUs of 4 nodes, the default.
    pub fn deepseek_v3() -> Self {
        let [(_, topology), ..] = Self::PRESETS;
        topology
    }

    /// Checks that the numbers divide as EPLB requires.
    pub fn check(&self) -> Result<(), TopologyError> {
        let named = [
            ("layers", self.layers),
            ("experts", self.experts),
            ("nodes", self.nodes),
            ("gpus", self.gpus),
            ("replicas", self.replicas),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, value)| *value == 0) {
            return Err(TopologyError::Zero { name });
        }
        let &Self { experts, groups, nodes, gpus, replicas, .. } = self;
        // The global policy never looks at the groups, so those that fit nothing do no harm there.
        if self.is_hierarchical() && !experts.is_multiple_of(groups) {
            return Err(TopologyError::UnevenGroups { experts, groups });
        }
        divides("gpus", gpus, "nodes", nodes)?;
        if !replicas.is_multiple_of(gpus) {
            return Err(TopologyError::UnevenReplicas { replicas, experts, gpus });
        }
        if replicas < experts {
            return Err(TopologyError::TooFewReplicas { replicas, experts });
        }
        Ok(())
    }

    /// Whether EPLB uses its hierarchical policy, which packs groups to nodes first. Otherwise it uses the global one.
    pub fn is_hierarchical(&self) -> bool {
        self.groups > 0 && self.groups.is_multiple_of(self.nodes)
    }

    /// Groups with equally many experts each: one if `groups` does not say how many.
    pub fn even_groups(&self) -> usize {
        if self.groups > 0 && self.experts.is_multiple_of(self.groups) { self.groups } else { 1 }
    }

    /// The redundant experts of a layer.
    pub fn redundant(&self) -> usize {
        self.replicas - self.experts
    }

    /// Why groups that someone gave have no effect; `None` if they have one, or there are none.
    pub fn idle_groups(&self) -> Option<String> {
        let &Self { groups, nodes, .. } = self;
        match groups {
            0 => Some("no groups (0)".to_owned()),
            1 => None,
            _ => (!self.is_hierarchical()).then(|| format!("{groups} groups cannot be divided among {nodes} nodes")),
        }
    }
}

/// The least number of redundant experts above 0 with which `experts` fill `gpus` evenly.
pub fn least_redundant(experts: usize, gpus: usize) -> usize {
    gpus - experts % gpus
}

/// The numbers of replicas around `replicas` that fill `gpus` evenly and hold `experts`.
fn nearest(replicas: usize, experts: usize, gpus: usize) -> String {
    let said = |replicas: usize| format!("{replicas} ({} redundant experts)", replicas - experts);
    let least = experts.div_ceil(gpus) * gpus;
    let below = replicas / gpus * gpus;
    match below.checked_add(gpus) {
        Some(above) if below >= least => format!("the nearest that fit are {} and {}", said(below), said(above)),
        _ => format!("the nearest that fits is {}", said(least)),
    }
}

pub(crate) fn divides(
    what: &'static str,
    dividend: usize,
    by: &'static str,
    divisor: usize,
) -> Result<(), TopologyError> {
    if divisor != 0 && dividend.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(TopologyError::NotDivisible { what, dividend, by, divisor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_topology_can_be_packed_and_is_hierarchical() {
        let topology = Topology::deepseek_v3();
        assert_eq!(topology.check(), Ok(()));
        assert!(topology.is_hierarchical());
        assert!(!Topology { groups: 1, ..topology }.is_hierarchical());
    }

    #[test]
    fn every_preset_can_be_packed_and_is_found_by_its_name_alone() {
        for (name, topology) in Topology::PRESETS {
            assert_eq!(topology.check(), Ok(()), "{name}");
            assert_eq!(Topology::preset(name), Some(topology), "{name}");
        }
        assert_eq!(Topology::preset("deepseek-v3"), Some(Topology::deepseek_v3()));
        assert_eq!(Topology::preset("DeepSeek-V3"), None);
    }

    #[test]
    fn what_does_not_divide_is_named() {
        let topology = Topology { replicas: 289, ..Topology::deepseek_v3() };
        let error = topology.check().unwrap_err();
        assert_eq!(error.to_string(), "replicas (289) is not a multiple of gpus (32)");
        let cure = "the nearest that fit are 288 (32 redundant experts) and 320 (64 redundant experts)";
        assert_eq!(error.cure().unwrap(), cure);
        let cure = |replicas| Topology { replicas, ..Topology::deepseek_v3() }.check().unwrap_err().cure();
        assert_eq!(cure(9).unwrap(), "the nearest that fits is 256 (0 redundant experts)");
        assert!(cure(usize::MAX).unwrap().ends_with("redundant experts)"));
        assert_eq!(cure(224), None);
        let topology = Topology { replicas: 224, ..Topology::deepseek_v3() };
        assert_eq!(topology.check().unwrap_err().to_string(), "224 replicas cannot hold 256 experts");
        let topology = Topology { nodes: 0, ..Topology::deepseek_v3() };
        assert_eq!(topology.check().unwrap_err().to_string(), "nodes is 0, it must be at least 1");
        let topology = Topology { groups: 12, ..Topology::deepseek_v3() };
        let message = topology.check().unwrap_err().to_string();
        assert!(
            message.starts_with("experts (256) is not a multiple of groups (12), which the hierarchical"),
            "{message}"
        );
    }

    #[test]
    fn groups_that_are_none_or_fit_no_node_mean_the_global_policy() {
        let with = |groups: usize| Topology { groups, ..Topology::deepseek_v3() };
        for (groups, idle) in
            [(0, Some("no groups (0)")), (1, None), (6, Some("6 groups cannot be divided among 4 nodes")), (8, None)]
        {
            let topology = with(groups);
            assert_eq!(topology.check(), Ok(()), "{groups}");
            assert_eq!(topology.idle_groups().as_deref(), idle);
            assert_eq!(topology.is_hierarchical(), groups == 8);
        }
        assert!(!Topology { nodes: 1, ..with(0) }.is_hierarchical());
        assert_eq!([0, 6, 8].map(|groups| with(groups).even_groups()), [1, 1, 8]);
    }

    #[test]
    fn the_least_number_of_redundant_experts_fills_the_gpus() {
        assert_eq!(
            [(256, 32), (256, 72), (8, 64), (160, 32)].map(|(experts, gpus)| least_redundant(experts, gpus)),
            [32, 32, 56, 32]
        );
    }
}
