//! `packevolve worth`: whether rebalancing is worth it on recorded traffic.

use std::path::PathBuf;

use clap::Args;
use packevolve_contract::plan::Plan;
use packevolve_contract::planning::{Planned, Rebalance};
use packevolve_contract::protocol::PlanRequest;
use packevolve_contract::rebalance::Policy;
use packevolve_contract::statistic::median;
use packevolve_contract::topology::{Topology, least_redundant};

use crate::cli::deployed::{Deployed, DeployedArgs, InForce, read_like};
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::program::{Chosen, ProgramArgs};
use crate::cli::write::write;
use crate::judge::client::{self, Judge};
use crate::view::inspect;
use crate::view::output::status;
use crate::view::worth::{Choice, Compared, Planner, StepTime, Traffic, Tried, html, text, worth};

/// DeepSeek's planner, which vLLM and SGLang ship.
const ENGINE: (&str, &str) = ("eplb.py", include_str!("../../candidates/eplb.py"));

/// Say whether rebalancing is worth it on recorded traffic, and what of it matters
///
/// Has plans made on each window of the loads and judges them on the next window: without balancing, by the planner that
/// engines ship, and by a program; hierarchical and global; with fewer and more redundant experts. Prints what they do, and
/// a verdict with its reasons.
#[derive(Debug, Args)]
pub struct Worth {
    /// Loads in the order of their time: files, or folders of files; `packevolve help loads` lists the formats
    #[arg(long, required = true, num_args = 1.., value_name = "DUMP")]
    loads: Vec<PathBuf>,
    /// Later loads: one plan, made on the sum of --loads, serves all their windows
    #[arg(long, num_args = 1.., value_name = "DUMP")]
    next: Vec<PathBuf>,
    #[command(flatten)]
    program: ProgramArgs,
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Time of a step of the model, for what it is worth in milliseconds
    #[arg(long, value_name = "MS", requires = "moe_share", value_parser = milliseconds)]
    step_ms: Option<f64>,
    /// Share of the MoE layers in it, such as 0.4
    #[arg(long, value_name = "SHARE", requires = "step_ms", value_parser = share)]
    moe_share: Option<f64>,
    /// Write the same as a self-contained HTML page, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    deployed: DeployedArgs,
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0);
    number.ok_or_else(|| "must be a number of milliseconds above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    number.ok_or_else(|| "must be a share above 0, at most 1".to_owned())
}

impl Worth {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let deployed = self.deployed.read(self.config.as_deref(), &self.loads, InForce::default())?;
        let traffic = match &self.next[..] {
            [] => Traffic::in_order(&deployed.recording),
            next => Traffic::then(&deployed.recording, &read_like(next, &deployed.topology)?),
        };
        let program = self.program.choose(None)?;
        let (tried, inconsistencies) = Planning::open(&deployed, &traffic).await?.try_all(&program).await?;
        let Deployed { recording, topology, model, expert_bytes, notes, .. } = deployed;
        let compared = Compared {
            traffic: &traffic,
            topology,
            program: program.origin.to_string(),
            inconsistencies,
            model,
            expert_bytes,
            layer_ids: recording.layer_ids,
            notes,
        };
        let step = self.step_ms.zip(self.moe_share);
        let step = step.map(|(ms, moe_share)| StepTime { seconds: ms / 1e3, moe_share });
        let worth = worth(&compared, &tried, step);
        self.format.print(&worth, |terminal| text(&worth, terminal))?;
        if let Some(path) = &self.report {
            write(path, &html(&worth))?;
            status(format_args!("the report is in {}", path.display()));
        }
        Ok(Exit::Success)
    }
}

/// A judge that makes the plans.
struct Planning<'a> {
    judge: Judge,
    topology: &'a Topology,
    traffic: &'a Traffic,
    /// Of the program, with what is configured.
    inconsistencies: Vec<String>,
}

impl<'a> Planning<'a> {
    async fn open(deployed: &'a Deployed, traffic: &'a Traffic) -> Result<Self, CommandError> {
        let Deployed { settings, topology, .. } = deployed;
        let session = client::planning_session(&settings.evaluation, topology, settings.rng_seed);
        let judge = Judge::open(session, &settings.llm.key_variables()).await?;
        Ok(Self { judge, topology, traffic, inconsistencies: Vec::new() })
    }

    /// The plans of every choice, and how those of the program are inconsistent. That with the configured policy and redundancy comes first, so
    /// that a program that cannot plan is noticed early.
    async fn try_all(mut self, program: &Chosen) -> Result<(Vec<Tried>, Vec<String>), CommandError> {
        let configured = (self.topology.redundant(), Policy::of(self.topology)[0]);
        let policies = Policy::of(self.topology).iter().copied();
        let all = redundancies(self.topology).into_iter();
        let mut shapes: Vec<_> =
            all.flat_map(|redundant| policies.clone().map(move |policy| (redundant, policy))).collect();
        shapes.sort_by_key(|shape| *shape != configured);
        let mut tried = Vec::new();
        for (number, &(redundant, policy)) in shapes.iter().enumerate() {
            status(format_args!(
                "planning {} of {}: {}, {redundant} redundant experts ...",
                number + 1,
                shapes.len(),
                policy.name()
            ));
            let is_configured = (redundant, policy) == configured;
            for planner in [Planner::Program, Planner::Engine] {
                let choice = Choice { planner, policy: Some(policy), redundant };
                let (file_name, text) = match planner {
                    Planner::Program => (program.file_name.as_str(), program.text.as_str()),
                    _ => ENGINE,
                };
                let request =
                    self.request((file_name, text), policy, redundant, is_configured && planner == Planner::Program);
                tried.push(self.attempt(choice, request).await?);
            }
        }
        // In the order of the table.
        tried.sort_by_key(|tried| {
            let Choice { planner, policy, redundant } = tried.choice;
            (redundant, policy != Some(Policy::Hierarchical), planner == Planner::Program)
        });
        Ok((tried, self.inconsistencies))
    }

    fn request(
        &self,
        (file_name, program): (&str, &str),
        policy: Policy,
        redundant: usize,
        checks_consistency: bool,
    ) -> PlanRequest {
        let topology = Topology { replicas: self.topology.experts + redundant, ..self.topology.clone() };
        let call = |loads: &Vec<f64>| Rebalance::fresh(topology.clone(), policy, loads.clone());
        PlanRequest {
            file_name: file_name.to_owned(),
            program: program.to_owned(),
            limits: None,
            calls: self.traffic.planned.iter().map(|window| call(&window.counts)).collect(),
            repeats: 1,
            checks_consistency,
        }
    }

    async fn attempt(&mut self, choice: Choice, request: PlanRequest) -> Result<Tried, CommandError> {
        let file_name = request.file_name.clone();
        let topologies: Vec<Topology> = request.calls.iter().map(|call| call.topology.clone()).collect();
        match self.judge.plan(request).await? {
            Planned::Plans { plans, inconsistencies } => {
                self.inconsistencies.extend(inconsistencies.iter().map(ToString::to_string));
                let seconds = median(plans.iter().map(|timed| timed.median_seconds()));
                let plans: Vec<Plan> =
                    plans.iter().zip(&topologies).map(|(timed, topology)| timed.plan(topology)).collect();
                Ok(Tried { choice, plans, seconds })
            }
            Planned::Absent => Err(CliError::NoPlanner(file_name).into()),
            Planned::Rejected { rejection, evidence } => {
                let error = CliError::NoPlan { program: file_name, rejection: rejection.to_string() };
                Err(CommandError::from(error).note(inspect::evidence_text(&evidence).trim_end()))
            }
        }
    }
}

/// The numbers of redundant experts to try: as few as can be, one and two more on each GPU, and what is configured.
fn redundancies(topology: &Topology) -> Vec<usize> {
    let Topology { experts, gpus, .. } = *topology;
    let least = least_redundant(experts, gpus) % gpus;
    let mut all = vec![least, least + gpus, least + 2 * gpus, topology.redundant()];
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_or_as_few_redundant_experts_as_can_be_one_and_two_more_a_gpu_and_the_configured_ones_are_tried() {
        let of =
            |experts, gpus, replicas| redundancies(&Topology { experts, gpus, replicas, ..Topology::deepseek_v3() });
        assert_eq!(of(256, 32, 288), [0, 32, 64]);
        assert_eq!(of(256, 32, 384), [0, 32, 64, 128]);
        assert_eq!(of(256, 72, 288), [32, 104, 176]);
    }
}
