//! The operators of a Python program, and the tokens that set the type or device of a tensor.

use std::ops::Range;

use crate::proposer::syntax::tree::{Node, parse, text};

/// A replaceable piece of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) span: Range<usize>,
    /// Its line, from 1.
    pub(crate) line: usize,
    pub(crate) others: Vec<String>,
    /// Whether it is an operator; otherwise it sets the type or device of a tensor.
    pub(crate) is_operator: bool,
}

/// Operators that may replace each other.
const OPERATORS: [&[&str]; 5] =
    [&["<", "<=", ">", ">="], &["==", "!="], &["+", "-"], &["*", "/", "//"], &["and", "or"]];

/// Types and cast methods that may replace each other.
const TYPES: [&[&str]; 3] =
    [&["float16", "bfloat16", "float32", "float64"], &["int16", "int32", "int64"], &["float", "double"]];

/// The replaceable tokens of `program`, in source order.
pub(crate) fn tokens(program: &str) -> Vec<Token> {
    let tree = parse(program);
    let mut tokens = Vec::new();
    tree.root().walk(|node| {
        tokens.extend(operator(program, node).or_else(|| kind_of_number(program, node)));
        tokens.extend(transfer(program, node));
        node.kind() != "type"
    });
    tokens
}

fn token(node: Node<'_>, others: Vec<String>, is_operator: bool) -> Token {
    Token { span: node.bytes(), line: node.line(), others, is_operator }
}

fn others(groups: &[&[&str]], word: &str) -> Option<Vec<String>> {
    let group = groups.iter().find(|group| group.contains(&word))?;
    Some(group.iter().filter(|other| **other != word).map(|other| (*other).to_owned()).collect())
}

fn operator(program: &str, node: Node<'_>) -> Option<Token> {
    let is_operator = matches!(node.field(), Some("operator" | "operators")) && !node.is_named();
    // A sign before a number belongs to the number.
    let of_two = || node.parent().is_some_and(|parent| parent.kind() != "unary_operator");
    let others = is_operator.then(|| others(&OPERATORS, text(program, node))).flatten()?;
    of_two().then(|| token(node, others, true))
}

/// `torch.float32`, or the `float` of `x.float()`.
fn kind_of_number(program: &str, node: Node<'_>) -> Option<Token> {
    if node.kind() != "identifier" || node.field() != Some("attribute") {
        return None;
    }
    Some(token(node, others(&TYPES, text(program, node))?, false))
}

/// `x.cpu()`, which may be `x`.
fn transfer(program: &str, node: Node<'_>) -> Option<Token> {
    let function = node.child_in("function").filter(|_| node.kind() == "call")?;
    let method = function.child_in("attribute").filter(|_| function.kind() == "attribute")?;
    let arguments = node.child_in("arguments")?;
    let moves = text(program, method) == "cpu" && arguments.first_named().is_none();
    let object = function.child_in("object")?;
    moves.then(|| token(node, vec![text(program, object).to_owned()], false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_and_types_know_what_may_take_their_place() {
        let program = "x = a < -b + c.float()\ny = torch.zeros(2, dtype=torch.int64).cpu() if a and '1 < 2' else -1\n";
        let found = tokens(program);
        let about = |one: &Token| (program[one.span.clone()].to_owned(), one.others.join(" "), one.is_operator);
        let all: Vec<_> = found.iter().map(about).collect();
        let expect = |text: &str, others: &str, is_operator| (text.to_owned(), others.to_owned(), is_operator);
        assert_eq!(
            all,
            [
                expect("<", "<= > >=", true),
                expect("+", "-", true),
                expect("float", "double", false),
                expect("torch.zeros(2, dtype=torch.int64).cpu()", "torch.zeros(2, dtype=torch.int64)", false),
                expect("int64", "int16 int32", false),
                expect("and", "or", true),
            ]
        );
        assert_eq!(found[2].line, 1);
    }
}
