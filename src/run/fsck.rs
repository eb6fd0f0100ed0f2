//! Checks the record of a run: the journal is intact, every candidate can be derived from it, the exchanges with
//! language models are there, and the archive agrees with the journal. [`replay`](crate::run::replay) checks whether
//! each decision follows from the events before it.
//!
//! For a live run it checks the settled part. `--repair` does what `resume` does first and makes the archive again; it
//! removes nothing that the journal names.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::check::Reachable;
use crate::archive::{Archive, ArchiveError, Programs, Refs};
use crate::journal::exchanges::Exchanges;
use crate::journal::{self, Entry, Reader};
use crate::run::derive::archived;
use crate::run::fold::{Fold, Run};
use crate::run::folder::{RunError, RunFolder};
use crate::run::restore::repair_archive;
use crate::run::resume::LiveRun;
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, in_one_line};
use crate::values::event::{Event, ExchangeRef};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The last line of the journal is unfinished.
    TornLine,
    /// A line of the journal was changed or is damaged.
    DamagedLine,
    /// An event contradicts those before it.
    ImpossibleEvent,
    /// A candidate can no longer be derived from its proposal, or differs from the recorded one.
    Candidate,
    /// An exchange with a language model is missing or changed.
    Exchange,
    /// The archive is missing, or its refs cannot be read.
    Archive,
    /// An object of the archive is missing or changed.
    Object,
    /// A ref names the wrong object.
    Ref,
    /// No ref leads to some objects, so git would collect them.
    Unreachable,
    /// A leftover of a crash.
    Leftover,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TornLine => "torn line",
            Self::DamagedLine => "damaged line",
            Self::ImpossibleEvent => "impossible event",
            Self::Candidate => "candidate",
            Self::Exchange => "exchange",
            Self::Archive => "archive",
            Self::Object => "object",
            Self::Ref => "ref",
            Self::Unreachable => "unreachable",
            Self::Leftover => "left over",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    pub kind: FindingKind,
    /// The line of the journal, from 1.
    pub line: Option<u64>,
    /// The candidate that it concerns.
    pub candidate: Option<CandidateId>,
    pub what: String,
    /// Whether `--repair` fixes it.
    pub repairable: bool,
    /// What can be done.
    pub cure: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    pub events: usize,
    /// Candidates of these events.
    pub candidates: usize,
    /// Intact objects that the refs of the archive lead to.
    pub objects: usize,
    /// Whether the run is live; its unsettled part was not checked.
    pub under_way: bool,
    /// In the order of the journal.
    pub findings: Vec<Finding>,
}

/// Checks a run.
///
/// # Errors
/// The journal is missing, cannot be read, or is of another version.
pub fn check(folder: &RunFolder) -> Result<Report, RunError> {
    let under_way = journal::is_live(&folder.journal());
    let mut check = Check { under_way, ..Check::default() };
    let run = check.read(folder)?;
    if let Some(run) = &run {
        check.exchanges(folder);
        check.archive(run)?;
    }
    check.findings.sort_by_key(|finding| finding.line.unwrap_or(u64::MAX));
    Ok(Report {
        events: check.events,
        candidates: run.map_or(0, |run| run.search.candidates().len()),
        objects: check.objects,
        under_way,
        findings: check.findings,
    })
}

/// Repairs what it can without losing anything: drops an unfinished line, and makes missing or damaged parts of the
/// archive again from the journal.
///
/// # Errors
/// The journal is in use or damaged, a program cannot be derived, or the disk fails.
pub fn repair(folder: &RunFolder) -> Result<(), RunError> {
    Ok(repair_archive(&LiveRun::for_repair(folder.clone())?)?)
}

#[derive(Clone, Copy, Debug, Default)]
struct Concern {
    line: Option<u64>,
    candidate: Option<CandidateId>,
}

impl Concern {
    fn line(line: u64) -> Self {
        Self { line: Some(line), candidate: None }
    }

    fn candidate(candidate: CandidateId) -> Self {
        Self { line: None, candidate: Some(candidate) }
    }
}

#[derive(Clone)]
enum Cure {
    /// `--repair` does this.
    Repair(&'static str),
    None(Cow<'static, str>),
}

const BACKUP: Cure = Cure::None(Cow::Borrowed("no harness wrote this: take a backup"));
const ARCHIVE: Cure = Cure::Repair("makes it again from the journal");

#[derive(Default)]
struct Check {
    under_way: bool,
    events: usize,
    objects: usize,
    exchanges: Vec<(u64, ExchangeRef)>,
    findings: Vec<Finding>,
}

impl Check {
    fn found(&mut self, kind: FindingKind, concern: Concern, what: String, cure: Cure) {
        let (repairable, cure) = match cure {
            Cure::Repair(does) => (true, format!("`packevolve fsck --repair` {does}")),
            Cure::None(why) => (false, why.into_owned()),
        };
        let Concern { line, candidate } = concern;
        self.findings.push(Finding { kind, line, candidate, what, repairable, cure });
    }

    /// The run up to the first damaged line or impossible event.
    fn read(&mut self, folder: &RunFolder) -> Result<Option<Run>, RunError> {
        let path = folder.journal();
        let (mut reader, mut fold) = (Reader::<Event>::open(&path)?, Fold::new(path));
        for entry in reader.by_ref() {
            match entry {
                Ok(entry) => {
                    if !self.take_in(&entry, &mut fold)? {
                        break;
                    }
                }
                Err(error) => {
                    let Some(line) = error.damaged_line() else { return Err(error.into()) };
                    let cure = Cure::None("nothing after the line before it can be vouched for: take a backup".into());
                    self.found(FindingKind::DamagedLine, Concern::line(line), in_one_line(&error), cure);
                    break;
                }
            }
        }
        let torn = reader.torn();
        if let Some(torn) = torn.filter(|_| !self.under_way) {
            let what = format!("it ends after {} bytes, without a newline: it was never finished", torn.bytes);
            self.found(FindingKind::TornLine, Concern::line(torn.line), what, Cure::Repair("drops it"));
        }
        match fold.finish(folder.clone(), torn) {
            Ok(run) => Ok(Some(run)),
            Err(RunError::Empty(_)) => {
                let cure = Cure::None("the run ended before it began: remove its folder, or take a backup".into());
                if self.findings.is_empty() {
                    self.found(FindingKind::ImpossibleEvent, Concern::line(1), "there is no event".into(), cure);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Applies an event and returns whether it is possible.
    fn take_in(&mut self, entry: &Entry<Event>, fold: &mut Fold) -> Result<bool, RunError> {
        match fold.step(entry) {
            Ok(_) => {}
            Err(RunError::Impossible { reason, .. }) => {
                self.found(FindingKind::ImpossibleEvent, Concern::line(entry.line()), reason, BACKUP);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.events += 1;
        if let Event::ModelAsked(asked) = &entry.event {
            self.exchanges.push((entry.line(), asked.exchange));
        }
        Ok(true)
    }

    /// Checks every exchange that the journal names.
    fn exchanges(&mut self, folder: &RunFolder) {
        let exchanges = Exchanges::new(folder.exchanges());
        for (line, exchange) in std::mem::take(&mut self.exchanges) {
            if let Err(error) = exchanges.read(exchange) {
                let cure = Cure::None("only a copy has it: take a backup of exchanges.jsonl".into());
                self.found(FindingKind::Exchange, Concern::line(line), in_one_line(&error), cure);
            }
        }
    }

    /// Compares the archive with the journal.
    fn archive(&mut self, run: &Run) -> Result<(), ArchiveError> {
        let (archive, reachable) = match open(run) {
            Ok(opened) => opened,
            Err(error) => {
                let cure = archive_cure(&error);
                let Some(cure) = cure else { return Err(error) };
                self.candidates(run, None);
                self.found(FindingKind::Archive, Concern::default(), in_one_line(&error), cure);
                return Ok(());
            }
        };
        self.objects = reachable.count();
        self.candidates(run, Some((&archive, &reachable)));
        // The targets of refs follow only from a whole journal.
        if !self.under_way && self.is_readable() {
            self.refs(run, &archive)?;
            for path in archive.left_over() {
                let what = format!("{}: a crash left it", path.display());
                self.found(FindingKind::Leftover, Concern::default(), what, Cure::Repair("removes it"));
            }
        }
        let is_whole = !self.findings.iter().any(|finding| finding.kind == FindingKind::Object);
        for flaw in reachable.flaws.iter().filter(|_| is_whole) {
            let what = format!("a ref leads to it: {}", in_one_line(flaw));
            self.found(FindingKind::Object, Concern::default(), what, ARCHIVE);
        }
        Ok(())
    }

    /// Derives every candidate, and checks that the archive has it.
    fn candidates(&mut self, run: &Run, archive: Option<(&Archive, &Reachable)>) {
        let Run { search, programs, .. } = run;
        let mut unreachable = Vec::new();
        for (candidate, _) in search.candidates() {
            match derived(search, programs, candidate) {
                Err(what) => {
                    let cure = Cure::None("its line was changed, or another version made it: take a backup".into());
                    self.found(FindingKind::Candidate, Concern::candidate(candidate), what, cure);
                }
                Ok(ids) => {
                    let Some((archive, reachable)) = archive else { continue };
                    match archive.verify(&ids) {
                        // The newest candidates of a live run reach the archive later.
                        Err(ArchiveError::Missing { .. }) if self.under_way => {}
                        Err(error) => {
                            let what = in_one_line(&error);
                            self.found(FindingKind::Object, Concern::candidate(candidate), what, ARCHIVE);
                        }
                        Ok(()) if !reachable.has(ids.commit) => unreachable.push(candidate),
                        Ok(()) => {}
                    }
                }
            }
        }
        if let (Some(first), false) = (unreachable.first(), self.under_way) {
            let what = format!("no ref leads to {} candidates, the first of them {first}", unreachable.len());
            let cure = Cure::Repair("moves the refs");
            self.found(FindingKind::Unreachable, Concern::candidate(*first), what, cure);
        }
    }

    fn refs(&mut self, run: &Run, archive: &Archive) -> Result<(), ArchiveError> {
        let search = &run.search;
        let commits = search.candidates().map(|(_, candidate)| candidate.commit);
        let (expected, found) = archive.keeps(search.origin().epoch, commits)?;
        let mut differences = Refs::of(search).differences(archive)?;
        if found != expected {
            let named = |commit: Option<_>| commit.map_or("nothing".to_owned(), |commit| format!("{commit}"));
            let (found, expected) = (named(found), named(expected));
            differences.push(format!("packevolve/kept names {found}, by the journal it is {expected}"));
        }
        for what in differences {
            self.found(FindingKind::Ref, Concern::default(), what, Cure::Repair("moves it"));
        }
        Ok(())
    }

    fn is_readable(&self) -> bool {
        let is_not =
            |finding: &Finding| matches!(finding.kind, FindingKind::DamagedLine | FindingKind::ImpossibleEvent);
        !self.findings.iter().any(is_not)
    }
}

fn open(run: &Run) -> Result<(Archive, Reachable), ArchiveError> {
    let archive = Archive::open(&run.folder.archive())?;
    let reachable = archive.reachable()?;
    Ok((archive, reachable))
}

/// What helps an archive that cannot be opened; `None` if the machine must be helped first.
fn archive_cure(error: &ArchiveError) -> Option<Cure> {
    match error {
        ArchiveError::NoRefs { .. } => Some(Cure::Repair("makes it")),
        ArchiveError::Format { .. } => error.hint().map(|hint| Cure::None(hint.into())),
        error => error.is_damage().then_some(ARCHIVE),
    }
}

/// The ids of a candidate derived from the journal, or the difference to the recorded ones.
fn derived(
    search: &Search,
    programs: &Programs,
    candidate: CandidateId,
) -> Result<crate::archive::CandidateIds, String> {
    let new = archived(search, programs, candidate).map_err(|error| in_one_line(&error))?;
    let ids = new.ids().map_err(|error| in_one_line(&error))?;
    let recorded = search.candidate(candidate).expect("BUG: a candidate of this search").commit;
    if ids.commit == recorded {
        return Ok(ids);
    }
    Err(format!("its proposal makes commit {}, the journal has {recorded}", ids.commit))
}
