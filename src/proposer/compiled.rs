//! Compiled: changes for `mutate` that matter where Numba compiles: the options of the decorator, and the order of two
//! nested loops, the inner of which the compiler turns into vector instructions.

use std::ops::Range;

use crate::edit::line::lines_with_starts;
use crate::proposer::structural::{Alteration, Places, within_region};
use crate::values::operator::Operator;

/// What the compiler may assume or do, by the options of `njit`.
const OPTIONS: [(&str, &str); 3] = [
    ("fastmath=True", "may reorder sums and ignores NaN"),
    ("error_model=\"numpy\"", "divides without a check for zero"),
    ("inline=\"always\"", "is copied into its callers before they are typed"),
];

/// All changes by an operator in the editable region of `program`.
pub(crate) fn alterations(program: &str, operator: Operator) -> Vec<Alteration> {
    let places = Places::of(program);
    let all = match operator {
        Operator::JitOption => options(&places),
        Operator::LoopOrder => loop_orders(&places),
        _ => Vec::new(),
    };
    within_region(program, all)
}

/// Each option added to, or taken from, each decorator `@njit` that stands on a line of its own.
fn options(places: &Places<'_>) -> Vec<Alteration> {
    let mut all = Vec::new();
    for Line { span, text } in placed(places.program) {
        let given = match text.trim_end() {
            "@njit" => Some(""),
            call => call.strip_prefix("@njit(").and_then(|call| call.strip_suffix(')')),
        };
        let Some(given) = given else { continue };
        let given: Vec<&str> = given.split(',').map(str::trim).filter(|option| !option.is_empty()).collect();
        for (option, meaning) in OPTIONS {
            let mut new = given.clone();
            let is_given = given.contains(&option);
            if is_given {
                new.retain(|other| *other != option);
            } else {
                new.push(option);
            }
            let decorator = if new.is_empty() { "@njit\n".to_owned() } else { format!("@njit({})\n", new.join(", ")) };
            let (with, becomes) = if is_given { ("without", "no longer") } else { ("with", "now") };
            let word = option.split('=').next().unwrap_or(option);
            all.push(Alteration {
                replacements: vec![(span.clone(), decorator)],
                operator: Operator::JitOption,
                name: format!("{}_{with}_{word}", places.name_at_offset(span.end)),
                description: format!(
                    "Compiles the function of {} {with} `{option}`: it {becomes} {meaning}.",
                    places.place(span.end)
                ),
            });
        }
    }
    all
}

/// The headers of two loops exchanged, of which the inner one is all that the outer one does.
fn loop_orders(places: &Places<'_>) -> Vec<Alteration> {
    let lines = placed(places.program);
    let mut all = Vec::new();
    for (at, pair) in lines.windows(2).enumerate() {
        let [outer, inner] = pair else { continue };
        let (Some(outer_loop), Some(inner_loop)) = (Loop::of(outer.text), Loop::of(inner.text)) else { continue };
        let after = lines[at + 2..].iter().filter(|line| !line.text.trim().is_empty());
        let next = after.map(|line| indent(line.text)).find(|next| *next <= inner_loop.indent);
        let alone = next.is_none_or(|next| next <= outer_loop.indent);
        if inner_loop.indent <= outer_loop.indent || !alone || inner_loop.mentions(outer_loop.variable) {
            continue;
        }
        let header = |indent: usize, of: &Loop<'_>| format!("{}{}\n", " ".repeat(indent), of.header);
        let (place, line) = (places.place(outer.span.start), places.name_at_offset(outer.span.start));
        all.push(Alteration {
            replacements: vec![
                (outer.span.clone(), header(outer_loop.indent, &inner_loop)),
                (inner.span.clone(), header(inner_loop.indent, &outer_loop)),
            ],
            operator: Operator::LoopOrder,
            name: format!("{line}_loops_exchanged"),
            description: format!(
                "Exchanges the loops over `{}` and `{}` of {place}.",
                outer_loop.variable, inner_loop.variable
            ),
        });
    }
    all
}

/// A line and where it is.
struct Line<'a> {
    span: Range<usize>,
    text: &'a str,
}

fn placed(program: &str) -> Vec<Line<'_>> {
    lines_with_starts(program).map(|(start, text)| Line { span: start..start + text.len(), text }).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The header of a loop over one variable.
struct Loop<'a> {
    indent: usize,
    /// From `for` to the colon.
    header: &'a str,
    variable: &'a str,
    over: &'a str,
}

impl<'a> Loop<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let header = line.trim();
        let (variable, over) = header.strip_prefix("for ")?.strip_suffix(':')?.split_once(" in ")?;
        let is_name = variable.chars().all(|char| char.is_alphanumeric() || char == '_');
        is_name.then_some(Self { indent: indent(line), header, variable, over })
    }

    fn mentions(&self, name: &str) -> bool {
        self.over.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposer::change::replaced;

    const PARENT: &str = "# EVOLVE-BLOCK-START\n@njit\ndef pack(w, n):\n    for row in range(n):\n        \
        for lane in range(8):\n            w[row, lane] += 1\n    for row in range(n):\n        for lane in range(row):\n            \
        w[row, lane] += 1\n    for row in range(n):\n        for lane in range(8):\n            w[row, lane] += 1\n        \
        n += 1\n    return w\n\n@njit(error_model=\"numpy\", cache=True)\ndef sort(w):\n    return w\n# EVOLVE-BLOCK-END\n\
        @njit\ndef outside():\n    return 1\n";

    fn children(operator: Operator) -> Vec<(String, String)> {
        let named = |one: Alteration| (one.name, replaced(PARENT, &one.replacements));
        alterations(PARENT, operator).into_iter().map(named).collect()
    }

    #[test]
    fn options_come_and_go_in_the_region_alone() {
        let all = children(Operator::JitOption);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        let child = |wanted: &str| all.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        assert_eq!(child("pack_3_with_fastmath"), PARENT.replacen("@njit\n", "@njit(fastmath=True)\n", 1));
        assert_eq!(
            child("sort_17_without_error_model"),
            PARENT.replace("@njit(error_model=\"numpy\", cache", "@njit(cache")
        );
        let both = PARENT.replace("cache=True)", "cache=True, inline=\"always\")");
        assert_eq!(child("sort_17_with_inline"), both);
    }

    #[test]
    fn loops_change_places_where_the_inner_one_is_all_and_does_not_depend_on_the_outer_one() {
        let all = children(Operator::LoopOrder);
        let exchanged = PARENT.replacen(
            "    for row in range(n):\n        for lane in range(8):\n",
            "    for lane in range(8):\n        for row in range(n):\n",
            1,
        );
        assert_eq!(all, [("pack_4_loops_exchanged".to_owned(), exchanged)]);
    }
}
