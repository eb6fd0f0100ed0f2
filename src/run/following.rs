//! Following: a run that is read while it is written, with all its events.

use crate::journal::{self, Entry, JournalError, Reader};
use crate::run::fold::{Fold, Run};
use crate::run::folder::{RunError, RunFolder};
use crate::values::event::Event;

#[derive(Debug)]
pub struct Following {
    reader: Reader<Event>,
    /// The state after the last entry.
    pub run: Run,
    pub entries: Vec<Entry<Event>>,
}

impl Following {
    /// Reads a run up to the end of its journal.
    ///
    /// # Errors
    /// The journal is missing, empty, damaged or of another version.
    pub fn open(folder: RunFolder) -> Result<Self, RunError> {
        let path = folder.journal();
        let mut reader = Reader::open(&path)?;
        let (mut fold, mut entries) = (Fold::new(path), Vec::new());
        for entry in reader.by_ref() {
            let entry = entry?;
            fold.step(&entry)?;
            entries.push(entry);
        }
        Ok(Self { reader, run: fold.finish(folder, None)?, entries })
    }

    /// Reads what was written since; whether that is anything.
    ///
    /// # Errors
    /// The journal is damaged, or no longer the one that was opened.
    pub fn catch_up(&mut self) -> Result<bool, RunError> {
        let before = self.entries.len();
        for entry in self.reader.by_ref() {
            let entry: Entry<Event> = entry.map_err(|error: JournalError| RunError::from(error))?;
            self.run.step(&entry)?;
            self.entries.push(entry);
        }
        Ok(self.entries.len() > before)
    }

    /// Whether a process of this machine runs it.
    pub fn is_live(&self) -> bool {
        journal::is_live(&self.run.folder.journal())
    }

    /// The time of the last event, in seconds since 1970.
    pub fn last_time(&self) -> f64 {
        self.entries.last().map_or(0.0, |entry| entry.time)
    }
}
