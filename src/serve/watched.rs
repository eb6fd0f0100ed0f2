//! Watched: one run that is followed, what it does at this moment, and when that has changed.

use std::time::SystemTime;

use crate::run::folder::RunFolder;
use crate::run::following::Following;
use crate::run::now::{self, Busy};
use crate::view::site::Shown;

pub struct Watched {
    /// As addresses name it.
    pub name: String,
    folder: RunFolder,
    /// `Err`: why it cannot be read.
    following: Result<Following, String>,
    busy: Vec<Busy>,
    is_live: bool,
    /// Counts changes.
    changes: u64,
    version: String,
    /// When the journal had changed last, when it could not be read.
    failed_at: Option<SystemTime>,
}

impl Watched {
    /// Reads a run.
    pub fn open(name: String, folder: RunFolder) -> Self {
        let mut watched = Self {
            name,
            following: Following::open(folder.clone()).map_err(|error| error.to_string()),
            failed_at: changed(&folder),
            folder,
            busy: Vec::new(),
            is_live: false,
            changes: 0,
            version: String::new(),
        };
        watched.look();
        watched.count();
        watched
    }

    /// Reads what was written since; whether anything has changed.
    pub fn catch_up(&mut self) -> bool {
        let read = match &mut self.following {
            Ok(following) => following.catch_up().map_err(|error| error.to_string()),
            // It may have been half written, or copied there since.
            Err(_) if changed(&self.folder) != self.failed_at => Err("it is read again".to_owned()),
            Err(_) => Ok(false),
        };
        let has_grown = match read {
            Ok(has_grown) => has_grown,
            Err(_) => {
                self.failed_at = changed(&self.folder);
                self.following = Following::open(self.folder.clone()).map_err(|error| error.to_string());
                true
            }
        };
        let has_moved = self.look();
        if has_grown || has_moved {
            self.count();
        }
        has_grown || has_moved
    }

    /// Looks at what a journal does not tell; whether that has changed.
    fn look(&mut self) -> bool {
        let Ok(following) = &self.following else { return false };
        let is_live = following.is_live();
        let busy = match is_live {
            // While the file is being written, what it held last is true enough.
            true => now::read(&self.folder).unwrap_or_else(|| self.busy.clone()),
            false => Vec::new(),
        };
        let has_changed = (is_live, &busy) != (self.is_live, &self.busy);
        (self.is_live, self.busy) = (is_live, busy);
        has_changed
    }

    fn count(&mut self) {
        self.changes += 1;
        let events = self.following.as_ref().map_or(0, |following| following.entries.len());
        self.version = format!("{events}-{}", self.changes);
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The run; why it cannot be read, if that is so.
    pub fn shown(&self) -> Result<Shown<'_>, &str> {
        let following = self.following.as_ref().map_err(String::as_str)?;
        Ok(Shown {
            name: &self.name,
            run: &following.run,
            entries: &following.entries,
            busy: &self.busy,
            is_live: self.is_live,
            version: &self.version,
        })
    }
}

/// When a journal has changed last.
pub fn changed(folder: &RunFolder) -> Option<SystemTime> {
    folder.journal().metadata().and_then(|data| data.modified()).ok()
}
