//! Progress: how the best became better, by candidates and by what judging cost.

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;
use crate::view::format::{count, duration, or_none, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::data::{ReportData, judge_seconds};
use crate::view::report::page::{Figure, Key, Part, Section, Table};
use crate::view::report::thin::thinned;

/// The state of a run when a candidate was judged or the best changed.
#[derive(Clone, Copy, Default)]
struct Moment {
    judged: usize,
    /// Judge seconds spent on measurements so far.
    seconds: f64,
    /// Seconds since the run started, with pauses.
    wall: f64,
}

struct NewBest {
    moment: Moment,
    candidate: CandidateId,
    /// On the windows of the search.
    score: f64,
    held_out: Option<f64>,
}

#[derive(Default)]
struct Progress {
    now: Moment,
    /// Scores of all candidates that were measured in full.
    scores: Vec<(Moment, f64)>,
    bests: Vec<NewBest>,
}

pub fn section(data: &ReportData<'_>) -> Section {
    let progress = Progress::of(data);
    let mut parts = Vec::new();
    if progress.scores.len() > 1 {
        parts.push(Part::Figure(figure(&progress, "candidates judged", |moment| moment.judged as f64)));
        parts.push(Part::Figure(figure(&progress, "judge seconds", |moment| moment.seconds)));
        parts.push(Part::Folded(table(data, &progress)));
    }
    Section { id: "progress", title: "How the best became better", parts }
}

impl Progress {
    fn of(data: &ReportData<'_>) -> Self {
        let entries = data.entries;
        let mut search = Search::new(data.search.origin().clone());
        let mut progress = Self::default();
        for entry in &entries[1..] {
            search.apply(&entry.event).expect("BUG: the journal was folded before");
            progress.now.wall = entry.time - entries[0].time;
            progress.record(&entry.event, &search);
        }
        progress
    }

    fn record(&mut self, event: &Event, search: &Search) {
        self.now.seconds += judge_seconds(event);
        let judged = match event {
            Event::BaselineEvaluated { .. } => search.baseline_is_seed().then_some(CandidateId::SEED),
            Event::CandidateEvaluated { candidate, .. } => Some(*candidate),
            _ => None,
        };
        if let Some(candidate) = judged {
            self.now.judged = search.tally().ended();
            let scores = search.scores_of(candidate);
            self.scores.extend(scores.map(|scores| (self.now, scores.combined_score)));
        }
        self.record_best(search);
    }

    fn record_best(&mut self, search: &Search) {
        let Some(best) = search.best() else { return };
        let held_out = best.held_out.as_ref().map(|held_out| held_out.scores.combined_score);
        match self.bests.last_mut() {
            // The held-out score of the same candidate comes later.
            Some(last) if last.candidate == best.candidate => last.held_out = held_out,
            _ => {
                let (moment, candidate) = (self.now, best.candidate);
                self.bests.push(NewBest { moment, candidate, score: best.interval.score, held_out });
            }
        }
    }

    /// The lowest score that the figures show, just below the first that exceeded the seed program's: later ones are
    /// higher.
    fn least(&self) -> f64 {
        let improved = self.bests.get(1).map(|first| first.held_out.unwrap_or(first.score).min(first.score));
        improved.map_or(f64::NEG_INFINITY, |score| score - 0.02)
    }

    fn line(&self, along: fn(&Moment) -> f64, score: fn(&NewBest) -> Option<f64>) -> Vec<(f64, f64)> {
        let bests = self.bests.iter().filter_map(|new| Some((along(&new.moment), score(new)?)));
        let mut line: Vec<(f64, f64)> = bests.collect();
        line.extend(line.last().map(|(_, score)| (along(&self.now), *score)));
        line
    }
}

fn figure(progress: &Progress, along: &str, place: fn(&Moment) -> f64) -> Figure {
    let least = progress.least();
    let all: Vec<(f64, f64)> = progress.scores.iter().map(|(moment, score)| (place(moment), *score)).collect();
    let below = all.iter().filter(|(_, score)| *score < least).count();
    let all: Vec<(f64, f64)> = all.into_iter().filter(|(_, score)| *score >= least).collect();
    let shown = thinned(&all);
    let left_out = all.len() - shown.len();
    let line = |ink, name: [&str; 2], score| {
        let name = Name { long: name[0].to_owned(), short: name[1].to_owned() };
        let at = progress.line(place, score).into_iter().filter(|(_, score)| *score >= least).collect();
        Layer::Line { ink, path: Path::Steps, at, name: Some(name) }
    };
    let chart = Chart {
        x: Axis::new(along, Scale::Linear),
        y: Axis::new("combined_score", Scale::Linear),
        layers: vec![
            Layer::Points { ink: Ink::MANY, mark: Mark::Speck, at: shown.into_iter().map(|at| all[at]).collect() },
            line(Ink::SECOND, ["in the search", "search"], |new| Some(new.score)),
            line(Ink::BEST, ["held out", "held out"], |new| new.held_out),
        ],
    };
    let label = format!("Score of the best by {along}");
    let mut figure = Figure::new(&chart, [330, 280], &label, steps(progress, along, place));
    figure.keys = vec![Key { mark: "•", class: "k-many", means: "a candidate".to_owned() }];
    let below = match below {
        0 => String::new(),
        below => format!(" {} below the figure.", count(below, "candidate lies", "candidates lie")),
    };
    let thin =
        if left_out > 0 { format!(" {left_out} points that would lie on others are left out.") } else { String::new() };
    figure.caption = format!(
        "The best by {along}: its score on the windows of the search, and on those that the search never saw, which decide \
         who is the best.{below}{thin}"
    );
    figure
}

fn steps(progress: &Progress, along: &str, place: fn(&Moment) -> f64) -> Table {
    let columns = format!("{along}#|candidate#|in the search#|held out#");
    let mut table = Table::new(format!("The best by {along}"), &columns);
    for new in &progress.bests {
        let at = crate::view::plot::number((place(&new.moment) * 10.0).round() / 10.0);
        table.row([at, new.candidate.to_string(), score(new.score), or_none(new.held_out.map(score))]);
    }
    table
}

fn table(data: &ReportData<'_>, progress: &Progress) -> Table {
    let columns = "after|judged#|judge s#|candidate|name|in the search#|held out#";
    let mut table = Table::new("Every best of the run", columns);
    for new in &progress.bests {
        let Moment { judged, seconds, wall } = new.moment;
        let cells = [
            duration(wall),
            judged.to_string(),
            format!("{seconds:.0}"),
            new.candidate.to_string(),
            data.marked_name(new.candidate),
            score(new.score),
            or_none(new.held_out.map(score)),
        ];
        table.row(cells).is_best = Some(new.candidate) == data.best;
    }
    table
}
