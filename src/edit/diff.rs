//! Diff: two programs as a unified diff that `git apply` and `patch` take.

use similar::TextDiff;

use crate::edit::line::lines;

const CONTEXT: usize = 3;

/// From `old` to `new`, both a file of this name; empty if they are equal.
pub fn unified(file_name: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (lines(old).collect(), lines(new).collect());
    // A name with a blank in it ends where a tab is.
    let end = if file_name.contains(' ') { "\t" } else { "" };
    let mut text = String::new();
    for hunk in TextDiff::from_slices(&old, &new).unified_diff().context_radius(CONTEXT).iter_hunks() {
        if text.is_empty() {
            text += &format!("--- a/{file_name}{end}\n+++ b/{file_name}{end}\n");
        }
        text += &format!("{}\n", hunk.header());
        for change in hunk.iter_changes() {
            // Not the library's own lines: it takes a carriage return alone for a line end.
            let end = if change.value().ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            text += &format!("{}{}{end}", change.tag(), change.value());
        }
    }
    text
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
    fn line_ends_are_kept_and_a_missing_one_is_marked() {
        let diff = unified("a", "x\r\ny\rz", "x\r\ny\rz\n");
        let wanted = " x\r\n-y\rz\n\\ No newline at end of file\n+y\rz\n";
        assert!(diff.ends_with(wanted), "{diff:?}");
        let diff = unified("a", "x\ny\r", "x\nz");
        assert!(
            diff.ends_with(" x\n-y\r\n\\ No newline at end of file\n+z\n\\ No newline at end of file\n"),
            "{diff:?}"
        );
    }
}
