//! The statements in the blocks of a Python program.

use std::ops::Range;

use crate::proposer::syntax::tree::{Node, parse, text, whole_lines};

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
    /// The lines of its assignment.
    pub(crate) span: Range<usize>,
    /// The line of its assignment, from 1.
    pub(crate) line: usize,
    /// The indentation of its line.
    pub(crate) indent: String,
}

/// The statements of `program`, in order within each block.
pub(crate) fn statements(program: &str) -> Vec<Statement> {
    let tree = parse(program);
    let mut all = Vec::new();
    let mut blocks = 0;
    tree.root().walk(|node| {
        if node.kind() == "block" {
            blocks += 1;
            all.extend(of_block(program, node, blocks));
        }
        true
    });
    all
}

fn of_block(program: &str, block: Node<'_>, number: usize) -> Vec<Statement> {
    let nodes: Vec<Node<'_>> = block.named_children().filter(|node| node.kind() != "comment").collect();
    let statement = |node: &Node<'_>| Statement {
        span: whole_lines(program, *node),
        line: node.rows().0 + 1,
        block: number,
        alone: nodes.len() == 1,
        computes: computes(*node),
        guards: guards(*node),
    };
    let statements: Vec<Statement> = nodes.iter().map(statement).collect();
    let rows = |node: &Node<'_>| node.rows().0..=node.rows().1;
    let header = block.parent().map_or(0, |parent| parent.rows().0);
    let own_lines = |place: usize| {
        let mine = rows(&nodes[place]);
        let shares = |(other, node): (usize, &Node<'_>)| {
            other != place && rows(node).start() <= mine.end() && mine.start() <= rows(node).end()
        };
        *mine.start() != header && !nodes.iter().enumerate().any(shares)
    };
    let own: Vec<usize> = (0..nodes.len()).filter(|place| own_lines(*place)).collect();
    own.into_iter().map(|place| statements[place].clone()).collect()
}

fn guards(node: Node<'_>) -> bool {
    let mut found = false;
    node.walk(|below| {
        found |= matches!(below.kind(), "assert_statement" | "raise_statement" | "return_statement");
        !found
    });
    found
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
    let mut masks = Vec::new();
    tree.root().walk(|node| {
        if matches!(node.kind(), "for_statement" | "while_statement") {
            masks.extend(node.child_in("body").into_iter().flat_map(|body| of_loop(program, body)));
        }
        true
    });
    masks
}

fn of_loop(program: &str, body: Node<'_>) -> Vec<Mask> {
    let assigned = body.named_children().filter_map(|statement| {
        let assignment = statement.first_named().filter(|child| child.kind() == "assignment")?;
        let left = assignment.child_in("left").filter(|left| left.kind() == "identifier")?;
        let right = assignment.child_in("right").filter(|right| is_mask(program, *right))?;
        let name = text(program, left);
        let asked = text(program, body).contains(&format!("not {name}.any()"));
        // The assignment is alone on its line and ends there.
        let span = whole_lines(program, statement);
        let indent = &program[span.start..statement.bytes().start];
        (!asked && indent.trim().is_empty() && right.bytes().end == statement.bytes().end).then(|| Mask {
            name: name.to_owned(),
            line: statement.rows().0 + 1,
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
