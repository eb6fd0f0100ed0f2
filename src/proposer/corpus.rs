//! The corpus: a folder of proposals, each with the program that it edits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::edit::proposal::Proposal;
use crate::values::error_kind::{Classify, ErrorKind};

/// The corpus cannot be read.
#[derive(Debug, Error)]
#[error("cannot read the corpus: {}", path.display())]
pub struct CorpusError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl Classify for CorpusError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// One file of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub file: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub document: Document,
    /// Index in the plan of the document whose program this one edits. `None`: the seed program; also for documents
    /// that fit no program, so that the run declines them there with their near misses.
    pub parent: Option<usize>,
}

/// Reads all `*.txt` files of a folder, sorted by name.
///
/// # Errors
/// The folder or a file cannot be read.
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

/// Orders documents so that each follows the document whose program it edits. A document edits the first program that
/// it applies to: the seed program, then the programs in the order they were made.
pub fn plan(seed: &str, documents: Vec<Document>) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    // Programs so far, each with the index of its document.
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
    fn a_document_follows_the_one_whose_program_it_edits_regardless_of_names() {
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
