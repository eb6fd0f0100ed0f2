//! Blame: how many of the lines that each edit of a lineage wrote are left in its last program.

use schemars::JsonSchema;
use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::edit::line::lines;

/// Lines of one program of a lineage, without blank ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lines {
    /// Lines that its edit put in, from a second parent too.
    pub wrote: usize,
    /// Those of them that the last program of the lineage still has.
    pub left: usize,
}

/// The lines of these programs, each an edit of the one before.
pub fn blame(programs: &[String]) -> Vec<Lines> {
    let mut shares = vec![Lines::default(); programs.len()];
    let (mut before, mut origins): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
    for (at, program) in programs.iter().enumerate() {
        let program: Vec<&str> = lines(program).collect();
        origins = carried(&before, &origins, &program, at);
        shares[at].wrote = written(&program, &origins).filter(|origin| *origin == at).count();
        before = program;
    }
    written(&before, &origins).for_each(|origin| shares[origin].left += 1);
    shares
}

/// The program that wrote each line of `after`: the one that wrote it in `before`, or else number `at`.
fn carried(before: &[&str], origins: &[usize], after: &[&str], at: usize) -> Vec<usize> {
    let mut carried = vec![at; after.len()];
    for operation in capture_diff_slices(Algorithm::Myers, before, after) {
        if let DiffOp::Equal { old_index, new_index, len } = operation {
            carried[new_index..new_index + len].copy_from_slice(&origins[old_index..old_index + len]);
        }
    }
    carried
}

fn written(program: &[&str], origins: &[usize]) -> impl Iterator<Item = usize> {
    program.iter().zip(origins).filter(|(line, _)| !line.trim().is_empty()).map(|(_, origin)| *origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(programs: &[&str]) -> Vec<(usize, usize)> {
        let programs: Vec<String> = programs.iter().map(|program| program.replace(' ', "\n")).collect();
        blame(&programs).iter().map(|lines| (lines.wrote, lines.left)).collect()
    }

    #[test]
    fn a_line_is_of_the_program_that_first_had_it_until_it_goes() {
        assert_eq!(counts(&["a b c "]), [(3, 3)]);
        assert_eq!(counts(&["a b c ", "a x y c ", "a x c z "]), [(3, 2), (2, 1), (1, 1)]);
        assert_eq!(counts(&["a b ", "b ", "a b "]), [(2, 1), (0, 0), (1, 1)], "what comes back is written again");
        assert_eq!(counts(&["a b ", "x y ", "z "]), [(2, 0), (2, 0), (1, 1)]);
    }

    #[test]
    fn blank_lines_are_nobodys() {
        assert_eq!(counts(&["a\n\nb ", "a\n\n\t\nb\n\n ", ""]), [(2, 0), (0, 0), (0, 0)]);
        assert_eq!(counts(&[]), []);
    }
}
