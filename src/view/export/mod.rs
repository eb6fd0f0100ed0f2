//! Export: a program as it leaves its run: alone, as the series of edits that make it from the seed program, or as a
//! package that an engine loads. Makes texts; writes nothing.

pub mod origin;
pub mod program;
pub mod series;
pub mod package;
