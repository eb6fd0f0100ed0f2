//! Origin: where an exported program comes from, in lines for people and as JSON for the package that carries it.

use std::path::Path;

use packevolve_contract::loads::Loads;
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::rebalance::Policy;
use packevolve_contract::serving::Lost;
use packevolve_contract::topology::Topology;
use serde::Serialize;

use crate::run::fold::Run;
use crate::values::candidate::CandidateId;
use crate::values::digest::Digest;
use crate::view::format::{milliseconds, percent, score, with_interval};
use crate::view::gain::Gain;
use crate::view::output::harmless;

/// The version of [`Origin`]'s JSON.
const FORMAT: u32 = 1;

/// Where a program comes from. Its JSON is `origin.json` of a package.
#[derive(Debug, Serialize)]
pub struct Origin {
    format: u32,
    packevolve: String,
    /// The program in a few words, for log lines.
    title: String,
    /// Digest of the program without its header.
    digest: Digest,
    /// `None` for a program that is not of a run, which no judge has measured for this package.
    run: Option<OfRun>,
    /// For people.
    lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OfRun {
    name: String,
    rng_seed: u64,
    candidate: CandidateId,
    commit: String,
    topology: Topology,
    /// How whole policies planned, if they were measured. What the program is worth for the other policy is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
    /// NAMEs of the edits that lead from the seed program to it.
    edits: Vec<String>,
    /// `None` if it was not measured in full.
    scores: Option<Figures>,
    /// In what way its answers depend on the process or on other rows; empty if they do not.
    inconsistencies: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Figures {
    combined_score: f64,
    quality: Option<f64>,
    speed_score: f64,
    balancedness_score: f64,
    /// The number of windows that the search never saw; 0: the scores are those of its own windows.
    held_out_windows: usize,
    /// What a policy loses and moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyScore>,
}

impl Origin {
    pub fn of_candidate(run: &Run, candidate: CandidateId, program: &str) -> Self {
        let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
        let started = run.search.origin();
        let name = run.folder.name();
        let line = run.search.line_to(candidate);
        let edit = |step: &CandidateId| run.search.candidate(*step).expect("BUG: a parent is a candidate").name.clone();
        let evaluation = &started.settings.evaluation;
        let of_run = OfRun {
            topology: evaluation.topology.clone(),
            policy: evaluation.policy.map(|_| Policy::of(&evaluation.topology)[0]),
            rng_seed: started.settings.rng_seed,
            candidate,
            commit: known.commit.to_string(),
            edits: line[1..].iter().map(edit).collect(),
            scores: figures(run, candidate),
            inconsistencies: known.inconsistencies.iter().map(ToString::to_string).collect(),
            name,
        };
        Self {
            format: FORMAT,
            packevolve: started.packevolve.clone(),
            title: harmless(&format!("candidate {candidate} ({}) of run {}", known.name, of_run.name)),
            digest: Digest::of(program.as_bytes()),
            lines: lines(run, candidate, &of_run),
            run: Some(of_run),
        }
    }

    /// The origin of a program that is not of a run.
    pub fn of_file(path: &Path, program: &str) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let digest = Digest::of(program.as_bytes());
        Self {
            format: FORMAT,
            packevolve: env!("CARGO_PKG_VERSION").to_owned(),
            title: harmless(&format!("program {name}")),
            lines: vec![
                format!("This program was packaged by PackEvolve {}.", env!("CARGO_PKG_VERSION")),
                String::new(),
                format!("file       {name}"),
                format!("digest     {digest}"),
                "scores     none: no run measured it".to_owned(),
            ],
            digest,
            run: None,
        }
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What an exported program is without its header.
    pub fn promise(&self) -> &'static str {
        match self.run {
            Some(_) => "Without these lines it is the program of that commit to the byte.",
            None => "Without these lines it is that file to the byte.",
        }
    }

    /// What tells this package from others of its engine, as the local part of a Python version.
    pub fn version(&self) -> String {
        let digest = self.digest.to_string();
        match &self.run {
            Some(run) => format!("{}+candidate.{}.{}", self.packevolve, run.candidate, &digest[..8]),
            None => format!("{}+program.{}", self.packevolve, &digest[..8]),
        }
    }
}

fn lines(run: &Run, candidate: CandidateId, of_run: &OfRun) -> Vec<String> {
    let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
    let started = run.search.origin();
    let edits = match of_run.edits.len() {
        1 => "1 edit".to_owned(),
        count => format!("{count} edits"),
    };
    let judge = &run.search.places().devices()[known.device.unwrap_or_default()].judge;
    let mut lines = vec![
        format!("This program was evolved by PackEvolve {}.", started.packevolve),
        String::new(),
        format!("run        {}, rng_seed {}", of_run.name, of_run.rng_seed),
        format!("candidate  {candidate}, {}: {edits} from the seed program", known.name),
        format!("commit     {}", of_run.commit),
    ];
    lines.extend(scores(run, candidate));
    lines.extend(of_run.inconsistencies.iter().map(|inconsistency| format!("NOT consistent: {inconsistency}")));
    lines
        .extend((!known.doubtful.is_empty()).then(|| format!("doubtful   its times of {}", known.doubtful.join(", "))));
    lines.push(format!("topology   {}", topology(of_run)));
    lines.push(format!("loads      {}", loads(run)));
    lines.push(format!("measured   on {} ({}), torch {}", judge.device, judge.device_name, judge.torch));
    lines.push(format!("replay     packevolve replay {candidate} --run {}", of_run.name));
    lines
}

/// What is known of it, on held-out windows where it is the best of the run.
fn scores(run: &Run, candidate: CandidateId) -> Vec<String> {
    let gain = Gain::of(&run.search).filter(|gain| gain.candidate == candidate);
    let windows = match &gain {
        Some(gain) if gain.held_out_windows > 0 => "on windows that the search never saw",
        _ => "on the windows of the search",
    };
    let Some(figures) = figures(run, candidate) else {
        return vec!["scores     none: it was not measured in full".to_owned()];
    };
    if let Some(policy) = &figures.policy {
        return policy_scores(policy, gain.as_ref().and_then(|gain| gain.half_width), windows);
    }
    let quality = figures.quality.map_or(String::new(), |quality| format!("quality {}, ", score(quality)));
    let mut lines = vec![
        format!(
            "scores     combined_score {}, {quality}speed_score {}, balancedness_score {:.4}",
            with_interval(figures.combined_score, gain.as_ref().and_then(|gain| gain.half_width)),
            score(figures.speed_score),
            figures.balancedness_score
        ),
        format!("           {windows}"),
    ];
    lines.extend(gain.and_then(|gain| {
        let (before, after) = gain.unit()?;
        let (before, after) = (milliseconds(before), milliseconds(after));
        let balancedness = gain.baseline.balancedness_score;
        let baseline = format!("baseline   balancedness_score {balancedness:.4}; all packing calls of one rebalance");
        Some(format!("{baseline} {before} ms -> {after} ms"))
    }));
    lines
}

fn policy_scores(policy: &PolicyScore, half_width: Option<f64>, windows: &str) -> Vec<String> {
    let lost = |name, lost: &Lost| {
        let Lost { imbalance, transfer, planning } = lost;
        format!("{name} {imbalance:.3} s to imbalance, {transfer:.3} s to transfer, {planning:.3} s to planning")
    };
    vec![
        format!("scores     combined_score {}", with_interval(policy.combined_score, half_width)),
        format!("           {windows}"),
        lost("lost      ", &policy.lost) + &format!(" in a window of {} s", policy.prices.window),
        lost("baseline  ", &policy.baseline_lost),
        format!(
            "moves      {} % of the replicas for a plan; balancedness served {:.4}",
            percent(policy.moved),
            policy.served_balancedness
        ),
    ]
}

fn figures(run: &Run, candidate: CandidateId) -> Option<Figures> {
    let gain = Gain::of(&run.search).filter(|gain| gain.candidate == candidate && gain.held_out_windows > 0);
    let (scores, held_out_windows) = match &gain {
        Some(gain) => (&gain.best, gain.held_out_windows),
        None => (run.search.scores_of(candidate)?, 0),
    };
    Some(Figures {
        combined_score: scores.combined_score,
        quality: scores.quality,
        speed_score: scores.speed_score,
        balancedness_score: scores.balancedness_score,
        held_out_windows,
        policy: scores.policy.clone(),
    })
}

fn topology(of_run: &OfRun) -> String {
    let Topology { layers, experts, groups, nodes, gpus, replicas } = of_run.topology;
    let policy = match of_run.policy {
        Some(Policy::Hierarchical) => format!("; hierarchical, {groups} groups"),
        Some(Policy::Global) => "; global".to_owned(),
        None => String::new(),
    };
    format!("{layers} layers of {experts} experts, {replicas} replicas on {gpus} GPUs of {nodes} nodes{policy}")
}

fn loads(run: &Run) -> String {
    let started = run.search.origin();
    let from = match &started.settings.evaluation.loads {
        Loads::MadeUp => "made up after the statistics of DeepSeek-V3's".to_owned(),
        Loads::Path(path) => path.display().to_string(),
    };
    let (judge, loads_seed) = (&started.judge, started.settings.evaluation.loads_seed);
    let count = judge.windows + judge.held_out_windows;
    format!("{from}; {count} windows, loads_seed {loads_seed}, digest {}", judge.loads_digest)
}
