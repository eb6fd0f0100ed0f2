//! The last steps of proposers: text replaced in a program, and the proposal that leads from one program to another.

use std::ops::Range;

use crate::edit::apply::Edit;
use crate::edit::proposal::{NAME_LENGTH, Proposal};

/// `program` with spans replaced, which are in program order.
pub(crate) fn replaced(program: &str, replacements: &[(Range<usize>, String)]) -> String {
    let mut child = program.to_owned();
    for (span, text) in replacements.iter().rev() {
        child.replace_range(span.clone(), text);
    }
    child
}

/// The edit that makes `child` of `parent`, with the name cut to the allowed length; `None` if no SEARCH text matches
/// uniquely.
pub(crate) fn proposal(parent: &str, child: &str, name: &str, description: &str) -> Option<Proposal> {
    // Git strips these characters from the end of an author.
    let name: String = name.chars().take(NAME_LENGTH).collect();
    let edit = Edit::between(parent, child).ok()?;
    Proposal::new(name.trim_end_matches(['.', '-', '_']), description, edit).ok()
}
