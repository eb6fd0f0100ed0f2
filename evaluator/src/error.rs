//! Error: why work on a candidate stops. Either the candidate failed, which is a result, or the judge broke.

use std::io;

use packevolve_contract::protocol::VERSION;
use packevolve_contract::rejection::Rejection;
use packevolve_loads::error::LoadsError;
use thiserror::Error;

use crate::delivery::DeliveryError;
use crate::nursery::NurseryError;

/// The judge broke, or it cannot serve a request; no candidate is to blame.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error(transparent)]
    Nursery(#[from] NurseryError),
    #[error(transparent)]
    Loads(#[from] LoadsError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error("no device {device}: this machine has {available}")]
    Device { device: String, available: String },
    #[error("the harness speaks version {theirs} of the protocol, this judge version {VERSION}")]
    Version { theirs: u32 },
    #[error("no program can be asked for plan {number}: {problem}")]
    Plan { number: usize, problem: String },
    #[error("there is no python to run candidates with")]
    NoPython,
    #[error("the reference program fails: it {0}")]
    Reference(Rejection),
    #[error("cannot pin the judge to cpu {cpu}")]
    Pin { cpu: usize, source: io::Error },
    #[error("cannot lock device {device}")]
    Lock { device: String, source: io::Error },
}

impl JudgeError {
    /// Where what the machine lacks may be limited, if that is the reason.
    pub fn lacking(&self) -> Option<&'static str> {
        match self {
            Self::Nursery(error) => error.lacking(),
            _ => None,
        }
    }

    pub fn hint(&self) -> Option<&'static str> {
        if let Some(hint) = self.lacking() {
            return Some(hint);
        }
        Some(match self {
            Self::Device { .. } => "set `device` in config.yaml to one of them, or to auto",
            Self::Version { .. } => "rebuild both",
            Self::NoPython => "set `evaluation.python` in config.yaml to an interpreter that has torch",
            Self::Nursery(NurseryError::Start { .. } | NurseryError::NotReady { .. }) => {
                "`make` sets up .venv with torch and numpy; `evaluation.python` in config.yaml selects another interpreter"
            }
            Self::Nursery(NurseryError::Unavailable { .. }) => {
                "`sandbox: best-effort` runs candidates without that protection"
            }
            Self::Nursery(NurseryError::Stuck(_)) => "see the kernel's log (`dmesg`) and `nvidia-smi`",
            Self::Loads(LoadsError::UnknownFormat { .. }) => "`packevolve help loads` lists the formats",
            _ => return None,
        })
    }
}

/// Why work on a candidate stops. `?` turns both kinds into it, and [`Judge::evaluate`](crate::judge::Judge::evaluate)
/// takes them apart again.
#[derive(Debug)]
pub enum Halt {
    /// The traceback is as the child shortened it, and empty if there is none.
    Rejected {
        rejection: Rejection,
        traceback: String,
    },
    Broken(JudgeError),
}

impl From<Rejection> for Halt {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected { rejection, traceback: String::new() }
    }
}

impl<E> From<E> for Halt
where
    JudgeError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl From<io::Error> for JudgeError {
    fn from(error: io::Error) -> Self {
        Self::Nursery(error.into())
    }
}
