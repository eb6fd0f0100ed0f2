//! `packevolve completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::error::CommandError;
use crate::view::output::print;

/// Print a completion script for a shell
///
/// For bash, save it as ~/.local/share/bash-completion/completions/packevolve.
#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(&self, program: &mut clap::Command) -> Result<(), CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, program, "packevolve", &mut script);
        Ok(print(String::from_utf8_lossy(&script))?)
    }
}
