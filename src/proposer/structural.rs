//! Structural changes for `mutate`: statements deleted, repeated or exchanged, operators, early exits, types and
//! devices of tensors.

use std::ops::{Range, RangeInclusive};

use crate::edit::line::number;
use crate::edit::region::Region;
use crate::proposer::syntax::{Function, Mask, Statement, Token, functions, masks, statements, tokens};
use crate::values::operator::Operator;

/// Characters of a line in a description.
const SHOWN: usize = 80;

/// A change that is not applied yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alteration {
    /// In program order.
    pub(crate) replacements: Vec<(Range<usize>, String)>,
    pub(crate) operator: Operator,
    /// The changed part, for a name.
    pub(crate) name: String,
    /// The change, as a sentence.
    pub(crate) description: String,
}

/// All changes by an operator in the editable region of `program`.
pub(crate) fn alterations(program: &str, operator: Operator) -> Vec<Alteration> {
    let places = Places::of(program);
    let mut all = match operator {
        Operator::Delete | Operator::Repeat | Operator::Exchange => of_statements(&places),
        Operator::Comparison | Operator::Arithmetic | Operator::Types => of_tokens(&places),
        Operator::EarlyExit => of_loops(&places),
        _ => Vec::new(),
    };
    all.retain(|one| one.operator == operator);
    within_region(program, all)
}

/// Those changes that leave alone what must not be edited.
pub(crate) fn within_region(program: &str, mut all: Vec<Alteration>) -> Vec<Alteration> {
    let Ok(region) = Region::of(program) else { return Vec::new() };
    all.retain(|one| one.replacements.iter().all(|(span, _)| region.around(span).is_some()));
    all
}

fn of_statements(places: &Places<'_>) -> Vec<Alteration> {
    let program = places.program;
    let statements = statements(program);
    let computing = statements.iter().filter(|one| one.computes && ends_its_line(program, one));
    let mut all: Vec<Alteration> = computing.clone().flat_map(|one| alone(places, one)).collect();
    for (one, next) in computing.clone().zip(computing.skip(1)) {
        if one.block == next.block && !apart(program, one, next) {
            all.push(exchanged(places, one, next));
        }
    }
    all
}

/// Whether a line can follow: the last line of a program may lack its newline.
fn ends_its_line(program: &str, statement: &Statement) -> bool {
    program[statement.span.clone()].ends_with('\n')
}

/// Whether code other than comments stands between two statements.
fn apart(program: &str, one: &Statement, next: &Statement) -> bool {
    let between = program[one.span.end..next.span.start].lines().map(str::trim);
    between.into_iter().any(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Deletes and repeats a statement.
fn alone(places: &Places<'_>, one: &Statement) -> Vec<Alteration> {
    let program = places.program;
    let what = shown(program, one.span.start);
    let place = places.place(one.span.start);
    let text = program[one.span.clone()].to_owned();
    let repeated = Alteration {
        replacements: vec![(one.span.end..one.span.end, text)],
        operator: Operator::Repeat,
        name: format!("repeat_{}", places.name_at(one.line)),
        description: format!("Repeats the statement of {place}: {what}"),
    };
    let dropped = Alteration {
        replacements: vec![(one.span.clone(), String::new())],
        operator: Operator::Delete,
        name: format!("drop_{}", places.name_at(one.line)),
        description: format!("Leaves out the statement of {place}: {what}"),
    };
    if one.alone { vec![repeated] } else { vec![repeated, dropped] }
}

fn exchanged(places: &Places<'_>, one: &Statement, next: &Statement) -> Alteration {
    let program = places.program;
    let (first, second) = (program[one.span.clone()].to_owned(), program[next.span.clone()].to_owned());
    let (place, what) = (places.place(one.span.start), shown(program, one.span.start));
    Alteration {
        replacements: vec![(one.span.clone(), second), (next.span.clone(), first)],
        operator: Operator::Exchange,
        name: format!("exchange_{}", places.name_at(one.line)),
        description: format!("Exchanges the statement of {place}, {what}, with the next one."),
    }
}

fn of_tokens(places: &Places<'_>) -> Vec<Alteration> {
    let program = places.program;
    let alteration = |token: &Token, other: &String| {
        let own = &program[token.span.clone()];
        let (from, to) = (word(own), word(other));
        let place = places.place(token.span.start);
        Alteration {
            replacements: vec![(token.span.clone(), other.clone())],
            operator: of_token(token.is_operator, own),
            name: format!("{}_{from}_to_{to}", places.name_at(token.line)),
            description: format!("Puts {} in place of {} in {place}.", quoted(other), quoted(own)),
        }
    };
    let tokens = tokens(program);
    tokens.iter().flat_map(|token| token.others.iter().map(|other| alteration(token, other))).collect()
}

fn of_token(is_operator: bool, token: &str) -> Operator {
    match token {
        _ if !is_operator => Operator::Types,
        "<" | "<=" | ">" | ">=" | "==" | "!=" => Operator::Comparison,
        _ => Operator::Arithmetic,
    }
}

fn of_loops(places: &Places<'_>) -> Vec<Alteration> {
    let program = places.program;
    let exit = |Mask { name, span, line, indent }: Mask| {
        let text = format!("{indent}if not {name}.any():\n{indent}    break\n");
        Alteration {
            replacements: vec![(span.end..span.end, text)],
            operator: Operator::EarlyExit,
            name: format!("{}_exit", places.name_at(line)),
            description: format!("Ends the loop around {} when `{name}` is nowhere set.", places.place(span.start)),
        }
    };
    masks(program).into_iter().filter(|mask| program[..mask.span.end].ends_with('\n')).map(exit).collect()
}

/// Names of places in a program. Finds the functions once, because every alteration is named.
pub(crate) struct Places<'a> {
    pub(crate) program: &'a str,
    functions: Vec<(RangeInclusive<usize>, Function)>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(program: &'a str) -> Self {
        let with_lines = |function: &Function| {
            let Range { start, end } = function.span;
            (number(program, start)..=number(program, end - 1), function.clone())
        };
        Self { program, functions: functions(program).iter().map(with_lines).collect() }
    }

    /// `pack_12`: the function that a line is in, and its number.
    pub(crate) fn name_at(&self, line: usize) -> String {
        let function = self.functions.iter().find(|(lines, _)| lines.contains(&line));
        let name = function.map_or(String::new(), |(_, function)| {
            let name = function.name.trim_start_matches('_').chars().filter(char::is_ascii).take(30);
            format!("{}_", name.collect::<String>())
        });
        format!("{name}{line}")
    }

    pub(crate) fn name_at_offset(&self, offset: usize) -> String {
        self.name_at(number(self.program, offset))
    }

    pub(crate) fn place(&self, offset: usize) -> String {
        let function = self.functions.iter().find(|(_, function)| function.span.contains(&offset));
        let inside = function.map(|(_, function)| format!(" in `{}`", function.name)).unwrap_or_default();
        format!("line {}{inside}", number(self.program, offset))
    }
}

pub(crate) fn shown(program: &str, offset: usize) -> String {
    let line = program[offset..].lines().next().unwrap_or_default().trim();
    quoted(line)
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(SHOWN).collect();
    let more = if text.chars().count() > SHOWN { " ..." } else { "" };
    format!("`{short}{more}`")
}

fn word(token: &str) -> &str {
    match token {
        "<" => "lt",
        "<=" => "le",
        ">" => "gt",
        ">=" => "ge",
        "==" => "eq",
        "!=" => "ne",
        "+" => "plus",
        "-" => "minus",
        "*" => "times",
        "/" => "over",
        "//" => "floordiv",
        _ if token.ends_with(".cpu()") => "cpu",
        _ if token.chars().all(|char| char.is_ascii_alphanumeric()) => token,
        _ => "stay",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposer::change::replaced;

    const PARENT: &str = "import torch\nx = a < b\n# EVOLVE-BLOCK-START\ndef pack(w):\n    a = w.cpu()\n    b = a + 1\n    \
        for i in range(3):\n        done = a > b\n    return b.float()\n# EVOLVE-BLOCK-END\n";

    fn children(operator: Operator) -> Vec<(String, String)> {
        let named = |one: Alteration| (one.name, replaced(PARENT, &one.replacements));
        alterations(PARENT, operator).into_iter().map(named).collect()
    }

    fn only(operator: Operator, name: &str) -> String {
        let found: Vec<_> = children(operator).into_iter().filter(|(other, _)| other == name).collect();
        assert_eq!(found.len(), 1, "{name} of {:?}", children(operator));
        found[0].1.clone()
    }

    #[test]
    fn statements_are_left_out_repeated_and_exchanged() {
        let line = "    b = a + 1\n";
        assert_eq!(only(Operator::Delete, "drop_pack_6"), PARENT.replace(line, ""));
        assert_eq!(only(Operator::Repeat, "repeat_pack_6"), PARENT.replace(line, &line.repeat(2)));
        let exchanged = PARENT.replace(line, "").replace("    a = w", "    b = a + 1\n    a = w");
        assert_eq!(only(Operator::Exchange, "exchange_pack_5"), exchanged);
        let operators = [Operator::Delete, Operator::Repeat, Operator::Exchange];
        let names: Vec<String> = operators.into_iter().flat_map(children).map(|(name, _)| name).collect();
        assert!(!names.iter().any(|name| name == "drop_pack_8" || name.ends_with("_9")), "{names:?}");
    }

    #[test]
    fn operators_and_types_are_exchanged_in_the_region_alone() {
        assert_eq!(only(Operator::Arithmetic, "pack_6_plus_to_minus"), PARENT.replace("a + 1", "a - 1"));
        assert_eq!(only(Operator::Comparison, "pack_8_gt_to_ge"), PARENT.replace("a > b", "a >= b"));
        assert_eq!(only(Operator::Types, "pack_9_float_to_double"), PARENT.replace("float()", "double()"));
        assert_eq!(only(Operator::Types, "pack_5_cpu_to_w"), PARENT.replace("w.cpu()", "w"));
        let operators = [Operator::Arithmetic, Operator::Comparison];
        assert!(operators.into_iter().flat_map(children).all(|(_, child)| child.contains("x = a < b\n")));
    }

    #[test]
    fn a_loop_gets_an_early_exit() {
        let exit = "        done = a > b\n        if not done.any():\n            break\n";
        assert_eq!(only(Operator::EarlyExit, "pack_8_exit"), PARENT.replace("        done = a > b\n", exit));
        let said = &alterations(PARENT, Operator::EarlyExit)[0].description;
        assert_eq!(said, "Ends the loop around line 8 in `pack` when `done` is nowhere set.");
    }
}
