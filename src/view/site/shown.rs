//! Shown: a run as its pages show it, and what is in several of them.

use crate::journal::Entry;
use crate::run::fold::Run;
use crate::run::now::Busy;
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;
use crate::view::format::{count, duration, or_none, score};
use crate::view::inspect::proposer_name;
use crate::view::report::data::{ReportData, judge_seconds};
use crate::view::report::machine;
use crate::view::report::page::{Site, Table};
use crate::view::site::address;

/// A run at this moment.
pub struct Shown<'a> {
    /// As addresses name it.
    pub name: &'a str,
    pub run: &'a Run,
    pub entries: &'a [Entry<Event>],
    /// What its slots measure.
    pub busy: &'a [Busy],
    /// Whether a process of this machine runs it.
    pub is_live: bool,
    pub version: &'a str,
}

impl<'a> Shown<'a> {
    pub(super) fn search(&self) -> &'a Search {
        &self.run.search
    }

    pub(super) fn data(&self) -> ReportData<'a> {
        ReportData::of(self.run, self.entries)
    }

    pub(super) fn site(&self) -> Site {
        Site {
            events: address::events(self.name),
            version: self.version.to_owned(),
            above: vec![address::runs()],
            candidates: address::candidates(self.name),
        }
    }

    /// What the run does, in a word or a few.
    pub(super) fn state(&self) -> String {
        match self.search().stopped() {
            Some(reason) => format!("stopped: {reason}"),
            None if self.is_live => "under way".to_owned(),
            None => "no process on this machine runs it".to_owned(),
        }
    }

    /// The same in a sentence, with what was done so far.
    pub(super) fn summary(&self) -> String {
        let (first, last) = (self.entries[0].time, self.entries.last().map_or(0.0, |entry| entry.time));
        let judged = count(self.search().tally().ended(), "candidate judged", "candidates judged");
        let took = duration(last - first);
        format!("Started {}. {judged} in {took}; {}.", machine::date(first), self.state())
    }

    /// What judging has cost so far.
    pub(super) fn judge_seconds(&self) -> f64 {
        self.entries.iter().map(|entry| judge_seconds(&entry.event)).sum()
    }

    /// The score that the best is known by, and on which windows.
    pub(super) fn best_score(&self) -> Option<(f64, &'static str)> {
        let best = self.search().best()?;
        let windows = if best.held_out.is_some() { "held out" } else { "in the search" };
        Some((best.reported_score(), windows))
    }

    /// A table of candidates, each with the address of its page.
    pub(super) fn candidates(&self, caption: &str, ids: impl IntoIterator<Item = CandidateId>) -> Table {
        let (search, data) = (self.search(), self.data());
        let columns = "candidate#|name|proposer|edits|outcome|quality#|speed#|combined#|held out#";
        let mut table = Table::new(caption, columns);
        for id in ids {
            let known = data.known(id);
            let scores = data.scores(id);
            let held_out = known.held_out.as_ref().map(|result| match &result.scores {
                Some(scores) => score(scores.combined_score),
                None => "rejected".to_owned(),
            });
            let parents: Vec<String> = known.parents.iter().map(ToString::to_string).collect();
            let cells = [
                id.to_string(),
                data.marked_name(id),
                known.proposer.map_or(String::new(), |proposer| proposer_name(proposer, search)),
                parents.join(" and "),
                known.outcome.as_ref().map_or("waiting", Into::into).to_owned(),
                or_none(scores.and_then(|scores| scores.quality).map(score)),
                or_none(scores.map(|scores| score(scores.speed_score))),
                or_none(scores.map(|scores| score(scores.combined_score))),
                or_none(held_out),
            ];
            table.row(cells).is_best = search.best().is_some_and(|best| best.candidate == id);
            table.link(0, address::candidate(self.name, id));
        }
        table.with_class(1, "name")
    }
}
