//! `packevolve man`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::help::{TOPICS, Topic};

/// Write the man pages: packevolve.1, and one for each command and topic
#[derive(Debug, Args)]
pub struct Man {
    folder: PathBuf,
}

impl Man {
    pub fn run(&self, program: clap::Command) -> anyhow::Result<Exit> {
        let cannot = || format!("cannot write man pages to {}", self.folder.display());
        std::fs::create_dir_all(&self.folder).with_context(cannot)?;
        clap_mangen::generate_to(program, &self.folder).with_context(cannot)?;
        for (name, page) in TOPICS.iter().map(Topic::man_page) {
            std::fs::write(self.folder.join(name), page.render()).with_context(cannot)?;
        }
        Ok(Exit::Success)
    }
}
