//! Standings: what came of the runs of each contestant, as a table and as a plot.

use packevolve::view::plot::{Axis, Chart, Ink, Layer, Name, Path, Scale, Size};
use packevolve::view::table::Table;
use packevolve::view::terminal::Terminal;
use packevolve_contract::statistic::median;

use crate::contest::{Contestant, Outcome};

/// Parts that the plot looks at a run in.
const STEPS: usize = 120;

pub struct Standings {
    judge_seconds: f64,
    outcomes: Vec<(Contestant, Outcome)>,
}

/// The middle one of several figures, and the outermost ones.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(figures: &[f64]) -> Self {
        Self {
            median: median(figures.iter().copied()),
            least: figures.iter().copied().fold(f64::INFINITY, f64::min),
            most: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl Standings {
    pub fn new(judge_seconds: f64) -> Self {
        Self { judge_seconds, outcomes: Vec::new() }
    }

    pub fn enter(&mut self, contestant: Contestant, outcome: Outcome) {
        self.outcomes.push((contestant, outcome));
    }

    fn of(&self, contestant: Contestant) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |(other, _)| *other == contestant).map(|(_, outcome)| outcome)
    }

    fn at(&self, contestant: Contestant, seconds: f64) -> Spread {
        Spread::of(&self.of(contestant).map(|outcome| outcome.at(seconds)).collect::<Vec<_>>())
    }

    /// A line a contestant: scores after a quarter of the time, half of it and all of it.
    pub fn table(&self) -> String {
        let marks = [0.25, 0.5, 1.0].map(|share| share * self.judge_seconds);
        let titles = marks.map(|seconds| format!("after\n{seconds:.0} judge s#|\nfrom - to|")).concat();
        let header = format!("proposers|{titles}candidates#");
        let row = |contestant: Contestant| {
            let mut cells = vec![contestant.to_string()];
            for seconds in marks {
                let Spread { median, least, most } = self.at(contestant, seconds);
                cells.extend([format!("{median:.4}"), format!("{least:.4} - {most:.4}")]);
            }
            let judged: Vec<f64> = self.of(contestant).map(|outcome| outcome.judged as f64).collect();
            cells.push(format!("{:.0}", Spread::of(&judged).median));
            cells
        };
        let runs = self.of(Contestant::Together).count();
        let rows: Vec<Vec<String>> = Contestant::ALL.into_iter().map(row).collect();
        format!(
            "combined_score of the best on held-out windows, median of {runs} runs and the outermost\n\n{}",
            Table::new(&header, rows).draw(&Terminal::of_stdout())
        )
    }

    /// The same over time: the median as a line, and what lies between the outermost.
    pub fn plot(&self) -> String {
        let inks = [Ink::FIRST, Ink::SECOND, Ink::THIRD, Ink::BEST];
        let seconds = |step: usize| self.judge_seconds * step as f64 / STEPS as f64;
        let (mut bands, mut lines) = (Vec::new(), Vec::new());
        for (contestant, ink) in Contestant::ALL.into_iter().zip(inks) {
            let spreads: Vec<(f64, Spread)> =
                (0..=STEPS).map(|step| (seconds(step), self.at(contestant, seconds(step)))).collect();
            let band = spreads.iter().map(|(at, spread)| (*at, spread.least, spread.most)).collect();
            let line = spreads.iter().map(|(at, spread)| (*at, spread.median)).collect();
            bands.push(Layer::Band { ink, path: Path::Steps, at: band });
            let name = Some(Name { long: contestant.to_string(), short: contestant.to_string() });
            lines.push(Layer::Line { ink, path: Path::Steps, at: line, name });
        }
        let axis = |title: &str| Axis::new(title, Scale::Linear);
        let chart = Chart {
            x: axis("seconds of judging"),
            y: axis("combined_score of the best"),
            layers: [bands, lines].concat(),
        };
        chart.draw(Size::wide(420)).file("The score of the best over seconds of judging, for each proposer and for all")
    }
}
