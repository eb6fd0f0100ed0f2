//! Corpus: a folder of proposals, and for each the program that it is an edit of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::edit::proposal::Proposal;

/// The corpus cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the corpus: {}", path.display())]
pub struct CorpusError {
    /// File or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// One file of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// File name.
    pub file: String,
    /// As it is in the file, byte for byte.
    pub bytes: Vec<u8>,
}

/// A document and its place in the family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The document.
    pub document: Document,
    /// Place in the plan of the document whose program this one edits; `None`: the seed program, also for documents
    /// that fit nowhere, which will be declined there with their near misses.
    pub parent: Option<usize>,
}

/// Reads all `*.txt` files of a folder, in the order of their names.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn read(folder: &Path) -> Result<Vec<Document>, CorpusError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| CorpusError { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(error(folder))? {
        let path = entry.map_err(error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let document = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::read(path).map(|bytes| Document { file, bytes }).map_err(error(path))
    };
    paths.iter().map(document).collect()
}

/// Orders documents so that each comes after the one whose program it edits: every document goes to the first program
/// that it applies to, the seed program first, then the programs in the order they were made.
pub fn plan(seed: &str, documents: Vec<Document>) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    // Programs made so far, each with the place of its document; the seed program has none.
    let mut programs: Vec<(Option<usize>, String)> = vec![(None, seed.to_owned())];
    let mut left = documents;
    loop {
        let before = left.len();
        let mut still_left = Vec::new();
        for document in left {
            let fit = edit_of(&document)
                .and_then(|edit| programs.iter().find_map(|(at, text)| Some((*at, edit.apply(text).ok()?))));
            match fit {
                Some((parent, program)) => {
                    programs.push((Some(planned.len()), program));
                    planned.push(Planned { document, parent });
                }
                None => still_left.push(document),
            }
        }
        left = still_left;
        if left.len() == before {
            break;
        }
    }
    planned.extend(left.into_iter().map(|document| Planned { document, parent: None }));
    planned
}

fn edit_of(document: &Document) -> Option<crate::edit::apply::Edit> {
    Some(Proposal::parse(std::str::from_utf8(&document.bytes).ok()?).ok()?.edit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &str, search: &str, replace: &str) -> Document {
        let text = format!(
            "<NAME>\n{file}\n</NAME>\n<DESCRIPTION>\nd\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n{search}\n=======\n\
             {replace}\n>>>>>>> REPLACE\n</DIFF>\n"
        );
        Document { file: file.to_owned(), bytes: text.into_bytes() }
    }

    #[test]
    fn a_document_follows_the_one_whose_program_it_edits_whatever_their_names() {
        let documents = vec![
            document("a", "second", "third"),
            document("b", "nowhere", "x"),
            document("c", "first", "second"),
            Document { file: "d".to_owned(), bytes: b"\xff no proposal".to_vec() },
        ];
        let plan = plan("first\n", documents);
        let order: Vec<(&str, Option<usize>)> =
            plan.iter().map(|planned| (planned.document.file.as_str(), planned.parent)).collect();
        assert_eq!(order, [("c", None), ("a", Some(0)), ("b", None), ("d", None)]);
    }
}
