//! The statements in the blocks of a Python program.

use std::ops::Range;

use crate::proposer::syntax::tree::{Node, assignment, parse, text, whole_lines};

/// A statement in a block, on lines of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) span: Range<usize>,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// The id of its block.
    pub(crate) block: usize,
    /// Whether its block has no other statement.
    pub(crate) alone: bool,
    /// Whether it only computes: not a return, break, continue, definition or docstring.
    pub(crate) computes: bool,
    /// Whether it or a part of it asserts, raises or returns.
    pub(crate) guards: bool,
}

/// A mask: the result of a comparison assigned in a loop, which an early exit can test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) name: String,
    /// The assignment: its whole lines, its first line from 1, and its indentation.
    pub(crate) span: Range<usize>,
    pub(crate) line: usize,
    pub(crate) indent: String,
}

/// The statements of `program`, in order within each block.
pub(crate) fn statements(program: &str) -> Vec<Statement> {
    let tree = parse(program);
    let blocks = tree.root().subtree().filter(|node| node.kind() == "block");
    (1..).zip(blocks).flat_map(|(number, block)| of_block(program, block, number)).collect()
}

fn of_block(program: &str, block: Node<'_>, number: usize) -> Vec<Statement> {
    let nodes: Vec<Node<'_>> = block.named_children().filter(|node| node.kind() != "comment").collect();
    let header = block.parent().map_or(0, |parent| parent.rows().0);
    let (starts, ends) = (|at: usize| nodes[at].rows().0, |at: usize| nodes[at].rows().1);
    let own_lines = |at: &usize| {
        let after_others = *at == 0 || ends(at - 1) < starts(*at);
        let before_others = at + 1 == nodes.len() || ends(*at) < starts(at + 1);
        starts(*at) != header && after_others && before_others
    };
    let statement = |at: usize| Statement {
        span: whole_lines(program, nodes[at]),
        line: nodes[at].line(),
        block: number,
        alone: nodes.len() == 1,
        computes: computes(nodes[at]),
        guards: guards(nodes[at]),
    };
    (0..nodes.len()).filter(own_lines).map(statement).collect()
}

fn guards(node: Node<'_>) -> bool {
    let guard = |kind| matches!(kind, "assert_statement" | "raise_statement" | "return_statement");
    node.subtree().any(|below| guard(below.kind()))
}

fn computes(node: Node<'_>) -> bool {
    let is_words = || node.first_named().is_some_and(|child| child.kind() == "string");
    match node.kind() {
        "expression_statement" => !is_words(),
        "for_statement" | "while_statement" | "if_statement" | "with_statement" | "assert_statement" => true,
        _ => false,
    }
}

/// The masks in loops of `program` that no early exit tests yet.
pub(crate) fn masks(program: &str) -> Vec<Mask> {
    let tree = parse(program);
    let loops = tree.root().subtree().filter(|node| matches!(node.kind(), "for_statement" | "while_statement"));
    loops.filter_map(|node| node.child_in("body")).flat_map(|body| of_loop(program, body)).collect()
}

fn of_loop(program: &str, body: Node<'_>) -> Vec<Mask> {
    let assigned = body.named_children().filter_map(|statement| {
        let (assignment, name) = assignment(program, statement)?;
        let right = assignment.child_in("right").filter(|right| is_mask(program, *right))?;
        let asked = text(program, body).contains(&format!("not {name}.any()"));
        // The assignment is alone on its line and ends there.
        let span = whole_lines(program, statement);
        let indent = &program[span.start..statement.bytes().start];
        (!asked && indent.trim().is_empty() && right.bytes().end == statement.bytes().end).then(|| Mask {
            name: name.to_owned(),
            line: statement.line(),
            indent: indent.to_owned(),
            span,
        })
    });
    assigned.collect()
}

/// A comparison, or several joined by `&` and `|`.
fn is_mask(program: &str, node: Node<'_>) -> bool {
    match node.kind() {
        "comparison_operator" => true,
        "parenthesized_expression" => node.first_named().is_some_and(|inside| is_mask(program, inside)),
        "binary_operator" => {
            let joined = node.child_in("operator").is_some_and(|sign| matches!(text(program, sign), "&" | "|"));
            joined && node.child_in("left").is_some_and(|left| is_mask(program, left))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "def f(a):\n    '''Doc.'''\n    x = 1; y = 2\n    for i in a:  # all\n        x = (\n            \
        i)\n\n        better = (x > 1) & (x < y)\n        if x: y = 3\n    return x\n";

    #[test]
    fn statements_are_whole_lines_of_their_own() {
        let found = statements(PROGRAM);
        let about = |one: &Statement| (one.line, one.block, one.alone, one.computes);
        let all: Vec<_> = found.iter().map(about).collect();
        assert_eq!(
            all,
            [
                (2, 1, false, false),
                (4, 1, false, true),
                (10, 1, false, false),
                (5, 2, false, true),
                (8, 2, false, true),
                (9, 2, false, true)
            ]
        );
        assert_eq!(&PROGRAM[found[3].span.clone()], "        x = (\n            i)\n");
        assert!(PROGRAM[found[1].span.clone()].ends_with("if x: y = 3\n"));
    }

    #[test]
    fn masks_are_comparisons_in_loops_that_nothing_asks_yet() {
        let found = masks(PROGRAM);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].line, found[0].indent.as_str()), ("better", 8, "        "));
        let asked = PROGRAM.replace("        if x: y = 3\n", "        if not better.any():\n            break\n");
        assert_eq!(masks(&asked), []);
        assert_eq!(
            masks("def f(x):\n    y = x > 1\n    for i in x:\n        y += x > 1\n        z = x + (x > 1)\n"),
            []
        );
    }
}
