//! `packevolve export`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantNames;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::input::read_text;
use crate::cli::write::{check_consistency, new_folder, write, write_folder};
use crate::view::export::origin::Origin;
use crate::view::export::package::{Engine, package};
use crate::view::export::program::standalone;
use crate::view::output::{print, status};

/// Write a candidate as a program, or as a package for a serving engine
///
/// The program is a drop-in replacement for DeepSeek's `eplb.py`. Its header states the run, the commit, the scores and
/// the command that reproduces it. With --engine, a folder is written that `pip install` installs: the program and the
/// engine's own hook. See `packevolve help engines`.
#[derive(Debug, Args)]
pub struct Export {
    /// Number, NAME, commit prefix, `best` or `seed`.
    #[arg(default_value = "best")]
    candidate: String,
    #[command(flatten)]
    run: RunArgs,
    /// Write a package for this engine to the new folder that -o names
    #[arg(long, requires = "output", value_parser = engines())]
    engine: Option<Engine>,
    /// Package a program file instead of a candidate of a run
    #[arg(long, value_name = "FILE", requires = "engine", conflicts_with_all = ["candidate", "run", "runs"])]
    program: Option<PathBuf>,
    /// Output file [default: stdout, also `-`]; with --engine, a new or empty folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace an existing file, and write an inconsistent program all the same
    #[arg(long)]
    force: bool,
}

fn engines() -> impl TypedValueParser<Value = Engine> {
    PossibleValuesParser::new(Engine::VARIANTS).try_map(|name| name.parse::<Engine>())
}

impl Export {
    pub fn run(&self) -> Result<(), CommandError> {
        let (program, origin) = self.program()?;
        match (self.engine, self.output.as_deref()) {
            (Some(engine), Some(folder)) => put_package(engine, &program, &origin, folder)?,
            (_, Some(path)) if path != Path::new("-") => self.put(path, &standalone(&program, &origin))?,
            _ => print(standalone(&program, &origin))?,
        }
        Ok(())
    }

    fn program(&self) -> Result<(String, Origin), CommandError> {
        if let Some(path) = &self.program {
            let program = read_text(path)?;
            let origin = Origin::of_file(path, &program);
            return Ok((program, origin));
        }
        let run = self.run.open()?;
        let candidate = run.candidate(&self.candidate)?;
        if !self.force {
            check_consistency(&run, candidate)?;
        }
        let program = run.programs.program(candidate)?;
        Ok((program.to_string(), Origin::of_candidate(&run, candidate, &program)))
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), CliError> {
        if path.exists() && !self.force {
            return Err(CliError::Exists(path.to_owned()));
        }
        write(path, text)?;
        status(format_args!("wrote {}", path.display()));
        Ok(())
    }
}

fn put_package(engine: Engine, program: &str, origin: &Origin, folder: &Path) -> Result<(), CliError> {
    if let Some(lacking) = engine.lacks(program) {
        let (program, engine) = (origin.title().to_owned(), engine.into());
        return Err(CliError::NoHook { program, lacking, engine });
    }
    let folder = new_folder(folder)?;
    let files = package(engine, program, origin);
    write_folder(&folder, &files)?;
    // pip takes a path without a separator for the name of a package in its registry.
    let (count, place) = (files.len(), folder.display());
    let from = if folder.is_absolute() || folder.starts_with(".") { "" } else { "./" };
    status(format_args!("wrote {count} files to {place}; `pip install {from}{place}` installs them"));
    Ok(())
}
