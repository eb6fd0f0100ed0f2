//! `packevolve compare`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args;
use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Yardstick};
use packevolve_contract::protocol::{DuelRequest, Duelist, TimeLimits};

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::input::read_text;
use crate::judge::client::{self, Judge};
use crate::proposer::catalogue::Catalogue;
use crate::proposer::parts::without_parts;
use crate::run::fold::Run;
use crate::run::request::duel_request;
use crate::search::Candidate;
use crate::search::best::OpenDuel;
use crate::values::candidate::CandidateId;
use crate::view::beside::{Beside, Chains, Kind, Measured};
use crate::view::inspect::FORMAT;
use crate::view::output::status;

/// Measure policies beside the best of a run, on chains that its search never saw
///
/// Each program and the best walk the same chains, one right after the other, so differences are those of programs. The
/// chains are made of what the run holds out, the same ones in each call. `packevolve report --beside FILE` draws what
/// `--format json` prints.
#[derive(Debug, Args)]
pub struct Compare {
    /// Programs with a function `rebalance_experts`
    #[arg(value_name = "PROGRAM", required_unless_present_any = ["front", "without_parts"])]
    programs: Vec<PathBuf>,
    /// Measure the candidates on the front of the run, too
    #[arg(long)]
    front: bool,
    /// Measure the best without one of its building blocks, too, for each of them
    #[arg(long)]
    without_parts: bool,
    /// Number of chains
    #[arg(long, default_value = "8", value_name = "N")]
    chains: NonZeroU16,
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A program to measure.
struct Asked {
    name: String,
    kind: Kind,
    about: String,
    program: String,
}

/// The run, its best, and the chains that are walked.
struct Course<'a> {
    run: &'a Run,
    baseline: &'a Measurement,
    best: CandidateId,
    program: String,
    chains: Chains,
}

impl Compare {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let run = self.run.open()?;
        let course = Course::of(&run, self.chains.get().into())?;
        let asked = self.asked(&course)?;
        let mut judge = course.judge().await?;
        let (mut best, mut others) = (None, Vec::new());
        for (number, one) in (1..).zip(&asked) {
            status(format_args!("measuring {} ({number} of {}) ...", one.name, asked.len()));
            let duel = judge.duel(course.request(&one.program)).await?;
            others.push(course.measured(one, &duel));
            best = longer(best, duel.best);
        }
        let programs = best.map(|best| course.of_best(&best)).into_iter().chain(others).collect();
        let beside = Beside {
            format: FORMAT,
            run: run.folder.name(),
            best_program: course.known_best().program,
            chains: course.chains,
            programs,
        };
        self.format.print(&beside, |terminal| beside.text(terminal))?;
        let is_rejected = beside.programs.iter().any(|program| program.rejection.is_some());
        Ok(if is_rejected { Exit::Rejected } else { Exit::Success })
    }

    fn asked(&self, course: &Course<'_>) -> Result<Vec<Asked>, CommandError> {
        let mut asked = Vec::new();
        for path in &self.programs {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            asked.push(Asked { name, kind: Kind::File, about: String::new(), program: read_text(path)? });
        }
        if self.without_parts {
            asked.extend(course.without_parts()?);
        }
        if self.front {
            asked.extend(course.front()?);
        }
        Ok(asked)
    }
}

impl<'a> Course<'a> {
    fn of(run: &'a Run, count: usize) -> Result<Self, CommandError> {
        let chains = Chains::of(&run.search, count).ok_or(CliError::NotPolicy)?;
        let best = run.candidate("best")?;
        let baseline = run.search.baseline().expect("BUG: the best has scores, which are relative to the baseline");
        Ok(Self { run, baseline, best, program: run.programs.program(best)?.to_string(), chains })
    }

    async fn judge(&self) -> Result<Judge, CommandError> {
        let started = self.run.search.origin();
        let settings = &started.settings;
        let session = client::session(&settings.evaluation, &started.cases, settings.rng_seed, None)?;
        let judge = Judge::open(session, &settings.llm.key_variables()).await?;
        match judge.ready().loads_digest == self.chains.loads_digest {
            true => Ok(judge),
            false => Err(CliError::OtherLoads.into()),
        }
    }

    /// Both walk all chains, even if the difference is clear before.
    fn request(&self, program: &str) -> DuelRequest {
        let open = OpenDuel { contender: self.best, best: self.best, seed: self.chains.seed };
        let request = duel_request(&self.run.search, self.baseline, open, program.to_owned(), self.program.clone());
        let contender = Duelist { candidate: u64::MAX, ..request.contender };
        let rounds = self.chains.count;
        DuelRequest {
            contender,
            least_rounds: rounds,
            most_rounds: rounds,
            budget_seconds: None,
            limits: self.limits(request.limits),
            rebalance: false,
            ..request
        }
    }

    /// The time of an evaluation is meant for as many chains as the search has.
    fn limits(&self, limits: TimeLimits) -> TimeLimits {
        let share = self.chains.count as f64 / self.baseline.chains.len().max(1) as f64;
        TimeLimits { evaluation_seconds: share.max(1.0) * limits.evaluation_seconds, ..limits }
    }

    fn known_best(&self) -> &Candidate {
        self.run.search.candidate(self.best).expect("BUG: the best is a candidate")
    }

    fn without_parts(&self) -> Result<Vec<Asked>, CommandError> {
        let texts = &self.run.search.origin().catalogues;
        let catalogues: Vec<Catalogue> = texts.iter().filter_map(|text| Catalogue::parse(text).ok()).collect();
        let fitting: Vec<Catalogue> =
            catalogues.into_iter().filter(|own| own.fits(&self.run.search.settings().evaluation)).collect();
        let parts = without_parts(&self.program, &fitting).ok_or(CliError::NotComposed(self.best))?;
        let asked = parts.into_iter().map(|part| Asked {
            name: part.block,
            kind: Kind::Without,
            about: part.says,
            program: part.program,
        });
        Ok(asked.collect())
    }

    fn front(&self) -> Result<Vec<Asked>, CommandError> {
        let front = self.run.search.elites().front().map(|member| member.candidate);
        let asked = front.filter(|candidate| *candidate != self.best).map(|candidate| {
            let program = self.run.programs.program(candidate)?.to_string();
            Ok(Asked { name: candidate.to_string(), kind: Kind::Front, about: String::new(), program })
        });
        asked.collect()
    }

    fn measured(&self, asked: &Asked, duel: &Duel) -> Measured {
        let objective = self.run.search.settings().evaluation.objective();
        let yardstick = Yardstick { baseline: self.baseline, objective, pairing: Pairing::Pooled };
        let both = duel.contender.measured().zip(duel.best.measured());
        let verdict = both.map(|(own, best)| Verdict::new(own, best, yardstick));
        let Asked { name, kind, about, .. } = asked;
        Measured { verdict, ..self.figures((name, *kind, about), &duel.contender) }
    }

    fn of_best(&self, evaluation: &Evaluation) -> Measured {
        self.figures((&self.known_best().name, Kind::Best, ""), evaluation)
    }

    fn figures(&self, (name, kind, about): (&str, Kind, &str), evaluation: &Evaluation) -> Measured {
        let scores = evaluation.measured().and_then(|measured| self.run.search.pooled_scores(measured));
        Measured {
            name: name.to_owned(),
            kind,
            about: about.to_owned(),
            rejection: evaluation.rejection().map(ToString::to_string),
            policy: scores.and_then(|scores| scores.policy),
            verdict: None,
        }
    }
}

/// The one that walked more chains: a duel ends with the failure of the other side.
fn longer(one: Option<Evaluation>, other: Evaluation) -> Option<Evaluation> {
    let chains = |evaluation: &Evaluation| evaluation.measured().map_or(0, Measurement::full_rounds);
    one.filter(|one| chains(one) >= chains(&other)).or(Some(other))
}
