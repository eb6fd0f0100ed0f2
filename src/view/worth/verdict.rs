//! Verdict: the figures in words, with the reasons.
//!
//! The conditions are those of vllm-ascend's diagnostic of EPLB (vllm-project/vllm-ascend#16795): at least two windows, at
//! least 80 % of the layers better, a peak that is at least 5 % lower.

use std::fmt;

use packevolve_contract::rebalance::Policy;
use packevolve_contract::statistic::standard_error;
use schemars::JsonSchema;
use serde::Serialize;

use crate::values::figure::rounded;
use crate::view::format::{count, time};
use crate::view::worth::figures::{Figures, OptionJson, configured_policy};
use crate::view::worth::option::Planner;

const LEAST_BETTER_LAYERS: f64 = 0.8;
const LEAST_SAVED: f64 = 0.05;
/// Below this share of MoE time two choices are the same: windows differ by more.
const NO_DIFFERENCE: f64 = 0.005;
const GB: f64 = 1e9;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Recommended,
    NotRecommended,
    #[default]
    NotEnoughWindows,
}

/// Whether to rebalance with the program, with the configured policy and redundancy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<String>,
    /// What it saves, a share of the time of the MoE layers; `None` without a next window.
    pub saved: Option<f64>,
    /// The same in seconds of a step, if its time and the share of MoE in it were given.
    pub saved_seconds: Option<f64>,
    /// What each part contributes, in words.
    pub parts: Vec<String>,
    /// What the program saves against the engine's planner.
    pub packing: Option<Difference>,
    /// What the global policy saves against the hierarchical one; `None` where there is one policy.
    pub global_policy: Option<Difference>,
    /// What redundant experts save against as few as can be.
    pub redundancy: Vec<Redundancy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Redundancy {
    /// Redundant experts of a layer.
    pub redundant: usize,
    pub against_least: Difference,
    /// Bytes of these experts on a GPU.
    pub bytes: Option<f64>,
}

/// What one option saves against another, a share of the MoE time without balancing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    pub saved: f64,
    /// Two standard errors of that over layers and windows: less is chance.
    pub uncertainty: f64,
}

impl Difference {
    /// What `ours` saves against `theirs`.
    fn between(theirs: &OptionJson, ours: &OptionJson) -> Self {
        let parts: Vec<f64> = theirs.parts.iter().zip(&ours.parts).map(|(theirs, ours)| theirs - ours).collect();
        let uncertainty = 2.0 * parts.len() as f64 * standard_error(&parts);
        Self { saved: theirs.moe_time - ours.moe_time, uncertainty }
    }

    fn is_none(self) -> bool {
        self.saved.abs() < NO_DIFFERENCE || self.saved.abs() < self.uncertainty
    }
}

/// Such as `3.2 % ± 0.4`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ± {:.1}", percent(self.saved), self.uncertainty * 100.0)
    }
}

/// The time of a step of the model, and the share of the MoE layers in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTime {
    pub seconds: f64,
    pub moe_share: f64,
}

pub(super) fn judged(figures: &Figures, step: Option<StepTime>) -> Verdict {
    let program = figures.configured(Planner::Program);
    let saved = 1.0 - program.moe_time;
    let (outcome, reasons) = outcome(figures, program, saved);
    let saved = (figures.served > 0).then_some(saved);
    let saved_seconds = saved.zip(step).map(|(saved, step)| saved * step.seconds * step.moe_share);
    let parts = [packing(figures), policy(figures), redundancy(figures), drift(program), moves(program)];
    Verdict {
        outcome,
        reasons,
        saved,
        saved_seconds,
        parts: parts.into_iter().flatten().collect(),
        packing: (figures.served > 0).then(|| Difference::between(figures.configured(Planner::Engine), program)),
        global_policy: saved_by_global_policy(figures),
        redundancy: redundancies(figures),
    }
}

fn outcome(figures: &Figures, program: &OptionJson, saved: f64) -> (Outcome, Vec<String>) {
    if figures.served == 0 {
        let reason =
            "a plan must be judged on another window than its own: there is only one; --next names later traffic";
        return (Outcome::NotEnoughWindows, vec![reason.to_owned()]);
    }
    let layers = figures.layers.len();
    let better = (program.better_layers * layers as f64).round() as usize;
    let peak = format!(
        "on the next windows the heaviest GPUs have {} (recommended from {} less)",
        less(saved),
        percent(LEAST_SAVED)
    );
    let of_layers = format!(
        "in {better} of {} the heaviest GPU is lighter than without balancing (recommended from {})",
        count(layers, "layer", "layers"),
        percent(LEAST_BETTER_LAYERS)
    );
    let mut reasons = vec![peak, of_layers];
    let is_worth_it = saved >= LEAST_SAVED && program.better_layers >= LEAST_BETTER_LAYERS;
    if !figures.inconsistencies.is_empty() {
        let what = figures.inconsistencies.join("; ");
        reasons.insert(
            0,
            format!("the program is inconsistent, and ranks that plan differently corrupt the model: {what}"),
        );
        return (Outcome::NotRecommended, reasons);
    }
    (if is_worth_it { Outcome::Recommended } else { Outcome::NotRecommended }, reasons)
}

fn less(saved: f64) -> String {
    match saved {
        0.0.. => format!("{} less load", percent(saved)),
        _ => format!("{} more load", percent(-saved)),
    }
}

/// The program against the engine's planner.
fn packing(figures: &Figures) -> Option<String> {
    let [engine, program] = [Planner::Engine, Planner::Program].map(|planner| figures.configured(planner));
    let (theirs, ours) = (engine.next_balancedness?, program.next_balancedness?);
    let saved = Difference::between(engine, program);
    let times = [engine, program].map(|option| time(option.seconds.unwrap_or_default()));
    let both = format!(
        "balancedness on the next windows is {theirs:.4} with the engine's planner and {ours:.4} with the program, {saved} of \
         the MoE time"
    );
    Some(match saved.is_none() {
        true => format!(
            "the packing makes no difference: {both}; a plan takes {} with the one and {} with the other",
            times[0], times[1]
        ),
        false => format!("the packing makes a difference: {both}"),
    })
}

fn saved_by_global_policy(figures: &Figures) -> Option<Difference> {
    let redundant = figures.topology.redundant();
    let of = |policy| figures.option(Planner::Program, Some(policy), redundant);
    let [hierarchical, global] = [of(Policy::Hierarchical)?, of(Policy::Global)?];
    Some(Difference::between(hierarchical, global))
}

fn policy(figures: &Figures) -> Option<String> {
    let saved = saved_by_global_policy(figures)?;
    Some(match saved.is_none() {
        true => format!("the policy makes no difference: global instead of hierarchical saves {saved} of the MoE time"),
        false => format!(
            "the policy makes a difference: global instead of hierarchical saves {saved} of the MoE time; experts then leave \
             the node of their group, and the traffic between nodes that this costs is not counted here"
        ),
    })
}

/// The program with each redundancy, against the least one.
fn redundancies(figures: &Figures) -> Vec<Redundancy> {
    let policy = Some(configured_policy(&figures.topology));
    let of_program =
        figures.options.iter().filter(|option| option.planner == Planner::Program && option.policy == policy);
    let options: Vec<&OptionJson> = of_program.collect();
    let bytes = |redundant: usize| {
        let slots = (redundant * figures.layers.len()) as f64 / figures.topology.gpus as f64;
        figures.expert_bytes.map(|bytes| slots * bytes as f64)
    };
    let of = |option: &&OptionJson| Redundancy {
        redundant: option.redundant,
        against_least: Difference::between(options[0], option),
        bytes: bytes(option.redundant),
    };
    options.iter().map(of).collect()
}

fn redundancy(figures: &Figures) -> Option<String> {
    let all = redundancies(figures);
    let [least, more @ ..] = &all[..] else { return None };
    if more.is_empty() {
        return None;
    }
    let each = |Redundancy { redundant, against_least, bytes }: &Redundancy| {
        let bytes = bytes.map_or(String::new(), |bytes| format!(" for {:.1} GB a GPU", bytes / GB));
        format!("{redundant} save {against_least} of the MoE time{bytes}")
    };
    let is_none = more.iter().all(|one| one.against_least.is_none());
    let head = if is_none { "redundancy makes no difference" } else { "redundancy makes a difference" };
    let than = if least.redundant == 0 { "none".to_owned() } else { least.redundant.to_string() };
    let each: Vec<String> = more.iter().map(each).collect();
    Some(format!("{head}: of redundant experts a layer, instead of {than}, {}", each.join(", ")))
}

fn drift(program: &OptionJson) -> Option<String> {
    let (now, next) = (program.balancedness, program.next_balancedness?);
    let lost = 1.0 - next / now;
    Some(format!(
        "between a window and the next one {} of the balancedness is lost: {now:.4} becomes {next:.4}",
        percent(lost.max(0.0))
    ))
}

fn moves(program: &OptionJson) -> Option<String> {
    let gigabytes = program.moved_bytes.zip(program.busiest_moved_bytes);
    let bytes = gigabytes.map_or(String::new(), |(mean, busiest)| {
        format!(", {:.1} GB a GPU and {:.1} GB to the busiest one", mean / GB, busiest / GB)
    });
    Some(format!("a rebalance moves {} of the replicas{bytes}", percent(program.moved)))
}

pub(super) fn percent(share: f64) -> String {
    format!("{} %", rounded(share * 100.0, 1))
}

#[cfg(test)]
mod tests {
    use packevolve_contract::topology::Topology;

    use super::*;
    use crate::view::worth::figures::LayerJson;
    use crate::view::worth::traffic::Steps;

    fn option(planner: Planner, policy: Option<Policy>, redundant: usize, moe_time: f64) -> OptionJson {
        OptionJson {
            planner,
            policy,
            redundant,
            balancedness: 0.5 / moe_time,
            next_balancedness: Some(0.4 / moe_time),
            imbalance: 1.0,
            moe_time,
            parts: vec![moe_time / 2.0; 2],
            better_layers: if moe_time < 1.0 { 1.0 } else { 0.0 },
            moved: 0.5,
            moved_bytes: Some(2e9),
            busiest_moved_bytes: Some(3e9),
            seconds: Some(0.01),
        }
    }

    /// Two layers on two nodes, 2 redundant experts; the MoE times of the program by policy, and of the engine's planner.
    fn figures([hierarchical, global, without]: [f64; 3], engine: f64) -> Figures {
        let program = |policy, redundant, time| option(Planner::Program, Some(policy), redundant, time);
        let layer = |layer| LayerJson { layer, none: 0.4, engine: 0.5, program: 0.5 };
        Figures {
            program: "a program".to_owned(),
            inconsistencies: Vec::new(),
            topology: Topology { layers: 2, experts: 4, groups: 2, nodes: 2, gpus: 2, replicas: 6 },
            model: None,
            expert_bytes: Some(1_000_000_000),
            windows: 2,
            planned: 1,
            served: 1,
            steps: Steps::Single,
            options: vec![
                program(Policy::Hierarchical, 0, without),
                option(Planner::None, None, 2, 1.0),
                option(Planner::Engine, Some(Policy::Hierarchical), 2, engine),
                program(Policy::Hierarchical, 2, hierarchical),
                program(Policy::Global, 2, global),
            ],
            layers: vec![layer(0), layer(1)],
            notes: Vec::new(),
        }
    }

    fn has(verdict: &Verdict, wanted: &str) -> bool {
        verdict.parts.iter().chain(&verdict.reasons).any(|line| line.contains(wanted))
    }

    #[test]
    fn what_makes_a_difference_is_said_and_what_makes_none() {
        let step = StepTime { seconds: 0.02, moe_share: 0.5 };
        let verdict = judged(&figures([0.8, 0.6, 0.9], 0.802), Some(step));
        assert_eq!(verdict.outcome, Outcome::Recommended);
        assert!((verdict.saved.unwrap() - 0.2).abs() < 1e-12 && (verdict.saved_seconds.unwrap() - 0.002).abs() < 1e-12);
        for wanted in [
            "have 20.0 % less load",
            "in 2 of 2 layers",
            "the packing makes no difference: balancedness on the next windows is 0.4988 with the engine's planner and 0.5000",
            "the policy makes a difference: global instead of hierarchical saves 20.0 % ± 0.0 of the MoE time",
            "redundancy makes a difference: of redundant experts a layer, instead of none, 2 save 10.0 % ± 0.0 of the MoE time for 2.0 GB",
            "20.0 % of the balancedness is lost: 0.6250 becomes 0.5000",
            "a rebalance moves 50.0 % of the replicas, 2.0 GB a GPU and 3.0 GB to the busiest one",
        ] {
            assert!(has(&verdict, wanted), "{wanted}: {verdict:?}");
        }
        let verdict = judged(&figures([0.8, 0.801, 0.802], 0.9), None);
        assert_eq!(verdict.saved_seconds, None);
        for wanted in [
            "with the engine's planner and 0.5000 with the program, 10.0 % ± 0.0 of the MoE time",
            "the policy makes no difference",
            "redundancy makes no difference",
        ] {
            assert!(has(&verdict, wanted), "{wanted}: {verdict:?}");
        }
    }

    #[test]
    fn a_difference_that_rounds_to_zero_has_no_sign() {
        let shown = |saved| Difference { saved, uncertainty: 0.002 }.to_string();
        assert_eq!([-0.000_04, -0.0, -0.000_6].map(shown), ["0.0 % ± 0.2", "0.0 % ± 0.2", "-0.1 % ± 0.2"]);
    }

    #[test]
    fn a_difference_that_layers_and_windows_do_not_share_is_chance() {
        let mut figures = figures([0.8, 0.8, 0.8], 0.84);
        // The one layer is better and the other worse.
        figures.options[2].parts = vec![0.5, 0.34];
        let verdict = judged(&figures, None);
        assert!(has(&verdict, "the packing makes no difference") && has(&verdict, "4.0 % ± 32.0 of"), "{verdict:?}");
        assert_eq!(verdict.packing.map(|packing| packing.is_none()), Some(true));
    }

    #[test]
    fn a_small_gain_an_inconsistent_program_and_a_single_window_are_no_reason_to_rebalance() {
        let small = judged(&figures([0.97, 0.97, 0.97], 0.97), None);
        assert_eq!(small.outcome, Outcome::NotRecommended);
        assert!(has(&small, "have 3.0 % less load (recommended from 5.0 % less)"), "{small:?}");
        let worse = judged(&figures([1.1, 1.1, 1.1], 1.1), None);
        assert!(has(&worse, "have 10.0 % more load") && has(&worse, "in 0 of 2 layers"), "{worse:?}");
        let mut inconsistent = figures([0.5, 0.5, 0.5], 0.5);
        inconsistent.inconsistencies.push("it differs".to_owned());
        let verdict = judged(&inconsistent, None);
        assert_eq!(verdict.outcome, Outcome::NotRecommended);
        assert!(has(&verdict, "the program is inconsistent") && has(&verdict, "it differs"), "{verdict:?}");
        let mut single = figures([0.5, 0.5, 0.5], 0.5);
        single.served = 0;
        single.options.iter_mut().for_each(|option| option.next_balancedness = None);
        let verdict = judged(&single, Some(StepTime { seconds: 1.0, moe_share: 1.0 }));
        assert_eq!((verdict.outcome, verdict.saved, verdict.saved_seconds), (Outcome::NotEnoughWindows, None, None));
        assert!(!has(&verdict, "the packing"), "{verdict:?}");
    }
}
