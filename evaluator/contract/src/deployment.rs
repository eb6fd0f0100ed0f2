//! Deployment: the GPUs over which the experts of a model are spread.

use schemars::JsonSchema;
use serde::Serialize;

/// GPUs that share the experts of each layer among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Deployment {
    pub name: &'static str,
    pub gpus: usize,
    /// Groups of GPUs with fast links to each other.
    pub nodes: usize,
}

impl Deployment {
    /// Nodes have 8 GPUs, but NVL72 is a single one: EPLB's nodes are where traffic is cheap, and NVLink joins all 72
    /// of its GPUs, on 18 trays, alike.
    pub const ALL: [Self; 5] = [
        Self { name: "ep8", gpus: 8, nodes: 1 },
        Self { name: "ep16", gpus: 16, nodes: 2 },
        Self { name: "ep32", gpus: 32, nodes: 4 },
        Self { name: "ep64", gpus: 64, nodes: 8 },
        Self { name: "ep72", gpus: 72, nodes: 1 },
    ];

    /// The deployment of this name, whether in capitals or not.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|deployment| deployment.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_named_by_its_gpus_and_its_nodes_are_alike() {
        for Deployment { name, gpus, nodes } in Deployment::ALL {
            assert_eq!(name, format!("ep{gpus}"));
            assert!(gpus.is_multiple_of(nodes));
        }
        assert_eq!(Deployment::find("EP32").unwrap().nodes, 4);
        assert_eq!(Deployment::find("ep33"), None);
    }
}
