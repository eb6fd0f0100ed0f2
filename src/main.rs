//! `packevolve`: see the library for everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    packevolve::cli::main().into()
}
