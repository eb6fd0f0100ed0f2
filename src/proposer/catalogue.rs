//! The catalogue of building blocks from which `compose` assembles programs. `candidates/blocks/README.md` describes
//! the blocks and their headers.
//!
//! A catalogue is one text, the files joined, so that the record holds one object.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use strum::{Display, EnumIter, EnumString};
use thiserror::Error;

use crate::edit::line::{bare, lines};
use crate::proposer::folder::{FolderError, files};
use crate::proposer::syntax::functions;
use crate::values::error_kind::{Classify, ErrorKind};

const BEGINS: &str = "# block: ";

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Catalogue {
    blocks: BTreeMap<String, Block>,
}

/// A building block: one function and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The name of its function without the leading underscore.
    pub(crate) name: String,
    pub(crate) kind: BlockKind,
    /// The blocks that its function calls.
    pub(crate) needs: Vec<String>,
    /// A description with parameters in braces.
    pub(crate) says: String,
    /// Each parameter with its possible values, in order.
    pub(crate) parameters: Vec<(String, Vec<String>)>,
    /// The source of its function, ending with a newline.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumIter, EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum BlockKind {
    Frame,
    Helper,
    Order,
    Assign,
    Select,
    Refine,
    Bound,
    Restart,
}

/// Blocks that every program needs, so every catalogue must have them.
pub(crate) const FRAME: [&str; 2] = ["sorted", "placement"];

#[derive(Debug, Error, PartialEq, Eq)]
pub enum CatalogueError {
    /// Something stands before the first block.
    #[error("line {line}: a block begins with `{BEGINS}` and its name")]
    Stray { line: usize },
    #[error("block {block}: {problem}")]
    Block { block: String, problem: String },
    #[error("there is no {missing}")]
    Missing { missing: String },
}

impl Classify for CatalogueError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// Joins the `*.py` files of `folder`, sorted by name.
pub fn gather(folder: &Path) -> Result<String, FolderError> {
    let files = files("building blocks", folder, "py", |path| fs::read_to_string(path))?;
    Ok(files.into_iter().map(|(_, text)| text).collect())
}

impl Catalogue {
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let mut parts: Vec<(&str, String)> = Vec::new();
        for (number, line) in (1..).zip(lines(text)) {
            match (line.strip_prefix(BEGINS), parts.last_mut()) {
                (Some(name), _) => parts.push((bare(name), String::new())),
                (None, Some((_, part))) => *part += line,
                (None, None) => return Err(CatalogueError::Stray { line: number }),
            }
        }
        let mut blocks = BTreeMap::new();
        for (name, part) in parts {
            let wrong = |problem: String| CatalogueError::Block { block: name.to_owned(), problem };
            let block = Block::parse(name, &part).map_err(wrong)?;
            if blocks.insert(name.to_owned(), block).is_some() {
                return Err(wrong("defined twice".to_owned()));
            }
        }
        let catalogue = Self { blocks };
        catalogue.check()?;
        Ok(catalogue)
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let of_frame = |name: &str| self.get(name).is_some_and(|block| block.kind == BlockKind::Frame);
        if let Some(missing) = FRAME.iter().find(|name| !of_frame(name)) {
            return Err(CatalogueError::Missing { missing: format!("block `{missing}` of kind frame") });
        }
        if let Some(kind) =
            [BlockKind::Assign, BlockKind::Bound].into_iter().find(|kind| self.of_kind(*kind).count() == 0)
        {
            return Err(CatalogueError::Missing { missing: format!("block of kind {kind}") });
        }
        for block in self.blocks.values() {
            if let Some(need) = block.needs.iter().find(|need| self.get(need).is_none()) {
                let problem = format!("it needs {need}, which does not exist");
                return Err(CatalogueError::Block { block: block.name.clone(), problem });
            }
        }
        Ok(())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.blocks.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Block> {
        self.blocks.get(name)
    }

    pub(crate) fn of_kind(&self, kind: BlockKind) -> impl Iterator<Item = &Block> {
        self.blocks.values().filter(move |block| block.kind == kind)
    }

    /// These blocks and the blocks that they need, each once and after those that it needs.
    pub(crate) fn with_needs<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let (mut open, mut all) = (BTreeSet::new(), Vec::new());
        names.into_iter().for_each(|name| self.require(name, &mut open, &mut all));
        all
    }

    fn require<'a>(&'a self, name: &'a str, open: &mut BTreeSet<&'a str>, all: &mut Vec<&'a str>) {
        if open.insert(name) {
            let needs = self.get(name).into_iter().flat_map(|block| &block.needs);
            needs.for_each(|need| self.require(need, open, all));
            all.push(name);
        }
    }
}

impl Block {
    /// The name of its function.
    pub(crate) fn function(&self) -> String {
        format!("_{}", self.name)
    }

    fn parse(name: &str, part: &str) -> Result<Self, String> {
        let header: Vec<&str> = lines(part).take_while(|line| line.starts_with('#')).collect();
        let text = part[header.concat().len()..].trim_end().to_owned() + "\n";
        let (mut kind, mut needs, mut says) = (None, Vec::new(), String::new());
        let mut parameters: Vec<(String, Vec<String>)> = Vec::new();
        for line in header {
            let (key, value) =
                line[1..].trim().split_once(':').ok_or(format!("{:?} is not a header line", bare(line)))?;
            let value = value.trim();
            let words = || value.split_whitespace().map(str::to_owned);
            match key {
                "kind" => kind = Some(value.parse().map_err(|_| format!("{value:?} is not a kind"))?),
                "needs" => needs = words().collect(),
                "says" => says = value.to_owned(),
                _ => parameters.push((key.to_owned(), words().collect())),
            }
        }
        let block = Self { name: name.to_owned(), kind: kind.ok_or("it has no kind")?, needs, says, parameters, text };
        block.check()?;
        Ok(block)
    }

    fn check(&self) -> Result<(), String> {
        let names: Vec<String> = functions(&self.text).iter().map(|function| function.name.clone()).collect();
        if names != [self.function()] {
            return Err(format!("it must hold the function {} and no other, but holds {names:?}", self.function()));
        }
        for (parameter, values) in &self.parameters {
            if values.is_empty() || values.iter().any(|value| value.parse::<f64>().is_err()) {
                return Err(format!("the values of {parameter} must be numbers"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, header: &str) -> String {
        format!("# block: {name}\n{header}def _{name}(items):\n    return items\n\n")
    }

    fn least() -> String {
        let kinds = [("sorted", "frame"), ("placement", "frame"), ("deal", "assign"), ("mean", "bound")];
        kinds.map(|(name, kind)| block(name, &format!("# kind: {kind}\n"))).concat()
    }

    fn problem(header: &str) -> String {
        Catalogue::parse(&(least() + &block("b", header))).unwrap_err().to_string()
    }

    #[test]
    fn a_block_is_read_with_its_header() {
        let text =
            least() + &block("b", "# kind: refine\n# needs: deal mean\n# says: {steps} steps\n# steps: 1 2.5 4\n");
        let catalogue = Catalogue::parse(&text).unwrap();
        let block = catalogue.get("b").unwrap();
        assert_eq!((block.kind, block.needs.len(), block.says.as_str()), (BlockKind::Refine, 2, "{steps} steps"));
        assert_eq!(block.parameters, [("steps".to_owned(), ["1", "2.5", "4"].map(str::to_owned).to_vec())]);
        assert_eq!(block.text, "def _b(items):\n    return items\n");
        assert_eq!(catalogue.names().count(), 5);
    }

    #[test]
    fn what_is_needed_comes_first_and_once_even_in_a_circle() {
        let text = least()
            + &block("a", "# kind: helper\n# needs: b c\n")
            + &block("b", "# kind: helper\n# needs: c\n")
            + &block("c", "# kind: helper\n# needs: a\n");
        let catalogue = Catalogue::parse(&text).unwrap();
        assert_eq!(catalogue.with_needs(["a", "b"]), ["c", "b", "a"]);
    }

    #[test]
    fn an_error_in_a_header_names_the_block() {
        assert_eq!(problem("# says: x\n"), "block b: it has no kind");
        assert_eq!(problem("# kind: x\n"), "block b: \"x\" is not a kind");
        assert_eq!(problem("# kind: helper\n# what\n"), "block b: \"# what\" is not a header line");
        assert_eq!(problem("# kind: helper\n# steps: 1 few\n"), "block b: the values of steps must be numbers");
        assert_eq!(problem("# kind: helper\n# needs: x\n"), "block b: it needs x, which does not exist");
        assert!(problem("# kind: helper\ndef f():\n    pass\n").contains("must hold the function _b and no other"));
    }

    #[test]
    fn an_incomplete_catalogue_is_refused() {
        let error = |text: &str| Catalogue::parse(text).unwrap_err().to_string();
        assert_eq!(error("\n"), "line 1: a block begins with `# block: ` and its name");
        assert_eq!(error(""), "there is no block `sorted` of kind frame");
        assert_eq!(error(&least().replace("bound", "helper")), "there is no block of kind bound");
        assert_eq!(error(&(least() + &least())), "block sorted: defined twice");
    }
}
