//! Family: where the programs of the front come from.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::Cast;
use super::figures::{milliseconds, or_none, score};
use super::page::{Block, Cell, Figure, Key, Section, Table};
use crate::candidate::CandidateId;
use crate::plot::{Axis, Chart, Ink, Layer, Mark, Name, Scale};

pub fn section(cast: &Cast<'_>) -> Section {
    let family = Family::of(cast);
    let blocks = if family.members.len() > 1 { vec![Block::Figure(figure(cast, &family))] } else { Vec::new() };
    Section { id: "family", title: "Family tree of the front", blocks }
}

/// The front and all its ancestors.
struct Family {
    members: BTreeSet<CandidateId>,
    /// By the program that was edited.
    children: BTreeMap<CandidateId, Vec<CandidateId>>,
}

impl Family {
    fn of(cast: &Cast<'_>) -> Self {
        let mut left: Vec<CandidateId> = cast.front.iter().copied().chain(cast.best).collect();
        let mut members = BTreeSet::new();
        while let Some(member) = left.pop() {
            if members.insert(member) {
                left.extend_from_slice(&cast.known(member).parents);
            }
        }
        let mut children: BTreeMap<CandidateId, Vec<CandidateId>> = BTreeMap::new();
        for member in &members {
            if let Some(parent) = cast.known(*member).parents.first() {
                children.entry(*parent).or_default().push(*member);
            }
        }
        Self { members, children }
    }

    /// Members from the seed program on, each before its children, with the lines of a tree before it.
    fn tree(&self) -> Vec<(CandidateId, String)> {
        let mut rows = Vec::new();
        let mut left = vec![(CandidateId::SEED, String::new(), String::new())];
        while let Some((member, before, below)) = left.pop() {
            rows.push((member, before));
            let children = self.children.get(&member).map_or(&[][..], Vec::as_slice);
            for (place, child) in children.iter().enumerate().rev() {
                let (branch, line) = if place + 1 == children.len() { ("└╴", "  ") } else { ("├╴", "│ ") };
                left.push((*child, format!("{below}{branch}"), format!("{below}{line}")));
            }
        }
        rows
    }
}

fn figure(cast: &Cast<'_>, family: &Family) -> Figure {
    let place = |id: CandidateId| Some((cast.generation(id) as f64, cast.scores(id)?.combined_score));
    let at = |ids: &[CandidateId]| ids.iter().filter_map(|id| place(*id)).collect::<Vec<_>>();
    let links = |wanted: &dyn Fn(usize, CandidateId) -> bool| {
        let edges = family.members.iter().flat_map(|child| {
            let parents = cast.known(*child).parents.iter().enumerate();
            parents.filter(|(nth, _)| wanted(*nth, *child)).map(|(_, parent)| (*parent, *child)).collect::<Vec<_>>()
        });
        edges.filter_map(|(parent, child)| Some([place(parent)?, place(child)?])).collect::<Vec<_>>()
    };
    let line = cast.winning_line();
    let members: Vec<CandidateId> = family.members.iter().copied().collect();
    let named = |ids: &[CandidateId]| -> Vec<((f64, f64), Name)> {
        ids.iter().filter_map(|id| Some((place(*id)?, cast.name(*id)))).collect()
    };
    let front: Vec<CandidateId> = cast.front.iter().copied().filter(|id| Some(*id) != cast.best).collect();
    let numbered = front.iter().filter_map(|id| Some((place(*id)?, Name::new(format!("#{id}"))))).collect();
    let chart = Chart {
        x: Axis::new("generation", Scale::Linear),
        y: Axis::new("combined_score", Scale::TowardsOne),
        layers: vec![
            Layer::Links { ink: Ink::Second, at: links(&|nth, _| nth > 0) },
            Layer::Links { ink: Ink::Many, at: links(&|nth, _| nth == 0) },
            Layer::Points { ink: Ink::Many, mark: Mark::Speck, at: at(&members) },
            Layer::Line { ink: Ink::Best, path: crate::plot::Path::Straight, at: at(&line), name: None },
            Layer::Named { ink: Ink::Best, mark: Mark::Diamond, at: named(cast.best.as_slice()) },
            Layer::Named { ink: Ink::Text, mark: Mark::Ring, at: named(&[CandidateId::SEED]) },
            Layer::Named { ink: Ink::Best, mark: Mark::Dot, at: numbered },
        ],
    };
    let label = "The front and its ancestors, by generation and score";
    let mut figure = Figure::new(&chart, [380, 320], label, table(cast, family));
    figure.keys = vec![
        Key { mark: "◆", class: "k-best", means: "the best, and its line" },
        Key { mark: "●", class: "k-best", means: "on the front" },
        Key { mark: "•", class: "k-many", means: "an ancestor" },
        Key { mark: "○", class: "k-text", means: "the seed program" },
    ];
    let crosses = family.members.iter().any(|id| cast.known(*id).parents.len() > 1);
    if crosses {
        figure.keys.push(Key { mark: "╱", class: "k-second", means: "from the second parent of a crossing" });
    }
    figure.caption = format!(
        "Each line leads from a program to one that an edit made of it; a generation is one edit. {} programs are on the \
         front, {} are their ancestors.",
        cast.front.len(),
        family.members.len() - family.members.iter().filter(|id| cast.front.contains(id)).count(),
    );
    figure
}

fn table(cast: &Cast<'_>, family: &Family) -> Table {
    let columns = ["program", "on the front", "proposer", "unit, ms#", "quality#", "combined#", "second parent"];
    let mut table = Table::new("The tree, each program below the one that was edited", columns);
    for (id, before) in family.tree() {
        let name = Cell { text: format!("{before}{id} {}", cast.name(id).long), class: "tree".to_owned() };
        let scores = cast.scores(id);
        let second = cast.known(id).parents.get(1).map_or(String::new(), ToString::to_string);
        let cells = [
            if cast.front.contains(&id) { "yes".to_owned() } else { String::new() },
            if id == CandidateId::SEED { String::new() } else { cast.proposer(id) },
            or_none(scores.and_then(|scores| scores.unit_seconds).map(milliseconds)),
            or_none(scores.and_then(|scores| scores.quality).map(score)),
            or_none(scores.map(|scores| score(scores.combined_score))),
            second,
        ];
        table.row([name].into_iter().chain(cells.map(Cell::from))).is_best = Some(id) == cast.best;
    }
    table
}
