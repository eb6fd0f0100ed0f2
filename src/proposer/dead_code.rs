//! Removal of dead code: functions and imports that an edit left unused.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::edit::region::Region;
use crate::proposer::syntax::{Function, functions, imports};

/// Removes from `child` the functions and imports of its editable region that are unused there, unless they were
/// already unused in `parent`.
pub(crate) fn without_dead_code(parent: &str, child: &str) -> String {
    // An import of several names goes even if it was unused.
    let idle_before = idle(parent).into_iter().map(|(name, _)| name).filter(|name| !name.contains(','));
    let idle_before: BTreeSet<String> = idle_before.collect();
    let mut child = child.to_owned();
    loop {
        let mut idle = idle(&child);
        idle.retain(|(name, _)| !idle_before.contains(name));
        if idle.is_empty() {
            return child;
        }
        // From the end, so that earlier spans stay valid. The next round finds what only these mentioned.
        let mut spans: Vec<Range<usize>> = idle.into_iter().map(|(_, span)| span).collect();
        spans.sort_by_key(|span| (span.start, span.end));
        // Two imports may share a line.
        spans.dedup_by(|next, span| {
            next.start < span.end && {
                span.end = span.end.max(next.end);
                true
            }
        });
        spans.into_iter().rev().for_each(|span| remove(&mut child, span));
    }
}

/// The unused functions and imports of the region, with their lines.
fn idle(program: &str) -> Vec<(String, Range<usize>)> {
    let Ok(region) = Region::of(program) else { return Vec::new() };
    let functions = functions(program);
    // A function that only calls itself is unused, too.
    let used = |name: &str, but: Option<&Range<usize>>| {
        functions.iter().any(|function| Some(&function.span) != but && function.mentions.contains(name))
    };
    let of_functions = functions.iter().filter(|function| function.name.starts_with('_'));
    let of_functions = of_functions.filter(|function| !used(&function.name, Some(&function.span)));
    let of_functions = of_functions.map(|function| (function.name.clone(), function.span.clone()));
    let of_imports = imports(program)
        .into_iter()
        .filter(|import| !import.names.is_empty() && !import.names.iter().any(|name| used(name, None)));
    let of_imports = of_imports.map(|import| (import.names.join(","), import.span));
    let all = of_functions.chain(of_imports).filter(|(_, span)| region.around(span).is_some());
    // Top-level code may mention a name outside of all functions; a text search finds it.
    all.filter(|(name, span)| !mentioned_at_top(program, name, span, &functions)).collect()
}

/// Whether `name` occurs outside of all functions and outside of its `own` lines.
fn mentioned_at_top(program: &str, name: &str, own: &Range<usize>, functions: &[Function]) -> bool {
    let inside = |at: usize| own.contains(&at) || functions.iter().any(|function| function.span.contains(&at));
    name.split(',').any(|name| program.match_indices(name).any(|(at, _)| !inside(at)))
}

/// Removes lines and the blank lines after them.
fn remove(program: &mut String, span: Range<usize>) {
    let rest = &program[span.end..];
    let blank: usize = rest.split_inclusive('\n').take_while(|line| line.trim().is_empty()).map(str::len).sum();
    program.replace_range(span.start..span.end + blank, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "import torch\n\n# EVOLVE-BLOCK-START\nimport numpy as np\n\n\ndef _a():\n    return _b()\n\n\n\
        def _b():\n    return np.ones(1)\n\n\ndef _idle():\n    return 1\n\n\ndef pack():\n    return _a()\n# EVOLVE-BLOCK-END\n";

    #[test]
    fn what_an_edit_leaves_without_use_is_taken_out_and_nothing_else() {
        let child = PARENT.replace("return _a()", "return 1");
        let expected = "import torch\n\n# EVOLVE-BLOCK-START\ndef _idle():\n    return 1\n\n\ndef pack():\n    return 1\n\
            # EVOLVE-BLOCK-END\n";
        assert_eq!(without_dead_code(PARENT, &child), expected);
    }

    #[test]
    fn lines_that_two_imports_share_go_once() {
        for imports in ["import heapq; import bisect\n", "from a import (heapq,\n    é); import bisect\n"] {
            let parent = PARENT.replace("import numpy as np\n", &format!("{imports}import numpy as np\n"));
            let parent = parent.replace("return np.ones(1)", "return np.ones(heapq + bisect + é)");
            let child = parent.replace("heapq + bisect + é", "1");
            assert_eq!(without_dead_code(&parent, &child), PARENT, "{imports}");
        }
        assert_eq!(
            without_dead_code("", "def pack(): return 1\nimport heapq; import bisect"),
            "def pack(): return 1\n"
        );
    }

    #[test]
    fn used_code_stays_even_if_only_at_the_top_level() {
        let child = PARENT.replace("return _a()", "return 2 * _a()");
        assert_eq!(without_dead_code(PARENT, &child), child);
        let child = PARENT.replace("return _a()", "return TABLE") + "TABLE = _a()\n";
        assert_eq!(without_dead_code(PARENT, &child), child);
    }

    #[test]
    fn what_was_added_and_is_never_called_goes_too() {
        let child = PARENT.replace("def pack", "def _new():\n    return _new()\n\n\ndef pack");
        assert_eq!(without_dead_code(PARENT, &child), PARENT);
    }
}
