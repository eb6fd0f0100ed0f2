//! Makes the archive of a run, or its missing parts, from the journal.

use crate::archive::note::notes;
use crate::archive::{Archive, ArchiveError, CandidateIds, Programs, Refs, Writer};
use crate::run::derive::archived;
use crate::run::folder::RunFolder;
use crate::run::resume::LiveRun;
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::error_kind::in_one_line;

/// Opens the archive of a run for writing, and adds those of the run's candidates that it lacks.
///
/// # Errors
/// Git or the operating system fails, or a program can no longer be derived.
pub fn open_archive(
    folder: &RunFolder,
    search: &Search,
    programs: &Programs,
    candidates: &[CandidateIds],
) -> Result<Writer, ArchiveError> {
    let mut writer = Writer::open(&folder.archive(), search.origin().epoch)?;
    let lacking = writer.lacking(candidates.iter().copied())?;
    write_again(&writer, search, programs, &lacking)?;
    candidates.iter().for_each(|ids| writer.add(ids.commit, None));
    writer.begin(Refs::of(search));
    Ok(writer)
}

/// Brings the archive up to date at the end of a run, with notes of how candidates were judged.
///
/// # Errors
/// See [`open_archive`].
pub fn finish_archive(writer: &mut Writer, search: &Search, programs: &Programs) -> Result<(), ArchiveError> {
    match bring_up_to_date(writer, search, programs) {
        Err(error) if error.is_damage() => {
            tracing::warn!(error = in_one_line(&error), "the archive is damaged and is made again");
            Archive::move_aside(writer.path())?;
            *writer = Writer::open(writer.path(), search.origin().epoch)?;
            search.candidates().for_each(|(_, candidate)| writer.add(candidate.commit, None));
            bring_up_to_date(writer, search, programs)
        }
        done => done,
    }
}

fn bring_up_to_date(writer: &mut Writer, search: &Search, programs: &Programs) -> Result<(), ArchiveError> {
    let commits = || search.candidates().map(|(_, candidate)| candidate.commit);
    let (refs, notes) = (Refs::of(search), notes(search));
    writer.flush()?;
    // The second time, a person may have run `git gc` before refs led to these objects.
    for is_first in [true, false] {
        let lacking = writer.lacking_commits(commits())?;
        if is_first || !lacking.is_empty() {
            write_again(writer, search, programs, &lacking)?;
            writer.finish(&refs, &notes)?;
        }
    }
    Ok(())
}

/// Repairs the archive of a run: writes missing objects, or everything if an object is damaged or one that a ref leads
/// to is missing, which no crash causes.
///
/// # Errors
/// See [`open_archive`].
pub fn repair_archive(run: &LiveRun) -> Result<(), ArchiveError> {
    let LiveRun { folder, search, programs, candidates, .. } = run;
    if is_damaged(folder, candidates) {
        Archive::move_aside(&folder.archive())?;
    }
    let mut writer = open_archive(folder, search, programs, candidates)?;
    finish_archive(&mut writer, search, programs)
}

fn is_damaged(folder: &RunFolder, candidates: &[CandidateIds]) -> bool {
    let Ok(archive) = Archive::open(&folder.archive()) else { return false };
    let is_damaged = |error| matches!(error, ArchiveError::Damaged { .. });
    !archive.reachable().is_ok_and(|reachable| reachable.flaws.is_empty())
        || candidates.iter().any(|ids| archive.verify(ids).is_err_and(is_damaged))
}

fn write_again(writer: &Writer, search: &Search, programs: &Programs, lacking: &[usize]) -> Result<(), ArchiveError> {
    writer.restore(lacking, |at| archived(search, programs, CandidateId(at as u64)))
}
