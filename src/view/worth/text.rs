//! Text: tables, a figure of characters and the verdict, for terminals.

use packevolve_contract::topology::Topology;

use crate::view::format::{count, milliseconds, or_none};
use crate::view::output::harmless;
use crate::view::plot::ByLayer;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};
use crate::view::worth::document::WorthJson;
use crate::view::worth::figures::{Figures, LayerJson, OptionJson};
use crate::view::worth::option::Planner;
use crate::view::worth::traffic::Steps;
use crate::view::worth::verdict::{Outcome, Verdict, percent};

/// The columns of [`row`].
pub(super) const COLUMNS: &str = "planner|policy|redun-\ndant#|balanced-\nness#|on the next\nwindow#|(max-mean)\n/mean#|\
                                  MoE\ntime %#|layers\nbetter %#|moved\n%#|GB a\nGPU#|GB to the\nbusiest#|plan\nms#";

pub fn text(worth: &WorthJson, terminal: &Terminal) -> String {
    let WorthJson { verdict, figures, .. } = worth;
    let rows = figures.options.iter().map(row).collect();
    let tones = figures.options.iter().map(|option| is_configured(figures, option).then_some(Tone::Good));
    let table = Table::new(COLUMNS, rows).expendable([10, 7, 3, 5]).tones(tones).draw(terminal);
    let mut lines = head(figures);
    lines.extend(figures.notes.iter().map(|note| format!("note: {}", harmless(note))));
    lines.extend([String::new(), table, String::new(), plot(figures, terminal), String::new()]);
    lines.extend(words(figures, verdict, terminal));
    lines.join("\n") + "\n"
}

/// What was compared.
pub(super) fn head(figures: &Figures) -> Vec<String> {
    let Topology { layers, experts, gpus, nodes, replicas, .. } = &figures.topology;
    let planned = match figures.served {
        0 => "each judged on its own window".to_owned(),
        served => format!("judged on {}", count(served, "next window", "next windows")),
    };
    let bytes = figures.expert_bytes.map_or(String::new(), |bytes| {
        let of = figures.model.map_or(String::new(), |model| format!(" ({model})"));
        format!("; an expert of a layer takes {:.1} MB{of}", bytes as f64 / 1e6)
    });
    vec![
        format!(
            "traffic: {} of {layers} layers and {experts} experts; {}, {planned}",
            count(figures.windows, "window", "windows"),
            count(figures.planned, "plan", "plans"),
        ),
        format!("windows: {}", steps(figures.steps)),
        format!(
            "deployment: {replicas} replicas ({} redundant) on {} of {}{bytes}",
            figures.topology.redundant(),
            count(*gpus, "GPU", "GPUs"),
            count(*nodes, "node", "nodes"),
        ),
        format!("program: {}", harmless(&figures.program)),
    ]
}

fn steps(steps: Steps) -> String {
    match steps {
        Steps::Single => "a single step each".to_owned(),
        Steps::Unknown => "of unknown length: sums of steps look more even than steps".to_owned(),
        Steps::Several(least, most) if least == most => {
            format!("sums of {least} steps, which look more even than steps")
        }
        Steps::Several(least, most) => format!("sums of {least} to {most} steps, which look more even than steps"),
    }
}

/// Whether an option has the configured policy and redundancy, or is the placement without balancing.
pub(super) fn is_configured(figures: &Figures, option: &OptionJson) -> bool {
    figures.configured(option.planner) == option
}

pub(super) fn row(option: &OptionJson) -> Vec<String> {
    let gigabytes = |bytes: Option<f64>| or_none(bytes.map(|bytes| format!("{:.2}", bytes / 1e9)));
    let is_planned = option.planner != Planner::None;
    let planned = |text: String| if is_planned { text } else { "-".to_owned() };
    let of_100 = |share: f64| format!("{:.1}", share * 100.0);
    vec![
        name(option.planner).to_owned(),
        or_none(option.policy.map(|policy| policy.name())),
        option.redundant.to_string(),
        format!("{:.4}", option.balancedness),
        or_none(option.next_balancedness.map(|next| format!("{next:.4}"))),
        format!("{:.3}", option.imbalance),
        of_100(option.moe_time),
        planned(of_100(option.better_layers)),
        planned(of_100(option.moved)),
        planned(gigabytes(option.moved_bytes)),
        planned(gigabytes(option.busiest_moved_bytes)),
        or_none(option.seconds.map(milliseconds)),
    ]
}

pub(super) fn name(planner: Planner) -> &'static str {
    match planner {
        Planner::None => "no balancing",
        Planner::Engine => "the engine's",
        Planner::Program => "the program",
    }
}

/// Balancedness by layer, as characters.
fn plot(figures: &Figures, terminal: &Terminal) -> String {
    let values = |of: fn(&LayerJson) -> f64| figures.layers.iter().map(of).collect::<Vec<f64>>();
    let [before, after] = [values(|layer| layer.none), values(|layer| layer.program)];
    let layers: Vec<usize> = figures.layers.iter().map(|layer| layer.layer).collect();
    let names = ["without balancing", "with the program"];
    ByLayer { title: "balancedness", names, layers: &layers, before: &before, after: &after }.draw(terminal)
}

fn words(figures: &Figures, verdict: &Verdict, terminal: &Terminal) -> Vec<String> {
    let tone = match verdict.outcome {
        Outcome::Recommended => Tone::Good,
        Outcome::NotRecommended => Tone::Bad,
        Outcome::NotEnoughWindows => Tone::Faint,
    };
    let mut lines = vec![terminal.paint(tone, &headline(figures, verdict))];
    lines.extend(verdict.reasons.iter().map(|reason| format!("  because {}", harmless(reason))));
    lines.extend(verdict.parts.iter().map(|part| format!("  {part}")));
    lines
}

/// The verdict in a line.
pub(super) fn headline(figures: &Figures, verdict: &Verdict) -> String {
    let policy = figures.configured(Planner::Program).policy.map_or("", |policy| policy.name());
    let milliseconds =
        verdict.saved_seconds.map_or(String::new(), |seconds| format!(", {:.2} ms a step", seconds.abs() * 1e3));
    let worth = verdict.saved.map_or(String::new(), |saved| match saved {
        0.0.. => format!(": it saves {} of the MoE time{milliseconds}", percent(saved)),
        _ => format!(": it costs {} of the MoE time{milliseconds}", percent(-saved)),
    });
    let what = format!("rebalancing ({policy}, {} redundant experts)", figures.topology.redundant());
    match verdict.outcome {
        Outcome::NotEnoughWindows => format!("{what}: not enough windows"),
        Outcome::Recommended => format!("{what} is recommended{worth}"),
        Outcome::NotRecommended => format!("{what} is not recommended{worth}"),
    }
}
