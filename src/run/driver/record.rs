//! Record: what a live run writes and remembers. It makes events and candidates, and makes no request.

use std::time::Duration;

use crate::archive::{ArchiveError, Programs, ProgramsError, Refs, Writer};
use crate::journal::exchanges::{Exchange, ExchangeError, Exchanges};
use crate::journal::{Appended, Journal};
use crate::proposer::draw::ProposalDraft;
use crate::proposer::llm::history::PromptHistory;
use crate::proposer::llm::prompt_data::PromptData;
use crate::run::derive::{Child, Descent, novel};
use crate::run::driver::error::DriverError;
use crate::run::folder::RunFolder;
use crate::run::restore::{finish_archive, open_archive};
use crate::run::resume::LiveRun;
use crate::run::work_time::WorkTime;
use crate::search::{Attempt, Candidate, Search};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::in_one_line;
use crate::values::event::{CandidateCreated, Declined, Event, ExchangeRef, Fingerprint, StopReason};
use crate::values::llm_error::LlmError;
use crate::values::raw_text::RawText;

/// What an observer of a live run sees.
#[derive(Clone, Copy, Debug)]
pub enum RunUpdate<'a> {
    /// The loads of a new run are read; these are the notes of the reader.
    LoadsRead(&'a [String]),
    Happened(&'a Event),
    /// The run starts nothing more, and ends with the running evaluations.
    Stopping(StopReason),
    /// A try of a request to a language model failed, and another follows after a wait.
    AskingAgain {
        /// Index of the model in the settings.
        model: usize,
        error: &'a LlmError,
        wait: Duration,
    },
    /// The run has ended well, but its archive lacks the latest candidates.
    ArchiveBehind(&'a ArchiveError),
}

/// Sees each update of a live run, and the state right after it.
pub type Observer<'a> = dyn FnMut(RunUpdate<'_>, &Search) + 'a;

pub(super) struct Record<'a> {
    pub(super) folder: RunFolder,
    journal: Journal<Event>,
    exchanges: Exchanges,
    archive: Writer,
    programs: Programs,
    pub(super) search: Search,
    pub(super) history: PromptHistory,
    pub(super) work: WorkTime,
    observer: &'a mut Observer<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn open(run: LiveRun, observer: &'a mut Observer<'a>) -> Result<Self, DriverError> {
        let LiveRun { folder, journal, exchanges, search, programs, history, work, candidates, .. } = run;
        let archive = open_archive(&folder, &search, &programs, &candidates)?;
        Ok(Self { folder, journal, exchanges, archive, programs, search, history, work, observer })
    }

    /// Changes the state by an event, and writes it. An event that the state refuses is never written: no later version
    /// could read the run.
    pub(super) fn add(&mut self, event: &Event) -> Result<(), DriverError> {
        self.search.apply(event).unwrap_or_else(|refusal| panic!("BUG: {refusal}"));
        let Appended { offset, time } = self.journal.append(event)?;
        self.history.apply(event, &self.search);
        self.work.add(event, time);
        if let Event::CandidateCreated(created) = event {
            self.programs.add(created, offset);
        }
        (self.observer)(RunUpdate::Happened(event), &self.search);
        if self.archive.is_due() {
            // Refs must not lead to what a power loss undoes.
            self.journal.sync()?;
            self.archive.begin(Refs::of(&self.search));
        }
        Ok(())
    }

    pub(super) fn decline(
        &mut self,
        attempt: u64,
        proposal: Option<RawText>,
        reason: Declined,
    ) -> Result<(), DriverError> {
        self.add(&Event::ProposalDeclined { attempt, proposal, reason })
    }

    /// Makes a candidate of what a proposer drew, or declines it and returns the reason.
    pub(super) fn take(&mut self, attempt: &Attempt, draft: ProposalDraft) -> Result<Option<Declined>, DriverError> {
        let Attempt { number, selection } = attempt;
        let ProposalDraft { document, operator } = draft;
        let parent = self.program(selection.parent)?;
        let Child { proposal, program, normalised, size } = match novel(&self.search, &parent, &document) {
            Ok(child) => child,
            Err(reason) => {
                self.decline(*number, Some(RawText(document)), reason.clone())?;
                return Ok(Some(reason));
            }
        };
        let candidate = CandidateId(self.search.candidates().len() as u64);
        let parents: Vec<_> = selection.parents().collect();
        let descent = Descent { candidate, parents: &parents, proposer: Some(selection.proposer) };
        let new = descent.new_candidate(&self.search, &proposal, &program, &document);
        let ids = new.ids()?;
        self.archive.add(ids.commit, Some(new));
        self.programs.remember(candidate, &program);
        self.add(&Event::CandidateCreated(CandidateCreated {
            candidate,
            attempt: *number,
            name: proposal.name,
            parents,
            proposal: RawText(document),
            fingerprint: Fingerprint { commit: ids.commit, program: ids.program, normalised, size },
            operator,
        }))?;
        Ok(None)
    }

    /// Writes a request and its reply. Both are on the disk when this returns.
    pub(super) fn exchange(&mut self, request: &[u8], reply: Option<&[u8]>) -> Result<ExchangeRef, ExchangeError> {
        let (request, reply) = (RawText(request.to_owned()), reply.map(|reply| RawText(reply.to_owned())));
        self.exchanges.append(&Exchange { request, reply })
    }

    pub(super) fn asking_again(&mut self, model: usize, error: &LlmError, wait: Duration) {
        (self.observer)(RunUpdate::AskingAgain { model, error, wait }, &self.search);
    }

    pub(super) fn show_loads(&mut self) {
        (self.observer)(RunUpdate::LoadsRead(&self.search.origin().judge.loads_notes), &self.search);
    }

    pub(super) fn stopping(&mut self, reason: StopReason) {
        (self.observer)(RunUpdate::Stopping(reason), &self.search);
    }

    /// Brings all events to the disk.
    pub(super) fn sync(&mut self) -> Result<(), DriverError> {
        Ok(self.journal.sync()?)
    }

    /// Ends the run in good order. The archive is a view of the journal, so the run is whole without it.
    pub(super) fn finish(&mut self, reason: StopReason) -> Result<(), DriverError> {
        self.add(&Event::RunStopped { reason })?;
        self.sync()?;
        if let Err(error) = finish_archive(&mut self.archive, &self.search, &self.programs) {
            tracing::warn!(error = in_one_line(&error), "the archive is not up to date");
            (self.observer)(RunUpdate::ArchiveBehind(&error), &self.search);
        }
        Ok(())
    }

    pub(super) fn known(&self, candidate: CandidateId) -> &Candidate {
        self.search.candidate(candidate).expect("BUG: selections name known candidates")
    }

    pub(super) fn program(&self, candidate: CandidateId) -> Result<String, ProgramsError> {
        Ok(self.programs.program(candidate)?.to_string())
    }

    pub(super) fn prompt_data(&self) -> PromptData<'_> {
        PromptData {
            search: &self.search,
            history: &self.history,
            programs: &self.programs,
            exchanges: &self.exchanges,
        }
    }
}
