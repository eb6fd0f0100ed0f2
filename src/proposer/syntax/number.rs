//! The numbers of a Python program with their roles, without those in strings, comments and annotations.

use std::ops::Range;

use crate::proposer::literal::Literal;
use crate::proposer::syntax::tree::{Node, field, parse, text};

/// The role of a number; the most promising to change comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The default of a parameter.
    Default,
    /// In the arguments of `range`.
    Bound,
    /// Any other number in a computation.
    Other,
    /// An index, a dimension, part of a shape, or a 0, 1 or -1 that counts nothing.
    Structural,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) span: Range<usize>,
    /// Its line, from 1.
    pub(crate) line: usize,
    pub(crate) literal: Literal,
    pub(crate) role: Role,
    /// The parameter, argument or variable that holds it.
    pub(crate) name: Option<String>,
    pub(crate) function: Option<String>,
}

/// The program does not compute with numbers in these nodes.
const SKIPPED: [&str; 3] = ["string", "comment", "type"];

/// Arguments that name dimensions or sizes.
const DIMENSIONS: [&str; 9] = ["dim", "dims", "dim0", "dim1", "axis", "size", "shape", "start_dim", "end_dim"];

/// Methods and functions of a module whose positional integers are dimensions or sizes.
#[rustfmt::skip]
const SHAPED: [&str; 61] = [
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "cat", "cummax", "cummin", "cumprod", "cumsum", "empty",
    "expand", "expand_dims", "flatten", "flip", "full", "gather", "index_add", "index_add_", "index_copy_", "index_fill_",
    "index_select", "max", "mean", "min", "movedim", "narrow", "new_empty", "new_full", "new_zeros", "ones", "permute",
    "prod", "rand", "randn", "randperm", "repeat", "reshape", "scatter", "scatter_", "scatter_add", "scatter_add_",
    "scatter_reduce", "scatter_reduce_", "select", "size", "softmax", "sort", "squeeze", "stack", "std", "sum", "swapaxes",
    "take_along_dim", "transpose", "unflatten", "unsqueeze", "view", "zeros",
];

/// The numbers of `program`, in source order.
pub(crate) fn numbers(program: &str) -> Vec<Number> {
    let tree = parse(program);
    let mut numbers = Vec::new();
    tree.root().walk(|node| {
        if matches!(node.kind(), "integer" | "float") {
            numbers.extend(number(program, node));
        }
        !SKIPPED.contains(&node.kind())
    });
    numbers
}

fn number(program: &str, digits: Node<'_>) -> Option<Number> {
    let is_minus = |node: &Node<'_>| node.kind() == "unary_operator" && text(program, *node).starts_with('-');
    let value = digits.parent().filter(is_minus).unwrap_or(digits);
    let written = text(program, value).replace(|char: char| char.is_whitespace(), "");
    let literal = Literal::parse(&written)?;
    let place = Place { program, value };
    Some(Number {
        span: value.bytes(),
        line: value.line(),
        literal,
        role: place.role(literal),
        name: place.name().map(str::to_owned),
        function: place.function().map(str::to_owned),
    })
}

/// The position of a number in the tree.
struct Place<'a, 'tree> {
    program: &'a str,
    value: Node<'tree>,
}

impl<'a, 'tree> Place<'a, 'tree> {
    /// The ancestors up to the statement, innermost first, each with its child.
    fn outwards(&self) -> impl Iterator<Item = (Node<'tree>, Node<'tree>)> + use<'tree> {
        let below = std::iter::successors(Some(self.value), |node| node.parent());
        let pairs = below.filter_map(|below| Some((below.parent()?, below)));
        pairs.take_while(|(node, _)| !matches!(node.kind(), "block" | "module" | "function_definition" | "lambda"))
    }

    /// The node whose value is the number, ignoring parentheses.
    fn holder(&self) -> Option<(Node<'tree>, Node<'tree>)> {
        self.outwards().find(|(node, _)| node.kind() != "parenthesized_expression")
    }

    fn role(&self, literal: Literal) -> Role {
        if let Some((holder, below)) = self.holder()
            && matches!(holder.kind(), "default_parameter" | "typed_default_parameter")
            && below.field() == Some("value")
        {
            let count = !literal.is_structural() || literal == Literal::Integer(1);
            return if count { Role::Default } else { Role::Structural };
        }
        for (node, below) in self.outwards() {
            match node.kind() {
                "subscript" if below.field() != Some("value") => return Role::Structural,
                "slice" => return Role::Structural,
                "keyword_argument" if self.is_dimension(node) => return Role::Structural,
                "call" if below.kind() == "argument_list" => {
                    return self.role_in_call(node, below, literal);
                }
                _ => {}
            }
        }
        by_value(literal)
    }

    fn is_dimension(&self, argument: Node<'_>) -> bool {
        field(self.program, argument, "name").is_some_and(|name| DIMENSIONS.contains(&name))
    }

    fn role_in_call(&self, call: Node<'_>, arguments: Node<'_>, literal: Literal) -> Role {
        let function = call.child_in("function");
        let name = function.map(|function| match function.kind() {
            "attribute" => field(self.program, function, "attribute").unwrap_or_default(),
            _ => text(self.program, function),
        });
        let is_method = function.is_some_and(|function| function.kind() == "attribute");
        let alone = arguments.named_children().count() == 1 && self.holder().is_some_and(|(node, _)| node == arguments);
        match (name, literal) {
            (Some("range"), Literal::Integer(1)) if alone => Role::Bound,
            (Some("range"), _) if !literal.is_structural() => Role::Bound,
            (Some(name), Literal::Integer(_)) if is_method && SHAPED.contains(&name) => Role::Structural,
            _ => by_value(literal),
        }
    }

    /// The name that holds the number.
    fn name(&self) -> Option<&'a str> {
        let (holder, below) = self.holder()?;
        match (holder.kind(), below.field()) {
            ("default_parameter" | "typed_default_parameter" | "keyword_argument", Some("value")) => {
                field(self.program, holder, "name")
            }
            ("assignment", Some("right")) => {
                holder.child_in("left").filter(|left| left.kind() == "identifier").map(|left| text(self.program, left))
            }
            _ => None,
        }
    }

    fn function(&self) -> Option<&'a str> {
        let mut above = std::iter::successors(self.value.parent(), |node| node.parent());
        field(self.program, above.find(|node| node.kind() == "function_definition")?, "name")
    }
}

fn by_value(literal: Literal) -> Role {
    if literal.is_structural() { Role::Structural } else { Role::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of `program` with this role, as source text.
    fn with_role(program: &str, role: Role) -> Vec<&str> {
        let numbers = numbers(program);
        numbers.iter().filter(|number| number.role == role).map(|number| &program[number.span.clone()]).collect()
    }

    #[test]
    fn defaults_and_bounds_have_roles_of_their_own() {
        let program = "def f(a, b=5, c: int = 20, d: float = (1e-5), e=1, g=0, h=-1):\n    for i in range(20):\n        \
            for j in range(0, 4 * a + 1, 2):\n            x = 1.05 * b\n    y = lambda k=7: range(1)\n";
        assert_eq!(with_role(program, Role::Default), ["5", "20", "1e-5", "1", "7"]);
        assert_eq!(with_role(program, Role::Bound), ["20", "4", "2", "1"]);
        assert_eq!(with_role(program, Role::Other), ["1.05"]);
        assert_eq!(with_role(program, Role::Structural), ["0", "-1", "0", "1"]);
    }

    #[test]
    fn indices_dimensions_and_shapes_are_structural() {
        let program = "x[2], x[:, 3:4], y.view(5, -1), z.max(dim=6), torch.zeros((7, n), dtype=t), w.gather(8, i)\n\
            a = max(9, n) + torch.full_like(b, 10.5) + torch.topk(c, 11).values[x * 12] + 13 ** d\n";
        assert_eq!(with_role(program, Role::Structural), ["2", "3", "4", "5", "-1", "6", "7", "8", "12"]);
        assert_eq!(with_role(program, Role::Other), ["9", "10.5", "11", "13"]);
    }

    #[test]
    fn strings_comments_and_annotations_hold_no_numbers() {
        let program = "\"\"\"5 packs\"\"\"\n# 20 rounds\ndef f(x: Pair[2, 3]) -> Pair[4]:\n    '''6'''\n    \
            s = f\"{x + 7:.8f} 9\"  # 10\n    s: T[11] = '12'\n    return 13\n";
        assert_eq!(numbers(program).iter().map(|number| &program[number.span.clone()]).collect::<Vec<_>>(), ["13"]);
    }

    #[test]
    fn a_number_knows_its_name_its_function_and_its_line() {
        let program =
            "ROUNDS = 3\ndef outer(tries=5):\r\n    def inner():\r\n        g(k=6, *[7])\r\n    a.b = - 8\r\n";
        let found: Vec<_> = numbers(program);
        let about = |n: usize| (found[n].name.as_deref(), found[n].function.as_deref(), found[n].line);
        assert_eq!(about(0), (Some("ROUNDS"), None, 1));
        assert_eq!(about(1), (Some("tries"), Some("outer"), 2));
        assert_eq!(about(2), (Some("k"), Some("inner"), 4));
        assert_eq!(about(3), (None, Some("inner"), 4));
        assert_eq!(about(4), (None, Some("outer"), 5));
        assert_eq!((found[4].literal, &program[found[4].span.clone()]), (Literal::Integer(-8), "- 8"));
    }

    #[test]
    fn broken_and_deeply_nested_programs_are_harmless() {
        assert_eq!(numbers("").len(), 0);
        numbers("def f(:\n  x = = 5 ]\n\0\u{2028}");
        let deep = format!("x = {}5{}\n", "(".repeat(20_000), ")".repeat(20_000));
        assert!(numbers(&deep).len() <= 1);
    }
}
