//! Syntax: what the proposers know of a Python program, read off its syntax tree.
//!
//! The only files that know tree-sitter. Time is linear in the program, and the depth of its nesting costs no stack.

mod function;
mod known;
mod name;
mod normal;
mod number;
mod statement;
mod token;
mod tree;

pub(crate) use function::{Function, assigned, imports};
pub(crate) use name::unbound;
pub use normal::{normalised, size};
pub(crate) use number::{Number, Role, numbers};
pub(crate) use statement::{Mask, Statement, masks, statements};
pub(crate) use token::{Token, tokens};

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use known::Known;
use tree::{Node, Tree};

/// Whether `program` can be read as Python without a guess.
pub(crate) fn is_sound(program: &str) -> bool {
    let tree = parse(program);
    let mut sound = !tree.has_error();
    tree.root().walk(|node| {
        // The grammar lets a block be empty; Python does not.
        sound &= node.kind() != "block" || has_statement(node);
        sound
    });
    sound
}

fn has_statement(block: Node<'_>) -> bool {
    block.named_children().any(|child| child.kind() != "comment")
}

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(Known::new()) };
}

/// The syntax tree of a program.
fn parse(program: &str) -> Rc<Tree> {
    KNOWN.with_borrow_mut(|known| known.tree(program))
}

/// The functions at the top level of `program`, in its order.
pub(crate) fn functions(program: &str) -> Rc<[Function]> {
    KNOWN.with_borrow_mut(|known| known.functions(program))
}

/// Those of them that stand within these bytes, which are whole lines. An indented comment behind them, such as the marker
/// that ends a region, is to Python part of the function before it, but not to us.
pub(crate) fn functions_in(program: &str, within: &Range<usize>) -> Vec<Function> {
    let inside = |function: &Function| {
        let span = function.span.start..function.span.end.min(within.end);
        let beyond = &program[span.end..function.span.end];
        let is_inside = within.contains(&span.start) && beyond.lines().all(|line| is_comment_or_blank(line.trim()));
        is_inside.then(|| Function { span, ..function.clone() })
    };
    functions(program).iter().filter_map(inside).collect()
}

fn is_comment_or_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// Whether one range is within another.
pub(crate) fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The bytes of the lines that a node stands on.
fn whole_lines(program: &str, node: Node<'_>) -> Range<usize> {
    let Range { start, end } = node.bytes();
    let start = program[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = program[end..].find('\n').map_or(program.len(), |newline| end + newline + 1);
    start..end
}

fn text<'a>(program: &'a str, node: Node<'_>) -> &'a str {
    &program[node.bytes()]
}

/// Adds all names in `node`, whatever they are there for.
fn add_names<'a>(program: &'a str, node: Node<'_>, names: &mut BTreeSet<&'a str>) {
    node.walk(|below| {
        if below.kind() == "identifier" {
            names.insert(text(program, below));
        }
        true
    });
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
    fn the_functions_of_a_region_end_with_it() {
        let program = "def a():\n    pass\ndef b():\n    pass\n    # END\n\ndef c():\n    pass\n";
        let region = 9 + 8..program.find("    # END").unwrap();
        let found = functions_in(program, &region);
        assert_eq!(found.len(), 1);
        assert_eq!(&program[found[0].span.clone()], "def b():\n    pass\n");
        assert_eq!(functions_in(program, &(0..12)).len(), 0, "a part of one");
        assert_eq!(functions_in(program, &(0..program.len())).len(), 3);
    }

    #[test]
    fn a_walk_ends_where_it_began_and_leaves_out_what_it_is_told_to() {
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
