//! Now: what runs at this moment in every slot, and what language models do and cost.

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Proposer;
use crate::values::task::Task;
use crate::view::format::clock;
use crate::view::inspect::charge_text;
use crate::view::report::page::{Part, Section, Table};
use crate::view::site::address;
use crate::view::site::shown::Shown;

pub fn section(shown: &Shown<'_>) -> Section {
    let mut parts = Vec::new();
    if shown.is_live && shown.search().stopped().is_none() {
        parts.push(Part::Table(slots(shown)));
    }
    if shown.search().models().count() > 0 {
        parts.push(Part::Table(models(shown)));
        parts.push(Part::Paragraph(budget(shown.search())));
    }
    Section { id: "now", title: "At this moment", parts }
}

fn slots(shown: &Shown<'_>) -> Table {
    let search = shown.search();
    let mut table = Table::new("What every slot measures", "slot#|where|state|measures|since");
    for (slot, place) in search.settings().places().enumerate() {
        let busy = shown.busy.iter().find(|busy| busy.slot == slot);
        let state = match busy {
            Some(_) => "measures",
            None if search.places().is_left_out(slot) => "left out",
            None if search.places().is_open(slot) => "free",
            None => "starts",
        };
        let what = busy.map_or(String::new(), |busy| task_text(busy.task, search));
        let since = busy.map_or(String::new(), |busy| clock(busy.since));
        table.row([slot.to_string(), place.name(), state.to_owned(), what, since]);
        if let Some(Task::Evaluate(candidate) | Task::Duel(candidate)) = busy.map(|busy| busy.task) {
            table.link(3, address::candidate(shown.name, candidate));
        }
    }
    table.with_class(3, "name")
}

fn task_text(task: Task, search: &Search) -> String {
    let named = |id: CandidateId| {
        let name = search.candidate(id).map_or("?", |known| known.name.as_str());
        format!("candidate {id}, {name}")
    };
    match task {
        Task::Baseline => "the baseline".to_owned(),
        Task::Evaluate(candidate) => named(candidate),
        Task::Complete(candidate) => format!("the rest of {}", named(candidate)),
        Task::Duel(contender) => {
            let best = search.duel().filter(|duel| duel.contender == contender).map(|duel| duel.best);
            let against = best.map_or(String::new(), |best| format!(" against candidate {best}"));
            format!("a duel{against} of {}", named(contender))
        }
    }
}

fn models(shown: &Shown<'_>) -> Table {
    let (search, models) = (shown.search(), shown.search().models());
    let mut table = Table::new("The language models", "model|state|open requests#|attempts#|tokens#|$#");
    for (place, model) in search.settings().llm.models.iter().enumerate() {
        let proposer = Proposer::Model(place);
        let open = search.open_attempts().iter().filter(|open| open.selection.proposer == proposer).count();
        let state = match () {
            () if models.is_paused(place) => "pauses",
            () if models.is_worn(place) => "leads to nothing",
            () if models.is_ready(place) => "in use",
            () => "switched off",
        };
        let stats = search.bandit().arms().iter().find(|arm| arm.who == proposer).map(|arm| arm.stats);
        let stats = stats.unwrap_or_default();
        let dollars = stats.nanodollars as f64 / 1e9;
        let counts = [open.to_string(), stats.tried.to_string(), stats.tokens.to_string(), format!("{dollars:.4}")];
        table.row([model.name.clone(), state.to_owned()].into_iter().chain(counts));
    }
    table.with_class(0, "name")
}

fn budget(search: &Search) -> String {
    let llm = &search.settings().llm;
    let limits = [
        llm.budget_tokens.map(|tokens| format!("{tokens} tokens")),
        llm.budget_dollars.map(|dollars| format!("${dollars}")),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let of = if limits.is_empty() { String::new() } else { format!(" of {}", limits.join(" and ")) };
    format!("All requests so far: {}{of}.", charge_text(search.models().spent()))
}
