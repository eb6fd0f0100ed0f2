//! How many candidates the harness sustains where judging costs next to nothing, what they take, and how fast the run
//! can be looked at and taken up again: `cargo bench --bench flow`, two minutes; `-- 100000` makes a run of 100,000.
//!
//! A whole run of the product, with all offline proposers, journal and commits; only the judge is another one: this
//! bench itself, which serves as a [`stub`] when it is called as the judge is. A figure that is missed is marked, and
//! makes the bench fail.

#[allow(dead_code, reason = "the judge of the tests looks at more of what it is asked")]
mod stub;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use packevolve::journal::Reader;
use packevolve::values::event::Event;
use packevolve_contract::evaluation::Evaluation;
use tempfile::TempDir;

/// What the harness looks for beside itself.
const JUDGE: &str = "packevolve-judge";
/// Candidates of the run where no other number is asked for.
const CANDIDATES: usize = 3000;
/// The costs of this many candidates at the start and at the end are compared.
const GROUP: usize = 1000;
/// Between two looks at how much memory the harness has taken.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A launcher that puts nothing between harness and judge.
const LAUNCHER: &str = ", launch: [sh, -c, 'exec \"$0\" \"$@\"']";
/// Runs with a launcher and runs without one, in turn; the best of each are compared, as other programs slow some.
const ROUNDS: usize = 3;
/// More files than this an archive never holds.
const FILES: f64 = 1000.0;

fn main() -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?;
    if own.file_name().is_some_and(|name| name == JUDGE) {
        stub::serve(|session, asked| Evaluation::Measured { measurement: stub::measurement(session, asked) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let candidates = number.map_or(Ok(CANDIDATES), |number| number.parse()).context("the number of candidates")?;
    anyhow::ensure!(candidates >= GROUP, "at least {GROUP} candidates, to compare the first with the last");
    let world = World::new(&own, candidates, "")?;
    let used = world.harness(&["evolve", "--run", "flow"])?;
    let flow = Flow::read(&world.run().join("journal.jsonl"))?;
    let met = [flow_figures(&flow, used), room(&world, &flow)?, looked_at(&world, &flow)?, launched(&own)?];
    Ok(if met.into_iter().all(|met| met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A folder with the harness, the judge beside it, and a run.
struct World(TempDir);

impl World {
    /// Lies where cargo builds, as a file system in memory would sync for nothing.
    fn new(judge: &Path, candidates: usize, launcher: &str) -> anyhow::Result<Self> {
        let world = Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?);
        fs::copy(env!("CARGO_BIN_EXE_packevolve"), world.path("packevolve"))?;
        fs::copy(judge, world.path(JUDGE))?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
        fs::write(
            world.path("config.yaml"),
            format!(
                "{{program: {root}/candidates/eplb.py, baseline: {root}/candidates/eplb.py, \
                 judges: [{{slots: 2{launcher}}}], search: {{candidates: {candidates}}}, \
                 proposers: {{corpus: {root}/candidates/proposals, compose: {{blocks: {root}/candidates/blocks}}, prune: {{enabled: false}}}}}}\n"
            ),
        )?;
        Ok(world)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self) -> PathBuf {
        self.path("runs/flow")
    }

    /// What the harness takes for this command.
    fn harness(&self, command: &[&str]) -> anyhow::Result<Used> {
        let mut harness = Command::new(self.path("packevolve"));
        harness.args(command).args(["--format", "json"]).current_dir(self.0.path());
        Used::of(harness.stdout(Stdio::null()).spawn()?)
    }
}

/// What the harness has taken.
#[derive(Clone, Copy, Default)]
struct Used {
    peak_bytes: u64,
    cpu_seconds: f64,
    seconds: f64,
}

impl Used {
    /// Waits for the harness, looking at it all the while.
    fn of(mut harness: Child) -> anyhow::Result<Self> {
        let (mut used, began) = (Self::default(), Instant::now());
        loop {
            used = Self::now(harness.id()).unwrap_or(used);
            if let Some(status) = harness.try_wait()? {
                anyhow::ensure!(status.success(), "the harness: {status}");
                return Ok(Self { seconds: began.elapsed().as_secs_f64(), ..used });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// `None` of a process that has ended.
    fn now(process: u32) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        let status = read("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().ok()?;
        // Behind the name, which may hold blanks: user and system time are the 14th and 15th field.
        let stat = read("stat")?;
        let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
        Some(Self { peak_bytes: kib << 10, cpu_seconds: ticks / 100.0, seconds: 0.0 })
    }
}

/// When the candidates of a run were judged, and how many attempts made none.
struct Flow {
    judged: Vec<f64>,
    declined: usize,
}

impl Flow {
    fn read(journal: &Path) -> anyhow::Result<Self> {
        let mut flow = Self { judged: Vec::new(), declined: 0 };
        for entry in Reader::<Event>::open(journal)? {
            let entry = entry?;
            match entry.event {
                Event::CandidateEvaluated { .. } => flow.judged.push(entry.time),
                Event::ProposalDeclined { .. } => flow.declined += 1,
                _ => {}
            }
        }
        anyhow::ensure!(flow.judged.len() >= GROUP, "the run ended early: {} candidates", flow.judged.len());
        Ok(flow)
    }

    fn a_minute(&self) -> f64 {
        60.0 / milliseconds(&self.judged) * 1000.0
    }

    /// Milliseconds a candidate at the start and at the end.
    fn first_and_last(&self) -> (f64, f64) {
        let (first, last) = (&self.judged[..GROUP], &self.judged[self.judged.len() - GROUP..]);
        (milliseconds(first), milliseconds(last))
    }
}

/// Milliseconds from one of these times to the next.
fn milliseconds(times: &[f64]) -> f64 {
    (times[times.len() - 1] - times[0]) * 1000.0 / (times.len() - 1) as f64
}

/// Prints how the run went; whether all figures were met.
fn flow_figures(flow: &Flow, used: Used) -> bool {
    let count = flow.judged.len() as f64;
    println!(
        "\n{count} candidates, judged in {:?} each, on 2 slots; {} attempts declined",
        stub::EVALUATION,
        flow.declined
    );
    let (first, last) = flow.first_and_last();
    let met = [
        figure("candidates a minute", flow.a_minute(), "at least", 6000.0),
        figure("the last thousand's cost over the first's", last / first, "at most", 1.2),
        figure("the harness's memory, MB", used.peak_bytes as f64 / 1e6, "at most", 600.0),
    ];
    println!("        a candidate takes {first:.2} ms among the first thousand, {last:.2} ms among the last");
    println!("        and {:.2} ms of the harness's CPU time", used.cpu_seconds * 1000.0 / count);
    met.into_iter().all(|met| met)
}

/// Prints what the run takes on the disk; whether it is little enough.
fn room(world: &World, flow: &Flow) -> anyhow::Result<bool> {
    let count = flow.judged.len() as f64;
    let archive = files(&world.run().join("archive.git"))?;
    for (name, all) in [("archive", archive.clone()), ("journal", files(&world.run().join("journal.jsonl"))?)] {
        println!("        {name}: {:.0} bytes a candidate", all.iter().sum::<u64>() as f64 / count);
    }
    Ok(figure("files in the archive", archive.len() as f64, "at most", FILES))
}

/// Prints how long it takes to look at the run and to take it up again; whether that is short enough.
fn looked_at(world: &World, flow: &Flow) -> anyhow::Result<bool> {
    let (middle, all) = ((flow.judged.len() / 2).to_string(), (flow.judged.len() + 1).to_string());
    let mut met = true;
    for (command, limit) in [
        (&["top", "--run", "flow"][..], 2.0),
        (&["show", &middle, "--run", "flow"], 2.0),
        (&["show", "best", "--run", "flow"], 2.0),
        (&["lineage", "best", "--run", "flow"], 2.0),
        (&["diff", &middle, "best", "--run", "flow"], 2.0),
        (&["resume", "--run", "flow", "--candidates", &all], 10.0),
    ] {
        let used = world.harness(command)?;
        met &= figure(&format!("{}, s", command.join(" ")), used.seconds, "at most", limit);
        let megabytes = used.peak_bytes as f64 / 1e6;
        println!("        {:.2} s of CPU time, {megabytes:.0} MB of memory", used.cpu_seconds);
        met &= megabytes <= 600.0;
    }
    Ok(met)
}

/// Prints what a launcher costs; whether that is little enough.
fn launched(judge: &Path) -> anyhow::Result<bool> {
    let mut best = [0.0_f64; 2];
    for _ in 0..ROUNDS {
        for (best, launcher) in best.iter_mut().zip(["", LAUNCHER]) {
            let world = World::new(judge, GROUP + GROUP / 2, launcher)?;
            world.harness(&["evolve", "--run", "flow"])?;
            *best = best.max(Flow::read(&world.run().join("journal.jsonl"))?.a_minute());
        }
    }
    let [here, launched] = best;
    println!("        candidates a minute: {launched:.0} through a launcher, {here:.0} without one");
    Ok(figure("the first over the second", launched / here, "at least", 0.95))
}

/// Prints a figure with its limit; whether it is.
fn figure(name: &str, value: f64, bound: &str, limit: f64) -> bool {
    let met = if bound == "at least" { value >= limit } else { value <= limit };
    println!("{:<7} {name}: {value:.2}, {bound} {limit}", if met { "ok" } else { "MISSED" });
    met
}

/// The bytes of a file, or of each file in a folder, whole blocks counted.
fn files(path: &Path) -> anyhow::Result<Vec<u64>> {
    use std::os::unix::fs::MetadataExt;
    let data = fs::symlink_metadata(path)?;
    if !data.is_dir() {
        return Ok(vec![data.blocks() * 512]);
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        all.extend(files(&entry?.path())?);
    }
    Ok(all)
}
