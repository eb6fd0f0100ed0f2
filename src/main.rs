//! `packevolve`: see the library for everything.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What a long run remembers and what it forgets at once would share the pages of the system's allocator, until half of them
/// are empty and to find room in them takes its time. It serves tree-sitter and libgit2, too: the C library's functions are
/// replaced (`override`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    packevolve::cli::main().into()
}
