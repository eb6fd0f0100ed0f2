//! Errors as the command line reports them.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use packevolve_contract::topology::TopologyError;
use packevolve_loads::error::LoadsError;

use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{Declined, StopReason};
use crate::values::raw_text::NotText;
use crate::values::shipped;
use crate::view::beside::Unlike;

/// The error that ends a command: the cause first, then notes and hints.
#[derive(Debug)]
pub struct CommandError {
    error: Box<dyn Error>,
    kind: ErrorKind,
    notes: Vec<String>,
    hints: Vec<String>,
}

impl<E: Classify + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        let (kind, hints) = (error.kind(), error.hint().into_iter().collect());
        Self { error: Box::new(error), kind, notes: Vec::new(), hints }
    }
}

impl CommandError {
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Replaces the hint of the error.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints = vec![hint.into()];
        self
    }

    pub fn is<E: Error + 'static>(&self, is: impl FnOnce(&E) -> bool) -> bool {
        self.error.downcast_ref().is_some_and(is)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))?;
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

/// What commands find wrong by themselves.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {problem}", path.display())]
    NotText { path: PathBuf, problem: NotText },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("nothing is written: {} would be replaced", names(.0))]
    WouldReplace(Vec<PathBuf>),
    #[error("candidate {candidate} must not be deployed, its answers are inconsistent: {inconsistency}")]
    Inconsistent { candidate: CandidateId, inconsistency: String },
    #[error("{program} has {lacking}, which the package of {engine} calls")]
    NoHook { program: String, lacking: &'static str, engine: &'static str },
    #[error("{} has no function `rebalance_experts` in its editable region, and `target` is policy", .0.display())]
    NotEditable(PathBuf),
    #[error("there are no loads at {}", .0.display())]
    NoLoads(PathBuf),
    #[error(transparent)]
    Loads(#[from] LoadsError),
    #[error("no plan can be made with {program}: it {rejection}")]
    NoPlan { program: String, rejection: String },
    #[error("there is no window {window}: the loads have {windows}, counted from 0")]
    NoWindow { window: usize, windows: usize },
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("unknown deployment {name:?}")]
    NoDeployment { name: String },
    #[error("nothing says how many {name} there are")]
    Undecided { name: &'static str },
    #[error("{name}: {one_by} {one}, {other_by} {other}")]
    Contradiction { name: &'static str, one_by: &'static str, one: usize, other_by: &'static str, other: usize },
    #[error("--dense is {dense}, but the first layer of the loads is layer {first}")]
    OtherLayers { dense: usize, first: usize },
    #[error("{0} has no `rebalance_experts`, so it makes no plans")]
    NoPlanner(String),
    #[error("no plan of {program} may be deployed, its answers are inconsistent: {inconsistency}")]
    InconsistentPlan { program: String, inconsistency: String },
    #[error("the target of this run is packing, which loses no time that could have a price")]
    NotPolicy,
    #[error("candidate {0} is not put together from the building blocks of its run, so none can be left out")]
    NotComposed(CandidateId),
    #[error("the loads of the run are not those that it began with: other windows would be measured")]
    OtherLoads,
    #[error("{} does not go with this run: it has figures on {unlike}", path.display())]
    Unlike { path: PathBuf, unlike: Unlike },
    #[error("{} was not printed by `packevolve compare --format json`", path.display())]
    NotBeside { path: PathBuf, source: serde_json::Error },
    #[error("SOURCE_DATE_EPOCH is {0:?}, not a number of seconds from 0 to the year 9999")]
    Epoch(String),
    #[error("{} cannot be compared with: it {rejection}", path.display())]
    BadBaseline { path: PathBuf, rejection: String },
    #[error("not reproduced: the last line of {} is unfinished", .0.display())]
    Torn(PathBuf),
    #[error("{} is not handed in: {reason}", path.display())]
    NotProposed { path: PathBuf, reason: Declined },
    #[error("the run {} is over: {reason}", path.display())]
    Over { path: PathBuf, reason: StopReason },
    #[error("no process on this machine runs {}", .0.display())]
    NotRunning(PathBuf),
    #[error("cannot write the log to {}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl Classify for CliError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Failure,
                _ => ErrorKind::Input,
            },
            Self::Log { .. } | Self::Runtime(_) => ErrorKind::Failure,
            Self::Torn(_) => ErrorKind::Diverged,
            Self::BadBaseline { .. } | Self::NoPlan { .. } => ErrorKind::Rejected,
            Self::Read { .. }
            | Self::NotText { .. }
            | Self::Exists(_)
            | Self::NotEmpty(_)
            | Self::WouldReplace(_)
            | Self::Inconsistent { .. }
            | Self::NoHook { .. }
            | Self::NotEditable(_)
            | Self::NoLoads(_)
            | Self::Loads(_)
            | Self::NoWindow { .. }
            | Self::Topology(_)
            | Self::NoDeployment { .. }
            | Self::Undecided { .. }
            | Self::Contradiction { .. }
            | Self::OtherLayers { .. }
            | Self::NoPlanner(_)
            | Self::NotPolicy
            | Self::NotComposed(_)
            | Self::OtherLoads
            | Self::Unlike { .. }
            | Self::NotBeside { .. }
            | Self::InconsistentPlan { .. }
            | Self::Epoch(_)
            | Self::NotProposed { .. }
            | Self::Over { .. }
            | Self::NotRunning(_) => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => is_shipped(path).then(|| {
                "`packevolve init` writes the files that PackEvolve brings along; settings that do not name them use them"
                    .to_owned()
            }),
            Self::Loads(_) => Some("`packevolve help loads` lists the formats".to_owned()),
            Self::Topology(error) => error.cure(),
            Self::Exists(_) => Some("--force replaces it".to_owned()),
            Self::NoDeployment { .. } => Some("`packevolve presets` lists them".to_owned()),
            Self::Undecided { name } | Self::Contradiction { name, .. } => {
                Some(format!("`--{name} N` decides, or `topology` in config.yaml"))
            }
            Self::NoPlanner(_) => Some("candidates/eplb.py has one that calls `balanced_packing`".to_owned()),
            Self::Inconsistent { .. } | Self::InconsistentPlan { .. } => {
                Some("--force writes it all the same".to_owned())
            }
            Self::NoHook { .. } => Some("`packevolve help measuring` has the contract of a program".to_owned()),
            Self::NotEditable(_) => Some(
                "`program: candidates/policy.py` has one; for `balanced_packing` alone write `target: packing`".to_owned(),
            ),
            Self::Unlike { .. } => Some(
                "`packevolve compare` once more, with this run and the same --chains, measures what compares".to_owned(),
            ),
            Self::NotEmpty(_) | Self::WouldReplace(_) => Some("name a new folder".to_owned()),
            Self::NotProposed { reason: Declined::Unreadable { .. }, .. } => {
                Some("`packevolve help proposals` has the format".to_owned())
            }
            Self::NotProposed { reason: Declined::DoesNotApply { .. }, .. } => {
                Some("--parent names another program to edit".to_owned())
            }
            Self::Over { path, reason: StopReason::Candidates } => {
                Some(format!("`packevolve resume --run {} --candidates N` continues it", path.display()))
            }
            Self::Over { path, .. } | Self::NotRunning(path) => {
                Some(format!("`packevolve resume --run {}` continues it", path.display()))
            }
            Self::Torn(_) => Some("if the run is live or was cut off, `packevolve resume` repairs it".to_owned()),
            _ => None,
        }
    }
}

/// Whether a path is that of a file that PackEvolve brings along, in any folder.
fn is_shipped(path: &Path) -> bool {
    shipped::all().any(|(file, _)| path.ends_with(file))
}

/// The first few paths of a list.
fn names(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = paths.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
