//! `packevolve plan`: from a dump of loads to a plan that an engine loads.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::plan::Plan as Slots;
use packevolve_contract::planning::{InForce as Start, Planned, Rebalance, TimedPlan};
use packevolve_contract::protocol::PlanRequest;
use packevolve_contract::rebalance::Policy;
use packevolve_contract::topology::Topology;
use packevolve_loads::recording::Recording;
use packevolve_loads::summary::summaries;
use strum::IntoStaticStr;

use crate::cli::deployed::{Deployed, DeployedArgs, InForce};
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::input::show_note;
use crate::cli::program::{Chosen, Origin, ProgramArgs};
use crate::cli::write::write;
use crate::judge::client::{Judge, planning_session};
use crate::values::digest::Digest;
use crate::values::settings::Settings;
use crate::view::inspect::FORMAT;
use crate::view::output::{print, status};
use crate::view::plans::own::Origin as Made;
use crate::view::plans::{self, Against, Figures, ModelLayers, PlanFile, Planning, arranged, planning_text};

/// How often a call is timed.
const REPEATS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
enum Engine {
    /// JSON for `--init-expert-location`
    Sglang,
    /// JSON for `initial_expert_map_path` (pull request 49572), or JSON Lines for `initial_mapping_path` (41141) if FILE
    /// ends in .jsonl
    Vllm,
    /// YAML for `moe_config.load_balancer`
    TensorrtLlm,
    /// JSON for vllm-ascend's `expert_map_path`
    Ascend,
    /// PackEvolve's own file, which says what the plan was made from
    Json,
}

impl From<Engine> for plans::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Sglang => Self::Sglang,
            Engine::Vllm => Self::Vllm,
            Engine::TensorrtLlm => Self::TensorrtLlm,
            Engine::Ascend => Self::Ascend,
            Engine::Json => Self::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DoublesArg {
    /// Count the experts that a GPU has twice
    Count,
    /// Let them change places with experts of other GPUs
    Part,
}

/// Make a plan from recorded loads, for an engine to start with
///
/// Runs a program's `rebalance_experts` on the loads, in the jail, and writes which expert lies in which slot. Prints what
/// that is worth, layer by layer, and what moves against the plan in force.
#[derive(Debug, Args)]
pub struct Plan {
    /// Candidate of a run: number, NAME, commit prefix, `best` or `seed` [default: best; without a run, the program that
    /// PackEvolve brings along]
    #[arg(conflicts_with = "program")]
    candidate: Option<String>,
    #[command(flatten)]
    program: ProgramArgs,
    /// Loads: files, or folders of files; `packevolve help loads` lists the formats
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    loads: Vec<PathBuf>,
    /// Plan for this window, as `packevolve loads` numbers them [default: the sum of all]
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// The plan in force, a file for any engine: experts that stay on their GPU keep their slots
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Who takes the plan
    #[arg(long, value_enum, default_value_t = Engine::Json)]
    engine: Engine,
    /// Output file; `-` is stdout. Without it only the figures are printed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to do about experts that a GPU has twice
    #[arg(long, value_enum, default_value_t = DoublesArg::Count)]
    doubles: DoublesArg,
    /// Replace an existing file, and write a plan of an inconsistent program all the same
    #[arg(long)]
    force: bool,
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    deployed: DeployedArgs,
}

/// What a plan is made for.
struct Task {
    settings: Settings,
    recording: Recording,
    /// `[layers, experts]`, summed over the windows.
    loads: Vec<f64>,
    windows: usize,
    layers: ModelLayers,
    topology: Topology,
    policy: Policy,
    old: Option<Slots>,
    expert_bytes: Option<u64>,
}

impl Plan {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        if let Some(path) = self.output.as_deref().filter(|path| !is_stdout(path) && path.exists() && !self.force) {
            return Err(CliError::Exists(path.to_owned()).into());
        }
        let task = self.task()?;
        let chosen = self.program.choose(self.candidate.as_deref())?;
        let planned = ask(&task, &chosen).await?;
        let mut planning = self.planning(&task, &chosen);
        match planned {
            Planned::Absent => return Err(CliError::NoPlanner(chosen.origin.to_string()).into()),
            Planned::Rejected { rejection, evidence } => {
                (planning.rejection, planning.evidence) = (Some(rejection), Some(evidence));
            }
            Planned::Plans { plans, inconsistencies } => {
                planning.inconsistencies.extend(inconsistencies);
                let [timed] = &plans[..] else { unreachable!("BUG: a plan for each call") };
                let figures = self.put(&task, &chosen, timed, &planning.inconsistencies)?;
                planning.figures = Some(figures);
            }
        }
        if !self.output.as_deref().is_some_and(is_stdout) || planning.rejection.is_some() {
            self.format.print(&planning, |terminal| planning_text(&planning, terminal))?;
        }
        Ok(if planning.rejection.is_some() { Exit::Rejected } else { Exit::Success })
    }

    fn task(&self) -> Result<Task, CommandError> {
        let old = self.from.as_deref().map(PlanFile::read).transpose()?;
        let in_force =
            old.as_ref().map_or_else(InForce::default, |old| InForce { slots: Some(old.slots()), gpus: old.gpus });
        let deployed = self.deployed.read(self.config.as_deref(), &self.loads, in_force)?;
        let Deployed { recording, topology, layers, settings, expert_bytes, notes, .. } = deployed;
        notes.iter().for_each(|note| show_note(note));
        let (loads, windows) = self.summed(&recording)?;
        let old = old.map(|old| old.plan(&layers, &topology)).transpose()?;
        if self.output.is_some() {
            plans::Engine::from(self.engine).check(&layers)?;
        }
        let policy = Policy::of(&topology)[0];
        Ok(Task { settings, recording, loads, windows, layers, topology, policy, old, expert_bytes })
    }

    /// The loads to plan for, and how many windows they are the sum of.
    fn summed(&self, recording: &Recording) -> Result<(Vec<f64>, usize), CliError> {
        let windows = &recording.windows;
        if let Some(number) = self.window {
            let window = windows.get(number).ok_or(CliError::NoWindow { window: number, windows: windows.len() })?;
            return Ok((window.counts.clone(), 1));
        }
        let warm_up = summaries(recording).iter().filter(|summary| summary.is_warm_up).count();
        if warm_up > 0 {
            status(format_args!(
                "note: {warm_up} of {} windows look like a warm-up: see `packevolve loads`",
                windows.len()
            ));
        }
        let mut sum = vec![0.0; windows[0].counts.len()];
        for window in windows {
            sum.iter_mut().zip(&window.counts).for_each(|(sum, load)| *sum += load);
        }
        Ok((sum, windows.len()))
    }

    fn planning(&self, task: &Task, chosen: &Chosen) -> Planning {
        Planning {
            format: FORMAT,
            program: chosen.origin.to_string(),
            program_digest: Digest::of(chosen.text.as_bytes()),
            loads: files(&task.recording),
            windows: task.windows,
            topology: task.topology.clone(),
            policy: task.policy,
            output: self.output.as_ref().map(|path| path.display().to_string()),
            inconsistencies: match &chosen.origin {
                Origin::Candidate { inconsistencies, .. } => inconsistencies.clone(),
                Origin::File(_) | Origin::Shipped(_) => Vec::new(),
            },
            figures: None,
            rejection: None,
            evidence: None,
        }
    }

    /// Arranges the plan and writes it, if that is wanted and allowed.
    fn put(
        &self,
        task: &Task,
        chosen: &Chosen,
        timed: &TimedPlan,
        inconsistencies: &[Inconsistency],
    ) -> Result<Figures, CommandError> {
        let (_, nodes) = task.policy.groups_and_nodes(&task.topology);
        let against = Against {
            loads: &task.loads,
            old: task.old.as_ref(),
            part_on: (self.doubles == DoublesArg::Part).then_some(nodes),
            expert_bytes: task.expert_bytes.map(|bytes| bytes as f64),
            layers: &task.layers,
            topology: &task.topology,
        };
        let (plan, figures) = arranged(&timed.plan(&task.topology), timed.median_seconds(), against);
        let Some(path) = &self.output else { return Ok(figures) };
        if !inconsistencies.is_empty() && !self.force {
            let each: Vec<String> = inconsistencies.iter().map(ToString::to_string).collect();
            let program = chosen.origin.to_string();
            return Err(CliError::InconsistentPlan { program, inconsistency: each.join("; ") }.into());
        }
        let made = made(task, chosen, &figures);
        let text = plans::Engine::from(self.engine).text(path, &plan, &task.layers, (&task.topology, &made))?;
        self.warn(&figures, task.topology.layers);
        if is_stdout(path) {
            print(text)?;
        } else {
            write(path, &text)?;
            status(format_args!("wrote {} for {}", path.display(), <&str>::from(self.engine)));
        }
        Ok(figures)
    }

    fn warn(&self, figures: &Figures, layers: usize) {
        let doubles = figures.doubles.layers;
        if self.engine == Engine::Ascend && doubles > 0 {
            let cure = match self.doubles {
                DoublesArg::Count => "`--doubles part` parts them",
                DoublesArg::Part => "no change of places parts them",
            };
            status(format_args!(
                "warning: {doubles} of {layers} layers have an expert twice on a device, and vllm-ascend throws the plan of \
                 such a layer away: {cure}"
            ));
        }
    }
}

/// Has a judge on this machine run the program.
async fn ask(task: &Task, chosen: &Chosen) -> Result<Planned, CommandError> {
    let Task { settings, loads, topology, policy, old, .. } = task;
    // A policy starts from it; other programs never see it.
    let in_force = old.as_ref().map(|old| Start { old_phy2log: old.phy2log(), history: Vec::new() });
    let session = planning_session(&settings.evaluation, topology, settings.rng_seed);
    let mut judge = Judge::open(session, &settings.llm.key_variables()).await?;
    let request = PlanRequest {
        file_name: chosen.file_name.clone(),
        program: chosen.text.clone(),
        limits: None,
        calls: vec![Rebalance { in_force, ..Rebalance::fresh(topology.clone(), *policy, loads.clone()) }],
        repeats: REPEATS,
        checks_consistency: true,
    };
    let planned = judge.plan(request).await?;
    judge.close().await;
    Ok(planned)
}

fn made(task: &Task, chosen: &Chosen, figures: &Figures) -> Made {
    let (candidate, run, commit) = match &chosen.origin {
        Origin::Candidate { candidate, run, commit, .. } => (Some(candidate.0), Some(run.clone()), Some(*commit)),
        Origin::File(_) | Origin::Shipped(_) => (None, None, None),
    };
    let bytes: Vec<u8> = task.loads.iter().flat_map(|load| load.to_le_bytes()).collect();
    Made {
        packevolve: env!("CARGO_PKG_VERSION").to_owned(),
        program: chosen.origin.to_string(),
        program_digest: Digest::of(chosen.text.as_bytes()),
        candidate,
        run,
        commit,
        loads: files(&task.recording),
        loads_digest: Digest::of(&bytes),
        policy: task.policy,
        balancedness: figures.after.balancedness,
        doubles: figures.doubles,
    }
}

/// The files of the windows, each once.
fn files(recording: &Recording) -> Vec<String> {
    let mut files: Vec<String> = recording.spans.iter().map(|span| span.file.display().to_string()).collect();
    files.dedup();
    files
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
