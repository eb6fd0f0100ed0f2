//! Page: the same as one HTML file.

use crate::view::plot::{Axis, Chart, Ink, Layer, Name, Path, Scale};
use crate::view::report::page::{Figure, Page, Part, Section, Table};
use crate::view::worth::document::WorthJson;
use crate::view::worth::figures::{Figures, LayerJson};
use crate::view::worth::text::{COLUMNS, head, headline, is_configured, row};
use crate::view::worth::verdict::Verdict;

/// One HTML file that needs nothing beside itself.
pub fn html(worth: &WorthJson) -> String {
    let WorthJson { verdict, figures, .. } = worth;
    let page = Page {
        title: "PackEvolve: is it worth it?".to_owned(),
        state: headline(figures, verdict),
        sections: vec![reasons(figures, verdict), options(figures), layers(figures)],
        made_by: format!("packevolve {} worth", env!("CARGO_PKG_VERSION")),
    };
    page.html()
}

fn reasons(figures: &Figures, verdict: &Verdict) -> Section {
    let notes = figures.notes.iter().map(|note| format!("Note: {note}."));
    let sentences = verdict.reasons.iter().chain(&verdict.parts).map(|part| sentence(part));
    let all = head(figures).into_iter().map(|line| sentence(&line)).chain(sentences).chain(notes);
    Section { id: "why", title: "Why", parts: all.map(Part::Paragraph).collect() }
}

fn sentence(part: &str) -> String {
    let mut letters = part.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn options(figures: &Figures) -> Section {
    let caption = "Plans are made on a window and judged on the next one. The MoE time is that of the heaviest GPUs, in % of \
                   that without balancing";
    let mut table = Table::new(caption, &COLUMNS.replace("-\n", "").replace('\n', " "));
    for option in &figures.options {
        table.row(row(option)).is_best = is_configured(figures, option);
    }
    Section { id: "options", title: "What there is to choose", parts: vec![Part::Table(table)] }
}

fn layers(figures: &Figures) -> Section {
    let line = |ink: Ink, name: &str, of: fn(&LayerJson) -> f64| Layer::Line {
        ink,
        path: Path::Straight,
        at: figures.layers.iter().map(|layer| (layer.layer as f64, of(layer))).collect(),
        name: Some(Name::new(name)),
    };
    let chart = Chart {
        x: Axis::new("layer", Scale::Linear),
        y: Axis { reaches: Some((1.0, 1.0)), ..Axis::new("balancedness", Scale::Linear) },
        layers: vec![
            line(Ink::MANY, "no balancing", |layer| layer.none),
            line(Ink::SECOND, "the engine's", |layer| layer.engine),
            line(Ink::BEST, "the program", |layer| layer.program),
        ],
    };
    let mut table = Table::new("Balancedness of each layer", "layer|no balancing#|the engine's#|the program#");
    for LayerJson { layer, none, engine, program } in &figures.layers {
        let values = [none, engine, program].map(|value| format!("{value:.4}"));
        table.row([layer.to_string()].into_iter().chain(values));
    }
    let mut figure = Figure::new(&chart, [320, 260], "Balancedness by layer before and after", table);
    figure.caption =
        "Balancedness of each layer with the configured policy and redundancy: the mean load of a GPU over that \
                      of the heaviest."
            .to_owned();
    Section { id: "layers", title: "Layer by layer", parts: vec![Part::Figure(figure)] }
}
