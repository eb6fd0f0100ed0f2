//! Normal: a program as it computes, whatever it looks like: two programs of one normal form differ in comments, blank
//! lines, line breaks, docstrings, and in the names of what is local to a function.
//!
//! Parameters keep their names, because a caller may pass them by name; so does what a function calls by name, because it
//! may be a built-in function that a local variable elsewhere in it hides.

use std::collections::{BTreeMap, BTreeSet};

use tree_sitter::Node;

use super::{parse, text, visit};

/// The normal form of `program`: its tokens, with braces around blocks and locals numbered in each function. For
/// comparison only; it is no Python.
pub fn normalised(program: &str) -> String {
    let tree = parse(program);
    let mut normal = String::with_capacity(program.len());
    let mut cursor = tree.walk();
    let fixed = names_at_top(program, tree.root_node());
    for statement in tree.root_node().named_children(&mut cursor) {
        if statement.kind() == "comment" || is_docstring(statement) {
            continue;
        }
        let locals = locals(program, statement, &fixed);
        tokens(program, statement, &locals, &mut normal);
        normal += ";\n";
    }
    normal
}

/// How many tokens a normal form has.
pub fn size(normal: &str) -> u64 {
    normal.split_whitespace().count() as u64
}

/// Writes the tokens of a statement.
fn tokens(program: &str, statement: Node<'_>, locals: &BTreeSet<String>, normal: &mut String) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut cursor = statement.walk();
    loop {
        let node = cursor.node();
        let skipped = node.kind() == "comment" || is_docstring(node);
        if !skipped && begins_statement(node, statement) {
            *normal += "; ";
        }
        if node.kind() == "block" {
            *normal += "{ ";
        }
        if !skipped && !is_plain_string(node) && cursor.goto_first_child() {
            continue;
        }
        if !skipped && node.kind() != "block" {
            let token = text(program, node);
            if node.kind() == "identifier" && is_name(cursor.field_name()) && locals.contains(token) {
                let next = numbers.len();
                let number = numbers.entry(token).or_insert(next);
                *normal += &format!("%{number} ");
            } else {
                *normal += token;
                *normal += " ";
            }
        }
        loop {
            if cursor.node().kind() == "block" {
                *normal += "} ";
            }
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// Whether a node is a statement in a block: statements are told apart by line breaks, which are no tokens.
fn begins_statement(node: Node<'_>, statement: Node<'_>) -> bool {
    let simple = node.kind().ends_with("_statement") || node.kind() == "function_definition";
    node != statement && node.is_named() && simple
}

/// A string without values in it is one token.
fn is_plain_string(node: Node<'_>) -> bool {
    if node.kind() != "string" {
        return false;
    }
    let mut cursor = node.walk();
    node.named_children(&mut cursor).all(|child| child.kind() != "interpolation")
}

fn is_docstring(node: Node<'_>) -> bool {
    node.kind() == "expression_statement"
        && node.named_child_count() == 1
        && node.named_child(0).is_some_and(|child| child.kind() == "string")
}

/// Whether an identifier in this field is a name of the program, and not that of an attribute or keyword.
fn is_name(field: Option<&str>) -> bool {
    !matches!(field, Some("attribute" | "name"))
}

/// The names that imports, functions and classes at the top level bring.
fn names_at_top(program: &str, root: Node<'_>) -> BTreeSet<String> {
    let mut names = super::assigned(program);
    names.extend(super::imports(program).into_iter().flat_map(|import| import.names));
    let mut cursor = root.walk();
    for child in root.named_children(&mut cursor) {
        names.extend(child.child_by_field_name("name").map(|name| text(program, name).to_owned()));
    }
    names
}

/// The names that are bound somewhere in a function and mean nothing outside it.
fn locals(program: &str, statement: Node<'_>, fixed: &BTreeSet<String>) -> BTreeSet<String> {
    let mut bound = BTreeSet::new();
    let mut kept = fixed.clone();
    if !matches!(statement.kind(), "function_definition" | "decorated_definition") {
        return bound;
    }
    let own = |node: Node<'_>, names: &mut BTreeSet<String>| {
        visit(node, |below, field| {
            if below.kind() == "identifier" && is_name(field) {
                names.insert(text(program, below).to_owned());
            }
            // What is indexed or has an attribute set is used, not bound.
            !matches!(below.kind(), "subscript" | "attribute" | "call")
        });
    };
    visit(statement, |node, _| {
        match node.kind() {
            "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause" => {
                node.child_by_field_name("left").into_iter().for_each(|left| own(left, &mut bound));
            }
            "named_expression" => bound.extend(field(program, node, "name")),
            "as_pattern_target" => own(node, &mut bound),
            "parameters" | "lambda_parameters" | "global_statement" | "nonlocal_statement" => {
                all(program, node, &mut kept);
            }
            "function_definition" | "class_definition" => kept.extend(field(program, node, "name")),
            "call" => kept.extend(
                node.child_by_field_name("function")
                    .filter(|function| function.kind() == "identifier")
                    .map(|function| text(program, function).to_owned()),
            ),
            _ => {}
        }
        true
    });
    bound.difference(&kept).cloned().collect()
}

fn field(program: &str, node: Node<'_>, name: &str) -> Option<String> {
    node.child_by_field_name(name).map(|node| text(program, node).to_owned())
}

fn all(program: &str, node: Node<'_>, names: &mut BTreeSet<String>) {
    visit(node, |below, _| {
        if below.kind() == "identifier" {
            names.insert(text(program, below).to_owned());
        }
        true
    });
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
    fn statements_of_different_blocks_are_told_apart() {
        let inside = "def f(x):\n    if x:\n        a()\n        b()\n";
        let outside = "def f(x):\n    if x:\n        a()\n    b()\n";
        assert_ne!(normalised(inside), normalised(outside));
        assert_ne!(normalised("x\n(y)\n"), normalised("x(y)\n"));
        assert_ne!(normalised("def f():\n    x\n    (y)\n"), normalised("def f():\n    x(y)\n"));
        assert_ne!(normalised("def f():\n    return\n    y\n"), normalised("def f():\n    return y\n"));
    }

    #[test]
    fn broken_and_deeply_nested_programs_are_no_trouble() {
        assert_eq!(normalised(""), "");
        normalised("def f(:\n  x = = 5 ]\n\0\u{2028}");
        let deep = format!("x = {}5{}\n", "(".repeat(20_000), ")".repeat(20_000));
        assert!(normalised(&deep).len() > 40_000);
    }
}
