//! One hermetic way to run the program: a folder of its own, an empty environment, a fixed clock for commits and small
//! settings. Nothing of the machine but the judge's Python shows through.

pub mod browser;
pub mod disk;
pub mod endpoint;
pub mod finished;
pub mod forged;
pub mod live;
pub mod marked;
pub mod measured;
pub mod script;
pub mod scripted;
pub mod tracer;

pub use crate::tidy::skip;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::values::event::Event;
use serde_json::Value;
use tempfile::TempDir;

/// Commit times count from here.
pub const EPOCH: &str = "1700000000";
/// Packing that takes milliseconds, on which every proposal still has something to do.
pub const SMALL: &str = "
topology: {layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 16}
cases: {global: [{replicas: 16, gpus: 4}], random: 1}
";
/// What makes policies the target: that moving a replica costs as much as a little imbalance.
const POLICIES: &str = "
target: policy
deployment: {window: 10s, exposed: 0.5, bandwidth: 200MB}
judges: [{slots: 1}]
";
/// The variable that names the device of the tests, `cpu` unless `make gpu-check` sets it.
const DEVICE: &str = "PACKEVOLVE_TEST_DEVICE";
/// Makes any program slow, and all that are made from it, without being in the way of any edit.
const SLOW: &str = "

import time

_packing = balanced_packing


def balanced_packing(weight, num_packs):
    time.sleep(0.03)
    return _packing(weight, num_packs)
";

/// The same of policies.
const SLOW_POLICY: &str = "

import time

_rebalance = rebalance_experts


def rebalance_experts(*arguments, **keywords):
    time.sleep(0.03)
    return _rebalance(*arguments, **keywords)
";

/// The harness that cargo built for these tests.
pub fn harness() -> PathBuf {
    env!("CARGO_BIN_EXE_packevolve").into()
}

/// The judge beside it, which cargo builds only when it is asked to.
pub fn judge() -> PathBuf {
    let judge = harness().with_file_name("packevolve-judge");
    assert!(judge.is_file(), "{} is missing: cargo build --release --workspace", judge.display());
    judge
}

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file in the repository.
pub fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// A folder to run the program in.
pub struct World {
    folder: TempDir,
    /// The program, beside which its judge lies.
    harness: PathBuf,
    /// The environment of the program, without the clock of commits.
    environment: Vec<(String, String)>,
}

impl World {
    /// A world with small settings and one slot.
    pub fn new() -> Self {
        Self::with("judges: [{slots: 1}]\n")
    }

    /// A world with small settings and `more` of them.
    pub fn with(more: &str) -> Self {
        let world = Self { folder: TempDir::new().unwrap(), harness: harness(), environment: Vec::new() };
        world.write("config.yaml", settings(more));
        world
    }

    /// A world with small settings whose programs are policies: two chains of four windows each, and so of two plans.
    pub fn of_policies() -> Self {
        let world = Self::with(POLICIES);
        world.set("program", &repository("candidates/policy.py").display().to_string());
        world.set("evaluation", "{device: cpu, chain_windows: 4, windows: 2, held_out_windows: 1, loads_seed: 1}");
        let blocks = repository("candidates/blocks").display().to_string();
        let proposers = format!("{{corpus: null, compose: {{blocks: {blocks}}}, prune: {{enabled: false}}}}");
        world.set("proposers", &proposers);
        world
    }

    /// Runs policies that are slow enough for a test to catch them at work. None is composed: to compile its blocks takes
    /// longer than all else.
    pub fn slow_policies() -> Self {
        let world = Self::of_policies();
        world.write("policy.py", text_of("candidates/policy.py") + SLOW_POLICY);
        world.set("program", "policy.py");
        world.set("proposers", "{corpus: null, compose: {enabled: false}, prune: {enabled: false}}");
        world
    }

    /// Runs programs that are slow enough for a test to catch them at work.
    pub fn slow() -> Self {
        Self::new().slowed()
    }

    /// Makes the programs of this world slow. The corpus is left out: finding out by what its inconsistent programs are so
    /// takes longer than all else.
    pub fn slowed(self) -> Self {
        self.write("eplb.py", text_of("candidates/eplb.py") + SLOW);
        self.set("program", "eplb.py");
        let blocks = repository("candidates/blocks").display().to_string();
        let proposers = format!("{{corpus: null, compose: {{blocks: {blocks}}}, prune: {{enabled: false}}}}");
        self.set("proposers", &proposers);
        self
    }

    /// Uses another harness, which has a judge of its own.
    pub fn served_by(mut self, harness: PathBuf) -> Self {
        self.harness = harness;
        self
    }

    /// Gives the program a variable in its environment.
    pub fn export(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file there.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Replaces one of the settings, a line of config.yaml, or adds it.
    pub fn set(&self, name: &str, value: &str) {
        let config = fs::read_to_string(self.path("config.yaml")).unwrap();
        let others = config.lines().filter(|line| !line.starts_with(&format!("{name}:")));
        let lines: Vec<&str> = others.collect();
        self.write("config.yaml", format!("{}\n{name}: {value}\n", lines.join("\n")));
    }

    /// The program with an empty environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.of(self.harness.clone());
        command.args(arguments);
        command
    }

    /// Any program, with `PATH` and nothing else of this process's environment.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.of(program.into());
        command
            .args(arguments)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_NOSYSTEM", "1");
        Output::of(&mut command)
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Whether a run of this name was begun.
    pub fn has_run(&self, name: &str) -> bool {
        self.path("runs").join(name).exists()
    }

    /// What a run's journal holds, checked as every reader checks it.
    pub fn read(&self, name: &str) -> Run {
        Run::open(RunFolder::new(self.path("runs").join(name))).unwrap()
    }

    /// A harness alone, as on a machine without torch: no judge lies beside it.
    pub fn lone_harness(&self) -> Command {
        let copy = self.path("packevolve");
        fs::copy(harness(), &copy).unwrap();
        self.of(copy)
    }

    fn of(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command
            .env_clear()
            .envs(environment)
            .env("SOURCE_DATE_EPOCH", EPOCH)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }
}

/// Small settings, with the repository's seed program and corpus, and `more`.
pub fn settings(more: &str) -> String {
    let program = repository("candidates/eplb.py").display().to_string();
    let corpus = repository("candidates/proposals").display().to_string();
    let blocks = repository("candidates/blocks").display().to_string();
    let device = std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned());
    format!(
        "program: {program}\nbaseline: {program}\nproposers: {{corpus: {corpus}, compose: {{blocks: {blocks}}}, prune: {{enabled: false}}}}\n{SMALL}\
             evaluation: {{device: {device}, windows: 2, held_out_windows: 2, loads_seed: 1}}\n{more}"
    )
}

/// How the program ended and what it printed.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Demands that stderr holds all of these.
    #[track_caller]
    pub fn tells(self, wanted: &[&str]) -> Self {
        for part in wanted {
            assert!(self.stderr.contains(part), "{part:?} is missing:\n{}", self.stderr);
        }
        self
    }

    /// Demands one message: a first line, then only its causes and hints.
    #[track_caller]
    pub fn tells_one_error(self, wanted: &[&str]) -> Self {
        let is_error = |line: &&str| line.starts_with("error: ");
        assert_eq!(self.stderr.lines().filter(is_error).count(), 1, "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stdout, "", "data beside an error");
        self.tells(wanted)
    }

    /// The data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

/// How many events of a run fit.
pub fn count(run: &Run, fits: impl Fn(&Event) -> bool) -> usize {
    run.entries().unwrap().iter().filter(|entry| fits(&entry.event)).count()
}

/// Copies a folder with all that it holds, writable.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
