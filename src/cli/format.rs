//! Output formats.

use clap::ValueEnum;

use crate::view::output::{PrintError, print};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), PrintError> {
    print(serde_json::to_string_pretty(value).expect("BUG: results are JSON") + "\n")
}
