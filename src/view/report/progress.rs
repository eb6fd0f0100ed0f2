//! Progress: how the best became better, by candidates and by what judging cost.

use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;
use crate::view::format::{count, duration, or_none, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Block, Figure, Key, Section, Table};
use crate::view::report::thin::thinned;

/// The state of a run when a candidate was judged or the best changed.
#[derive(Clone, Copy, Default)]
struct Moment {
    /// Candidates judged so far.
    judged: usize,
    /// Judge seconds spent on measurements so far.
    seconds: f64,
    /// Seconds since the run started, with pauses.
    wall: f64,
}

/// A best, from this moment on.
struct Became {
    moment: Moment,
    candidate: CandidateId,
    /// On the windows of the search.
    score: f64,
    /// On the held-out windows.
    held_out: Option<f64>,
}

/// The data of the figures.
#[derive(Default)]
struct Course {
    now: Moment,
    /// Scores of all candidates that were measured in full.
    scores: Vec<(Moment, f64)>,
    bests: Vec<Became>,
}

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    let course = Course::of(cast);
    let mut blocks = Vec::new();
    if course.scores.len() > 1 {
        blocks.push(Block::Figure(figure(&course, "candidates judged", |moment| moment.judged as f64)));
        blocks.push(Block::Figure(figure(&course, "judge seconds", |moment| moment.seconds)));
        blocks.push(Block::Behind(table(cast, &course)));
    }
    Section { id: "progress", title: "How the best became better", blocks }
}

impl Course {
    /// Goes through the run once more, event by event.
    fn of(cast: &NamedCandidates<'_>) -> Self {
        let entries = cast.entries;
        let mut search = Search::new(cast.search.origin().clone());
        let mut course = Self::default();
        for entry in &entries[1..] {
            search.apply(&entry.event).expect("BUG: the journal was folded before");
            course.now.wall = entry.time - entries[0].time;
            course.see(&entry.event, &search);
        }
        course
    }

    fn see(&mut self, event: &Event, search: &Search) {
        let judged = match event {
            Event::BaselineEvaluated { measurement } => {
                self.now.seconds += measurement.evaluation_seconds;
                search.baseline_is_seed().then_some(CandidateId::SEED)
            }
            Event::CandidateEvaluated { candidate, evaluation } => {
                self.now.seconds += evaluation.measurement().map_or(0.0, |measured| measured.evaluation_seconds);
                Some(*candidate)
            }
            Event::BaselineHeldOut { measurement } | Event::Confirmed { measurement, .. } => {
                self.now.seconds += measurement.evaluation_seconds;
                None
            }
            Event::Refuted { evaluation, .. } => {
                self.now.seconds += evaluation.measurement().map_or(0.0, |measured| measured.evaluation_seconds);
                None
            }
            _ => return,
        };
        if let Some(candidate) = judged {
            self.now.judged += 1;
            let scores = search.scores_of(candidate);
            self.scores.extend(scores.map(|scores| (self.now, scores.combined_score)));
        }
        self.see_best(search);
    }

    fn see_best(&mut self, search: &Search) {
        let Some(best) = search.best() else { return };
        let held_out = best.held_out.as_ref().map(|held_out| held_out.scores.combined_score);
        match self.bests.last_mut() {
            // The held-out score of the same candidate comes later.
            Some(last) if last.candidate == best.candidate => last.held_out = held_out,
            _ => {
                let (moment, candidate) = (self.now, best.candidate);
                self.bests.push(Became { moment, candidate, score: best.interval.score, held_out });
            }
        }
    }

    /// The lowest score that the figures show, just below the first that exceeded the seed program's: later ones are
    /// higher.
    fn least(&self) -> f64 {
        let improved = self.bests.get(1).map(|first| first.held_out.unwrap_or(first.score).min(first.score));
        improved.map_or(f64::NEG_INFINITY, |score| score - 0.02)
    }

    /// A line of the best, to the end of the run.
    fn line(&self, along: fn(&Moment) -> f64, score: fn(&Became) -> Option<f64>) -> Vec<(f64, f64)> {
        let bests = self.bests.iter().filter_map(|became| Some((along(&became.moment), score(became)?)));
        let mut line: Vec<(f64, f64)> = bests.collect();
        line.extend(line.last().map(|(_, score)| (along(&self.now), *score)));
        line
    }
}

fn figure(course: &Course, along: &str, place: fn(&Moment) -> f64) -> Figure {
    let least = course.least();
    let all: Vec<(f64, f64)> = course.scores.iter().map(|(moment, score)| (place(moment), *score)).collect();
    let below = all.iter().filter(|(_, score)| *score < least).count();
    let all: Vec<(f64, f64)> = all.into_iter().filter(|(_, score)| *score >= least).collect();
    let shown = thinned(&all);
    let left_out = all.len() - shown.len();
    let line = |ink, name: [&str; 2], score| {
        let name = Name { long: name[0].to_owned(), short: name[1].to_owned() };
        let at = course.line(place, score).into_iter().filter(|(_, score)| *score >= least).collect();
        Layer::Line { ink, path: Path::Steps, at, name: Some(name) }
    };
    let chart = Chart {
        x: Axis::new(along, Scale::Linear),
        y: Axis::new("combined_score", Scale::Linear),
        layers: vec![
            Layer::Points { ink: Ink::Many, mark: Mark::Speck, at: shown.into_iter().map(|at| all[at]).collect() },
            line(Ink::Second, ["in the search", "search"], |became| Some(became.score)),
            line(Ink::Best, ["held out", "held out"], |became| became.held_out),
        ],
    };
    let label = format!("Score of the best by {along}");
    let mut figure = Figure::new(&chart, [330, 280], &label, steps(course, along, place));
    figure.keys = vec![Key { mark: "•", class: "k-many", means: "a candidate" }];
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

fn steps(course: &Course, along: &str, place: fn(&Moment) -> f64) -> Table {
    let columns = [format!("{along}#"), "candidate#".to_owned(), "in the search#".to_owned(), "held out#".to_owned()];
    let mut table = Table::new(format!("The best by {along}"), columns);
    for became in &course.bests {
        let at = crate::view::plot::number((place(&became.moment) * 10.0).round() / 10.0);
        table.row([at, became.candidate.to_string(), score(became.score), or_none(became.held_out.map(score))]);
    }
    table
}

fn table(cast: &NamedCandidates<'_>, course: &Course) -> Table {
    let columns = ["after", "judged#", "judge s#", "candidate", "name", "in the search#", "held out#"];
    let mut table = Table::new("Every best of the run", columns);
    for became in &course.bests {
        let Moment { judged, seconds, wall } = became.moment;
        let cells = [
            duration(wall),
            judged.to_string(),
            format!("{seconds:.0}"),
            became.candidate.to_string(),
            cast.known(became.candidate).name.clone(),
            score(became.score),
            or_none(became.held_out.map(score)),
        ];
        table.row(cells).is_best = Some(became.candidate) == cast.best;
    }
    table
}
