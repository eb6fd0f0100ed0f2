//! `packevolve propose` and `packevolve stop`: a person's hand in a run under way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::archive::programs::derive;
use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::edit::proposal::Proposal;
use crate::journal;
use crate::run::derive::novel;
use crate::run::fold::Run;
use crate::run::inbox::{Inbox, Letter};
use crate::values::candidate::CandidateId;
use crate::values::event::Declined;
use crate::values::raw_text::{RawText, text_of};
use crate::view::output::{harmless, status};

/// Hand a proposal to a run under way
///
/// The run tries it before anything else, measures it in full, and uses it as a parent. Without --parent it edits the best
/// program if it fits there, otherwise the first program that it fits.
#[derive(Debug, Args)]
pub struct Propose {
    /// Proposal: `packevolve help proposals` has its format
    file: PathBuf,
    #[command(flatten)]
    run: RunArgs,
    /// Program to edit: number, NAME, commit prefix, `best` or `seed`
    #[arg(long, value_name = "CANDIDATE")]
    parent: Option<String>,
}

/// Stop a run under way in good order
///
/// Running evaluations finish first. `packevolve resume` continues the run.
#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    run: RunArgs,
}

impl Propose {
    pub fn run(&self) -> Result<(), CommandError> {
        let document = fs::read(&self.file).map_err(|source| CliError::Read { path: self.file.clone(), source })?;
        let run = under_way(self.run.open()?)?;
        let parent = self.parent(&run, &document)?;
        let file = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let letter = Letter { file, parent, document: RawText(document) };
        let inbox = Inbox::of(&run.folder);
        let unwritten = |source| CliError::Write { path: run.folder.path().join("inbox"), source };
        inbox.put(&letter).map_err(unwritten)?;
        let known = run.search.candidate(parent).expect("BUG: the parent was found in the run");
        status(format_args!(
            "run {} tries {} next, as an edit of candidate {parent} ({})\nhint: `packevolve log -f --run {}` shows what becomes of it",
            run.folder.name(),
            self.file.display(),
            harmless(&known.name),
            run.folder.path().display()
        ));
        Ok(())
    }

    /// The program that a document edits. What could lead to no candidate is refused here, with the reason.
    fn parent(&self, run: &Run, document: &[u8]) -> Result<CandidateId, CommandError> {
        let refused = |reason| CliError::NotProposed { path: self.file.clone(), reason };
        let text = text_of(document).map_err(|problem| CliError::NotText { path: self.file.clone(), problem })?;
        Proposal::parse(text).map_err(|error| refused(Declined::Unreadable { error: error.to_string() }))?;
        let best = run.search.best().map(|best| best.candidate).unwrap_or(CandidateId::SEED);
        let named = self.parent.as_deref().map(|wanted| run.candidate(wanted)).transpose()?;
        let parent = match named {
            Some(parent) => parent,
            None => self.first_that_fits(run, best, document)?.unwrap_or(best),
        };
        let program = run.programs.program(parent)?.to_string();
        novel(&run.search, &program, document).map(|_| parent).map_err(|reason| refused(reason).into())
    }

    /// The best, or else the first candidate, to whose program a document applies.
    fn first_that_fits(
        &self,
        run: &Run,
        best: CandidateId,
        document: &[u8],
    ) -> Result<Option<CandidateId>, CommandError> {
        for id in std::iter::once(best).chain(run.search.candidates().map(|(id, _)| id)) {
            if derive(&run.programs.program(id)?, document).is_ok() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl Stop {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = under_way(self.run.open()?)?;
        let file = run.folder.stop_file();
        touch(&file).map_err(|source| CliError::Write { path: file, source })?;
        let path = run.folder.path().display();
        status(format_args!(
            "run {} stops once its running evaluations have ended\nhint: `packevolve resume --run {path}` continues it",
            run.folder.name()
        ));
        Ok(())
    }
}

fn touch(path: &Path) -> std::io::Result<()> {
    File::options().create(true).append(true).open(path).map(drop)
}

/// A run that a process of this machine works on.
fn under_way(run: Run) -> Result<Run, CommandError> {
    let path = run.folder.path().to_owned();
    match run.search.stopped() {
        Some(reason) => Err(CliError::Over { path, reason }.into()),
        None if !journal::is_live(&run.folder.journal()) => Err(CliError::NotRunning(path).into()),
        None => Ok(run),
    }
}
