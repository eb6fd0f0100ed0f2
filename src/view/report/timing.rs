//! Timing: all samples of time of the front, and their spread.

use std::borrow::Cow;
use std::collections::HashMap;

use packevolve_contract::chain::{ChainMeasurement, Step};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::statistic::{Quartiles, mean, median, quartiles};

use crate::values::candidate::CandidateId;
use crate::values::event::Event;
use crate::view::format::milliseconds;
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Path, Scale};
use crate::view::report::data::ReportData;
use crate::view::report::page::{Figure, Key, Part, Section, Table};

/// The number of programs that are drawn, evenly from the fastest to the best; the table has all.
const MOST: usize = 14;

pub fn section(data: &ReportData<'_>) -> Section {
    let all: Vec<Timed> = data.front.iter().chain(&[CandidateId::SEED]).filter_map(|id| Timed::of(data, *id)).collect();
    let parts = if all.len() > 1 { vec![Part::Figure(figure(data, &all))] } else { Vec::new() };
    Section { id: "timing", title: "Samples of time", parts }
}

struct Timed {
    id: CandidateId,
    /// Normalised time of the unit on each window, seconds, in the order of measurement.
    seconds: Vec<f64>,
}

impl Timed {
    fn of(data: &ReportData<'_>, id: CandidateId) -> Option<Self> {
        let seconds: Vec<f64> =
            measurements(data, id).into_iter().flat_map(|measurement| units(data, &measurement)).collect();
        (!seconds.is_empty()).then_some(Self { id, seconds })
    }

    fn median(&self) -> f64 {
        median(self.seconds.iter().copied())
    }

    /// Distance of a sample from the median, in percent of the median.
    fn off(&self, seconds: f64) -> f64 {
        (seconds / self.median() - 1.0) * 100.0
    }
}

/// The normalised time of the unit in each round that all of its cases were measured in.
fn units(data: &ReportData<'_>, measurement: &Measurement) -> Vec<f64> {
    if data.search.settings().evaluation.policy.is_some() {
        return plannings(data, measurement);
    }
    let topology = &data.search.settings().evaluation.topology;
    let unit: Vec<String> = packevolve_contract::case::unit(topology).iter().map(ToString::to_string).collect();
    let (clock, measurement) = (data.search.clock(), measurement.credited());
    let time =
        |case: &String, round: usize| Some(clock.normalised(measurement.samples(case).get(round)?.relative_time()));
    let in_round = |round: usize| unit.iter().map(|case| time(case, round)).sum::<Option<f64>>();
    (0..measurement.rounds()).filter_map(in_round).collect()
}

/// The mean of the normalised planning times in each chain.
fn plannings(data: &ReportData<'_>, measurement: &Measurement) -> Vec<f64> {
    let (clock, measurement) = (data.search.clock(), measurement.credited());
    let of_chain = |chain: &ChainMeasurement| mean(chain.steps.iter().map(Step::relative_time));
    measurement.chains.iter().filter_map(of_chain).map(|time| clock.normalised(time)).collect()
}

/// The full measurements of a candidate, in order: on the windows of the search, and in its duels.
fn measurements<'a>(data: &ReportData<'a>, id: CandidateId) -> Vec<Cow<'a, Measurement>> {
    let is_baseline = id == CandidateId::SEED && data.search.baseline_is_seed();
    let (mut all, mut opponent, mut duels) = (Vec::new(), None, HashMap::new());
    let compared = |device, measured| data.search.compared(device, measured);
    for entry in data.entries {
        match &entry.event {
            Event::BaselineEvaluated { measurement, .. } if is_baseline => all.push(Cow::Borrowed(measurement)),
            Event::CandidateEvaluated { candidate, evaluation, .. } if *candidate == id => {
                // A partial one, before any duel.
                all.clear();
                all.extend(evaluation.measurement().map(|measured| compared(data.known(id).device, measured)));
            }
            Event::DuelStarted { best, .. } => opponent = Some(*best),
            Event::DuelEnded { contender, duel, .. } => {
                let number: &mut usize = duels.entry(*contender).or_default();
                let device = data.known(*contender).duels.get(*number).map(|result| result.device);
                *number += 1;
                let own =
                    (*contender == id).then_some(&duel.contender).or((opponent == Some(id)).then_some(&duel.best));
                all.extend(own.and_then(Evaluation::measured).map(|measured| compared(device, measured)));
            }
            _ => {}
        }
    }
    all
}

/// Some of them, evenly, the first and the last among them.
fn some(all: &[Timed]) -> Vec<&Timed> {
    let last = all.len() - 1;
    let count = all.len().min(MOST);
    (0..count).map(|place| &all[place * last / (count - 1)]).collect()
}

fn figure(data: &ReportData<'_>, all: &[Timed]) -> Figure {
    let shown = some(all);
    let rows = || shown.iter().enumerate().map(|(row, timed)| (-(row as f64), *timed));
    let samples = rows().flat_map(|(y, timed)| timed.seconds.iter().map(move |seconds| (timed.off(*seconds), y)));
    let mut layers: Vec<Layer> = rows().map(|(y, timed)| spread(timed, y)).collect();
    layers.push(Layer::Points { ink: Ink::TEXT, mark: Mark::Speck, at: samples.collect() });
    layers.push(Layer::Points { ink: Ink::BEST, mark: Mark::Tick, at: rows().map(|(y, _)| (0.0, y)).collect() });
    let name = |timed: &Timed| format!("{}, {} ms", data.name(timed.id).short, milliseconds(timed.median()));
    let chart = Chart {
        x: Axis::new("off the median of the same program, %", Scale::Linear),
        y: Axis::rows(shown.iter().map(|timed| name(timed))),
        layers,
    };
    let height = 64 + 24 * shown.len() as u32;
    let label = "Samples of the time of the unit, for programs of the front and the seed program";
    let mut figure = Figure::new(&chart, [height, height], label, table(data, all));
    figure.keys = vec![
        Key { mark: "•", class: "k-text", means: "a sample: the unit on one window".to_owned() },
        Key { mark: "|", class: "k-best", means: "median; half of the samples lie in the band around it".to_owned() },
    ];
    let part = match all.len() - shown.len() {
        0 => String::new(),
        left_out => format!(" {left_out} more of the front are in the table."),
    };
    figure.caption = format!(
        "All samples that were taken of the front, the fastest first, and of the seed program, on the windows of the search \
         and of duels; beside each the median. Windows differ in their loads, so part of the spread is \
         theirs.{part}"
    );
    figure
}

fn spread(timed: &Timed, y: f64) -> Layer {
    let Quartiles { lower, upper } = quartiles(timed.seconds.iter().copied());
    let edge = |seconds: f64| (timed.off(seconds), y - 0.3, y + 0.3);
    Layer::Band { ink: Ink::BEST, path: Path::Straight, at: vec![edge(lower), edge(upper)] }
}

fn table(data: &ReportData<'_>, all: &[Timed]) -> Table {
    let columns = "candidate|name|samples#|median, ms#|lower quartile#|upper quartile#|least#|most#|spread %#";
    let mut table = Table::new("Time of the unit, ms; the spread is that of the quartiles, of the median", columns);
    for timed in all {
        let Quartiles { lower, upper } = quartiles(timed.seconds.iter().copied());
        let extreme = |pick: fn(f64, f64) -> f64, from: f64| timed.seconds.iter().copied().fold(from, pick);
        let least = extreme(f64::min, f64::INFINITY);
        let times = [timed.median(), lower, upper, least, extreme(f64::max, 0.0)].map(milliseconds);
        let spread = format!("{:.1}", (upper - lower) / timed.median() * 100.0);
        let first = [timed.id.to_string(), data.marked_name(timed.id), timed.seconds.len().to_string()];
        table.row(first.into_iter().chain(times).chain([spread])).is_best = Some(timed.id) == data.best;
    }
    table
}
