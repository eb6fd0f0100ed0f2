//! The normal form of a program: two programs have the same one if they differ only in comments, blank lines, line
//! breaks, docstrings and names of locals.
//!
//! Parameters keep their names, because a caller may pass them by name. Called names keep theirs, because a local of
//! that name elsewhere in the function may hide a built-in function.

use std::collections::{BTreeMap, BTreeSet};

use crate::proposer::syntax::function::bound_at_top;
use crate::proposer::syntax::tree::{Node, add_names, add_targets, field, parse, text};

/// The tokens of `program`, with braces around blocks and locals numbered in each function. Only for comparison; it is
/// not valid Python.
pub fn normalised(program: &str) -> String {
    let tree = parse(program);
    let mut normal = String::with_capacity(program.len());
    let fixed = names_at_top(program, tree.root());
    for statement in tree.root().named_children() {
        if statement.kind() == "comment" || is_docstring(statement) {
            continue;
        }
        let locals = locals(program, statement, &fixed);
        tokens(program, statement, &locals, &mut normal);
        normal += ";\n";
    }
    normal
}

/// The number of tokens in a normal form.
pub fn size(normal: &str) -> u64 {
    normal.split_whitespace().count() as u64
}

fn tokens(program: &str, statement: Node<'_>, locals: &BTreeSet<&str>, normal: &mut String) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut blocks: Vec<Node<'_>> = Vec::new();
    statement.walk(|node| {
        while blocks.pop_if(|block| !block.holds(node)).is_some() {
            *normal += "} ";
        }
        let skipped = node.kind() == "comment" || is_docstring(node);
        if !skipped && begins_statement(node, statement) {
            *normal += "; ";
        }
        if node.kind() == "block" {
            *normal += "{ ";
            blocks.push(node);
        }
        if skipped || is_plain_string(node) || node.children().next().is_none() {
            if !skipped && node.kind() != "block" {
                let token = text(program, node);
                if node.is_name() && locals.contains(token) {
                    let next = numbers.len();
                    let number = numbers.entry(token).or_insert(next);
                    *normal += &format!("%{number} ");
                } else {
                    *normal += token;
                    *normal += " ";
                }
            }
            return false;
        }
        true
    });
    blocks.iter().for_each(|_| *normal += "} ");
}

/// Whether a node is a statement in a block. Line breaks separate statements, and the tree has no tokens for them.
fn begins_statement(node: Node<'_>, statement: Node<'_>) -> bool {
    let simple = node.kind().ends_with("_statement") || node.kind() == "function_definition";
    node != statement && node.is_named() && simple
}

/// A string without interpolation is one token.
fn is_plain_string(node: Node<'_>) -> bool {
    node.kind() == "string" && node.named_children().all(|child| child.kind() != "interpolation")
}

fn is_docstring(node: Node<'_>) -> bool {
    node.kind() == "expression_statement"
        && node.named_children().count() == 1
        && node.first_named().is_some_and(|child| child.kind() == "string")
}

/// The names that top-level imports, functions and classes bind.
fn names_at_top(program: &str, root: Node<'_>) -> BTreeSet<String> {
    let mut names = bound_at_top(program);
    names.extend(root.named_children().filter_map(|child| field(program, child, "name").map(str::to_owned)));
    names
}

/// The names local to a function.
fn locals<'a>(program: &'a str, statement: Node<'_>, fixed: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
    let mut bound = BTreeSet::new();
    if !matches!(statement.kind(), "function_definition" | "decorated_definition") {
        return bound;
    }
    let mut kept: BTreeSet<&str> = fixed.iter().map(String::as_str).collect();
    for node in statement.subtree() {
        match node.kind() {
            "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause" => {
                node.child_in("left").into_iter().for_each(|left| add_targets(program, left, &mut bound));
            }
            "named_expression" => bound.extend(field(program, node, "name")),
            "as_pattern_target" => add_targets(program, node, &mut bound),
            "parameters" | "lambda_parameters" | "global_statement" | "nonlocal_statement" => {
                add_names(program, node, &mut kept);
            }
            "function_definition" | "class_definition" => kept.extend(field(program, node, "name")),
            "call" => {
                let function = node.child_in("function").filter(|function| function.kind() == "identifier");
                kept.extend(function.map(|function| text(program, function)));
            }
            _ => {}
        }
    }
    bound.difference(&kept).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "import torch\n\ndef f(a, n=3):\n    \"\"\"Doc.\"\"\"\n    best = a  # so far\n\n    \
        for i in range(n):\n        best = max(best, g(a, best=i))\n    return best, [j for j in a.best]\n";

    #[test]
    fn looks_and_the_names_of_locals_do_not_matter() {
        let normal = normalised(PROGRAM);
        for (from, to) in [
            ("\"\"\"Doc.\"\"\"", "'''Other words.'''"),
            ("  # so far", "    # till now"),
            ("\n\n    for", "\n    # new\n    for"),
            ("g(a, best=i)", "g(\n            a,\n            best = i)"),
            ("import torch\n", "# head\nimport  torch\n\n"),
        ] {
            assert_ne!(PROGRAM.replace(from, to), PROGRAM);
            assert_eq!(normalised(&PROGRAM.replace(from, to)), normal, "{to}");
        }
        let renamed = PROGRAM.replace("best = a", "top = a").replace("best = max(best,", "top = max(top,");
        let renamed = renamed.replace("return best", "return top").replace("[j for j in", "[k for k in");
        assert_eq!(normalised(&renamed), normal);
    }

    #[test]
    fn what_computes_otherwise_stays_different() {
        let normal = normalised(PROGRAM);
        for (from, to) in [
            ("n=3", "n=4"),
            ("(a, n=3)", "(b, n=3)"),
            ("g(a, best=i)", "g(a, top=i)"),
            ("g(a, best=i)", "h(a, best=i)"),
            ("a.best", "a.top"),
            ("return best, [", "return i, ["),
            ("        best = max(best, g(a, best=i))\n", "        pass\n    best = max(best, g(a, best=i))\n"),
            ("    return", "        return"),
            ("import torch", "import numpy"),
        ] {
            assert_ne!(PROGRAM.replace(from, to), PROGRAM);
            assert_ne!(normalised(&PROGRAM.replace(from, to)), normal, "{to}");
        }
    }

    #[test]
    fn two_locals_are_never_taken_for_one() {
        let two = "def f(x):\n    a = x\n    b = a\n    return a\n";
        let same = "def f(x):\n    p = x\n    q = p\n    return p\n";
        let other = "def f(x):\n    a = x\n    b = a\n    return b\n";
        assert_eq!(normalised(two), normalised(same));
        assert_ne!(normalised(two), normalised(other));
        let one = "def f(x):\n    a = x\n    a = a\n    return a\n";
        assert_ne!(normalised(two), normalised(one));
    }

    #[test]
    fn a_local_that_hides_a_value_of_the_top_level_keeps_its_name() {
        let program = |name: &str| {
            format!("SIZE = 1\nLIMIT = 2\n\ndef f(x):\n    def g():\n        {name} = 3\n    return {name}\n")
        };
        assert_ne!(normalised(&program("SIZE")), normalised(&program("LIMIT")));
    }

    #[test]
    fn statements_of_different_blocks_differ() {
        let inside = "def f(x):\n    if x:\n        a()\n        b()\n";
        let outside = "def f(x):\n    if x:\n        a()\n    b()\n";
        assert_ne!(normalised(inside), normalised(outside));
        assert_ne!(normalised("x\n(y)\n"), normalised("x(y)\n"));
        assert_ne!(normalised("def f():\n    x\n    (y)\n"), normalised("def f():\n    x(y)\n"));
        assert_ne!(normalised("def f():\n    return\n    y\n"), normalised("def f():\n    return y\n"));
    }

    #[test]
    fn broken_and_deeply_nested_programs_are_harmless() {
        assert_eq!(normalised(""), "");
        normalised("def f(:\n  x = = 5 ]\n\0\u{2028}");
        let deep = format!("x = {}5{}\n", "(".repeat(20_000), ")".repeat(20_000));
        assert!(normalised(&deep).len() > 40_000);
    }
}
