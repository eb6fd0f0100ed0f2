//! Fsck: holds a run's journal against its archive, completely, and says what is wrong, where, and what can be done about
//! it. Whether the events follow from each other is not asked here but by [`replay`](crate::run::replay).
//!
//! What a crash leaves is found, too, if the run was not resumed yet; a run that is under way is looked at as far as it is
//! settled. Repairs are what `resume` does before it goes on: nothing is removed or changed that the journal names.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

use crate::archive::population_refs::PopulationRefs;
use crate::archive::{CommitFacts, Kept, Leftover, Repository, RepositoryError, Survey};
use crate::edit::proposal::Proposal;
use crate::journal::{self, Entry, Journal, JournalError, Place, Reader, TornLine};
use crate::run::carried::CarriedState;
use crate::run::derive::Descent;
use crate::run::fold;
use crate::run::folder::RunFolder;
use crate::run::snapshot::{self, Snapshot};
use crate::search::Search;
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{Event, RunStarted};

/// The run cannot be checked or repaired at all.
#[derive(Debug, Error)]
pub enum FsckError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Classify for FsckError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::Repository(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Repository(error) => error.hint(),
        }
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The last line of the journal was never finished.
    TornLine,
    /// A line of the journal was changed or is damaged.
    DamagedLine,
    /// An event that cannot follow those before it.
    ImpossibleEvent,
    /// There is no archive, or its refs cannot be read.
    Archive,
    /// An object that the journal names is missing, or is not what it was.
    Object,
    /// A commit does not say what the journal says.
    Commit,
    /// A ref does not name what it is to name.
    Ref,
    /// Objects that no ref leads to: git would collect them.
    Unreachable,
    /// Something that a crash left.
    Leftover,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TornLine => "torn line",
            Self::DamagedLine => "damaged line",
            Self::ImpossibleEvent => "impossible event",
            Self::Archive => "archive",
            Self::Object => "object",
            Self::Commit => "commit",
            Self::Ref => "ref",
            Self::Unreachable => "unreachable",
            Self::Leftover => "left over",
        })
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The line of the journal that tells of it, from 1.
    pub line: Option<u64>,
    /// The candidate that it concerns.
    pub candidate: Option<CandidateId>,
    /// What is wrong.
    pub what: String,
    /// Whether `--repair` puts it right.
    pub repairable: bool,
    /// What can be done.
    pub cure: String,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// Events that are whole and in order.
    pub events: usize,
    /// Candidates that they tell of.
    pub candidates: usize,
    /// Objects that the refs of the archive lead to and that are what they were.
    pub objects: usize,
    /// Whether a harness is at work on the run: what it has not settled yet was not looked at.
    pub under_way: bool,
    /// All that is wrong, in the order of the journal.
    pub findings: Vec<Finding>,
}

/// Checks a run.
///
/// # Errors
/// A journal that is not there, cannot be read, or was written by a newer version.
pub fn check(folder: &RunFolder) -> Result<Report, FsckError> {
    let mut check = Check { under_way: journal::is_live(&folder.journal()), ..Check::default() };
    let (entries, torn) = check.read(folder)?;
    let search = check.fold(&entries);
    match (Repository::open(&folder.archive()), &search) {
        (Err(error), _) => check.found(Kind::Archive, NOWHERE, told(&error), Cure::Clone),
        (Ok(repository), Some(search)) => check.archive(&repository, &entries, search)?,
        (Ok(_), None) => {}
    }
    if search.is_some() && !check.under_way && check.is_readable() {
        check.snapshot(folder, &entries);
    }
    if let Some(torn) = torn.filter(|_| !check.under_way) {
        let what = format!("it ends after {} bytes, without a newline: it was never finished", torn.bytes);
        check.found(Kind::TornLine, (Some(torn.line), None), what, Cure::Repair("drops it"));
    }
    check.findings.sort_by_key(|finding| finding.line.unwrap_or(u64::MAX));
    Ok(Report {
        events: entries.len(),
        candidates: search.map_or(0, |search| search.candidates().len()),
        objects: check.objects,
        under_way: check.under_way,
        findings: check.findings,
    })
}

/// Does what can be done without losing anything: drops a line that was never finished, writes again what the log of
/// objects has, removes what crashes left, moves refs to what the journal says.
///
/// # Errors
/// A journal that is in use or damaged; an archive that is none; a disk that does not take it.
pub fn repair(folder: &RunFolder) -> Result<(), FsckError> {
    let opened = Journal::<Event>::open(&folder.journal())?;
    let repository = Repository::resume(&folder.archive())?;
    let Ok(search) = fold::fold(&folder.journal(), &opened.entries) else { return Ok(()) };
    let is_good = snapshot_flaw(folder, &opened.entries).is_none();
    snapshot::clear(&folder.snapshot(), is_good);
    match point(&repository, &search, &opened.entries) {
        // What is missing was reported; refs to it would only hide that.
        Err(RepositoryError::Missing { .. } | RepositoryError::Damaged { .. }) => Ok(()),
        pointed => Ok(pointed?),
    }
}

fn point(repository: &Repository, search: &Search, entries: &[Entry<Event>]) -> Result<(), RepositoryError> {
    repository.set_best(best_commit(search))?;
    repository.keep(&mut kept(search.origin(), entries))?;
    PopulationRefs::of(search).show(repository)?;
    // Whatever of that had been there and was damaged.
    repository.restore()?;
    repository.settle()
}

/// What `best` is to name: the seed program as long as nothing was measured.
fn best_commit(search: &Search) -> CommitId {
    let best = search.best().map_or(CandidateId::SEED, |best| best.candidate);
    search.candidate(best).expect("BUG: the best is a candidate").commit
}

/// What is wrong with the snapshot of a run, if there is one that this build has written.
fn snapshot_flaw(folder: &RunFolder, entries: &[Entry<Event>]) -> Option<String> {
    let has = |place: &Place| last_of(entries, place).is_some();
    match Snapshot::read(&folder.snapshot(), has) {
        Ok(Some(snapshot)) if snapshot == folded(entries, snapshot.place) => None,
        Ok(Some(_)) => Some("it is not what the journal gives".to_owned()),
        Ok(None) => None,
        Err(flaw) => Some(told(&flaw)),
    }
}

/// The last event before a place, if the journal has that place.
fn last_of<'a>(entries: &'a [Entry<Event>], place: &Place) -> Option<&'a Entry<Event>> {
    let last = usize::try_from(place.seq).ok()?.checked_sub(1)?;
    entries.get(last).filter(|entry| entry.digest == place.digest)
}

/// The snapshot that a run writes at a place.
fn folded(entries: &[Entry<Event>], place: Place) -> Snapshot {
    let Some(Event::RunStarted(started)) = entries.first().map(|entry| &entry.event) else {
        unreachable!("BUG: the journal was folded before");
    };
    let (mut search, mut trail) = (Search::new((**started).clone()), CarriedState::new(started.epoch));
    for entry in entries.iter().take_while(|entry| entry.seq < place.seq) {
        if entry.seq > 0 {
            search.apply(&entry.event).expect("BUG: the journal was folded before");
        }
        trail.add(&entry.event, entry.time, &search);
    }
    trail.kept = trail.kept.settled();
    Snapshot { place, search, trail }
}

fn kept(started: &RunStarted, entries: &[Entry<Event>]) -> Kept {
    let mut kept = Kept::new(started.epoch);
    entries.iter().for_each(|entry| fold::keep_named(&mut kept, &entry.event));
    kept
}

/// The line of the journal and the candidate that a finding concerns.
type Concern = (Option<u64>, Option<CandidateId>);

const NOWHERE: Concern = (None, None);

/// What can be done about a finding.
#[derive(Clone, Copy)]
enum Cure {
    /// `--repair` does this.
    Repair(&'static str),
    /// Nothing can be done here, but a copy may have it.
    Clone,
    /// Nothing: why.
    None(&'static str),
}

#[derive(Default)]
struct Check {
    under_way: bool,
    objects: usize,
    findings: Vec<Finding>,
}

impl Check {
    fn found(&mut self, kind: Kind, (line, candidate): Concern, what: String, cure: Cure) {
        let (repairable, cure) = match cure {
            Cure::Repair(does) => (true, format!("`packevolve fsck --repair` {does}")),
            Cure::Clone => {
                (false, "only a copy has it: fetch it with git from a clone of the archive, or take a backup".into())
            }
            Cure::None(why) => (false, why.to_owned()),
        };
        self.findings.push(Finding { kind, line, candidate, what, repairable, cure });
    }

    /// The events up to the first line that is not as it was written.
    fn read(&mut self, folder: &RunFolder) -> Result<(Vec<Entry<Event>>, Option<TornLine>), JournalError> {
        let mut reader = Reader::<Event>::open(&folder.journal())?;
        let mut entries = Vec::new();
        for entry in reader.by_ref() {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    let Some(line) = error.damaged_line() else { return Err(error) };
                    let cure = Cure::None("nothing after the line before it can be vouched for: take a backup");
                    self.found(Kind::DamagedLine, (Some(line), None), told(&error), cure);
                    return Ok((entries, None));
                }
            }
        }
        Ok((entries, reader.torn()))
    }

    /// The state after the events, up to the first that cannot be.
    fn fold(&mut self, entries: &[Entry<Event>]) -> Option<Search> {
        let never_began = "the run ended before it began: remove its folder, or take a backup";
        let Some((first, rest)) = entries.split_first() else {
            self.found(Kind::ImpossibleEvent, (Some(1), None), "there is no event".into(), Cure::None(never_began));
            return None;
        };
        let Event::RunStarted(started) = &first.event else {
            let what = "a run begins with run-started".to_owned();
            self.found(Kind::ImpossibleEvent, (Some(first.line()), None), what, Cure::None("no harness wrote this"));
            return None;
        };
        let mut search = Search::new((**started).clone());
        for entry in rest {
            if let Err(refusal) = search.apply(&entry.event) {
                let cure = Cure::None("no harness wrote this: take a backup");
                self.found(Kind::ImpossibleEvent, (Some(entry.line()), None), refusal.to_string(), cure);
                break;
            }
        }
        Some(search)
    }

    fn archive(
        &mut self,
        repository: &Repository,
        entries: &[Entry<Event>],
        search: &Search,
    ) -> Result<(), RepositoryError> {
        let survey = repository.survey()?;
        self.objects = survey.objects();
        let mut unreachable = BTreeSet::new();
        for entry in entries {
            self.objects_of(entry, repository, &survey, &mut unreachable);
            self.commit_of(entry, repository, search);
        }
        let is_whole = !self.findings.iter().any(|finding| finding.kind == Kind::Object);
        // What refs are to name, a journal tells that can be read to its end.
        let is_known = self.is_readable();
        if !self.under_way && is_known {
            self.unreachable(&unreachable);
            self.refs(repository, entries, search, is_whole);
            self.leftovers(repository)?;
        }
        // What the journal does not name: batches that keep, and refs of others.
        for flaw in survey.flaws.iter().filter(|_| is_whole && is_known) {
            let what = format!("a ref leads to it: {}", told(flaw));
            self.found(Kind::Object, NOWHERE, what, Cure::Repair("writes what keeps candidates again"));
        }
        Ok(())
    }

    /// Whether all objects are there and sound that an event names.
    fn objects_of(
        &mut self,
        entry: &Entry<Event>,
        repository: &Repository,
        survey: &Survey,
        unreachable: &mut BTreeSet<u64>,
    ) {
        if let Some((candidate, commit)) = committed(&entry.event) {
            if let Err(error) = repository.verify_candidate(commit) {
                let is_ahead = repository.is_ahead(commit);
                self.lost((Some(entry.line()), Some(candidate)), told(&error), is_ahead);
            } else if !survey.has_commit(commit) {
                unreachable.insert(entry.line());
            }
        }
        for (what, blob) in blobs(&entry.event) {
            if survey.has_blob(blob) {
                continue;
            }
            match repository.verify_blob(blob) {
                Ok(()) => drop(unreachable.insert(entry.line())),
                Err(error) => {
                    let what = format!("{what}: {}", told(&error));
                    self.lost((Some(entry.line()), None), what, repository.read_blob(blob).is_ok());
                }
            }
        }
    }

    fn lost(&mut self, concern: Concern, what: String, is_ahead: bool) {
        let cure = if is_ahead { Cure::Repair("writes it again from the log of objects") } else { Cure::Clone };
        self.found(Kind::Object, concern, what, cure);
    }

    /// Whether a candidate's commit says what the journal says.
    fn commit_of(&mut self, entry: &Entry<Event>, repository: &Repository, search: &Search) {
        let Some((candidate, commit)) = committed(&entry.event) else { return };
        // What cannot be read was told.
        let (Ok(found), Some(Ok(expected))) =
            (repository.commit_facts(commit), expected_facts(candidate, repository, search))
        else {
            return;
        };
        for what in differences(&expected, &found) {
            let what = format!("commit {commit}: {what}");
            let cure = Cure::None("one of the two was changed: take a backup of the journal");
            self.found(Kind::Commit, (Some(entry.line()), Some(candidate)), what, cure);
        }
    }

    fn unreachable(&mut self, lines: &BTreeSet<u64>) {
        let Some(first) = lines.first() else { return };
        let others = match lines.len() - 1 {
            0 => String::new(),
            1 => " and of one other".to_owned(),
            several => format!(" and of {several} others"),
        };
        let what = format!("no ref leads to objects of this event{others}: git gc would take them");
        self.found(Kind::Unreachable, (Some(*first), None), what, Cure::Repair("keeps them"));
    }

    fn refs(&mut self, repository: &Repository, entries: &[Entry<Event>], search: &Search, is_whole: bool) {
        let named = |commit: Option<_>| commit.map_or("nothing".to_owned(), |commit| format!("{commit}"));
        let (expected, found) = (best_commit(search), repository.best().unwrap_or_default());
        if found != Some(expected) {
            let what = format!("best names {}, by the journal it is {expected}", named(found));
            self.found(Kind::Ref, NOWHERE, what, Cure::Repair("moves it"));
        }
        if !is_whole {
            return;
        }
        let (expected, found) = repository.keeps(&kept(search.origin(), entries));
        if found != expected {
            let what = format!("packevolve/kept names {}, by the journal it is {}", named(found), named(expected));
            self.found(Kind::Ref, NOWHERE, what, Cure::Repair("moves it"));
        }
        for what in PopulationRefs::of(search).differences(repository) {
            self.found(Kind::Ref, NOWHERE, what, Cure::Repair("moves it"));
        }
    }

    /// Whether all lines of the journal tell something.
    fn is_readable(&self) -> bool {
        let is_not = |finding: &Finding| matches!(finding.kind, Kind::DamagedLine | Kind::ImpossibleEvent);
        !self.findings.iter().any(is_not)
    }

    /// What is left of snapshots that nobody can use.
    fn snapshot(&mut self, folder: &RunFolder, entries: &[Entry<Event>]) {
        let (path, cure) = (folder.snapshot(), Cure::Repair("removes it"));
        if let Some(flaw) = snapshot_flaw(folder, entries) {
            self.found(Kind::Leftover, NOWHERE, format!("{}: {flaw}", path.display()), cure);
        }
        let aside = snapshot::aside(&path);
        if aside.exists() {
            let what = format!("{}: a snapshot that was never finished", aside.display());
            self.found(Kind::Leftover, NOWHERE, what, cure);
        }
    }

    fn leftovers(&mut self, repository: &Repository) -> Result<(), RepositoryError> {
        let mut only_ahead = Vec::new();
        for leftover in repository.leftovers()? {
            let what = match leftover {
                Leftover::OnlyAhead(id) => {
                    only_ahead.push(id);
                    continue;
                }
                Leftover::Lock(path) => format!("{}: a lock of a process that has ended", path.display()),
                Leftover::TornRef(path) => format!("{}: a ref that was never finished", path.display()),
                Leftover::UnfinishedFile(path) => format!("{}: an object that was never finished", path.display()),
                Leftover::UnfinishedPack(path) => format!("{}: a pack that was never finished", path.display()),
                Leftover::UnfinishedRecord(path) => format!("{}: ends in an unfinished object", path.display()),
            };
            self.found(Kind::Leftover, NOWHERE, what, Cure::Repair("removes it"));
        }
        if let Some(first) = only_ahead.first() {
            let what =
                format!("{} objects are in the log of objects alone, the first of them {first}", only_ahead.len());
            self.found(Kind::Leftover, NOWHERE, what, Cure::Repair("writes their files"));
        }
        for path in repository.foreign_locks() {
            let what = format!("{}: a lock of git", path.display());
            self.found(Kind::Leftover, NOWHERE, what, Cure::None("remove it if no git is at work there"));
        }
        Ok(())
    }
}

/// The candidate that an event brings, and its commit.
fn committed(event: &Event) -> Option<(CandidateId, CommitId)> {
    match event {
        Event::RunStarted(started) => Some((CandidateId::SEED, started.commit)),
        Event::CandidateCreated(created) => Some((created.candidate, created.commit)),
        _ => None,
    }
}

/// The blobs that an event names beside a commit, each with what it is.
fn blobs(event: &Event) -> Vec<(String, BlobId)> {
    match event {
        Event::RunStarted(started) => {
            let corpus = started.corpus.iter().map(|entry| (format!("{} of the corpus", entry.file), entry.proposal));
            let catalogue = started.catalogue.map(|catalogue| ("the catalogue".to_owned(), catalogue));
            corpus.chain(catalogue).chain([("the baseline".to_owned(), started.baseline)]).collect()
        }
        Event::ProposalDeclined { attempt, proposal: Some(proposal), .. } => {
            vec![(format!("the proposal of attempt {attempt}"), *proposal)]
        }
        Event::ModelAsked(asked) => {
            let reply = asked.reply.map(|reply| ("a reply of a language model".to_owned(), reply));
            [("a request to a language model".to_owned(), asked.request)].into_iter().chain(reply).collect()
        }
        _ => Vec::new(),
    }
}

/// What the commit of a candidate has to say; `None` of a candidate whose event cannot be.
fn expected_facts(
    candidate: CandidateId,
    repository: &Repository,
    search: &Search,
) -> Option<Result<CommitFacts, RepositoryError>> {
    let (started, known) = (search.origin(), search.candidate(candidate)?);
    let program = repository.read_blob(known.program).ok()?;
    let program = String::from_utf8(program).ok()?;
    let parents: Option<Vec<_>> =
        known.parents.iter().map(|parent| Some((*parent, search.candidate(*parent)?.commit))).collect();
    let parents = parents?;
    let (file_name, epoch) = (started.file_name.as_str(), started.epoch);
    let descent = Descent { candidate, parents: &parents, proposer: known.proposer, file_name, epoch };
    if candidate == CandidateId::SEED {
        return Some(descent.as_seed(&program, |new| new.facts()));
    }
    let document = repository.proposal(known.commit).ok()??;
    let proposal = Proposal::parse(std::str::from_utf8(&document).ok()?).ok()?;
    Some(descent.as_new(&known.name, &proposal.description, &program, Some(&document), |new| new.facts()))
}

/// What a commit says otherwise than it is to.
fn differences(expected: &CommitFacts, found: &CommitFacts) -> Vec<String> {
    let ids = |facts: &CommitFacts| facts.parents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let parts = [
        ("tree", expected.tree.to_string(), found.tree.to_string()),
        ("parents", ids(expected), ids(found)),
        ("author", expected.author.clone(), found.author.clone()),
        ("time", expected.time.to_string(), found.time.to_string()),
        ("message", format!("{:?}", expected.message), format!("{:?}", found.message)),
    ];
    let differing = parts.into_iter().filter(|(_, expected, found)| expected != found);
    differing.map(|(part, expected, found)| format!("its {part}: {found}, by the journal {expected}")).collect()
}

/// An error and its cause in one line.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
