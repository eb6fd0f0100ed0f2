//! `packevolve export`: a program of a run as a file of its own.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::archive::Repository;
use crate::cli::exit::Exit;
use crate::cli::input::BadInput;
use crate::cli::named::Names;
use crate::cli::write::write;
use crate::view::export;
use crate::view::output::{print, status};

/// The best program of a run, or another one, with a header that says from which run, commit and scores it comes and how
/// to make it again: a drop-in for DeepSeek's `eplb.py`.
#[derive(Debug, Args)]
pub struct Export {
    /// Folder of the run, or its name in the folder of runs; the newest run if not given.
    run: Option<String>,
    /// Number, NAME, commit prefix, `best` or `seed`; the best if not given. It may also stand first.
    candidate: Option<String>,
    /// Where it goes; stdout if not given, or `-`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Settings, for where the runs are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Export {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (run, candidate) =
            Names::of(&[self.run.as_ref(), self.candidate.as_ref()], 1, self.config.as_deref()).find_one()?;
        let repository = Repository::open(&run.folder.archive())?;
        let text = export::standalone(&run, &repository, candidate)?;
        match self.output.as_deref().filter(|path| *path != Path::new("-")) {
            None => print(text)?,
            Some(path) => self.put(path, &text)?,
        }
        Ok(Exit::Success)
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), BadInput> {
        let shown = path.display();
        if path.exists() && !self.force {
            return Err(BadInput(format!("{shown} is there already\nhint: --force replaces it")));
        }
        write(path, text).map_err(|error| BadInput(format!("cannot write {shown}: {error}")))?;
        status(format_args!("wrote {shown}"));
        Ok(())
    }
}
