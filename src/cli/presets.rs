//! `packevolve presets`: the models, deployments and topologies that settings can name.

use clap::Args;
use packevolve_contract::deployment::Deployment;
use packevolve_contract::model::Model;
use packevolve_contract::topology::Topology;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::view::inspect::FORMAT;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// List the models and deployments that settings can name
///
/// `topology: { model: NAME, deployment: NAME }` in config.yaml takes one of each; `topology: { preset: NAME }` takes a
/// model and its deployment together.
#[derive(Debug, Args)]
pub struct Presets {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve presets --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct PresetsJson {
    format: u32,
    models: Vec<ModelJson>,
    deployments: Vec<Deployment>,
    presets: Vec<PresetJson>,
}

#[derive(Serialize, JsonSchema)]
struct ModelJson {
    #[serde(flatten)]
    model: &'static Model,
    /// Bytes of the weights of a routed expert of one layer.
    expert_bytes: u64,
}

#[derive(Serialize, JsonSchema)]
struct PresetJson {
    name: &'static str,
    topology: Topology,
}

impl Presets {
    pub fn run(&self) -> Result<(), CommandError> {
        let json = PresetsJson {
            format: FORMAT,
            models: Model::ALL.iter().map(|model| ModelJson { model, expert_bytes: model.expert_bytes() }).collect(),
            deployments: Deployment::ALL.to_vec(),
            presets: Topology::PRESETS.into_iter().map(|(name, topology)| PresetJson { name, topology }).collect(),
        };
        Ok(self.format.print(&json, |terminal| text(&json, terminal))?)
    }
}

fn text(json: &PresetsJson, terminal: &Terminal) -> String {
    let heading = |text: &str| terminal.paint(Tone::Heading, text);
    let models = "model|layers#|dense#|experts#|groups#|top-k#|expert MB#|weights|the same for";
    let models = Table::new(models, json.models.iter().map(model).collect()).expendable([2, 5, 4]);
    let deployments = Table::new("deployment|GPUs#|nodes#", json.deployments.iter().map(deployment).collect());
    let presets = "preset|layers#|experts#|groups#|nodes#|GPUs#|replicas#";
    let presets = Table::new(presets, json.presets.iter().map(preset).collect());
    format!(
        "{}\n{}\n\n{}\n{}\n\n{}\n{}\n",
        heading("Models"),
        models.draw(terminal),
        heading("Deployments"),
        deployments.draw(terminal),
        heading("A model and its deployment together"),
        presets.draw(terminal)
    )
}

fn model(json: &ModelJson) -> Vec<String> {
    let Model { names, layers, dense, experts, groups, top_k, precision, .. } = json.model;
    let numbers = [layers, dense, experts, groups, top_k].map(ToString::to_string);
    let megabytes = format!("{:.1}", json.expert_bytes as f64 / 1e6);
    let rest = [megabytes, precision.name().to_owned(), names[1..].join(", ")];
    [names[0].to_owned()].into_iter().chain(numbers).chain(rest).collect()
}

fn deployment(Deployment { name, gpus, nodes }: &Deployment) -> Vec<String> {
    vec![(*name).to_owned(), gpus.to_string(), nodes.to_string()]
}

fn preset(PresetJson { name, topology }: &PresetJson) -> Vec<String> {
    let Topology { layers, experts, groups, nodes, gpus, replicas } = topology;
    let numbers = [layers, experts, groups, nodes, gpus, replicas].map(ToString::to_string);
    [(*name).to_owned()].into_iter().chain(numbers).collect()
}
