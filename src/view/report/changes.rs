//! Changes: the edit of a proposal as removed and added lines.

use crate::edit::apply::Edit;
use crate::edit::block::Block;
use crate::view::report::page::DiffLine;

/// How many unchanged lines are shown before and after a change.
const CONTEXT: usize = 2;

pub fn lines(edit: &Edit) -> Vec<DiffLine> {
    let mut shown = Vec::new();
    for block in edit.blocks() {
        if !shown.is_empty() {
            shown.push(DiffLine { class: "gap", text: " ⋯".to_owned() });
        }
        shown.extend(block_lines(block));
    }
    shown
}

fn block_lines(block: &Block) -> Vec<DiffLine> {
    let (old, new): (Vec<&str>, Vec<&str>) = (block.search().lines().collect(), block.replace().lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = (old.len() - head).min(new.len() - head);
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let line = |class, sign: char| move |text: &&str| DiffLine { class, text: format!("{sign} {text}") };
    let before = old[head.saturating_sub(CONTEXT)..head].iter().map(line("same", ' '));
    let gone = old[head..old.len() - tail].iter().map(line("del", '-'));
    let come = new[head..new.len() - tail].iter().map(line("add", '+'));
    let after = old[old.len() - tail..].iter().take(CONTEXT).map(line("same", ' '));
    before.chain(gone).chain(come).chain(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_shown_around_what_changes_and_no_more() {
        let block = |old: &str, new: &str| Block::new(old, new).unwrap();
        let edit = Edit::new(vec![block("a\nb\nc\nd\ne\n", "a\nb\nc\nx\ny\ne\n"), block("f\n", "")]).unwrap();
        let text: Vec<String> = lines(&edit).into_iter().map(|line| line.text).collect();
        assert_eq!(text, ["  b", "  c", "- d", "+ x", "+ y", "  e", " ⋯", "- f"]);
    }

    #[test]
    fn an_added_line_leaves_its_neighbours_unchanged() {
        let edit = Edit::new(vec![Block::new("a\na\n", "a\na\na\n").unwrap()]).unwrap();
        let classes: Vec<&str> = lines(&edit).into_iter().map(|line| line.class).collect();
        assert_eq!(classes, ["same", "same", "add"]);
    }
}
