//! `packevolve report`: a run as one page.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::RunArguments;
use crate::exit::Exit;
use crate::output::{data, talk};
use crate::report;
use crate::repository::Repository;

/// A run as one page of HTML that needs nothing beside itself.
#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    run: RunArguments,
    /// The file to write; `-`: print it.
    #[arg(short, long, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,
}

impl Report {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let run = self.run.open()?;
        let repository = Repository::open(&run.folder.archive())?;
        let page = report::html(&run, &repository)?;
        if self.output == Path::new("-") {
            data(page)?;
            return Ok(Exit::Success);
        }
        write_whole(&self.output, page.as_bytes())
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        talk(format_args!("the report is in {}", self.output.display()));
        Ok(Exit::Success)
    }
}

/// Writes beside the file and puts it in its place when it is whole, so that nobody ever sees a part of it. What is no
/// file, such as a pipe, is written to as it is.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.exists() && !path.is_file() {
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    let mut aside = path.clone().into_os_string();
    aside.push(format!(".{}.part", std::process::id()));
    let written = fs::File::create_new(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    });
    written.inspect_err(|_| drop(fs::remove_file(&aside)))
}
