//! Output formats.

use clap::ValueEnum;
use serde::Serialize;

use crate::view::output::{PrintError, print};
use crate::view::terminal::Terminal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

impl Format {
    /// Prints `value` as JSON, or the text that `table` makes of it.
    pub(crate) fn print(
        self,
        value: &impl Serialize,
        table: impl FnOnce(&Terminal) -> String,
    ) -> Result<(), PrintError> {
        match self {
            Self::Json => print_json(value),
            Self::Table => print(table(&Terminal::of_stdout())),
        }
    }
}

pub(crate) fn print_json(value: &impl Serialize) -> Result<(), PrintError> {
    print(serde_json::to_string_pretty(value).expect("BUG: results are JSON") + "\n")
}
