//! `packevolve schema`: the shape of the JSON that other commands print.

use clap::{Args, ValueEnum};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema as JsonShape};

use crate::cli::diff::DiffJson;
use crate::cli::error::CommandError;
use crate::cli::evolve::EvolveJson;
use crate::cli::exit::Exit;
use crate::cli::format::print_json;
use crate::cli::fsck::FsckJson;
use crate::cli::lineage::LineageJson;
use crate::cli::log::LogJson;
use crate::cli::replay::ReplayJson;
use crate::cli::show::ShowJson;
use crate::cli::top::TopJson;
use crate::view::inspect::Evaluated;

/// Print the JSON Schema of a command's JSON output
#[derive(Debug, Args)]
pub struct Schema {
    command: Printing,
}

/// A command that prints JSON.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Printing {
    Evolve,
    Resume,
    Replay,
    Fsck,
    Evaluate,
    Top,
    Show,
    Lineage,
    Diff,
    Log,
}

impl Schema {
    pub fn run(&self) -> Result<Exit, CommandError> {
        print_json(&match self.command {
            Printing::Evolve | Printing::Resume => schema::<EvolveJson>(),
            Printing::Replay => schema::<ReplayJson<'_>>(),
            Printing::Fsck => schema::<FsckJson<'_>>(),
            Printing::Evaluate => schema::<Evaluated>(),
            Printing::Top => schema::<TopJson>(),
            Printing::Show => schema::<ShowJson>(),
            Printing::Lineage => schema::<LineageJson>(),
            Printing::Diff => schema::<DiffJson>(),
            Printing::Log => schema::<LogJson<'_>>(),
        })?;
        Ok(Exit::Success)
    }
}

fn schema<T: JsonSchema>() -> JsonShape {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
