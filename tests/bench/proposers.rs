//! What the proposers bring, each alone and all together: `cargo bench --bench proposers`, half an hour; `-- --seeds 3
//! --judge-seconds 30 --plot FILE --config FILE` makes it shorter, says where the plot goes, and takes other settings.
//!
//! One run makes the start: the seed program and the corpus, except for the one document that takes longer than all
//! others together. Every contestant continues from a copy of it, with the same baseline, loads and cases, by other
//! random numbers for each seed, until its candidates have cost that many seconds of judging. What is compared is the
//! score of the best, on windows that the search does not see. Needs both programs: `cargo build --release --workspace`
//! first.

mod contest;
mod standings;

use std::path::{Path, PathBuf};

use anyhow::Context;

use contest::{Contestant, Course};
use standings::Standings;

/// What is asked for.
struct Wanted {
    seeds: u64,
    judge_seconds: f64,
    plot: PathBuf,
    config: PathBuf,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let plot = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proposers.svg");
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml");
        let mut wanted = Self { seeds: 5, judge_seconds: 60.0, plot, config };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--seeds" => wanted.seeds = value()?.parse().context("--seeds")?,
                "--judge-seconds" => wanted.judge_seconds = value()?.parse().context("--judge-seconds")?,
                "--plot" => wanted.plot = value()?.into(),
                "--config" => wanted.config = value()?.into(),
                // cargo's own.
                "--bench" => {}
                _ => anyhow::bail!("{argument}? there are --seeds N, --judge-seconds S, --plot FILE and --config FILE"),
            }
        }
        anyhow::ensure!(wanted.seeds > 0 && wanted.judge_seconds > 0.0, "nothing to measure");
        Ok(wanted)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let course = Course::open(&wanted.config, wanted.judge_seconds).await?;
    let mut standings = Standings::new(wanted.judge_seconds);
    // Seed by seed, so that other load on the machine affects all of them.
    for seed in 1..=wanted.seeds {
        for contestant in Contestant::ALL {
            let result = course.run(contestant, seed).await?;
            eprintln!("seed {seed}, {contestant}: {:.4}, {} candidates", result.last(), result.judged);
            standings.enter(contestant, result);
        }
    }
    println!("\n{}", standings.table());
    std::fs::write(&wanted.plot, standings.plot()).with_context(|| wanted.plot.display().to_string())?;
    println!("\nplot: {}", wanted.plot.display());
    Ok(())
}
