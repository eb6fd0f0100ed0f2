//! Family: the ancestors of the front.

use std::collections::{BTreeMap, BTreeSet};

use crate::values::candidate::CandidateId;
use crate::view::format::{count, milliseconds, or_none, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::data::ReportData;
use crate::view::report::page::{Figure, Key, Part, Section, Table};

pub fn section(data: &ReportData<'_>) -> Section {
    let members = members(data);
    let parts = if members.len() > 1 { vec![Part::Figure(figure(data, &members))] } else { Vec::new() };
    Section { id: "family", title: "Family tree of the front", parts }
}

/// The front, the best and all their ancestors.
fn members(data: &ReportData<'_>) -> BTreeSet<CandidateId> {
    let mut left: Vec<CandidateId> = data.front.iter().copied().chain(data.best).collect();
    let mut members = BTreeSet::new();
    while let Some(member) = left.pop() {
        if members.insert(member) {
            left.extend_from_slice(&data.known(member).parents);
        }
    }
    members
}

/// Members from the seed program on, each before its children, with the lines of a tree before it. A member is a child
/// of its first parent, the program that was edited.
fn tree(data: &ReportData<'_>, members: &BTreeSet<CandidateId>) -> Vec<(CandidateId, String)> {
    let mut children: BTreeMap<CandidateId, Vec<CandidateId>> = BTreeMap::new();
    for member in members {
        if let Some(parent) = data.known(*member).parents.first() {
            children.entry(*parent).or_default().push(*member);
        }
    }
    let mut rows = Vec::new();
    let mut left = vec![(CandidateId::SEED, String::new(), String::new())];
    while let Some((member, before, below)) = left.pop() {
        rows.push((member, before));
        let children = children.get(&member).map_or(&[][..], Vec::as_slice);
        for (place, child) in children.iter().enumerate().rev() {
            let (branch, line) = if place + 1 == children.len() { ("└╴", "  ") } else { ("├╴", "│ ") };
            left.push((*child, format!("{below}{branch}"), format!("{below}{line}")));
        }
    }
    rows
}

fn figure(data: &ReportData<'_>, members: &BTreeSet<CandidateId>) -> Figure {
    let chart = Chart {
        x: Axis::new("generation", Scale::Linear),
        y: Axis::new("combined_score", Scale::TowardsOne),
        layers: layers(data, members),
    };
    let label = "The front and its ancestors, by generation and score";
    let mut figure = Figure::new(&chart, [380, 320], label, table(data, members));
    figure.keys = keys(data, members);
    let ancestors = members.iter().filter(|id| !data.front.contains(id)).count();
    figure.caption = format!(
        "Each line leads from a program to one that an edit made of it; a generation is one edit. {} on the front, {}.",
        count(data.front.len(), "program is", "programs are"),
        count(ancestors, "other is its ancestor", "others are their ancestors"),
    );
    figure
}

/// The place of a member in the figure, if it was measured in full.
fn place(data: &ReportData<'_>, id: CandidateId) -> Option<(f64, f64)> {
    Some((data.generation(id) as f64, data.scores(id)?.combined_score))
}

fn layers(data: &ReportData<'_>, members: &BTreeSet<CandidateId>) -> Vec<Layer> {
    let at = |ids: &[CandidateId]| ids.iter().filter_map(|id| place(data, *id)).collect::<Vec<_>>();
    let named = |ids: &[CandidateId], name: &dyn Fn(CandidateId) -> Name| {
        ids.iter().filter_map(|id| Some((place(data, *id)?, name(*id)))).collect::<Vec<_>>()
    };
    let name = |id| data.name(id);
    let number = |id| Name::new(format!("#{id}"));
    let others: Vec<CandidateId> = data.front.iter().copied().filter(|id| Some(*id) != data.best).collect();
    let seed = [CandidateId::SEED];
    vec![
        Layer::Links { ink: Ink::SECOND, at: links(data, members, |nth| nth > 0) },
        Layer::Links { ink: Ink::MANY, at: links(data, members, |nth| nth == 0) },
        Layer::Points { ink: Ink::MANY, mark: Mark::Speck, at: at(&members.iter().copied().collect::<Vec<_>>()) },
        Layer::Line { ink: Ink::BEST, path: Path::Straight, at: at(&data.winning_line()), name: None },
        Layer::Named { ink: Ink::BEST, mark: Mark::Diamond, at: named(data.best.as_slice(), &name) },
        Layer::Named { ink: Ink::TEXT, mark: Mark::Ring, at: named(&seed, &name) },
        Layer::Named { ink: Ink::BEST, mark: Mark::Dot, at: named(&others, &number) },
    ]
}

/// The lines from parents, of which `wanted` picks some by their order, to members.
fn links(data: &ReportData<'_>, members: &BTreeSet<CandidateId>, wanted: fn(usize) -> bool) -> Vec<[(f64, f64); 2]> {
    let mut links = Vec::new();
    for child in members {
        let parents = data.known(*child).parents.iter().enumerate().filter(|(nth, _)| wanted(*nth));
        links.extend(parents.filter_map(|(_, parent)| Some([place(data, *parent)?, place(data, *child)?])));
    }
    links
}

fn keys(data: &ReportData<'_>, members: &BTreeSet<CandidateId>) -> Vec<Key> {
    let mut keys = vec![
        Key { mark: "◆", class: "k-best", means: "the best, and its line".to_owned() },
        Key { mark: "●", class: "k-best", means: "on the front".to_owned() },
        Key { mark: "•", class: "k-many", means: "an ancestor".to_owned() },
        Key { mark: "○", class: "k-text", means: "the seed program".to_owned() },
    ];
    if members.iter().any(|id| data.known(*id).parents.len() > 1) {
        keys.push(Key { mark: "╱", class: "k-second", means: "from the second parent of a crossover".to_owned() });
    }
    keys
}

fn table(data: &ReportData<'_>, members: &BTreeSet<CandidateId>) -> Table {
    let columns = "program|on the front|proposer|unit, ms#|quality#|combined#|second parent";
    let mut table = Table::new("The tree, each program below the one that was edited", columns);
    for (id, before) in tree(data, members) {
        let scores = data.scores(id);
        let cells = [
            format!("{before}{id} {}", data.name(id).long),
            if data.front.contains(&id) { "yes".to_owned() } else { String::new() },
            if id == CandidateId::SEED { String::new() } else { data.proposer(id) },
            or_none(scores.and_then(|scores| scores.normalised_unit_seconds).map(milliseconds)),
            or_none(scores.and_then(|scores| scores.quality).map(score)),
            or_none(scores.map(|scores| score(scores.combined_score))),
            data.known(id).parents.get(1).map_or(String::new(), ToString::to_string),
        ];
        table.row(cells).is_best = Some(id) == data.best;
    }
    table.with_class(0, "tree")
}
