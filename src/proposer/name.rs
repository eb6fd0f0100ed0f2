//! Names of proposals, cut to the allowed length.

use crate::edit::proposal::NAME_LENGTH;

pub(crate) fn fitted(name: &str) -> String {
    // Git strips these characters from the end of an author.
    name.chars().take(NAME_LENGTH).collect::<String>().trim_end_matches(['.', '-', '_']).to_owned()
}
