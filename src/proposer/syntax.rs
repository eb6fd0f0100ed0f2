//! Syntax: what the proposers know of a Python program, read off its syntax tree.
//!
//! The only files that know tree-sitter. Time is linear in the program, and the depth of its nesting costs no stack.

mod function;
mod name;
mod normal;
mod number;
mod statement;
mod token;

pub(crate) use function::{Function, assigned, functions, imports};
pub(crate) use name::unbound;
pub use normal::{normalised, size};
pub(crate) use number::{Number, Role, numbers};
pub(crate) use statement::{Mask, Statement, masks, statements};
pub(crate) use token::{Token, tokens};

use std::cell::RefCell;
use std::collections::VecDeque;

use tree_sitter::{Node, Parser, Tree};

/// Whether `program` can be read as Python without a guess.
pub(crate) fn is_sound(program: &str) -> bool {
    let tree = parse(program);
    let mut sound = !tree.root_node().has_error();
    visit(tree.root_node(), |node, _| {
        // The grammar lets a block be empty; Python does not.
        sound &= node.kind() != "block" || has_statement(node);
        sound
    });
    sound
}

fn has_statement(block: Node<'_>) -> bool {
    let mut cursor = block.walk();
    block.named_children(&mut cursor).any(|child| child.kind() != "comment")
}

/// Programs that were parsed last; each proposal asks of parent and child several times.
const REMEMBERED: usize = 8;

thread_local! {
    static LAST: RefCell<VecDeque<(String, Tree)>> = const { RefCell::new(VecDeque::new()) };
}

/// The syntax tree of a program; parsing costs far more than to remember what was parsed last.
fn parse(program: &str) -> Tree {
    LAST.with_borrow_mut(|last| {
        if let Some(at) = last.iter().position(|(text, _)| text == program) {
            let known = last.remove(at).expect("BUG: it was found there");
            last.push_front(known);
        } else {
            last.truncate(REMEMBERED - 1);
            last.push_front((program.to_owned(), parsed(program)));
        }
        last[0].1.clone()
    })
}

fn parsed(program: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).expect("BUG: the grammar is of another tree-sitter");
    parser.parse(program, None).expect("BUG: parsing was given no reason to stop early")
}

/// The bytes of the lines that a node stands on.
fn whole_lines(program: &str, node: Node<'_>) -> std::ops::Range<usize> {
    let start = program[..node.start_byte()].rfind('\n').map_or(0, |newline| newline + 1);
    let end = program[node.end_byte()..].find('\n').map_or(program.len(), |newline| node.end_byte() + newline + 1);
    start..end
}

fn text<'a>(program: &'a str, node: Node<'_>) -> &'a str {
    &program[node.byte_range()]
}

/// Visits `node` and all below it, each with the field of its parent that it stands in, in the order of the program;
/// what is below a node only if the visit of it says so.
fn visit<'tree>(node: Node<'tree>, mut visit: impl FnMut(Node<'tree>, Option<&str>) -> bool) {
    let mut cursor = node.walk();
    loop {
        if visit(cursor.node(), cursor.field_name()) && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            // A cursor does not leave the node that it began at.
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_slip_is_not_sound() {
        for sound in ["", "x = 1\n", "def f(x):\n    return x\n", "# only words\n"] {
            assert!(is_sound(sound), "{sound}");
        }
        for broken in ["def f(:\n", "x = = 1\n", "for x in y:\n", "x = (1\n", "if x\n    y\n"] {
            assert!(!is_sound(broken), "{broken}");
        }
    }

    #[test]
    fn a_visit_ends_where_it_began_and_leaves_out_what_it_is_told_to() {
        let program = "def f(a):\n    return g(a, 1)\nb = 2\n";
        let tree = parse(program);
        let first = tree.root_node().named_child(0).unwrap();
        let mut numbers = Vec::new();
        visit(first, |node, _| {
            numbers.extend((node.kind() == "integer").then(|| text(program, node)));
            true
        });
        assert_eq!(numbers, ["1"]);
        visit(first, |node, _| {
            assert_ne!(node.kind(), "integer");
            node.kind() != "block"
        });
    }
}
