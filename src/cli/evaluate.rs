//! `packevolve evaluate`.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use packevolve_contract::adrs::adrs_scores;
use packevolve_contract::case::{self, Case};
use packevolve_contract::comparison::compare;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Yardstick, score_interval, scores};
use packevolve_contract::protocol::{EvaluateRequest, Session, TimeLimits};
use packevolve_contract::rebalance::rebalance_scores;
use strum::IntoStaticStr;

use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::input::{check_loads, note_groups, read_asset, read_text, show_note};
use crate::config::{Asset, Config};
use crate::judge::baselines::{Asked, Baselines, Kept, Maker, Unusable};
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
/// The baseline takes minutes, so it is measured once and kept, with the seed of its windows, in the user's cache folder
/// ($XDG_CACHE_HOME/packevolve or ~/.cache/packevolve); the next call with the same programs, settings, loads and machine
/// uses it.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Program with a function `balanced_packing`, or for policies `rebalance_experts`
    program: PathBuf,
    /// Program to compare with instead of the baseline of the settings; both are measured on the same inputs, and the
    /// ratio of their times is printed with a confidence interval
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Draw other windows and measure the baseline again, in place of the one that was kept
    #[arg(long)]
    fresh: bool,
    /// Formula of the scores
    #[arg(long, value_enum, default_value_t = Score::Packevolve)]
    score: Score,
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Loads: a file, or a folder of files; `packevolve help loads` lists the formats
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
        let mut settings = config.settings()?;
        check_loads(&config)?;
        note_groups(&settings.evaluation.topology);
        let program = read_text(&self.program)?;
        let against = self.against.clone().map_or(config.baseline.clone(), Asset::At);
        let against_text = read_asset(&against)?;
        let against = against.path();
        let cases = cases(&settings);
        let mut session = client::session(&settings.evaluation, &cases, settings.rng_seed, None)?;
        let known = match self.against {
            None => Known::look(&against_text, &session, config.evaluation.loads_seed, self.fresh)?,
            Some(_) => Known::default(),
        };
        session.loads_seed = known.loads_seed().unwrap_or(session.loads_seed);
        settings.evaluation.loads_seed = session.loads_seed;
        let mut judge = Judge::open(session, &settings.llm.key_variables()).await?;
        judge.ready().loads_notes.iter().for_each(|note| show_note(note));
        // The baseline comes first: its times set the time limits. A program compared with itself on request is measured
        // twice, which shows how well times repeat.
        let is_baseline = program == against_text && self.against.is_none();
        let named = if is_baseline { &self.program } else { against };
        let role = if is_baseline { "" } else { "the baseline " };
        let baseline = known.baseline(&mut judge, role, named, &against_text).await?;
        let evaluation = match (is_baseline, baseline.measurement()) {
            (true, _) => baseline.clone(),
            (false, None) => return Err(bad_baseline(against, &baseline)),
            (false, measurement) => {
                status(format_args!("measuring {} ...", self.program.display()));
                let limits = settings.evaluation.limits.times(measurement);
                judge.evaluate(request(&self.program, &program, Some(limits))).await?
            }
        };
        let evaluated = self.evaluated(&settings, &judge, against, evaluation, baseline.measurement());
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
        let objective = settings.evaluation.objective();
        let both = evaluation.measurement().zip(baseline);
        let yardstick = |baseline| Yardstick { baseline, objective, pairing: Pairing::Shared };
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
    settings.evaluation.cases(settings.rng_seed).expect("BUG: the settings were checked")
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
        is_of_blocks: false,
    }
}

fn bad_baseline(path: &Path, evaluation: &Evaluation) -> CommandError {
    let Evaluation::Rejected { rejection, evidence } = evaluation else {
        unreachable!("BUG: what is not rejected has a measurement")
    };
    let error = CliError::BadBaseline { path: path.to_owned(), rejection: rejection.to_string() };
    CommandError::from(error).note(inspect::evidence_text(evidence).trim_end())
}

/// What the user's cache knows of the baseline, and where to keep it.
#[derive(Debug, Default)]
struct Known {
    kept: Option<Kept>,
    keeper: Option<Keeper>,
}

/// Where a measured baseline goes.
#[derive(Debug)]
struct Keeper {
    baselines: Baselines,
    asked: Asked,
    maker: Maker,
}

impl Known {
    /// Looks for a baseline of this text that was measured in such a session. `fresh`: looks for none.
    fn look(program: &str, session: &Session, loads_seed: Option<u64>, fresh: bool) -> Result<Self, CommandError> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let Some(baselines) = Baselines::of_user(variable) else { return Ok(Self::default()) };
        let (asked, maker) = (Asked::new(program, session, loads_seed), Maker::new(client::program_digest()?));
        let kept = if fresh { None } else { usable(baselines.find(&asked, &maker), &baselines.path(&asked)) };
        Ok(Self { kept, keeper: Some(Keeper { baselines, asked, maker }) })
    }

    fn loads_seed(&self) -> Option<u64> {
        self.kept.as_ref().map(|kept| kept.loads_seed)
    }

    /// The baseline: an earlier measurement, or one that is made now and kept.
    async fn baseline(
        self,
        judge: &mut Judge,
        role: &str,
        path: &Path,
        program: &str,
    ) -> Result<Evaluation, CommandError> {
        let (kept, keeper) = self.checked(judge);
        if let Some(Kept { time, evaluation, .. }) = kept {
            status(format_args!(
                "baseline {}: as measured at {}, on the same windows (--fresh measures again, on others)",
                path.display(),
                humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time)),
            ));
            return Ok(evaluation);
        }
        status(format_args!("measuring {role}{} ...", path.display()));
        let evaluation = judge.evaluate(request(path, program, None)).await?;
        if let Some(keeper) = keeper.filter(|_| evaluation.measurement().is_some()) {
            keeper.keep(judge, &evaluation);
        }
        Ok(evaluation)
    }

    /// The baseline, if this judge would measure the same.
    fn checked(self, judge: &Judge) -> (Option<Kept>, Option<Keeper>) {
        let Self { kept, keeper } = self;
        let path = keeper.as_ref().map(|keeper| keeper.baselines.path(&keeper.asked)).unwrap_or_default();
        let kept = kept.and_then(|kept| {
            let checked = kept.check(judge.ready());
            usable(checked.map(|()| Some(kept)), &path)
        });
        (kept, keeper)
    }
}

/// What was kept; what cannot be used is ignored with a note.
fn usable(found: Result<Option<Kept>, Unusable>, path: &Path) -> Option<Kept> {
    found.unwrap_or_else(|unusable| {
        show_note(&format!("{} is not used and is replaced: {unusable}", path.display()));
        None
    })
}

impl Keeper {
    fn keep(self, judge: &Judge, evaluation: &Evaluation) {
        let Self { baselines, asked, maker } = self;
        let path = baselines.path(&asked);
        let kept = Kept::new(asked, maker, judge.loads_seed(), judge.ready(), evaluation.clone());
        if let Err(error) = baselines.keep(&kept) {
            show_note(&format!("the baseline is not kept: cannot write {}: {error}", path.display()));
        }
    }
}
