//! The syntax tree of a program, copied from tree-sitter once. Proposers query every program many times, and walking
//! tree-sitter's own tree looks up names of nodes and fields each time, which costs more than parsing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::Range;
use std::rc::Rc;
use std::sync::OnceLock;

use tree_sitter::{Language, Parser};

use crate::values::memo::Memo;

/// Cached trees: about the number of parents in most runs.
const TREES_KEPT: usize = 128;

/// The nodes of a program in preorder.
#[derive(Debug)]
pub(super) struct Tree {
    entries: Vec<Entry>,
    has_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    bytes: (u32, u32),
    rows: (u32, u32),
    /// The root is its own parent.
    parent: u32,
    /// The index after its last descendant.
    after: u32,
    kind: u16,
    /// Its field in the parent; 0: none.
    field: u16,
    named: bool,
}

/// A node of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'tree> {
    tree: &'tree Tree,
    at: u32,
}

impl Tree {
    /// Parses a program; invalid Python becomes a tree with errors.
    pub(super) fn of(program: &str) -> Self {
        let parsed = PARSER.with_borrow_mut(|parser| parser.parse(program, None));
        let parsed = parsed.expect("BUG: parsing was given no reason to stop early");
        Self { entries: entries(&parsed), has_error: parsed.root_node().has_error() }
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node { tree: self, at: 0 }
    }

    /// Whether the parser recovered from an error.
    pub(super) fn has_error(&self) -> bool {
        self.has_error
    }
}

impl<'tree> Node<'tree> {
    fn entry(self) -> &'tree Entry {
        &self.tree.entries[self.at as usize]
    }

    pub(super) fn kind(self) -> &'static str {
        names().kind(self.entry().kind)
    }

    /// Its field in the parent.
    pub(super) fn field(self) -> Option<&'static str> {
        names().fields[usize::from(self.entry().field)]
    }

    /// Whether the grammar names it; a token such as a bracket has no name.
    pub(super) fn is_named(self) -> bool {
        self.entry().named
    }

    pub(super) fn bytes(self) -> Range<usize> {
        let (start, end) = self.entry().bytes;
        start as usize..end as usize
    }

    /// Its first line, from 1.
    pub(super) fn line(self) -> usize {
        self.rows().0 + 1
    }

    /// The rows of its first and last byte, from 0.
    pub(super) fn rows(self) -> (usize, usize) {
        let (first, last) = self.entry().rows;
        (first as usize, last as usize)
    }

    pub(super) fn parent(self) -> Option<Self> {
        (self.at > 0).then(|| Self { at: self.entry().parent, ..self })
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> + use<'tree> {
        let (mut next, after) = (self.at + 1, self.entry().after);
        std::iter::from_fn(move || {
            let child = (next < after).then_some(Self { at: next, ..self })?;
            next = child.entry().after;
            Some(child)
        })
    }

    pub(super) fn named_children(self) -> impl Iterator<Item = Self> + use<'tree> {
        self.children().filter(|child| child.is_named())
    }

    /// This node and its descendants in source order.
    pub(super) fn subtree(self) -> impl Iterator<Item = Self> + use<'tree> {
        (self.at..self.entry().after).map(move |at| Self { at, ..self })
    }

    /// Whether it refers to a name of the program: attributes and keywords do not.
    pub(super) fn is_name(self) -> bool {
        self.kind() == "identifier" && !matches!(self.field(), Some("attribute" | "name"))
    }

    /// The children in a field.
    pub(super) fn children_in<'a>(self, field: &'a str) -> impl Iterator<Item = Self> + use<'tree, 'a> {
        self.children().filter(move |child| child.field() == Some(field))
    }

    pub(super) fn child_in(self, field: &str) -> Option<Self> {
        self.children_in(field).next()
    }

    pub(super) fn first_named(self) -> Option<Self> {
        self.named_children().next()
    }

    /// Whether `other` is a descendant.
    pub(super) fn holds(self, other: Self) -> bool {
        self.at < other.at && other.at < self.entry().after
    }

    /// This node and its descendants in source order; skips the descendants of a node that `enters` rejects.
    pub(super) fn walk(self, mut enters: impl FnMut(Self) -> bool) {
        let (mut at, after) = (self.at, self.entry().after);
        while at < after {
            let node = Self { at, ..self };
            at = if enters(node) { at + 1 } else { node.entry().after };
        }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.tree, other.tree) && self.at == other.at
    }
}

/// Names of the grammar's kinds and fields, by id.
struct Names {
    kinds: Vec<&'static str>,
    fields: Vec<Option<&'static str>>,
}

impl Names {
    fn kind(&self, number: u16) -> &'static str {
        // An error node has an id beyond all others.
        self.kinds.get(usize::from(number)).copied().unwrap_or("ERROR")
    }
}

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let number = |count| u16::try_from(count).expect("BUG: kinds and fields have numbers of 16 bits");
        let (kinds, fields) = (0..number(grammar().node_kind_count()), 0..=number(grammar().field_count()));
        Names {
            kinds: kinds.map(|kind| grammar().node_kind_for_id(kind).unwrap_or("")).collect(),
            fields: fields.map(|field| grammar().field_name_for_id(field)).collect(),
        }
    })
}

fn grammar() -> &'static Language {
    static GRAMMAR: OnceLock<Language> = OnceLock::new();
    GRAMMAR.get_or_init(|| tree_sitter_python::LANGUAGE.into())
}

thread_local! {
    static TREES: Memo<String, Rc<Tree>> = Memo::new(TREES_KEPT);

    /// Reused for all programs, because it keeps its working memory.
    static PARSER: RefCell<Parser> = RefCell::new({
        let mut parser = Parser::new();
        parser.set_language(grammar()).expect("BUG: the grammar is of another tree-sitter");
        parser
    });
}

fn entries(parsed: &tree_sitter::Tree) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut cursor = parsed.walk();
    let mut parent = 0;
    loop {
        let own = position(entries.len());
        while own > 0 && entries[parent as usize].after <= own {
            parent = entries[parent as usize].parent;
        }
        entries.push(entry(&cursor, parent, own));
        parent = own;
        if !cursor.goto_first_child() {
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return entries;
                }
            }
        }
    }
}

fn entry(cursor: &tree_sitter::TreeCursor<'_>, parent: u32, own: u32) -> Entry {
    let node = cursor.node();
    Entry {
        bytes: (position(node.start_byte()), position(node.end_byte())),
        rows: (position(node.start_position().row), position(node.end_position().row)),
        parent,
        after: own + position(node.descendant_count()),
        kind: node.kind_id(),
        field: cursor.field_id().map_or(0, Into::into),
        named: node.is_named(),
    }
}

/// Tree-sitter counts in 32 bits.
fn position(at: usize) -> u32 {
    u32::try_from(at).expect("BUG: tree-sitter read a program of 4 GiB")
}

/// The cached syntax tree of a program. A proposal queries parent and child several times, and parents recur.
pub(super) fn parse(program: &str) -> Rc<Tree> {
    TREES.with(|trees| match trees.get(program.to_owned(), || Ok::<_, Infallible>(Rc::new(Tree::of(program)))) {
        Ok(tree) => tree,
    })
}

/// The bytes of a node's lines.
pub(super) fn whole_lines(program: &str, node: Node<'_>) -> Range<usize> {
    let Range { start, end } = node.bytes();
    let start = program[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = program[end..].find('\n').map_or(program.len(), |newline| end + newline + 1);
    start..end
}

pub(super) fn text<'a>(program: &'a str, node: Node<'_>) -> &'a str {
    &program[node.bytes()]
}

/// The text of a node's child in a field.
pub(super) fn field<'a>(program: &'a str, node: Node<'_>, field: &str) -> Option<&'a str> {
    node.child_in(field).map(|child| text(program, child))
}

/// Adds all names in `node`.
pub(super) fn add_names<'a>(program: &'a str, node: Node<'_>, names: &mut BTreeSet<&'a str>) {
    let identifiers = node.subtree().filter(|below| below.kind() == "identifier");
    names.extend(identifiers.map(|identifier| text(program, identifier)));
}

/// Adds the names that an assignment to `target` binds. An assignment to an index or an attribute uses its object.
pub(super) fn add_targets<'a>(program: &'a str, target: Node<'_>, names: &mut BTreeSet<&'a str>) {
    target.walk(|node| {
        if node.is_name() {
            names.insert(text(program, node));
        }
        !matches!(node.kind(), "subscript" | "attribute" | "call")
    });
}

/// The assignment that is a statement, and the name that it binds.
pub(super) fn assignment<'a, 'tree>(program: &'a str, statement: Node<'tree>) -> Option<(Node<'tree>, &'a str)> {
    let assignment = statement.first_named().filter(|child| child.kind() == "assignment")?;
    let left = assignment.child_in("left").filter(|left| left.kind() == "identifier")?;
    Some((assignment, text(program, left)))
}

#[cfg(test)]
mod tests {

    use super::*;

    /// Compares a node and its descendants with tree-sitter's own.
    fn assert_same(program: &str, ours: Node<'_>, theirs: tree_sitter::Node<'_>, compared: &mut usize) {
        assert_eq!((ours.kind(), ours.bytes()), (theirs.kind(), theirs.byte_range()), "{program}");
        assert_eq!(ours.rows(), (theirs.start_position().row, theirs.end_position().row));
        assert_eq!(ours.is_named(), theirs.is_named());
        for field in names().fields.iter().flatten() {
            let mut cursor = theirs.walk();
            let of_field = theirs.children_by_field_name(field, &mut cursor).map(|child| child.byte_range());
            assert!(ours.children_in(field).map(Node::bytes).eq(of_field), "{field} in {}", &program[ours.bytes()]);
            let first = theirs.child_by_field_name(field).map(|child| child.byte_range());
            assert_eq!(ours.child_in(field).map(Node::bytes), first);
        }
        let mut cursor = theirs.walk();
        let below: Vec<_> = theirs.children(&mut cursor).collect();
        assert_eq!(ours.children().count(), below.len());
        for (child, other) in ours.children().zip(below) {
            assert_eq!(child.parent(), Some(ours));
            assert_same(program, child, other, compared);
        }
        *compared += 1;
    }

    #[test]
    fn a_tree_says_what_tree_sitter_says() {
        let candidates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("candidates");
        let seed = std::fs::read_to_string(candidates.join("eplb.py")).unwrap();
        let broken = "def f(:\n  x = = 5 ]\n\0\u{2028}@a\ndef g(a, *, b: int = 3) -> int: return lambda: b\n";
        for program in [seed.as_str(), broken, "", "x = [i for i in y if i]\n", "import a.b as c\nfrom d import *\n"] {
            let (tree, mut parser, mut compared) = (Tree::of(program), Parser::new(), 0);
            parser.set_language(grammar()).unwrap();
            let theirs = parser.parse(program, None).unwrap();
            assert_same(program, tree.root(), theirs.root_node(), &mut compared);
            assert_eq!((compared, tree.has_error()), (tree.entries.len(), theirs.root_node().has_error()));
        }
    }

    #[test]
    fn a_walk_ends_where_it_began_and_skips_rejected_nodes() {
        let program = "def f(a):\n    return g(a, 1)\nb = 2\n";
        let tree = parse(program);
        let first = tree.root().first_named().unwrap();
        let mut numbers = Vec::new();
        first.walk(|node| {
            numbers.extend((node.kind() == "integer").then(|| text(program, node)));
            true
        });
        assert_eq!(numbers, ["1"]);
        first.walk(|node| {
            assert_ne!(node.kind(), "integer");
            node.kind() != "block"
        });
    }
}
