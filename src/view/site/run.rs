//! A run: what happens at this moment and last, then the sections of its report.

use crate::archive::ProgramsError;
use crate::values::candidate::CandidateId;
use crate::view::format::{clock, score};
use crate::view::inspect::event_text;
use crate::view::report;
use crate::view::report::page::{Link, Part, Section, Table, Tile};
use crate::view::site::frame::html;
use crate::view::site::shown::Shown;
use crate::view::site::{address, now};

/// How many candidates and events the page of a run shows.
const LATEST: usize = 12;
/// How many candidates the page of all of them shows.
const MOST: usize = 5_000;

/// The page of a run.
///
/// # Errors
/// A program or proposal on the line to the best cannot be read.
pub fn run(shown: &Shown<'_>) -> Result<String, ProgramsError> {
    let mut sections = vec![standing(shown), now::section(shown), latest(shown)];
    sections.extend(report::sections(&shown.data())?);
    Ok(html(format!("PackEvolve: {}", shown.name), shown.summary(), sections, &shown.site()))
}

fn standing(shown: &Shown<'_>) -> Section {
    let search = shown.search();
    let tally = search.tally();
    let (best, windows) = shown.best_score().map_or(("–".to_owned(), ""), |(best, on)| (score(best), on));
    let made = format!("of {}", search.candidate_limit());
    let outcomes = format!(
        "{} measured, {} outclassed, {} inconsistent, {} rejected",
        tally.measured, tally.outclassed, tally.inconsistent, tally.rejected
    );
    let tile = |name, after: String, note: String| Tile { name, before: String::new(), after, note };
    let name = search.best().and_then(|best| search.candidate(best.candidate)).map_or("", |known| known.name.as_str());
    let tiles = vec![
        tile("Best combined_score", best, format!("{windows} {name}").trim().to_owned()),
        tile("Candidates", format!("{} {made}", search.candidates().len()), outcomes),
        tile("Judge seconds", format!("{:.0}", shown.judge_seconds()), "spent on measurements".to_owned()),
    ];
    Section { id: "standing", title: "Where it stands", parts: vec![Part::Tiles(tiles)] }
}

fn latest(shown: &Shown<'_>) -> Section {
    let count = shown.search().candidates().len();
    let newest = (count.saturating_sub(LATEST)..count).rev().map(|number| CandidateId(number as u64));
    let mut events = Table::new("The latest events", "time|what happened");
    for entry in shown.entries.iter().rev().take(LATEST) {
        events.row([clock(entry.time), event_text(&entry.event, entry.time, shown.search()).replace('\n', " ")]);
    }
    let parts = vec![
        Part::Table(shown.candidates("The latest candidates", newest)),
        Part::Links(vec![Link { text: "all candidates".to_owned(), href: address::all_candidates(shown.name) }]),
        Part::Folded(events.with_class(1, "wraps")),
    ];
    Section { id: "latest", title: "What came last", parts }
}

/// The page of all candidates of a run, the newest first.
pub fn all_candidates(shown: &Shown<'_>) -> String {
    let count = shown.search().candidates().len();
    let newest = (count.saturating_sub(MOST)..count).rev().map(|number| CandidateId(number as u64));
    let parts = vec![Part::Table(shown.candidates("The newest first", newest))];
    let section = Section { id: "candidates", title: "All candidates", parts };
    let mut site = shown.site();
    site.above.push(Link { text: shown.name.to_owned(), href: address::run(shown.name) });
    html(format!("Candidates of {}", shown.name), shown.summary(), vec![section], &site)
}
