//! `packevolve schema`: the shape of the JSON that other commands print.

use clap::Args;
use clap::builder::PossibleValuesParser;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema as JsonShape};
use serde_json::Value;

use crate::cli::diff::DiffJson;
use crate::cli::error::CommandError;
use crate::cli::evolve::EvolveJson;
use crate::cli::format::print_json;
use crate::cli::fsck::FsckJson;
use crate::cli::lineage::LineageJson;
use crate::cli::loads::LoadsJson;
use crate::cli::log::LogJson;
use crate::cli::presets::PresetsJson;
use crate::cli::replay::ReplayJson;
use crate::cli::show::ShowJson;
use crate::cli::top::TopJson;
use crate::view::beside::Beside;
use crate::view::inspect::Evaluated;
use crate::view::plans::Planning;
use crate::view::worth::WorthJson;

/// Print the JSON Schema of a command's JSON output
#[derive(Debug, Args)]
pub struct Schema {
    #[arg(value_parser = PossibleValuesParser::new(PRINTING.map(|(name, _)| name)))]
    command: String,
}

type MakeSchema = fn() -> JsonShape;

/// The commands that print JSON.
const PRINTING: [(&str, MakeSchema); 15] = [
    ("evolve", schema::<EvolveJson>),
    ("resume", schema::<EvolveJson>),
    ("replay", schema::<ReplayJson<'_>>),
    ("fsck", schema::<FsckJson<'_>>),
    ("evaluate", schema::<Evaluated>),
    ("compare", schema::<Beside>),
    ("top", schema::<TopJson>),
    ("show", schema::<ShowJson>),
    ("lineage", schema::<LineageJson>),
    ("diff", schema::<DiffJson>),
    ("log", schema::<LogJson<'_>>),
    ("loads", schema::<LoadsJson>),
    ("plan", schema::<Planning>),
    ("presets", schema::<PresetsJson>),
    ("worth", schema::<WorthJson>),
];

impl Schema {
    pub fn run(&self) -> Result<(), CommandError> {
        let known = PRINTING.into_iter().find(|(name, _)| *name == self.command);
        let (_, schema) = known.expect("BUG: clap checks the name");
        Ok(print_json(&schema())?)
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
