//! Shown: the figures of a plan for people.

use packevolve_contract::plan::Doubles;
use packevolve_contract::topology::Topology;

use crate::view::format::{count, milliseconds};
use crate::view::inspect::evidence_text;
use crate::view::output::harmless;
use crate::view::plans::figures::{Balance, Figures, LayerFigures, Moved, MovedBytes, Planning};
use crate::view::plot::ByLayer;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// What a plan is worth and what it moves. A terminal gets a figure of the layers, a pipe a table.
pub fn planning_text(planning: &Planning, terminal: &Terminal) -> String {
    let mut parts = vec![heading(planning)];
    let inconsistent = planning.inconsistencies.iter();
    let inconsistent = inconsistent.map(|found| terminal.paint(Tone::Bad, &format!("NOT consistent: {found}\n")));
    parts[0].extend(inconsistent);
    if let Some((rejection, evidence)) = planning.rejection.as_ref().zip(planning.evidence.as_ref()) {
        parts.push(format!("rejected: it {}\n{}", harmless(&rejection.to_string()), evidence_text(evidence)));
    }
    if let Some(figures) = &planning.figures {
        let lasting = if terminal.is_terminal { figure(figures, terminal) } else { table(figures, terminal) };
        parts.extend([balances(figures, terminal) + "\n", changes(figures), lasting + "\n"]);
    }
    parts.join("\n")
}

fn heading(planning: &Planning) -> String {
    let Topology { layers, experts, groups, nodes, gpus, replicas } = planning.topology;
    let seconds = planning.figures.as_ref().map(|figures| figures.seconds);
    let time = seconds.map_or_else(String::new, |seconds| format!("{} ms a call", milliseconds(seconds)));
    let lines = [
        ("program", harmless(&planning.program)),
        ("loads", format!("{}, summed", count(planning.windows, "window", "windows"))),
        ("plan", format!("{}: {layers} layers of {experts} experts, {replicas} replicas", planning.policy.name())),
        (
            "for",
            format!(
                "{} on {}, {}",
                count(gpus, "GPU", "GPUs"),
                count(nodes, "node", "nodes"),
                count(groups, "expert group", "expert groups")
            ),
        ),
        ("time", time),
    ];
    let shown = lines.iter().filter(|(_, text)| !text.is_empty());
    shown.map(|(name, text)| format!("{name:8} {text}\n")).collect()
}

fn balances(figures: &Figures, terminal: &Terminal) -> String {
    let row = |name: &str, balance: &Balance| {
        let Balance { balancedness, min, median, p90, worst_layer } = *balance;
        let numbers = [balancedness, min, median, p90].map(|number| format!("{number:.4}"));
        [vec![name.to_owned()], numbers.to_vec(), vec![worst_layer.to_string()]].concat()
    };
    let rows = vec![row(before(figures), &figures.before), row("plan", &figures.after)];
    Table::new("balancedness|all layers#|min#|median#|p90#|worst layer#", rows).draw(terminal)
}

fn before(figures: &Figures) -> &'static str {
    if figures.has_old_plan { "old plan" } else { "no balancing" }
}

fn changes(figures: &Figures) -> String {
    let mut lines = vec![doubles(figures)];
    lines.extend(figures.moves.as_ref().map(moves));
    lines.join("\n") + "\n"
}

fn doubles(figures: &Figures) -> String {
    let said = |Doubles { layers, slots }: Doubles| {
        format!(
            "{} with an expert twice on a GPU ({})",
            count(layers, "layer", "layers"),
            count(slots, "slot", "slots")
        )
    };
    let parted = figures.doubles_before_parting.filter(|before| before.slots > 0);
    let before = parted.map_or_else(String::new, |before| format!(", {} before they were parted", before.slots));
    format!("doubles  {}{before}", said(figures.doubles))
}

fn moves(moved: &Moved) -> String {
    let Moved { slots, share, mean_gpu, busiest_gpu, kept, bytes } = *moved;
    let size =
        |of: fn(MovedBytes) -> f64| bytes.map_or_else(String::new, |bytes| format!(" ({:.2} GB)", of(bytes) / 1e9));
    let lines = [
        format!("moves    {:.1} % of all slots: {slots}{}", share * 100.0, size(|bytes| bytes.all)),
        format!("         a GPU in the mean {mean_gpu:.1}{}", size(|bytes| bytes.mean_gpu)),
        format!("         the busiest GPU {busiest_gpu}{}", size(|bytes| bytes.busiest_gpu)),
        format!("         {kept} more slots would change if experts that stay on their GPU changed their slots"),
    ];
    lines.join("\n")
}

fn figure(figures: &Figures, terminal: &Terminal) -> String {
    let values = |of: fn(&LayerFigures) -> f64| figures.layers.iter().map(of).collect::<Vec<_>>();
    let layers: Vec<usize> = figures.layers.iter().map(|layer| layer.layer).collect();
    ByLayer {
        title: "balancedness",
        names: [before(figures), "plan"],
        layers: &layers,
        before: &values(|layer| layer.before),
        after: &values(|layer| layer.after),
    }
    .draw(terminal)
}

fn table(figures: &Figures, terminal: &Terminal) -> String {
    let rows = figures.layers.iter().map(|layer| {
        let doubles = if layer.doubles > 0 { layer.doubles.to_string() } else { String::new() };
        vec![layer.layer.to_string(), format!("{:.4}", layer.before), format!("{:.4}", layer.after), doubles]
    });
    let header = format!("layer#|{}#|plan#|doubles#", before(figures));
    Table::new(&header, rows.collect()).draw(terminal)
}
