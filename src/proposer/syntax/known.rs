//! Known: trees of programs that were parsed before, and their functions. Of a proposal, parent and child are asked about several times, and
//! parents come back; to parse costs far more than to remember.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::function::{Function, functions_of};
use super::tree::Tree;

/// How many programs that were asked for last are known.
const RECENT: usize = 24;
/// How many of those that came back: as many as there are parents in most runs.
const KEPT: usize = 128;
/// Who is asked for again after so many others has come back.
const OTHERS: usize = 6;

/// A program and its tree.
#[derive(Debug)]
struct Parsed {
    program: String,
    tree: Rc<Tree>,
    /// Those at its top level, once they were asked for.
    functions: OnceCell<Rc<[Function]>>,
}

/// The trees that are known, of each kind the last first.
#[derive(Debug, Default)]
pub(super) struct Known {
    recent: VecDeque<Rc<Parsed>>,
    kept: VecDeque<Rc<Parsed>>,
    /// The last of all, which the next one often differs little from.
    last: Option<Rc<Parsed>>,
}

impl Known {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self { recent: VecDeque::new(), kept: VecDeque::new(), last: None }
    }

    /// The tree of a program.
    pub(super) fn tree(&mut self, program: &str) -> Rc<Tree> {
        Rc::clone(&self.get(program).tree)
    }

    /// The functions at its top level.
    pub(super) fn functions(&mut self, program: &str) -> Rc<[Function]> {
        let parsed = self.get(program);
        Rc::clone(parsed.functions.get_or_init(|| functions_of(program, &parsed.tree).into()))
    }

    fn get(&mut self, program: &str) -> Rc<Parsed> {
        let parsed = self.recall(program).unwrap_or_else(|| self.parsed(program));
        self.last = Some(Rc::clone(&parsed));
        parsed
    }

    fn recall(&mut self, program: &str) -> Option<Rc<Parsed>> {
        let place = |all: &VecDeque<Rc<Parsed>>| all.iter().position(|one| one.program == program);
        if let Some(at) = place(&self.recent) {
            let one = self.recent.remove(at)?;
            let into = if at < OTHERS { &mut self.recent } else { &mut self.kept };
            into.push_front(Rc::clone(&one));
            self.kept.truncate(KEPT);
            return Some(one);
        }
        let one = place(&self.kept).and_then(|at| self.kept.remove(at))?;
        self.kept.push_front(Rc::clone(&one));
        Some(one)
    }

    fn parsed(&mut self, program: &str) -> Rc<Parsed> {
        let tree = match &self.last {
            Some(last) => last.tree.of_edited(&last.program, program),
            None => Tree::of(program),
        };
        let parsed = Rc::new(Parsed { program: program.to_owned(), tree: Rc::new(tree), functions: OnceCell::new() });
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(Rc::clone(&parsed));
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for so many programs that were never asked for.
    fn ask_for_others(known: &mut Known, name: &str, count: usize) {
        (0..count).for_each(|other| drop(known.tree(&format!("{name} = {other}\n"))));
    }

    #[test]
    fn a_program_is_known_again_until_many_others_came() {
        let mut known = Known::new();
        let first = known.tree("x = 1\n");
        ask_for_others(&mut known, "y", RECENT - 1);
        assert!(Rc::ptr_eq(&first, &known.tree("x = 1\n")));
        let once = known.tree("z = 1\n");
        ask_for_others(&mut known, "w", RECENT);
        assert!(!Rc::ptr_eq(&once, &known.tree("z = 1\n")));
    }

    #[test]
    fn what_came_back_stays_however_many_others_come_once() {
        let mut known = Known::new();
        let parent = known.tree("x = 1\n");
        ask_for_others(&mut known, "y", OTHERS);
        assert!(Rc::ptr_eq(&parent, &known.tree("x = 1\n")));
        ask_for_others(&mut known, "z", 10 * RECENT);
        assert!(Rc::ptr_eq(&parent, &known.tree("x = 1\n")));
        assert_eq!((known.recent.len(), known.kept.len()), (RECENT, 1));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut known = Known::new();
        for round in 0..2 * KEPT {
            let program = format!("x = {round}\n");
            known.tree(&program);
            ask_for_others(&mut known, &format!("y{round}"), OTHERS);
            known.tree(&program);
        }
        assert_eq!(known.kept.len(), KEPT);
    }
}
