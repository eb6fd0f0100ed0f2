//! `packevolve loads`: what files of loads hold.

use std::path::PathBuf;

use clap::Args;
use packevolve_loads::read::{list, read};
use packevolve_loads::recording::{Note, Recording, Span, listed};
use packevolve_loads::summary::{Heaviest, Summary, summaries};
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::error::{CliError, CommandError};
use crate::cli::format::Format;
use crate::config::Config;
use crate::view::inspect::FORMAT;
use crate::view::output::harmless;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// Show what files of loads hold
///
/// Prints a line for each window, and what was left out of the files or assumed about them.
#[derive(Debug, Args)]
pub struct Loads {
    /// Files, or folders of files; `packevolve help loads` lists the formats
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare with the topology of this settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve loads --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct LoadsJson {
    format: u32,
    /// Layers of a window.
    layers: usize,
    /// Experts of a layer.
    experts: usize,
    /// The layers of the model that the rows of a window stand for, if the files tell.
    layer_ids: Option<Vec<usize>>,
    /// The layers of the model that have no experts and were dropped.
    dense_layers: Vec<usize>,
    /// Physical experts of a layer, if the files tell.
    replicas: Option<usize>,
    /// If the files tell.
    gpus: Option<usize>,
    windows: Vec<WindowJson>,
    /// What was left out or assumed, and what contradicts the topology.
    notes: Vec<NoteJson>,
}

#[derive(Serialize, JsonSchema)]
struct WindowJson {
    /// The file, or the first of those that belong together.
    file: String,
    /// Recorded steps that are summed in the window; 1 also where the file does not tell.
    steps: usize,
    /// The first forward pass, iteration or step, as the engine numbers them.
    first_pass: Option<i64>,
    last_pass: Option<i64>,
    /// When the file was written, seconds since 1970.
    written: Option<f64>,
    /// Loads of a layer, the mean over layers.
    tokens: f64,
    /// Gini coefficient of the loads of a layer's experts, the mean over layers with load.
    gini: f64,
    heaviest: HeaviestJson,
    /// The part of the tokens that went to other experts than in the window before, the mean over layers.
    drift: Option<f64>,
    /// It is among the first windows of its file, and looks unlike the others there.
    warm_up: bool,
}

/// The expert with the largest part of its layer's loads.
#[derive(Serialize, JsonSchema)]
struct HeaviestJson {
    /// The row of the window.
    layer: usize,
    expert: usize,
    /// Its load over the mean of its layer.
    times_mean: f64,
}

#[derive(Serialize, JsonSchema)]
struct NoteJson {
    file: String,
    text: String,
}

impl Loads {
    pub fn run(&self) -> Result<(), CommandError> {
        let topology = match &self.config {
            Some(path) => Some(Config::read(Some(path))?.settings()?.evaluation.topology),
            None => None,
        };
        let (mut files, mut left_out) = (Vec::new(), Vec::new());
        for path in &self.files {
            if path.try_exists().is_ok_and(|exists| !exists) {
                return Err(CliError::NoLoads(path.clone()).into());
            }
            let listing = list(path).map_err(CliError::from)?;
            files.extend(listing.files);
            left_out.extend(listing.left_out);
        }
        let recording = read(&files, topology.as_ref()).map_err(CliError::from)?;
        let json = json(&recording, left_out);
        Ok(self.format.print(&json, |terminal| text(&json, terminal))?)
    }
}

fn json(recording: &Recording, left_out: Vec<Note>) -> LoadsJson {
    let summaries = summaries(recording);
    let notes = left_out.into_iter().map(|Note { file, text }| Note { file, text: format!("left out: {text}") });
    let note = |Note { file, text }: Note| NoteJson { file: file.display().to_string(), text };
    LoadsJson {
        format: FORMAT,
        layers: recording.windows[0].layers,
        experts: recording.windows[0].experts,
        layer_ids: recording.layer_ids.clone(),
        dense_layers: recording.dense_layers.clone(),
        replicas: recording.replicas,
        gpus: recording.gpus,
        windows: recording.spans.iter().zip(&summaries).map(|(span, summary)| window(span, summary)).collect(),
        notes: notes.chain(recording.notes.iter().cloned()).map(note).collect(),
    }
}

fn window(span: &Span, summary: &Summary) -> WindowJson {
    let Summary { tokens, gini, heaviest: Heaviest { layer, expert, times_mean }, drift, is_warm_up } = *summary;
    WindowJson {
        file: span.file.display().to_string(),
        steps: span.steps,
        first_pass: span.passes.map(|(first, _)| first),
        last_pass: span.passes.map(|(_, last)| last),
        written: span.written,
        tokens,
        gini,
        heaviest: HeaviestJson { layer, expert, times_mean },
        drift,
        warm_up: is_warm_up,
    }
}

fn text(json: &LoadsJson, terminal: &Terminal) -> String {
    let LoadsJson { layers, experts, layer_ids, dense_layers, replicas, gpus, windows, notes, .. } = json;
    let mut facts = vec![counted(windows.len(), "window"), counted(*layers, "layer"), counted(*experts, "expert")];
    facts.extend(replicas.map(|replicas| counted(replicas, "replica")));
    facts.extend(gpus.map(|gpus| counted(gpus, "GPU")));
    let mut lines = vec![facts.join(", ")];
    if let Some(ids) = layer_ids {
        let dense = if dense_layers.is_empty() { String::new() } else { format!(", dense: {}", listed(dense_layers)) };
        lines.push(format!("layers of the model: {}{dense}", listed(ids)));
    }
    let rows = windows.iter().enumerate().map(|(number, window)| row(number, window, layer_ids.as_deref())).collect();
    let table = Table::new("window#|steps#|passes#|tokens#|gini#|heaviest#|layer#|expert#|drift#||file", rows);
    let tones = windows.iter().map(|window| window.warm_up.then_some(Tone::Faint));
    lines.push(format!("\n{}", table.expendable([6, 7, 1, 2]).tones(tones).draw(terminal)));
    if !notes.is_empty() {
        lines.push(String::new());
    }
    lines.extend(notes.iter().map(|NoteJson { file, text }| format!("note: {}: {}", harmless(file), harmless(text))));
    lines.join("\n") + "\n"
}

fn row(number: usize, window: &WindowJson, layer_ids: Option<&[usize]>) -> Vec<String> {
    let WindowJson { file, steps, first_pass, last_pass, tokens, gini, heaviest, drift, warm_up, .. } = window;
    let passes = match first_pass.zip(*last_pass) {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
        None => String::new(),
    };
    let layer = layer_ids.map_or(heaviest.layer, |ids| ids[heaviest.layer]);
    vec![
        number.to_string(),
        steps.to_string(),
        passes,
        format!("{tokens:.0}"),
        format!("{gini:.3}"),
        format!("{:.2}", heaviest.times_mean),
        layer.to_string(),
        heaviest.expert.to_string(),
        drift.map_or_else(String::new, |drift| format!("{drift:.3}")),
        if *warm_up { "warm-up".to_owned() } else { String::new() },
        harmless(file),
    ]
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
