//! Compared: several runs side by side: the best by judge seconds, the fronts, and a table of the bests.

use crate::search::Search;
use crate::values::digest::Digest;
use crate::view::format::{milliseconds, or_none, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::data::judge_seconds;
use crate::view::report::page::{Figure, Key, Part, Section, Table};
use crate::view::site::address;
use crate::view::site::shown::Shown;

/// How many runs a figure shows.
pub const MOST: usize = 4;

/// The ink of a run, the class of its key, and its mark.
const LOOKS: [(Ink, &str, Mark, &str); MOST] = [
    (Ink::FIRST, "k-first", Mark::Dot, "●"),
    (Ink::SECOND, "k-second", Mark::Triangle, "▲"),
    (Ink::THIRD, "k-third", Mark::Diamond, "◆"),
    (Ink::TEXT, "k-text", Mark::Ring, "○"),
];

pub fn section(all: &[Shown<'_>]) -> Section {
    let mut parts = vec![Part::Table(bests(all))];
    let lines: Vec<Vec<(f64, f64)>> = all.iter().map(progress).collect();
    if lines.iter().any(|line| line.len() > 1) {
        parts.push(Part::Figure(by_cost(all, &lines)));
    }
    let fronts: Vec<Vec<(f64, f64)>> = all.iter().map(front).collect();
    if fronts.iter().any(|front| front.len() > 1) {
        parts.push(Part::Figure(fronts_figure(all, &fronts)));
    }
    if differ(all) {
        let text = "These runs have other loads, another baseline or another topology: their scores do not compare.";
        parts.push(Part::Paragraph(text.to_owned()));
    }
    Section { id: "compared", title: "Compared", parts }
}

fn differ(all: &[Shown<'_>]) -> bool {
    let measured = |search: &Search| {
        let origin = search.origin();
        let baseline = Digest::of(origin.baseline.as_bytes());
        (origin.judge.loads_digest.clone(), baseline, origin.settings.evaluation.topology.clone())
    };
    all.windows(2).any(|pair| measured(pair[0].search()) != measured(pair[1].search()))
}

fn bests(all: &[Shown<'_>]) -> Table {
    let columns = "run|best#|name|combined#|on|quality#|speed#|unit, ms#|judged#|judge s#";
    let mut table = Table::new("The best of each run", columns);
    for shown in all {
        let search = shown.search();
        let best = search.best().map(|best| best.candidate);
        let known = best.and_then(|best| search.candidate(best));
        let held_out = search.best().and_then(|best| best.held_out.as_ref()).map(|held_out| &held_out.scores);
        let scores = held_out.or(best.and_then(|best| search.scores_of(best)));
        let reported = shown.best_score();
        table.row([
            shown.name.to_owned(),
            or_none(best.map(|best| best.to_string())),
            known.map_or(String::new(), |known| known.name.clone()),
            or_none(reported.map(|(value, _)| score(value))),
            reported.map_or("", |(_, windows)| windows).to_owned(),
            or_none(scores.and_then(|scores| scores.quality).map(score)),
            or_none(scores.map(|scores| score(scores.speed_score))),
            or_none(scores.and_then(|scores| scores.normalised_unit_seconds).map(milliseconds)),
            search.tally().ended().to_string(),
            format!("{:.0}", shown.judge_seconds()),
        ]);
        table.link(0, address::run(shown.name));
        if let Some(best) = best {
            table.link(1, address::candidate(shown.name, best));
        }
    }
    table.with_class(0, "name").with_class(2, "name")
}

/// The score of the best after each number of judge seconds, on the windows that decide who is the best.
fn progress(shown: &Shown<'_>) -> Vec<(f64, f64)> {
    let mut search = Search::new(shown.search().origin().clone());
    let (mut seconds, mut line) = (0.0, Vec::<(f64, f64)>::new());
    for entry in &shown.entries[1..] {
        search.apply(&entry.event).expect("BUG: the journal was folded before");
        seconds += judge_seconds(&entry.event);
        let Some(best) = search.best() else { continue };
        let reported = best.reported_score();
        if line.last().is_none_or(|(_, last)| *last != reported) {
            line.push((seconds, reported));
        }
    }
    line.extend(line.last().map(|(_, last)| (seconds, *last)));
    line
}

fn by_cost(all: &[Shown<'_>], lines: &[Vec<(f64, f64)>]) -> Figure {
    // Where the first of them begins to be better than its seed program.
    let improved = lines.iter().filter_map(|line| line.get(1)).map(|(_, score)| *score);
    let least = improved.fold(f64::INFINITY, f64::min) - 0.02;
    let layer = |(at, shown): (usize, &Shown<'_>)| Layer::Line {
        ink: LOOKS[at].0,
        path: Path::Steps,
        at: lines[at].iter().copied().filter(|(_, score)| *score >= least).collect(),
        name: Some(short(shown.name)),
    };
    let chart = Chart {
        x: Axis::new("judge seconds", Scale::Linear),
        y: Axis::new("combined_score", Scale::Linear),
        layers: all.iter().take(LOOKS.len()).enumerate().map(layer).collect(),
    };
    let mut table = Table::new("The best of each run by judge seconds", "run|judge s#|combined#");
    for (shown, line) in all.iter().zip(lines) {
        for (seconds, value) in line {
            table.row([shown.name.to_owned(), format!("{seconds:.1}"), score(*value)]);
        }
    }
    let mut figure = Figure::new(&chart, [330, 280], "Score of the best of each run by judge seconds", table);
    figure.caption = "The score of the best over what judging has cost: on held-out windows where there are any, \
                      otherwise on those of the search."
        .to_owned();
    figure
}

/// Speed and quality of the Pareto front, the slowest first.
fn front(shown: &Shown<'_>) -> Vec<(f64, f64)> {
    let point = |id| {
        let scores = shown.search().scores_of(id)?;
        Some((10f64.powf(3.0 * scores.speed_score), scores.quality?))
    };
    let mut front: Vec<(f64, f64)> =
        shown.search().elites().front().filter_map(|member| point(member.candidate)).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    front
}

fn fronts_figure(all: &[Shown<'_>], fronts: &[Vec<(f64, f64)>]) -> Figure {
    let mut layers = Vec::new();
    let mut table = Table::new("The front of each run, the slowest first", "run|times as fast#|quality#");
    for ((shown, front), (ink, _, mark, _)) in all.iter().zip(fronts).zip(LOOKS) {
        layers.push(Layer::Line { ink, path: Path::Steps, at: front.clone(), name: None });
        layers.push(Layer::Points { ink, mark, at: front.clone() });
        for (speed, quality) in front {
            table.row([shown.name.to_owned(), format!("{speed:.1}"), score(*quality)]);
        }
    }
    let chart = Chart {
        x: Axis::new("times as fast as the baseline (more is better)", Scale::Log),
        y: Axis::new("quality (more is better)", Scale::TowardsOne),
        layers,
    };
    let mut figure = Figure::new(&chart, [400, 320], "Quality against time of the front of each run", table);
    let key = |(shown, (_, class, _, mark)): (&Shown<'_>, (Ink, &'static str, Mark, &'static str))| Key {
        mark,
        class,
        means: shown.name.to_owned(),
    };
    figure.keys = all.iter().zip(LOOKS).map(key).collect();
    figure.caption = "The programs of each run that no other one of it beats in both quality and speed.".to_owned();
    figure
}

/// The name of a run in a figure.
fn short(name: &str) -> Name {
    let short: String = name.chars().take(10).collect();
    Name { long: name.chars().take(24).collect(), short }
}
