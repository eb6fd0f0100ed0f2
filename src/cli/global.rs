//! Options of every command: how much is said, and in which colours.

use clap::{ArgAction, Args, ColorChoice};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::logging;
use crate::view::output::{self, Verbosity};
use crate::view::terminal::{self, Color};

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print the log to stderr; -vv includes debug messages
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// When to colour results; use `always` for a pager such as `less -R`
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
}

impl GlobalArgs {
    pub fn apply(&self) {
        output::set_verbosity(match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        });
        terminal::set_color(match self.color {
            ColorChoice::Auto => Color::Auto,
            ColorChoice::Always => Color::Always,
            ColorChoice::Never => Color::Never,
        });
        logging::install(match self.verbose {
            0 => LevelFilter::OFF,
            1 => LevelFilter::INFO,
            _ => LevelFilter::DEBUG,
        });
    }
}
