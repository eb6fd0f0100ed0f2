//! `packevolve man`.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::cli::error::{CliError, CommandError};
use crate::cli::help::{TOPICS, Topic};

/// Write the man pages: packevolve.1, and one for each command and topic
#[derive(Debug, Args)]
pub struct Man {
    folder: PathBuf,
}

impl Man {
    pub fn run(&self, program: clap::Command) -> Result<(), CommandError> {
        Ok(self.write(program).map_err(|source| CliError::Write { path: self.folder.clone(), source })?)
    }

    fn write(&self, program: clap::Command) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        clap_mangen::generate_to(program, &self.folder)?;
        TOPICS.iter().map(Topic::man_page).try_for_each(|(name, page)| fs::write(self.folder.join(name), page.render()))
    }
}
