//! Patch: two programs as a unified diff that `git apply` and `patch` take.

use std::fmt::Write as _;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use crate::edit::line::lines;

/// How many equal lines are shown around a difference.
const CONTEXT: usize = 3;

/// From `old` to `new`, both a file of this name; empty if they are equal.
pub fn unified(file_name: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (lines(old).collect(), lines(new).collect());
    let hunks = group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT);
    if hunks.is_empty() {
        return String::new();
    }
    // A name with a blank in it ends where a tab is.
    let end = if file_name.contains(' ') { "\t" } else { "" };
    let mut text = format!("--- a/{file_name}{end}\n+++ b/{file_name}{end}\n");
    for hunk in hunks {
        text += &heading(&hunk);
        for operation in hunk {
            write_lines(&mut text, &operation, &old, &new);
        }
    }
    text
}

fn heading(hunk: &[DiffOp]) -> String {
    let (first, last) = (&hunk[0], &hunk[hunk.len() - 1]);
    let old = place(first.old_range().start, last.old_range().end);
    let new = place(first.new_range().start, last.new_range().end);
    format!("@@ -{old} +{new} @@\n")
}

/// Lines count from 1; of no lines the one before is named.
fn place(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

fn write_lines(text: &mut String, operation: &DiffOp, old: &[&str], new: &[&str]) {
    let mut put = |sign: char, lines: &[&str]| {
        for line in lines {
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            write!(text, "{sign}{line}{end}").expect("BUG: writing to a string cannot fail");
        }
    };
    if operation.tag() == DiffTag::Equal {
        return put(' ', &old[operation.old_range()]);
    }
    put('-', &old[operation.old_range()]);
    put('+', &new[operation.new_range()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_its_place_and_three_lines_around_it() {
        let old = (1..=9).map(|line| format!("line {line}\n")).collect::<String>();
        let new = old.replace("line 5\n", "line five\nand more\n");
        let wanted = "--- a/eplb.py\n+++ b/eplb.py\n@@ -2,7 +2,8 @@\n line 2\n line 3\n line 4\n-line 5\n+line five\n\
                      +and more\n line 6\n line 7\n line 8\n";
        assert_eq!(unified("eplb.py", &old, &new), wanted);
        assert_eq!(unified("eplb.py", &old, &old), "");
    }

    #[test]
    fn what_is_put_where_nothing_was_stands_after_line_0() {
        assert!(unified("a b.py", "", "x\n").starts_with("--- a/a b.py\t\n+++ b/a b.py\t\n@@ -0,0 +1 @@\n+x\n"));
    }

    #[test]
    fn line_ends_are_kept_and_a_missing_one_is_told() {
        let diff = unified("a", "x\r\ny\rz", "x\r\ny\rz\n");
        let wanted = " x\r\n-y\rz\n\\ No newline at end of file\n+y\rz\n";
        assert!(diff.ends_with(wanted), "{diff:?}");
    }
}
