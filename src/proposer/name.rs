//! Name: what a proposer may call its proposal.

use crate::edit::proposal::NAME_LENGTH;

/// A name cut to the length that a name may have.
pub(crate) fn fitted(name: &str) -> String {
    // What git would take off an author's end must not stand there after the cut.
    name.chars().take(NAME_LENGTH).collect::<String>().trim_end_matches(['.', '-', '_']).to_owned()
}
