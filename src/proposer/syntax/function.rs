//! The top level of a Python program: its functions with their calls and names, its imports, and its assignments.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::proposer::syntax::tree::{Node, assignment, field, parse, text, whole_lines};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Whole lines, with decorators.
    pub(crate) span: Range<usize>,
    /// The names that it mentions, without attributes and keywords.
    pub(crate) mentions: BTreeSet<String>,
    /// Its calls of plain names, in source order.
    pub(crate) calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: String,
    /// Its keyword arguments, as source text.
    pub(crate) keywords: Vec<(String, String)>,
}

/// An import or an assignment at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Whole lines.
    pub(crate) span: Range<usize>,
    /// The names that it binds; none for `import *`.
    pub(crate) names: Vec<String>,
}

/// The top-level functions of `program`, in source order.
pub(crate) fn functions(program: &str) -> Vec<Function> {
    at_top(program, |node| function(program, node))
}

/// The functions within `bytes`, which are whole lines. Python counts an indented comment behind a function, such as
/// the marker that ends a region, as part of it; this function does not.
pub(crate) fn functions_in(program: &str, within: &Range<usize>) -> Vec<Function> {
    let is_comment_or_blank = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
    let inside = |function: Function| {
        let span = function.span.start..function.span.end.min(within.end);
        let beyond = &program[span.end..function.span.end];
        let is_inside = within.contains(&span.start) && beyond.lines().all(is_comment_or_blank);
        is_inside.then_some(Function { span, ..function })
    };
    functions(program).into_iter().filter_map(inside).collect()
}

pub(crate) fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The top-level imports of `program`, in source order.
pub(crate) fn imports(program: &str) -> Vec<Binding> {
    at_top(program, |node| {
        if !matches!(node.kind(), "import_statement" | "import_from_statement") {
            return None;
        }
        let bound = node.children_in("name").filter_map(|name| {
            let whole = text(program, name.child_in("alias").unwrap_or(name));
            // `import a.b` binds `a`.
            whole.split('.').next().map(str::to_owned)
        });
        Some(Binding { span: whole_lines(program, node), names: bound.collect() })
    })
}

/// The assignments to names at the top level of `program`, in source order.
pub(crate) fn assignments(program: &str) -> Vec<Binding> {
    at_top(program, |node| {
        let (_, name) = assignment(program, node)?;
        Some(Binding { span: whole_lines(program, node), names: vec![name.to_owned()] })
    })
}

/// The names that the top-level imports and assignments of `program` bind.
pub(super) fn bound_at_top(program: &str) -> BTreeSet<String> {
    assignments(program).into_iter().chain(imports(program)).flat_map(|binding| binding.names).collect()
}

/// The definition below decorators; other nodes stay.
pub(super) fn definition(node: Node<'_>) -> Node<'_> {
    node.child_in("definition").unwrap_or(node)
}

fn at_top<T>(program: &str, read: impl Fn(Node<'_>) -> Option<T>) -> Vec<T> {
    let tree = parse(program);
    tree.root().named_children().filter_map(read).collect()
}

fn function(program: &str, node: Node<'_>) -> Option<Function> {
    let definition = definition(node);
    if definition.kind() != "function_definition" {
        return None;
    }
    Some(Function {
        name: field(program, definition, "name")?.to_owned(),
        span: whole_lines(program, node),
        mentions: node.subtree().filter(|below| below.is_name()).map(|name| text(program, name).to_owned()).collect(),
        calls: node.subtree().filter_map(|below| call(program, below)).collect(),
    })
}

fn call(program: &str, node: Node<'_>) -> Option<Call> {
    let function = node.child_in("function").filter(|_| node.kind() == "call")?;
    if function.kind() != "identifier" {
        return None;
    }
    let arguments = node.child_in("arguments")?;
    let keywords = arguments.named_children().filter(|argument| argument.kind() == "keyword_argument");
    let part = |argument, name| field(program, argument, name).map(str::to_owned);
    let keywords = keywords.filter_map(|argument| Some((part(argument, "name")?, part(argument, "value")?)));
    Some(Call { function: text(program, function).to_owned(), keywords: keywords.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposer::syntax::functions;

    const PROGRAM: &str = "import x\n\n@x.cached(size=3)\ndef one(a, b=two):\n    c.d = three(a, k=2, *four(-5))\n    \
        return x.five(a)  # six\n\ndef two(): return 1  # seven\nclass Eight:\n    def nine(self): pass\n";

    #[test]
    fn functions_are_whole_lines_with_their_decorators() {
        let found = functions(PROGRAM);
        let names: Vec<&str> = found.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        assert!(PROGRAM[found[0].span.clone()].starts_with("@x.cached"));
        assert!(PROGRAM[found[0].span.clone()].ends_with("# six\n"));
        assert_eq!(&PROGRAM[found[1].span.clone()], "def two(): return 1  # seven\n");
    }

    #[test]
    fn imports_know_the_names_that_they_bring() {
        let program =
            "import a\nimport b.c, d as e\nfrom f.g import h, i as j\nfrom k import *\nx = 1\ny += 2\n(z, w) = 3, 4\n";
        let found = imports(program);
        let names: Vec<Vec<&str>> = found.iter().map(|one| one.names.iter().map(String::as_str).collect()).collect();
        assert_eq!(names, [vec!["a"], vec!["b", "e"], vec!["h", "j"], vec![]]);
        assert_eq!(&program[found[1].span.clone()], "import b.c, d as e\n");
        let assigned = assignments(program);
        assert_eq!(
            (assigned.len(), assigned[0].names.join(","), &program[assigned[0].span.clone()]),
            (1, "x".to_owned(), "x = 1\n")
        );
    }

    #[test]
    fn a_function_knows_the_names_that_it_mentions_and_the_calls_that_it_makes() {
        let one = &functions(PROGRAM)[0];
        assert_eq!(
            one.mentions.iter().map(String::as_str).collect::<Vec<_>>(),
            ["a", "c", "four", "three", "two", "x"]
        );
        let calls: Vec<_> = one.calls.iter().map(|call| (call.function.as_str(), call.keywords.clone())).collect();
        assert_eq!(calls, [("three", vec![("k".to_owned(), "2".to_owned())]), ("four", vec![])]);
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
}
