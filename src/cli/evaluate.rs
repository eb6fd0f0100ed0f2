//! `packevolve evaluate`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use packevolve_contract::adrs::adrs_scores;
use packevolve_contract::case::{self, Case};
use packevolve_contract::comparison::compare;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Yardstick, score_interval, scores};
use packevolve_contract::protocol::{EvaluateRequest, TimeLimits};
use packevolve_contract::rebalance::rebalance_scores;
use strum::IntoStaticStr;

use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::input::{check_loads, read_text};
use crate::config::Config;
use crate::judge::client::{self, Judge};
use crate::values::settings::Settings;
use crate::view::inspect::{self, Adrs, Evaluated, FORMAT};
use crate::view::output::status;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
enum Score {
    /// Quality and speed of packing, as in a search
    Packevolve,
    /// Also the ADRS benchmark's formulas, for whole rebalances
    Adrs,
}

/// Measure one program
///
/// Measures its packing and its whole rebalances on every case and all windows, and compares them with the baseline.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Program with a function `balanced_packing`
    program: PathBuf,
    /// Program to compare with instead of the baseline of the settings; both are measured on the same inputs, and the
    /// ratio of their times is printed with a confidence interval
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Formula of the scores
    #[arg(long, value_enum, default_value_t = Score::Packevolve)]
    score: Score,
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Loads: a .csv, .npy or .json file, or a folder of such files
    #[arg(long, value_name = "PATH")]
    loads: Option<PathBuf>,
    /// Device to measure on: auto, cpu, cuda:0, ...
    #[arg(long, value_name = "D")]
    device: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Evaluate {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let mut config = Config::read(self.config.as_deref())?;
        config.evaluation.device = self.device.clone().unwrap_or(config.evaluation.device);
        if self.loads.is_some() {
            config.loads = self.loads.clone();
            // All real windows and no resampled ones.
            config.evaluation.windows = None;
        }
        // Without a search there is nothing to hold out.
        config.evaluation.held_out_windows = 0;
        let settings = config.settings()?;
        check_loads(&config)?;
        let program = read_text(&self.program)?;
        let against = self.against.as_deref().unwrap_or(&config.baseline);
        let against_text = read_text(against)?;
        let cases = cases(&settings);
        let session = client::session(&settings.evaluation, &cases, settings.rng_seed, None);
        let mut judge = Judge::open(session, &settings.llm.key_variables()).await?;
        // The baseline comes first: its times set the time limits. A program compared with itself on request is measured
        // twice, which shows how well times repeat.
        let baseline = match program == against_text && self.against.is_none() {
            true => None,
            false => Some(measure_baseline(&mut judge, against, &against_text).await?),
        };
        status(format_args!("measuring {} ...", self.program.display()));
        let limits = baseline.as_ref().map(|baseline| settings.evaluation.limits.times(Some(baseline)));
        let evaluation = judge.evaluate(request(&self.program, &program, limits)).await?;
        let baseline = baseline.or_else(|| evaluation.measurement().cloned());
        let evaluated = self.evaluated(&settings, &judge, against, evaluation, baseline.as_ref());
        self.format.print(&evaluated, |terminal| inspect::evaluated_text(&evaluated, &cases, terminal))?;
        Ok(if evaluated.evaluation.rejection().is_some() { Exit::Rejected } else { Exit::Success })
    }

    fn evaluated(
        &self,
        settings: &Settings,
        judge: &Judge,
        against: &Path,
        evaluation: Evaluation,
        baseline: Option<&Measurement>,
    ) -> Evaluated {
        let unit: Vec<String> = case::unit(&settings.evaluation.topology).iter().map(ToString::to_string).collect();
        let weights = settings.evaluation.weights;
        let both = evaluation.measurement().zip(baseline);
        let yardstick = |baseline| Yardstick { baseline, weights, pairing: Pairing::Shared };
        let adrs = |(ours, theirs)| Some(Adrs { program: adrs_scores(ours)?, against: adrs_scores(theirs) });
        Evaluated {
            format: FORMAT,
            program: self.program.display().to_string(),
            against: against.display().to_string(),
            judge: judge.ready().clone(),
            loads_seed: settings.evaluation.loads_seed,
            score: self.score.into(),
            scores: both.map(|(ours, theirs)| scores(ours, yardstick(theirs), &unit, theirs.clock())),
            half_width: both.map(|(ours, theirs)| score_interval(ours, yardstick(theirs))),
            rebalance_against: baseline
                .map_or(Vec::new(), |base| rebalance_scores(&base.rebalance, &base.rebalance, base.clock())),
            adrs: both.filter(|_| self.score == Score::Adrs).and_then(adrs),
            comparison: both.filter(|_| self.against.is_some()).and_then(|(ours, theirs)| compare(ours, theirs)),
            evaluation,
        }
    }
}

fn cases(settings: &Settings) -> Vec<Case> {
    let evaluation = &settings.evaluation;
    case::cases(&evaluation.topology, &evaluation.global_cases, evaluation.random_cases, settings.rng_seed)
        .expect("BUG: the settings were checked")
}

fn request(path: &Path, program: &str, limits: Option<TimeLimits>) -> EvaluateRequest {
    EvaluateRequest {
        candidate: 0,
        file_name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        program: program.to_owned(),
        budget_seconds: None,
        // What has no limits yet is the baseline.
        is_baseline: limits.is_none(),
        limits,
        outclassed: None,
        measures_inconsistent: true,
        rebalance: true,
    }
}

async fn measure_baseline(judge: &mut Judge, path: &Path, program: &str) -> Result<Measurement, CommandError> {
    status(format_args!("measuring the baseline {} ...", path.display()));
    match judge.evaluate(request(path, program, None)).await? {
        Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. } => Ok(measurement),
        Evaluation::Rejected { rejection, .. } => {
            Err(CliError::BadBaseline { path: path.to_owned(), rejection: rejection.to_string() }.into())
        }
        Evaluation::Outclassed { .. } => unreachable!("BUG: no threshold was given"),
    }
}
