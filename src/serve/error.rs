//! Why the server does not start, or ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot listen at {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot use the token in {}", path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error("{} holds no token: at least {least} letters and digits, and nothing else", path.display())]
    BadToken { path: PathBuf, least: usize },
    #[error("the server failed")]
    Failed(#[source] io::Error),
}

impl Classify for ServeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Listen { .. } | Self::Token { .. } | Self::BadToken { .. } => ErrorKind::Input,
            Self::Failed(_) => ErrorKind::Failure,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("--port 0 takes a free one".to_owned())
            }
            Self::BadToken { .. } => Some("remove the file: a new token is written there".to_owned()),
            _ => None,
        }
    }
}
