//! Runs: the list of runs, the newest first, and the comparison of some.

use crate::view::format::{or_none, score};
use crate::view::report::machine;
use crate::view::report::page::{Part, Section, Site, Table};
use crate::view::site::address;
use crate::view::site::compared::{self, MOST};
use crate::view::site::frame::html;
use crate::view::site::shown::Shown;

/// How many of the newest runs are compared where none is named.
const BY_DEFAULT: usize = 3;

/// A run in the list.
pub enum Listed<'a> {
    Read(Shown<'a>),
    /// It is read in a moment, or cannot be read.
    Unread {
        name: &'a str,
        why: &'a str,
    },
}

impl Listed<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Read(shown) => shown.name,
            Self::Unread { name, .. } => name,
        }
    }
}

/// The page of these runs, the newest first. It compares those that are `wanted`, or else the newest.
pub fn index(listed: Vec<Listed<'_>>, wanted: Option<&[String]>, version: &str) -> String {
    let is_read = |listed: &&Listed<'_>| matches!(listed, Listed::Read(_));
    let newest = listed.iter().filter(is_read).take(BY_DEFAULT).map(|listed| listed.name().to_owned());
    let chosen: Vec<String> = match wanted {
        Some(wanted) => wanted.iter().filter(|name| !name.is_empty()).take(MOST).cloned().collect(),
        None => newest.collect(),
    };
    let table = table(&listed, &chosen);
    let read = listed.into_iter().filter_map(|listed| match listed {
        Listed::Read(shown) if chosen.iter().any(|name| name == shown.name) => Some(shown),
        _ => None,
    });
    let compared: Vec<Shown<'_>> = read.collect();
    let state = match table.rows.len() {
        0 => "There are no runs here yet: `packevolve evolve` starts one.".to_owned(),
        _ => "The newest first.".to_owned(),
    };
    let mut sections = vec![Section { id: "runs", title: "Runs", parts: vec![Part::Table(table)] }];
    sections[0].parts.retain(|part| !matches!(part, Part::Table(table) if table.rows.is_empty()));
    if !compared.is_empty() {
        sections.push(compared::section(&compared));
    }
    let events = address::all_events();
    let site = Site { events, version: version.to_owned(), above: Vec::new(), candidates: String::new() };
    html("PackEvolve: runs".to_owned(), state, sections, &site)
}

fn table(listed: &[Listed<'_>], chosen: &[String]) -> Table {
    let columns = "run|started|state|candidates#|best#|judge s#|compared";
    let mut table = Table::new("The runs of this folder", columns);
    for run in listed {
        let name = run.name();
        let is_chosen = chosen.iter().any(|chosen| chosen == name);
        let toggle = if is_chosen { "leave out" } else { "compare" };
        match run {
            Listed::Read(shown) => {
                table.row([
                    name.to_owned(),
                    machine::date(shown.entries[0].time),
                    shown.state(),
                    shown.search().candidates().len().to_string(),
                    or_none(shown.best_score().map(|(best, _)| score(best))),
                    format!("{:.0}", shown.judge_seconds()),
                    toggle.to_owned(),
                ]);
                table.link(0, address::run(name));
                table.link(6, address::comparison(&toggled(chosen, name)));
            }
            Listed::Unread { why, .. } => {
                table.row([name, "", why, "", "", "", ""]);
            }
        }
    }
    table.with_class(0, "name").with_class(2, "wraps")
}

/// The chosen runs with one more or one less; the oldest choice goes where there would be too many.
fn toggled<'a>(chosen: &'a [String], name: &'a str) -> Vec<&'a str> {
    let mut names: Vec<&str> = chosen.iter().map(String::as_str).collect();
    match names.iter().position(|chosen| *chosen == name) {
        Some(at) => drop(names.remove(at)),
        None => {
            names.push(name);
            let excess = names.len().saturating_sub(MOST);
            names.drain(..excess);
        }
    }
    names
}
