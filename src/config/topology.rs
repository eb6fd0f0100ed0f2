//! `topology`: the model and its deployment.

use packevolve_contract::deployment::Deployment;
use packevolve_contract::model::Model;
use packevolve_contract::topology::{Topology, least_redundant};
use serde::{Deserialize, Serialize};

use crate::config::foreign::nearest;
use crate::config::written;
use crate::config::wrong::{Wrong, at_most};
use crate::values::settings::{LARGEST_CALL, LARGEST_WINDOW};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologyConfig {
    #[serde(deserialize_with = "written::text")]
    pub preset: String,
    #[serde(deserialize_with = "written::optional_text")]
    pub model: Option<String>,
    #[serde(deserialize_with = "written::optional_text")]
    pub deployment: Option<String>,
    pub layers: Option<usize>,
    pub experts: Option<usize>,
    pub groups: Option<usize>,
    pub nodes: Option<usize>,
    pub gpus: Option<usize>,
    pub replicas: Option<usize>,
    pub redundant: Option<usize>,
}

impl Default for TopologyConfig {
    fn default() -> Self {
        let (preset, _) = Topology::PRESETS[0];
        Self {
            preset: preset.to_owned(),
            model: None,
            deployment: None,
            layers: None,
            experts: None,
            groups: None,
            nodes: None,
            gpus: None,
            replicas: None,
            redundant: None,
        }
    }
}

impl TopologyConfig {
    pub(super) fn topology(&self) -> Result<Topology, Wrong> {
        let named = self.named()?;
        let topology = Topology {
            layers: self.layers.unwrap_or(named.layers),
            experts: self.experts.unwrap_or(named.experts),
            groups: self.groups.unwrap_or(named.groups),
            nodes: self.nodes.unwrap_or(named.nodes),
            gpus: self.gpus.unwrap_or(named.gpus),
            replicas: named.replicas,
        };
        let topology = Topology { replicas: self.replicas_of(&topology)?, ..topology };
        topology.check().map_err(|error| {
            let cure = error.cure().map_or(String::new(), |cure| format!("; {cure}"));
            Wrong::new("topology", format_args!("{error}{cure}"))
        })?;
        let Topology { layers, experts, replicas, .. } = topology;
        at_most("topology: layers * experts", layers.saturating_mul(experts), LARGEST_WINDOW)?;
        // GPUs, nodes and groups divide these, so no product of a case can overflow from here on.
        at_most("topology: layers * replicas", layers.saturating_mul(replicas), LARGEST_CALL)?;
        Ok(topology)
    }

    /// The preset, with another model or other GPUs where they are named.
    fn named(&self) -> Result<Topology, Wrong> {
        let mut named = Topology::preset(&self.preset).ok_or_else(|| {
            let names = Topology::PRESETS.map(|(name, _)| name).join(", ");
            let problem = format_args!("unknown preset {:?}, expected one of {names}", self.preset);
            Wrong::new("topology.preset", problem)
        })?;
        if let Some(model) = self.named_model()? {
            (named.layers, named.experts, named.groups) = (model.layers, model.experts, model.groups);
        }
        if let Some(name) = &self.deployment {
            let names = Deployment::ALL.map(|deployment| deployment.name).join(", ");
            let unknown = || format!("unknown deployment {name:?}, expected one of {names}");
            let found = Deployment::find(name).ok_or_else(|| Wrong::new("topology.deployment", unknown()))?;
            (named.nodes, named.gpus) = (found.nodes, found.gpus);
        }
        Ok(named)
    }

    fn named_model(&self) -> Result<Option<&'static Model>, Wrong> {
        let Some(name) = &self.model else { return Ok(None) };
        let unknown = || {
            let known = Model::ALL.iter().flat_map(|model| model.names.iter().copied());
            let meant = nearest(name, known).map_or(String::new(), |known| format!(" (did you mean {known}?)"));
            Wrong::new("topology.model", format!("unknown model {name:?}{meant}; `packevolve presets` lists them"))
        };
        Model::find(name).map(Some).ok_or_else(unknown)
    }

    /// The replicas of a layer; `topology` has those of the preset.
    fn replicas_of(&self, topology: &Topology) -> Result<usize, Wrong> {
        let &Topology { experts, gpus, replicas, .. } = topology;
        match (self.replicas, self.redundant) {
            (Some(_), Some(_)) => Err(Wrong::new(
                "topology.redundant",
                "stands beside `replicas`, which says the same; leave one of them out",
            )),
            (Some(replicas), None) => Ok(replicas),
            (None, Some(redundant)) => Ok(experts.saturating_add(redundant)),
            (None, None) if self.model.is_none() && self.deployment.is_none() => Ok(replicas),
            // Of 0 GPUs the check speaks.
            (None, None) => Ok(experts.saturating_add(if gpus == 0 { 0 } else { least_redundant(experts, gpus) })),
        }
    }

    /// The model that is named, or else that of the preset. Layers and experts beside it may say otherwise.
    pub fn model(&self) -> Option<&'static Model> {
        let of_preset = || {
            let Topology { layers, experts, .. } = Topology::preset(&self.preset)?;
            Model::of_shape(layers, experts).next()
        };
        self.model.as_deref().map_or_else(of_preset, Model::find)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;
    use crate::config::testing::message_of;

    fn topology(text: &str) -> Topology {
        Config::parse(&format!("topology: {{{text}}}")).unwrap().settings().unwrap().evaluation.topology
    }

    #[test]
    fn a_preset_brings_its_own_cases_and_takes_what_is_given_beside_it() {
        for (preset, wanted) in Topology::PRESETS {
            assert_eq!(topology(&format!("preset: {preset}")), wanted, "{preset}");
        }
        let larger = topology("gpus: 64, replicas: 320, nodes: 8");
        assert_eq!(larger, Topology::preset("deepseek-v3-320").unwrap());
        assert_eq!(topology("gpus: 64, redundant: 64, nodes: 8"), larger);
    }

    #[test]
    fn every_model_fits_every_deployment_with_one_redundant_expert_a_gpu_or_fewer() {
        for model in &Model::ALL {
            for Deployment { name, gpus, nodes } in Deployment::ALL {
                let topology = topology(&format!("model: {}, deployment: {name}", model.name()));
                assert_eq!((topology.layers, topology.experts), (model.layers, model.experts), "{}", model.name());
                assert_eq!((topology.gpus, topology.nodes), (gpus, nodes));
                assert!((1..=gpus).contains(&topology.redundant()), "{} on {name}", model.name());
            }
        }
        assert_eq!(topology("model: DeepSeek-R1, deployment: EP32"), Topology::deepseek_v3());
    }

    #[test]
    fn a_model_or_a_deployment_alone_replaces_its_half_of_the_preset() {
        let of_model = topology("model: gpt-oss-120b");
        assert_eq!(of_model, Topology { layers: 36, experts: 128, groups: 1, nodes: 4, gpus: 32, replicas: 160 });
        let of_deployment = topology("deployment: ep72");
        assert_eq!(of_deployment, Topology { nodes: 1, gpus: 72, ..Topology::deepseek_v3() });
    }

    #[test]
    fn what_does_not_divide_is_an_error_that_names_what_would() {
        for (text, wanted) in [
            (
                "model: kimi-k2, deployment: ep72, redundant: 32",
                "config.yaml:1:11: topology: replicas (416) is not a multiple of gpus (72); the nearest that fits is 432 (48 redundant experts)",
            ),
            (
                "model: kimi-k2, deployment: ep72, redundant: 100",
                "the nearest that fit are 432 (48 redundant experts) and 504 (120 redundant experts)",
            ),
            ("redundant: 32, replicas: 288", "topology.redundant: stands beside `replicas`"),
            ("model: kimi-k3, gpus: 0", "gpus is 0, it must be at least 1"),
            (
                "model: kimi-k22",
                "1:19: topology.model: unknown model \"kimi-k22\" (did you mean kimi-k2?); `packevolve presets` lists",
            ),
            ("model: xyz", "unknown model \"xyz\"; `packevolve presets` lists"),
            ("deployment: ep7", "unknown deployment \"ep7\", expected one of ep8, ep16, ep32, ep64, ep72"),
            ("groups: 12", "experts (256) is not a multiple of groups (12), which the hierarchical policy needs"),
        ] {
            let message = message_of(&format!("topology: {{{text}}}"));
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn groups_that_no_engine_could_use_mean_the_global_policy() {
        assert!(!topology("groups: 0").is_hierarchical());
        assert!(!topology("groups: 6").is_hierarchical());
        assert!(topology("groups: 16").is_hierarchical());
    }

    #[test]
    fn the_model_is_the_one_that_is_named_or_that_of_the_preset() {
        let name = |text: &str| Config::parse(text).unwrap().topology.model().map(Model::name);
        assert_eq!(name(""), Some("deepseek-v3"));
        assert_eq!(name("topology: {preset: kimi-k2}"), Some("kimi-k2"));
        assert_eq!(name("topology: {preset: mixtral}"), Some("mixtral-8x7b"));
        assert_eq!(name("topology: {preset: kimi-k2, model: glm-4.6}"), Some("glm-4.5"));
    }
}
