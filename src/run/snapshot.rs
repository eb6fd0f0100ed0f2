//! Snapshot: what the lines of a long journal come to up to a place in it, in a file beside it, so that `resume` need not
//! make sense of a gigabyte again.
//!
//! A view, as the index is: whatever it holds can be folded from the journal, and is where it is missing. It is used only
//! if the journal has that place, with the digest of all lines before it, if its own checksum holds, and by the very
//! build of the harness that wrote it, as another one might fold those lines to something else. Nobody but `resume` and
//! `fsck` looks at it. It is written aside and takes its place once it is on the disk; no error of it ends a run.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::journal::{Digest, Place};
use crate::run::carried::CarriedState;
use crate::search::Search;

/// What the file begins with; another version begins otherwise.
const MAGIC: [u8; 16] = *b"packevolve-snap1";
/// What a file ends with, and what stands for the build: a SHA-256.
const SUM: usize = 32;
/// The magic, the place, the build.
const HEAD: usize = 16 + 32 + SUM;
/// What is read or written at a time.
const BUFFER: usize = 1 << 20;
/// One is written when so many bytes of the journal came since the last one: to fold those takes a second or two.
const EVERY: u64 = 96 << 20;
/// At the end of a run one is written for so many times less.
const AT_END: u64 = 4;

type Sum = [u8; SUM];

/// What a run has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// After which lines of the journal.
    pub place: Place,
    /// The state of the search then.
    pub search: Search,
    /// What it carries along.
    pub trail: CarriedState,
}

/// Why a snapshot is of no use to anybody.
#[derive(Debug, Error)]
pub enum Flaw {
    #[error("it is of another journal, or of lines that were lost")]
    OtherJournal,
    #[error("it is damaged")]
    Damaged(#[source] io::Error),
}

impl Snapshot {
    /// The snapshot of a run; `None` if there is none, or only one of another build. `has` says whether the journal has a
    /// place.
    ///
    /// # Errors
    /// One that can be removed.
    pub fn read(path: &Path, has: impl FnOnce(&Place) -> bool) -> Result<Option<Self>, Flaw> {
        let Ok(file) = File::open(path) else { return Ok(None) };
        let Head { place, build } = match Head::read(&mut &file).map_err(Flaw::Damaged)? {
            Some(head) if has(&head.place) => head,
            Some(_) => return Err(Flaw::OtherJournal),
            None => return Ok(None),
        };
        if *OWN_BUILD != Some(build) {
            return Ok(None);
        }
        let (search, trail) = whole(&file).map_err(Flaw::Damaged)?;
        Ok(Some(Self { place, search, trail }))
    }
}

/// What a snapshot begins with.
struct Head {
    place: Place,
    build: Sum,
}

impl Head {
    /// `None` of a file of another kind.
    fn read(file: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD];
        file.read_exact(&mut bytes)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("BUG: a word has eight bytes"));
        let digest = Digest::from_bytes(bytes[32..48].try_into().expect("BUG: a digest has its length"));
        let place = Place { seq: word(16), offset: word(24), digest };
        let build = bytes[48..].try_into().expect("BUG: a head has its length");
        Ok(bytes.starts_with(&MAGIC).then_some(Self { place, build }))
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let Place { seq, offset, digest } = self.place;
        file.write_all(&MAGIC)?;
        file.write_all(&seq.to_le_bytes())?;
        file.write_all(&offset.to_le_bytes())?;
        file.write_all(&digest.to_bytes())?;
        file.write_all(&self.build)
    }
}

/// What follows the head of a file, if the file is whole.
fn whole(mut file: &File) -> io::Result<(Search, CarriedState)> {
    file.rewind()?;
    let length = file.metadata()?.len().saturating_sub(SUM as u64);
    let mut summed = BufReader::with_capacity(BUFFER, Summed::new(file.take(length)));
    summed.read_exact(&mut [0; HEAD])?;
    let (search, trail): (Search, CarriedState) = rmp_serde::from_read(&mut summed).map_err(io::Error::other)?;
    let candidates = rmp_serde::from_read(&mut summed).map_err(io::Error::other)?;
    let rest = io::copy(&mut summed, &mut io::sink())?;
    let (sum, _) = summed.into_inner().finish();
    let mut written = Sum::default();
    file.read_exact(&mut written)?;
    if (rest, written) != (0, sum) {
        return Err(io::Error::other("its checksum is wrong"));
    }
    Ok((search.with_all_known(candidates), trail))
}

/// What this process runs, as a digest; looked at when there is a snapshot.
static OWN_BUILD: LazyLock<Option<Sum>> = LazyLock::new(|| {
    let mut sum = Summed::new(io::sink());
    let own = File::open("/proc/self/exe");
    let read = own.and_then(|own| io::copy(&mut BufReader::with_capacity(BUFFER, own), &mut sum));
    read.is_ok().then(|| sum.finish().0)
});

/// Reads or writes, and has the checksum of all that went through.
struct Summed<F> {
    inner: F,
    sum: Sha256,
}

impl<F> Summed<F> {
    fn new(inner: F) -> Self {
        Self { inner, sum: Sha256::new() }
    }

    fn finish(self) -> (Sum, F) {
        (self.sum.finalize().into(), self.inner)
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.sum.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the snapshots of a live run.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    every: u64,
    /// The end of the journal when the last one was written.
    last: u64,
}

impl Writer {
    /// For a run of which a snapshot up to this place was read.
    pub fn new(path: &Path, last: Option<Place>) -> Self {
        Self { path: path.to_owned(), every: EVERY, last: last.map_or(0, |place| place.offset) }
    }

    /// Writes one whenever the journal has grown by so many bytes.
    #[must_use]
    pub fn every(self, bytes: u64) -> Self {
        Self { every: bytes, ..self }
    }

    /// Whether the journal has grown by enough, up to there.
    pub fn is_due(&self, end: u64) -> bool {
        end - self.last >= self.every
    }

    /// Whether the end of a run is worth one.
    pub fn is_due_at_end(&self, end: u64) -> bool {
        end - self.last >= self.every / AT_END
    }

    /// Writes one. What the journal holds up to `place` is on the disk, and kept by the archive.
    pub fn write(&mut self, place: Place, search: &Search, trail: &CarriedState) {
        // One that cannot be written is not tried again at once.
        self.last = place.offset;
        match self.try_to_write(place, search, trail) {
            Ok(()) => tracing::debug!(?place, "wrote a snapshot"),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot write a snapshot");
                let _ = fs::remove_file(aside(&self.path));
            }
        }
    }

    fn try_to_write(&self, place: Place, search: &Search, trail: &CarriedState) -> io::Result<()> {
        let build = OWN_BUILD.ok_or_else(|| io::Error::other("it is not known what this process runs"))?;
        let aside = aside(&self.path);
        let mut summed = BufWriter::with_capacity(BUFFER, Summed::new(File::create(&aside)?));
        Head { place, build }.write(&mut summed)?;
        rmp_serde::encode::write_named(&mut summed, &(search, trail)).map_err(io::Error::other)?;
        // Of these there are many: without the names of their fields they are half as long.
        rmp_serde::encode::write(&mut summed, search.all_known()).map_err(io::Error::other)?;
        let (sum, mut file) = summed.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        file.write_all(&sum)?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)
    }
}

/// Where a snapshot is before it is whole.
pub fn aside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Removes what a crash has left of a snapshot, and the snapshot itself unless it `is_good`.
pub fn clear(path: &Path, is_good: bool) {
    let _ = fs::remove_file(aside(path));
    if !is_good {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::testing::{Script, World};
    use crate::values::event::Event;
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn place(seq: u64) -> Place {
        Place { seq, offset: 1000 * seq, digest: Digest::from_bytes([seq as u8; 16]) }
    }

    /// A run after its first event.
    fn begun(world: &World) -> (Search, CarriedState) {
        let search = Search::new(world.search.origin().clone());
        let mut trail = CarriedState::new(search.origin().epoch);
        trail.add(&Event::RunStarted(Box::new(search.origin().clone())), 0.5, &search);
        (search, trail)
    }

    /// Takes these events in, one a third of a second.
    fn take_in(search: &mut Search, trail: &mut CarriedState, events: &[Event]) {
        for (at, event) in events.iter().enumerate() {
            search.apply(event).unwrap();
            trail.add(event, at as f64 / 3.0, search);
        }
    }

    /// What is read of what was written.
    fn read_back(search: &Search, trail: &CarriedState) -> Snapshot {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("snapshot");
        Writer::new(&path, None).write(place(7), search, trail);
        assert!(!aside(&path).exists());
        Snapshot::read(&path, |found| *found == place(7)).unwrap().unwrap()
    }

    fn example() -> (Search, CarriedState) {
        let world = World::finished(Script { models: 1, rejected: 0.3, ..Script::smooth() });
        let (mut search, mut trail) = begun(&world);
        take_in(&mut search, &mut trail, &world.events);
        trail.kept = trail.kept.settled();
        (search, trail)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_run_that_goes_on_from_a_snapshot_goes_on_as_if_it_had_not_ended(
            script in Script::any(), position in 0.0..1.0f64,
        ) {
            let world = World::finished(script);
            let (before, after) = world.events.split_at((world.events.len() as f64 * position) as usize);
            let (mut search, mut trail) = begun(&world);
            take_in(&mut search, &mut trail, before);
            trail.kept = trail.kept.settled();
            let Snapshot { search: mut again, trail: mut again_trail, .. } = read_back(&search, &trail);
            prop_assert_eq!(&again, &search);
            prop_assert_eq!(&again_trail, &trail);
            for event in after {
                prop_assert_eq!(again.next(), search.next());
                prop_assert!(again.tasks().eq(search.tasks()));
                take_in(&mut search, &mut trail, std::slice::from_ref(event));
                take_in(&mut again, &mut again_trail, std::slice::from_ref(event));
            }
            prop_assert_eq!(&again, &world.search);
            prop_assert_eq!(again_trail, trail);
        }
    }

    #[test]
    fn numbers_that_are_no_decimals_come_back_to_the_bit() {
        let (_, mut trail) = example();
        for time in [f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 3.0, 0.1 + 0.2, f64::MAX] {
            let search = example().0;
            trail.work = crate::run::fold::WorkTime::default();
            trail.work.add(&Event::RunResumed { candidates: 1 }, time);
            let again = read_back(&search, &trail).trail.work;
            assert_eq!(format!("{again:?}"), format!("{:?}", trail.work));
        }
    }

    #[test]
    fn a_snapshot_that_was_cut_off_or_changed_anywhere_is_damaged() {
        let (folder, (search, trail)) = (TempDir::new().unwrap(), example());
        let path = folder.path().join("snapshot");
        Writer::new(&path, None).write(place(7), &search, &trail);
        let whole = fs::read(&path).unwrap();
        for position in (0..whole.len()).step_by(whole.len() / 300) {
            fs::write(&path, &whole[..position]).unwrap();
            assert!(matches!(Snapshot::read(&path, |_| true), Err(Flaw::Damaged(_))), "cut off at {position}");
            let mut changed = whole.clone();
            changed[position] ^= 1;
            fs::write(&path, &changed).unwrap();
            // Where it is told what it is, it is something else now.
            let is_another = position < 16 || (48..HEAD).contains(&position);
            match Snapshot::read(&path, |_| true) {
                Err(Flaw::Damaged(_)) => assert!(!is_another, "byte {position}"),
                other => assert!(is_another && matches!(other, Ok(None)), "byte {position}: {other:?}"),
            }
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(matches!(Snapshot::read(&path, |_| true), Err(Flaw::Damaged(_))), "more than was written");
    }

    #[test]
    fn a_snapshot_of_a_place_that_the_journal_does_not_have_is_of_no_use() {
        let (folder, (search, trail)) = (TempDir::new().unwrap(), example());
        let path = folder.path().join("snapshot");
        assert!(Snapshot::read(&path, |_| true).unwrap().is_none());
        Writer::new(&path, None).write(place(7), &search, &trail);
        assert!(matches!(Snapshot::read(&path, |found| *found == place(8)), Err(Flaw::OtherJournal)));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_no_trouble() {
        let (folder, (search, trail)) = (TempDir::new().unwrap(), example());
        let mut writer = Writer::new(&folder.path().join("nowhere/snapshot"), None).every(100);
        assert!(writer.is_due(100) && !writer.is_due(99) && writer.is_due_at_end(25) && !writer.is_due_at_end(24));
        writer.write(place(7), &search, &trail);
        assert!(!writer.is_due(7099) && writer.is_due(7100), "it is not tried again at once");
    }
}
