//! A check that a program is valid Python.

use crate::proposer::syntax::tree::parse;

/// Whether the parser accepts `program` without error recovery.
pub(crate) fn is_sound(program: &str) -> bool {
    let tree = parse(program);
    // The grammar allows an empty block; Python does not.
    let mut blocks = tree.root().subtree().filter(|node| node.kind() == "block");
    !tree.has_error() && blocks.all(|block| block.named_children().any(|child| child.kind() != "comment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_slip_is_not_sound() {
        for sound in ["", "x = 1\n", "def f(x):\n    return x\n", "# only words\n"] {
            assert!(is_sound(sound), "{sound}");
        }
        for broken in ["def f(:\n", "x = = 1\n", "for x in y:\n", "x = (1\n", "if x\n    y\n"] {
            assert!(!is_sound(broken), "{broken}");
        }
    }
}
