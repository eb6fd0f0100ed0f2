//! Deployed: loads that the command line names, and the deployment that serves them: from the loads, a plan in force, the
//! settings and the command line.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use packevolve_contract::deployment::Deployment;
use packevolve_contract::model::Model;
use packevolve_contract::topology::Topology;
use packevolve_loads::error::LoadsError;
use packevolve_loads::read::read;
use packevolve_loads::recording::Recording;

use crate::cli::error::{CliError, CommandError};
use crate::cli::input::{list_loads, note_groups};
use crate::config::Config;
use crate::values::settings::Settings;
use crate::view::plans::ModelLayers;

/// The GPUs of a node where nothing says how many there are.
const USUAL_NODE: usize = 8;

/// What the command line says about the model and its deployment. It has the last word.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Model and deployment, where the loads and the settings do not say it or are wrong")]
pub struct DeployedArgs {
    /// Model, one of `packevolve presets`
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// GPUs and nodes, one of `packevolve presets`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["gpus", "nodes"])]
    deployment: Option<String>,
    /// GPUs of the whole deployment
    #[arg(long, value_name = "N")]
    gpus: Option<usize>,
    /// Server nodes
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Redundant experts of a layer
    #[arg(long, value_name = "N", conflicts_with = "replicas")]
    redundant: Option<usize>,
    /// Physical experts of a layer, redundant ones too
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
    /// Expert groups of a layer; 1: any replica may go to any GPU
    #[arg(long, value_name = "N")]
    groups: Option<usize>,
    /// Dense layers before the first layer of the loads
    #[arg(long, value_name = "N")]
    dense: Option<usize>,
    /// Bytes of an expert of one layer, such as 44MB
    #[arg(long, value_name = "SIZE")]
    expert_bytes: Option<ByteSize>,
}

/// What was read, and where it is served.
#[derive(Debug)]
pub struct Deployed {
    pub recording: Recording,
    /// With the layers and experts of the recording.
    pub topology: Topology,
    /// The layers of the model that the rows of the loads stand for.
    pub layers: ModelLayers,
    pub settings: Settings,
    /// The model that has these layers and experts.
    pub model: Option<&'static Model>,
    pub expert_bytes: Option<u64>,
    /// What was left out or assumed.
    pub notes: Vec<String>,
}

/// Slots of a layer and GPUs of a plan in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct InForce {
    pub slots: Option<usize>,
    pub gpus: Option<usize>,
}

/// What the settings say about the deployment.
#[derive(Debug)]
struct Configured<'a> {
    topology: &'a Topology,
    /// The model that is named there or on the command line.
    model: Option<&'static Model>,
}

/// A figure of the deployment, and who says it.
#[derive(Clone, Copy, Debug)]
struct Said {
    by: &'static str,
    figure: Option<usize>,
}

impl DeployedArgs {
    /// Reads the loads at `paths`, at least one.
    ///
    /// # Errors
    /// Besides what is wrong with the files: two of the loads, the plan in force and the settings contradict each other and
    /// the command line does not decide, or none of them says a figure, or the figures do not divide.
    pub fn read(&self, config: Option<&Path>, paths: &[PathBuf], old: InForce) -> Result<Deployed, CommandError> {
        let mut config = Config::read(config)?;
        let settings = config.settings()?;
        if self.model.is_some() {
            config.topology.model.clone_from(&self.model);
            (config.topology.layers, config.topology.experts, config.topology.groups) = (None, None, None);
            (config.topology.redundant, config.topology.replicas) = (None, None);
        }
        // A name that is not known is an error of the settings that it is put into.
        let named = config.settings()?.evaluation.topology;
        let files = list_loads(paths)?;
        let recording = match read(&files, described(&named)) {
            // The loads of another model than that of the settings are what they are.
            Err(LoadsError::Shape { .. }) if self.model.is_none() => read(&files, None),
            read => read,
        };
        let recording = recording.map_err(CliError::from)?;
        let configured = Configured { topology: &settings.evaluation.topology, model: config.topology.model() };
        let mut notes: Vec<String> = recording.notes.iter().map(ToString::to_string).collect();
        notes.extend(other_shape(&recording, configured.topology).filter(|_| self.model.is_none()));
        let models = models(&recording, configured.model);
        let topology = self.topology(&recording, old, &configured, &models)?;
        note_groups(&topology);
        let (layers, assumed) = self.layers(&recording, &models)?;
        notes.extend(assumed);
        let model =
            agreed(&models, |model| Some(*model)).or_else(|| models.first().copied().filter(|_| self.model.is_some()));
        let of_models = agreed(&models, |model| Some(model.expert_bytes()));
        let expert_bytes = self.expert_bytes.map(|bytes| bytes.as_u64()).or(of_models);
        Ok(Deployed { recording, topology, layers, settings, model, expert_bytes, notes })
    }

    /// The deployment. Layers and experts are those of the loads; replicas and GPUs are asked of the command line, the
    /// loads, the plan in force and the settings.
    fn topology(
        &self,
        recording: &Recording,
        old: InForce,
        configured: &Configured<'_>,
        models: &[&'static Model],
    ) -> Result<Topology, CliError> {
        let (layers, experts) = (recording.windows[0].layers, recording.windows[0].experts);
        let settings = configured.topology;
        let fits = (settings.layers, settings.experts) == (layers, experts);
        // The default settings are a guess, which everything else overrules.
        let written = described(settings);
        let said = |loads, old, figure| {
            [("the loads say", loads), ("the old plan says", old), ("the settings say", figure)]
                .map(|(by, figure)| Said { by, figure })
        };
        let (asked_gpus, asked_nodes) = self.asked_gpus()?;
        let gpus = decided("gpus", asked_gpus, said(recording.gpus, old.gpus, written.map(|written| written.gpus)))?;
        let gpus = gpus.or(fits.then_some(settings.gpus)).ok_or(CliError::Undecided { name: "gpus" })?;
        let of_written = written.filter(|_| fits).map(|written| written.replicas);
        let asked = self.replicas.or(self.redundant.map(|redundant| experts.saturating_add(redundant)));
        let replicas = decided("replicas", asked, said(recording.replicas, old.slots, of_written))?;
        let fitting = Some(settings.replicas).filter(|replicas| fits && replicas.is_multiple_of(gpus.max(1)));
        let replicas = replicas.or(fitting).unwrap_or(experts.next_multiple_of(gpus.max(1)));
        let nodes = asked_nodes.unwrap_or_else(|| nodes(gpus, Some(settings).filter(|_| fits || written.is_some())));
        let of_settings = fits.then_some(settings.groups).filter(|_| self.model.is_none());
        let groups = self.groups.or(of_settings).or_else(|| agreed(models, |model| Some(model.groups))).unwrap_or(1);
        let topology = Topology { layers, experts, groups, nodes, gpus, replicas };
        topology.check()?;
        Ok(topology)
    }

    /// The GPUs and nodes that the command line asks for.
    fn asked_gpus(&self) -> Result<(Option<usize>, Option<usize>), CliError> {
        let Some(name) = &self.deployment else { return Ok((self.gpus, self.nodes)) };
        let found = Deployment::find(name).ok_or_else(|| CliError::NoDeployment { name: name.clone() })?;
        Ok((Some(found.gpus), Some(found.nodes)))
    }

    /// The layers of the model that the rows of the loads stand for, and what was assumed about them.
    ///
    /// # Errors
    /// The command line contradicts the loads.
    fn layers(
        &self,
        recording: &Recording,
        models: &[&'static Model],
    ) -> Result<(ModelLayers, Option<String>), CliError> {
        let rows = recording.windows[0].layers;
        let layers = ModelLayers::new(recording.layer_ids.as_deref(), &recording.dense_layers);
        match (self.dense, layers.first()) {
            (Some(dense), Some(first)) if dense != first => Err(CliError::OtherLayers { dense, first }),
            (Some(dense), None) => Ok((ModelLayers::after(dense, rows), None)),
            (_, Some(_)) => Ok((layers, None)),
            (None, None) => Ok(match agreed(models, |model| Some(model.layer_ids().collect::<Vec<_>>())) {
                Some(ids) if models[0].dense > 0 => {
                    let model = models[0];
                    let assumed = format!(
                        "the loads do not name their layers: they are those of {}, whose first is layer {}",
                        model.name(),
                        ids[0]
                    );
                    (ModelLayers::new(Some(&ids), &[]), Some(assumed))
                }
                _ => (layers, None),
            }),
        }
    }
}

/// Settings that describe the model whose loads are read: that are not the default.
fn described(settings: &Topology) -> Option<&Topology> {
    (*settings != Topology::deepseek_v3()).then_some(settings)
}

/// That the settings describe a model of another shape.
fn other_shape(recording: &Recording, settings: &Topology) -> Option<String> {
    let (layers, experts) = (recording.windows[0].layers, recording.windows[0].experts);
    let differs = described(settings).is_some() && (settings.layers, settings.experts) != (layers, experts);
    differs.then(|| {
        format!(
            "the loads have {layers} layers of {experts} experts, the settings {} of {}: groups and redundant experts are \
             not those of the settings",
            settings.layers, settings.experts
        )
    })
}

/// The models that the loads may be of: the one that is named, or all that have their layers and experts.
fn models(recording: &Recording, named: Option<&'static Model>) -> Vec<&'static Model> {
    let shape = (recording.windows[0].layers, recording.windows[0].experts);
    match named.filter(|model| (model.layers, model.experts) == shape) {
        Some(model) => vec![model],
        None => Model::of_shape(shape.0, shape.1).collect(),
    }
}

/// What all of these models have in common.
fn agreed<T: PartialEq>(models: &[&'static Model], of: impl Fn(&&'static Model) -> Option<T>) -> Option<T> {
    let mut all = models.iter().map(of);
    let first = all.next()?;
    if all.all(|other| other == first) { first } else { None }
}

/// Nodes as large as those of the settings, or of the usual size; one if they do not divide.
fn nodes(gpus: usize, settings: Option<&Topology>) -> usize {
    let size = settings.map_or(USUAL_NODE, |settings| settings.gpus / settings.nodes.max(1)).max(1);
    if gpus.is_multiple_of(size) { (gpus / size).max(1) } else { 1 }
}

/// What the command line says, or what all others that say anything agree on.
fn decided(name: &'static str, asked: Option<usize>, all: [Said; 3]) -> Result<Option<usize>, CliError> {
    let mut saying = all.into_iter().filter_map(|said| said.figure.map(|figure| (said.by, figure)));
    let first = saying.next();
    match first.zip(saying.find(|(_, figure)| Some(*figure) != first.map(|(_, first)| first))) {
        Some(((one_by, one), (other_by, other))) if asked.is_none() => {
            Err(CliError::Contradiction { name, one_by, one, other_by, other })
        }
        _ => Ok(asked.or(first.map(|(_, figure)| figure))),
    }
}

/// Reads loads that have as many layers and experts as others.
pub fn read_like(paths: &[PathBuf], topology: &Topology) -> Result<Recording, CommandError> {
    Ok(read(&list_loads(paths)?, Some(topology)).map_err(CliError::from)?)
}

#[cfg(test)]
mod tests {
    use packevolve_loads::recording::Span;
    use packevolve_loads::window::Window;

    use super::*;

    fn recording(layers: usize, experts: usize) -> Recording {
        let span = Span { file: "loads.pt".into(), steps: 1, passes: None, written: None };
        Recording {
            windows: vec![Window::new(experts, vec![1.0; layers * experts])],
            spans: vec![span],
            layer_ids: None,
            dense_layers: Vec::new(),
            replicas: None,
            gpus: None,
            notes: Vec::new(),
        }
    }

    fn resolved(
        arguments: &DeployedArgs,
        recording: &Recording,
        old: InForce,
        settings: &Topology,
    ) -> Result<[usize; 4], String> {
        let configured = Configured { topology: settings, model: None };
        let topology = arguments.topology(recording, old, &configured, &models(recording, None));
        topology.map(|of| [of.replicas, of.gpus, of.nodes, of.groups]).map_err(|error| error.to_string())
    }

    fn small() -> Topology {
        Topology { layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 20 }
    }

    const NO_PLAN: InForce = InForce { slots: None, gpus: None };

    #[test]
    fn figures_come_from_the_loads_then_from_the_settings_then_from_the_model() {
        let (nothing, default) = (DeployedArgs::default(), Topology::deepseek_v3());
        assert_eq!(resolved(&nothing, &recording(58, 256), NO_PLAN, &default), Ok([288, 32, 4, 8]));
        let dump = Recording { gpus: Some(64), replicas: Some(320), ..recording(58, 256) };
        // The default settings are a guess.
        assert_eq!(resolved(&nothing, &dump, NO_PLAN, &default), Ok([320, 64, 8, 8]));
        let dump = Recording { gpus: Some(12), ..recording(2, 30) };
        assert_eq!(resolved(&nothing, &dump, NO_PLAN, &default), Ok([36, 12, 1, 1]));
        assert_eq!(resolved(&nothing, &recording(4, 16), NO_PLAN, &small()), Ok([20, 4, 2, 4]));
        // The GPUs of the settings serve another model too; ling-1t has eight groups.
        assert_eq!(resolved(&nothing, &recording(76, 256), NO_PLAN, &small()), Ok([256, 4, 2, 8]));
        let named = DeployedArgs { deployment: Some("ep64".to_owned()), redundant: Some(64), ..nothing };
        assert_eq!(resolved(&named, &recording(58, 256), NO_PLAN, &default), Ok([320, 64, 8, 8]));
    }

    #[test]
    fn a_contradiction_names_both_and_an_option_decides() {
        let nothing = DeployedArgs::default();
        let dump = Recording { replicas: Some(24), ..recording(4, 16) };
        let error = resolved(&nothing, &dump, NO_PLAN, &small()).unwrap_err();
        assert_eq!(error, "replicas: the loads say 24, the settings say 20");
        let old = InForce { slots: Some(20), gpus: Some(2) };
        let error = resolved(&nothing, &recording(4, 16), old, &small()).unwrap_err();
        assert_eq!(error, "gpus: the old plan says 2, the settings say 4");
        let asked = DeployedArgs { replicas: Some(32), ..nothing.clone() };
        assert_eq!(resolved(&asked, &dump, NO_PLAN, &small()), Ok([32, 4, 2, 4]));
        let one = DeployedArgs { gpus: Some(8), groups: Some(1), redundant: Some(0), ..nothing };
        assert_eq!(resolved(&one, &recording(4, 16), NO_PLAN, &small()), Ok([16, 8, 4, 1]));
    }

    #[test]
    fn a_figure_that_nothing_says_or_that_does_not_divide_is_an_error() {
        let (nothing, default) = (DeployedArgs::default(), Topology::deepseek_v3());
        let error = resolved(&nothing, &recording(2, 8), NO_PLAN, &default).unwrap_err();
        assert_eq!(error, "nothing says how many gpus there are");
        let odd = DeployedArgs { gpus: Some(4), replicas: Some(10), ..nothing.clone() };
        let error = resolved(&odd, &recording(2, 8), NO_PLAN, &default).unwrap_err();
        assert_eq!(error, "replicas (10) is not a multiple of gpus (4)");
        for zero in [
            DeployedArgs { gpus: Some(0), ..nothing.clone() },
            DeployedArgs { nodes: Some(0), gpus: Some(4), ..nothing },
        ] {
            assert!(resolved(&zero, &recording(2, 8), NO_PLAN, &default).unwrap_err().contains("is 0"));
        }
    }

    #[test]
    fn dense_layers_are_those_of_the_option_the_loads_or_the_model() {
        let (nothing, three) = (DeployedArgs::default(), DeployedArgs { dense: Some(3), ..Default::default() });
        assert_eq!(three.layers(&recording(2, 8), &[]).unwrap(), (ModelLayers::after(3, 2), None));
        let named = Recording { layer_ids: Some(vec![1, 2]), dense_layers: vec![0], ..recording(2, 8) };
        let error = three.layers(&named, &[]).unwrap_err().to_string();
        assert_eq!(error, "--dense is 3, but the first layer of the loads is layer 1");
        assert_eq!(nothing.layers(&named, &[]).unwrap().0, ModelLayers::new(Some(&[1, 2]), &[0]));
        let deepseek = recording(58, 256);
        let (layers, assumed) = nothing.layers(&deepseek, &models(&deepseek, None)).unwrap();
        assert_eq!((layers.first(), layers.hidden()), (Some(3), 61));
        let wanted = "the loads do not name their layers: they are those of deepseek-v3, whose first is layer 3";
        assert_eq!(assumed.as_deref(), Some(wanted));
        let unknown = recording(2, 8);
        assert_eq!(nothing.layers(&unknown, &models(&unknown, None)).unwrap(), (ModelLayers::new(None, &[]), None));
    }

    #[test]
    fn what_models_of_one_shape_do_not_agree_on_is_not_known() {
        let kimi = models(&recording(60, 384), None);
        assert_eq!((kimi.len(), agreed(&kimi, |model| Some(model.expert_bytes()))), (2, None));
        assert_eq!(agreed(&kimi, |model| Some(model.dense)), Some(1));
        let named = models(&recording(60, 384), Model::find("kimi-k2.5"));
        assert_eq!(named.iter().map(|model| model.name()).collect::<Vec<_>>(), ["kimi-k2.5"]);
    }
}
