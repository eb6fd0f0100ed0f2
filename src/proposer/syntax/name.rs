//! The unbound names in the functions of a program.

use std::collections::BTreeSet;

use crate::proposer::syntax::function::{bound_at_top, definition};
use crate::proposer::syntax::tree::{Node, add_names, add_targets, field, parse, text};

/// For each top-level function of `program`, the names that neither it nor the top level binds: built-in functions and
/// missing names. Ignores order: a name that is bound too late counts as bound, and so does a type or a default among
/// the parameters.
pub(crate) fn unbound(program: &str) -> BTreeSet<(String, String)> {
    let tree = parse(program);
    let mut at_top = bound_at_top(program);
    let nodes: Vec<Node<'_>> = tree.root().named_children().map(definition).collect();
    at_top.extend(nodes.iter().filter_map(|node| field(program, *node, "name").map(str::to_owned)));
    let mut unbound = BTreeSet::new();
    for node in nodes.into_iter().filter(|node| node.kind() == "function_definition") {
        let function = field(program, node, "name").unwrap_or_default();
        let missing = used_unbound(program, node).into_iter().filter(|name| !at_top.contains(*name));
        unbound.extend(missing.map(|name| (function.to_owned(), name.to_owned())));
    }
    unbound
}

fn used_unbound<'a>(program: &'a str, function: Node<'_>) -> BTreeSet<&'a str> {
    let (mut used, mut bound) = (BTreeSet::new(), BTreeSet::new());
    for node in function.subtree() {
        match node.kind() {
            "identifier" if node.is_name() => {
                used.insert(text(program, node));
            }
            "assignment" | "for_statement" | "for_in_clause" => {
                node.child_in("left").into_iter().for_each(|left| add_targets(program, left, &mut bound));
            }
            "parameters"
            | "lambda_parameters"
            | "as_pattern_target"
            | "import_statement"
            | "import_from_statement"
            | "global_statement"
            | "nonlocal_statement" => {
                add_names(program, node, &mut bound);
            }
            "named_expression" | "function_definition" | "class_definition" => {
                bound.extend(field(program, node, "name"));
            }
            _ => {}
        }
    }
    used.difference(&bound).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "import torch\nimport numpy as np\nLIMIT = 3\n\n\ndef _help(x):\n    return x\n\n\n\
        def pack(w, n: int = 2, *rest, **more):\n    total, w.rest[n] = w.sum(axis=n), LIMIT\n    \
        for i, (a, b) in enumerate(rest):\n        total += _help(a) + b * i\n    with open(n) as file:\n        \
        done = [k for k in file if (m := k)]\n    return np.max(total), torch, done, m, lambda z: z, more\n";

    fn missing(program: &str) -> Vec<String> {
        unbound(program).into_iter().map(|(function, name)| format!("{function}.{name}")).collect()
    }

    #[test]
    fn only_what_nothing_binds_is_unbound() {
        assert_eq!(missing(PROGRAM), ["pack.enumerate", "pack.open"]);
        for (gone, name) in [
            ("    total, w.rest[n] = w.sum(axis=n), LIMIT\n", "pack.total"),
            ("        done = [k for k in file if (m := k)]\n", "pack.done"),
            ("import numpy as np\n", "pack.np"),
            ("def _help(x):\n    return x\n", "pack._help"),
        ] {
            let cut = PROGRAM.replace(gone, "");
            assert!(missing(&cut).contains(&name.to_owned()), "{name} of {:?}", missing(&cut));
        }
        assert_eq!(missing("def f(:\n"), Vec::<String>::new());
    }
}
