//! Runs: those that are served, each read once and then followed by a thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::run::folder::RunFolder;
use crate::serve::watched::{Watched, changed};

/// How often journals are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many of the newest runs of a folder are served.
const MOST: usize = 40;

/// Which runs are served.
#[derive(Clone, Debug)]
pub enum Where {
    /// All of a folder of runs.
    Folder(PathBuf),
    /// One.
    Run(RunFolder),
}

pub struct Runs {
    place: Where,
    open: Mutex<BTreeMap<String, Arc<Mutex<Watched>>>>,
    /// Counts changes of any run, and of which runs there are.
    changes: watch::Sender<u64>,
}

impl Runs {
    /// Begins to follow the runs, until nothing else holds them.
    pub fn follow(place: Where) -> Arc<Self> {
        let runs = Arc::new(Self { place, open: Mutex::new(BTreeMap::new()), changes: watch::Sender::new(0) });
        let weak = Arc::downgrade(&runs);
        thread::spawn(move || {
            let mut before = Vec::new();
            while let Some(runs) = weak.upgrade() {
                let names = runs.names();
                let is_new = names != before;
                let has_opened = runs.open_next(&names);
                if runs.catch_up() || is_new || has_opened {
                    runs.changes.send_modify(|changes| *changes += 1);
                }
                before = names;
                drop(runs);
                if !has_opened {
                    thread::sleep(LOOK_EVERY);
                }
            }
        });
        runs
    }

    /// The names of the runs, the newest first.
    pub fn names(&self) -> Vec<String> {
        let mut dated: Vec<(SystemTime, String)> = match &self.place {
            Where::Run(folder) => return vec![folder.name()],
            Where::Folder(runs) => {
                let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
                let dated = |name: String| Some((changed(&RunFolder::new(runs.join(&name)))?, name));
                entries.filter_map(|entry| dated(entry.file_name().into_string().ok()?)).collect()
            }
        };
        dated.sort_by(|one, other| other.cmp(one));
        dated.into_iter().take(MOST).map(|(_, name)| name).collect()
    }

    /// A run that is served, read at once if it was not read yet.
    pub fn get(&self, name: &str) -> Option<Arc<Mutex<Watched>>> {
        if let Some(known) = lock(&self.open).get(name) {
            return Some(Arc::clone(known));
        }
        let names = self.names();
        let name = names.into_iter().find(|known| known == name)?;
        let folder = match &self.place {
            Where::Run(folder) => folder.clone(),
            Where::Folder(runs) => RunFolder::new(runs.join(&name)),
        };
        let watched = Arc::new(Mutex::new(Watched::open(name.clone(), folder)));
        Some(Arc::clone(lock(&self.open).entry(name).or_insert(watched)))
    }

    /// A run that was read already.
    pub fn peek(&self, name: &str) -> Option<Arc<Mutex<Watched>>> {
        lock(&self.open).get(name).map(Arc::clone)
    }

    /// What tells of changes of any run.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Reads the first run that was not read yet, and forgets those that are gone; whether there was one.
    fn open_next(&self, names: &[String]) -> bool {
        lock(&self.open).retain(|name, _| names.contains(name));
        let next = names.iter().find(|name| !lock(&self.open).contains_key(*name));
        next.is_some_and(|name| self.get(name).is_some())
    }

    fn catch_up(&self) -> bool {
        let all: Vec<Arc<Mutex<Watched>>> = lock(&self.open).values().map(Arc::clone).collect();
        // All of them, whether or not the first one has changed.
        all.iter().filter(|watched| lock(watched).catch_up()).count() > 0
    }
}

/// What a thread that failed left behind is as whole as before: it only reads.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
