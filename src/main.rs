//! The `packevolve` program; everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// With the system's allocator, short-lived and long-lived objects of a long run share pages until these are half
/// empty, and searching them for room takes time. The `override` feature replaces the C library's functions, so that
/// tree-sitter and libgit2 use mimalloc, too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    packevolve::cli::main().into()
}
