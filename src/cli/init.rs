//! `packevolve init`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::{CliError, CommandError};
use crate::cli::write::write_folder;
use crate::values::shipped;
use crate::view::format::count;
use crate::view::output::status;

/// Write the settings and programs that PackEvolve brings along, to be edited
///
/// Writes config.yaml, which documents every setting, and the folder `candidates`: the seed program, proposals, building
/// blocks and prompts. Commands in that folder use these files; without them, they use the same ones of the program.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder to write to, which is made if it does not exist
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

impl Init {
    pub fn run(&self) -> Result<(), CommandError> {
        let files: Vec<(&str, &[u8])> =
            shipped::all().filter(|(path, bytes)| !holds(&self.folder.join(path), bytes)).collect();
        let others =
            files.iter().map(|(path, _)| self.folder.join(path)).filter(|path| path.symlink_metadata().is_ok());
        let others: Vec<PathBuf> = others.collect();
        if !others.is_empty() {
            return Err(CliError::WouldReplace(others).into());
        }
        let written: Vec<(String, Vec<u8>)> =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        write_folder(&self.folder, &written)?;
        let folder = self.folder.display();
        status(format_args!("{} written to {folder}: config.yaml and candidates", count(files.len(), "file", "files")));
        Ok(())
    }
}

/// Whether a file is there already, as it would be written.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    fs::read(path).is_ok_and(|there| there == bytes)
}
