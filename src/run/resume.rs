//! Resumption: a run read so that it can go on, from its last snapshot or else from its first line. Nothing is written
//! before all of its journal was checked: a run that cannot be resumed stays as it is.

use std::path::Path;

use crate::archive::Repository;
use crate::journal::{End, Entry, Journal, JournalError, LockedJournal, Place, Reader, TornLine};
use crate::run::carried::CarriedState;
use crate::run::fold::Fold;
use crate::run::folder::{RunError, RunFolder};
use crate::run::index;
use crate::run::snapshot::{self, Snapshot};
use crate::search::Search;
use crate::values::event::Event;

/// A run that this process writes: its journal, the views beside it, and what they come to.
#[derive(Debug)]
pub struct LiveRun {
    pub folder: RunFolder,
    pub journal: Journal<Event>,
    pub index: index::Writer,
    pub snapshots: snapshot::Writer,
    pub search: Search,
    pub trail: CarriedState,
}

impl LiveRun {
    /// A run whose journal has its first event. It goes by what that reads back as, as whoever resumes it will.
    ///
    /// # Errors
    /// What the operating system says of the journal.
    pub fn begun(folder: RunFolder, journal: Journal<Event>) -> Result<Self, RunError> {
        let path = folder.journal();
        let first = Reader::open(&path)?.next().expect("BUG: it has its first event")?;
        let mut folding = Folding::after(None, &path);
        folding.take_in(&first)?;
        Ok(Self::of(folder, journal, folding.finish()?))
    }

    fn of(folder: RunFolder, journal: Journal<Event>, found: Found) -> Self {
        let Found { stands, search, trail, lines } = found;
        let mut index = match stands {
            Some(place) => index::Writer::go_on(&folder.index(), place.seq),
            None => index::Writer::create(&folder.index()),
        };
        lines.into_iter().for_each(|line| index.add(line));
        snapshot::clear(&folder.snapshot(), stands.is_some());
        let snapshots = snapshot::Writer::new(&folder.snapshot(), stands);
        Self { folder, journal, index, snapshots, search, trail }
    }
}

/// A run that was read and that nobody else works on.
#[derive(Debug)]
pub struct ResumableRun {
    folder: RunFolder,
    held: LockedJournal<Event>,
    end: End,
    found: Found,
}

impl ResumableRun {
    /// Reads and checks a run.
    ///
    /// # Errors
    /// A journal that is not there, is in use, is damaged or of a newer version.
    pub fn read(folder: RunFolder) -> Result<Self, RunError> {
        let path = folder.journal();
        if !path.is_file() {
            return Err(RunError::NotARun(folder.path().to_owned()));
        }
        let held = Journal::hold(&path)?;
        if let Some(snapshot) = snapshot_of(&folder, &held) {
            // Whatever is wrong is told as it is told of a journal alone.
            match Found::after(Some(snapshot), &path, &held) {
                Ok((mut found, end)) => {
                    if is_kept(&folder, &mut found.trail) {
                        tracing::debug!(stands = ?found.stands, "goes on from a snapshot");
                        return Ok(Self { folder, held, end, found });
                    }
                    tracing::debug!("the archive does not keep what the snapshot tells");
                }
                Err(error) => tracing::debug!(%error, "what follows the snapshot does not fit"),
            }
        }
        let (found, end) = Found::after(None, &path, &held)?;
        Ok(Self { folder, held, end, found })
    }

    /// Where it is.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The place of the snapshot that this begins with.
    pub fn stands(&self) -> Option<Place> {
        self.found.stands
    }

    /// The unfinished last line, which is dropped when the run goes on.
    pub fn torn(&self) -> Option<&TornLine> {
        self.end.torn.as_ref()
    }

    /// Begins to write.
    ///
    /// # Errors
    /// What the operating system says of the journal.
    pub fn go_on(self) -> Result<LiveRun, JournalError> {
        let Self { folder, held, end, found } = self;
        let journal = held.go_on(end)?;
        Ok(LiveRun::of(folder, journal, found))
    }
}

/// What the lines of a journal come to.
#[derive(Debug)]
struct Found {
    /// The place of the snapshot that this begins with; the index has the lines up to there.
    stands: Option<Place>,
    search: Search,
    trail: CarriedState,
    /// Of the index, those after that place.
    lines: Vec<index::Line>,
}

impl Found {
    /// All that follows the snapshot, if there is one.
    fn after(snapshot: Option<Snapshot>, path: &Path, held: &LockedJournal<Event>) -> Result<(Self, End), RunError> {
        let stands = snapshot.as_ref().map(|snapshot| snapshot.place);
        let mut folding = Folding::after(snapshot, path);
        let end = held.read_after(stands, |entry| folding.take_in(&entry))?;
        Ok((folding.finish()?, end))
    }
}

/// What the lines so far come to.
struct Folding {
    stands: Option<Place>,
    fold: Fold,
    trail: Option<CarriedState>,
    lines: Vec<index::Line>,
}

impl Folding {
    fn after(snapshot: Option<Snapshot>, path: &Path) -> Self {
        let stands = snapshot.as_ref().map(|snapshot| snapshot.place);
        let (search, trail) = snapshot.map(|Snapshot { search, trail, .. }| (search, trail)).unzip();
        Self { stands, fold: Fold::after(path, search), trail, lines: Vec::new() }
    }

    fn take_in(&mut self, entry: &Entry<Event>) -> Result<(), RunError> {
        let search = self.fold.step(entry)?;
        let trail = self.trail.get_or_insert_with(|| CarriedState::new(search.origin().epoch));
        trail.add(&entry.event, entry.time, search);
        self.lines.push(index::Line::of((entry.offset, entry.digest), &entry.event, search));
        Ok(())
    }

    fn finish(self) -> Result<Found, RunError> {
        let Self { stands, fold, trail, lines } = self;
        let (search, trail) = (fold.finish()?, trail.expect("BUG: a run that is not empty has a first event"));
        Ok(Found { stands, search, trail, lines })
    }
}

/// The snapshot of a run, if this process can go on from it.
fn snapshot_of(folder: &RunFolder, held: &LockedJournal<Event>) -> Option<Snapshot> {
    let found = Snapshot::read(&folder.snapshot(), |place| held.has(place));
    let snapshot = found.inspect_err(|flaw| tracing::debug!(%flaw, "a snapshot that is of no use")).ok().flatten()?;
    // Where it is not, it is made anew from all lines.
    index::has(&folder.index(), &snapshot.place).then_some(snapshot)
}

/// Whether the archive keeps what it kept when a snapshot was written. It may not after a power loss.
fn is_kept(folder: &RunFolder, trail: &mut CarriedState) -> bool {
    let repository = Repository::open(&folder.archive());
    repository.and_then(|repository| repository.recall(&mut trail.kept)).unwrap_or(false)
}
