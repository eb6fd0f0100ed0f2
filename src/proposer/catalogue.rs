//! Catalogues of building blocks from which `compose` assembles programs. `candidates/blocks/README.md` describes the blocks
//! and their headers.
//!
//! A catalogue is one text, its name and the files of its folder joined, so that the record holds one object.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::config::Asset;
use crate::edit::line::{bare, lines};
use crate::proposer::folder::{FolderError, asset_files, asset_folders, utf8};
use crate::proposer::frame::{BlockKind, Frame, FrameBlocks};
use crate::proposer::syntax::functions;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::settings::EvaluationSettings;

const BLOCKS: &str = "building blocks";
const NAMED: &str = "# catalogue: ";
const BEGINS: &str = "# block: ";

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Catalogue {
    name: String,
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
    /// How often it is drawn, compared with the others of its kind.
    pub(crate) weight: u32,
    /// The import that it needs besides NumPy and torch, a line of Python; empty for most.
    pub(crate) import: String,
    /// Each parameter with its possible values, in order.
    pub(crate) parameters: Vec<(String, Vec<String>)>,
    /// The source of its function, ending with a newline.
    pub(crate) text: String,
}

/// The line that the calls of the other blocks replace.
pub(crate) const CALLS: &str = "    ...\n";

#[derive(Debug, Error, PartialEq, Eq)]
pub enum CatalogueError {
    #[error("it does not begin with `{NAMED}` and its name")]
    Unnamed,
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

/// The catalogues in the folders of `folder`, sorted by name: the `*.py` files of each, sorted by name and joined.
pub fn gather(folder: &Asset) -> Result<Vec<String>, FolderError> {
    let catalogues = asset_folders(BLOCKS, folder)?.into_iter().map(|(name, folder)| {
        let files = asset_files(BLOCKS, &folder, "py", utf8)?;
        Ok(joined(&name, files.iter().map(|(_, text)| text.as_str())))
    });
    catalogues.collect()
}

/// The text of a catalogue.
pub fn joined<'a>(name: &str, files: impl IntoIterator<Item = &'a str>) -> String {
    files.into_iter().fold(format!("{NAMED}{name}\n"), |text, file| text + file)
}

impl Catalogue {
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let mut parts: Vec<(&str, String)> = Vec::new();
        let mut all = (1..).zip(lines(text));
        let (_, first) = all.next().ok_or(CatalogueError::Unnamed)?;
        let name = bare(first).strip_prefix(NAMED).ok_or(CatalogueError::Unnamed)?.to_owned();
        for (number, line) in all {
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
        let catalogue = Self { name, blocks };
        catalogue.check()?;
        Ok(catalogue)
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let of_frame = |name: &str| self.get(name).is_some_and(|block| block.kind == BlockKind::Frame);
        let FrameBlocks { first, last, caller } = self.frame().blocks();
        if let Some(missing) = [first, last, caller].into_iter().find(|name| !of_frame(name)) {
            return Err(CatalogueError::Missing { missing: format!("block `{missing}` of kind frame") });
        }
        if !self.blocks[caller].text.contains(CALLS) {
            let problem = "it has no line `    ...`, which the calls of the other blocks replace".to_owned();
            return Err(CatalogueError::Block { block: caller.to_owned(), problem });
        }
        if let Some(kind) = self.frame().required().iter().find(|kind| self.of_kind(**kind).count() == 0) {
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

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its programs are: policies, if it has the block that begins them.
    pub(crate) fn frame(&self) -> Frame {
        let begins = |frame: Frame| self.get(frame.blocks().first).is_some();
        if begins(Frame::Policy) { Frame::Policy } else { Frame::Packing }
    }

    /// Whether its programs are for runs with these settings.
    pub fn fits(&self, settings: &EvaluationSettings) -> bool {
        self.frame() == Frame::of(settings)
    }

    /// The imports of its programs besides NumPy and torch, each a line of Python.
    pub(crate) fn imports(&self) -> BTreeSet<&str> {
        self.blocks.values().map(|block| block.import.as_str()).filter(|import| !import.is_empty()).collect()
    }

    /// Whether its programs are compiled by Numba.
    pub fn needs_numba(&self) -> bool {
        self.imports().iter().any(|import| import.contains("numba"))
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
        let (mut kind, mut needs, mut says, mut import) = (None, Vec::new(), String::new(), String::new());
        let mut weight = 1;
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
                "weight" => {
                    weight = value.parse().map_err(|_| format!("its weight, {value:?}, is not a whole number"))?;
                }
                "import" => import = value.to_owned(),
                _ => parameters.push((key.to_owned(), words().collect())),
            }
        }
        let kind = kind.ok_or("it has no kind")?;
        let block = Self { name: name.to_owned(), kind, needs, says, weight, import, parameters, text };
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
        let blocks = kinds.map(|(name, kind)| block(name, &format!("# kind: {kind}\n")));
        let pack = "# block: pack\n# kind: frame\ndef _pack(items):\n    ...\n    return packs\n";
        joined("own", blocks.iter().map(String::as_str).chain([pack]))
    }

    fn problem(header: &str) -> String {
        Catalogue::parse(&(least() + &block("b", header))).unwrap_err().to_string()
    }

    #[test]
    fn a_block_is_read_with_its_header() {
        let text =
            least() + &block("b", "# kind: refine\n# needs: deal mean\n# says: {steps} steps\n# steps: 1 2.5 4\n");
        let catalogue = Catalogue::parse(&text).unwrap();
        let read = catalogue.get("b").unwrap();
        assert_eq!((read.kind, read.needs.len(), read.says.as_str()), (BlockKind::Refine, 2, "{steps} steps"));
        assert_eq!(read.parameters, [("steps".to_owned(), ["1", "2.5", "4"].map(str::to_owned).to_vec())]);
        assert_eq!(read.text, "def _b(items):\n    return items\n");
        assert_eq!((catalogue.name(), catalogue.names().count(), catalogue.needs_numba()), ("own", 6, false));
        let compiled = least() + &block("c", "# kind: helper\n# import: from numba import njit\n");
        let compiled = Catalogue::parse(&compiled).unwrap();
        assert_eq!((compiled.imports(), compiled.needs_numba()), (BTreeSet::from(["from numba import njit"]), true));
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
        assert_eq!(problem("# kind: helper\n# weight: x\n"), "block b: its weight, \"x\", is not a whole number");
        assert_eq!(problem("# kind: helper\n# what\n"), "block b: \"# what\" is not a header line");
        assert_eq!(problem("# kind: helper\n# steps: 1 few\n"), "block b: the values of steps must be numbers");
        assert_eq!(problem("# kind: helper\n# needs: x\n"), "block b: it needs x, which does not exist");
        assert!(problem("# kind: helper\ndef f():\n    pass\n").contains("must hold the function _b and no other"));
    }

    #[test]
    fn an_incomplete_catalogue_is_refused() {
        let error = |text: &str| Catalogue::parse(text).unwrap_err().to_string();
        let unnamed = "it does not begin with `# catalogue: ` and its name";
        assert_eq!([error(""), error("\n")], [unnamed; 2]);
        assert_eq!(error("# catalogue: own\n\n"), "line 2: a block begins with `# block: ` and its name");
        assert_eq!(error("# catalogue: own\n"), "there is no block `sorted` of kind frame");
        assert_eq!(error(&least().replace("bound", "helper")), "there is no block of kind bound");
        assert_eq!(error(&(least() + &block("sorted", "# kind: frame\n"))), "block sorted: defined twice");
        let filled = error(&least().replace("    ...\n", ""));
        assert_eq!(filled, "block pack: it has no line `    ...`, which the calls of the other blocks replace");
    }
}
