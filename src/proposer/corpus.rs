//! The corpus: a folder of proposals, each with the program that it edits.

use crate::config::Asset;
use crate::edit::apply::Edit;
use crate::edit::proposal::Proposal;
use crate::proposer::folder::{FolderError, asset_files};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub file: String,
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
pub fn read(folder: &Asset) -> Result<Vec<Document>, FolderError> {
    let files = asset_files("corpus", folder, "txt", Ok)?;
    Ok(files.into_iter().map(|(file, bytes)| Document { file, bytes }).collect())
}

/// Orders documents so that each follows the document whose program it edits. A document edits the first program that
/// it applies to: the seed program, then the programs in the order they were made.
pub fn plan(seed: &str, documents: Vec<Document>) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    // Programs so far, each with the index of its document.
    let mut programs: Vec<(Option<usize>, String)> = vec![(None, seed.to_owned())];
    let mut left = documents;
    let mut before = usize::MAX;
    while left.len() < before {
        before = left.len();
        for document in std::mem::take(&mut left) {
            let edit = edit_of(&document);
            let child = |edit: Edit| programs.iter().find_map(|(at, text)| Some((*at, edit.apply(text).ok()?)));
            if let Some((parent, program)) = edit.and_then(child) {
                programs.push((Some(planned.len()), program));
                planned.push(Planned { document, parent });
            } else {
                left.push(document);
            }
        }
    }
    planned.extend(left.into_iter().map(|document| Planned { document, parent: None }));
    planned
}

fn edit_of(document: &Document) -> Option<Edit> {
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
