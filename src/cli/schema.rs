//! `packevolve schema`: the shape of the JSON that other commands print.

use clap::{Args, ValueEnum};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema as JsonShape};
use serde_json::Value;

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
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(describe_json));
    settings.into_generator().into_root_schema_for::<T>()
}

/// Doc comments describe Rust: a missing value is `None` there, and names are links.
fn describe_json(shape: &mut JsonShape) {
    if let Some(Value::String(text)) = shape.get_mut("description") {
        let without_target = |part: &str| part.split_once(')').map_or(part.to_owned(), |(_, after)| after.to_owned());
        let mut parts = text.split("](");
        let first = parts.next().unwrap_or_default().to_owned();
        let linkless = first + &parts.map(without_target).collect::<String>();
        *text = linkless.replace("`None`", "`null`").replace("[`", "`").replace("`]", "`").replace('\n', " ");
    }
}
