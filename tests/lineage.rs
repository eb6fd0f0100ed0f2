//! `packevolve lineage` and `diff`: how a candidate came about, and two candidates side by side.

use std::fs;

use packevolve::values::candidate::CandidateId;

use crate::support::World;
use crate::support::finished::{self, NAME};

#[test]
fn the_lineage_leads_from_the_seed_program_to_the_candidate_and_names_the_edit_that_gained_most() {
    let world = finished::world();
    let run = finished::run();
    let best = run.search.best().unwrap().candidate;
    let json = world.run(&["lineage", "best", "--run", NAME, "--format", "json"]).ends(0).json();
    let steps = json["steps"].as_array().unwrap();
    let numbers: Vec<u64> = steps.iter().map(|step| step["candidate"].as_u64().unwrap()).collect();
    let line: Vec<u64> = run.search.line_to(best).iter().map(|id| id.0).collect();
    assert_eq!((numbers[0], numbers.last().copied()), (0, Some(best.0)));
    assert_eq!(numbers, line);
    let mut most = (f64::NEG_INFINITY, 0);
    for pair in steps.windows(2) {
        let score = |step: &serde_json::Value| step["scores"]["combined_score"].as_f64().unwrap();
        let gain = pair[1]["gain"]["combined_score"].as_f64().unwrap();
        assert!((gain - (score(&pair[1]) - score(&pair[0]))).abs() < 1e-12, "{pair:?}");
        most = if gain > most.0 { (gain, pair[1]["candidate"].as_u64().unwrap()) } else { most };
    }
    assert_eq!(json["largest_gain"], most.1);
    // What is left of all edits is the program.
    let program = world.run(&["show", "best", "--run", NAME, "--program"]).ends(0).stdout;
    let left: u64 = steps.iter().map(|step| step["lines"]["left"].as_u64().unwrap()).sum();
    assert_eq!(left as usize, program.lines().filter(|line| !line.trim().is_empty()).count());
    assert!(steps.iter().all(|step| step["lines"]["left"].as_u64() <= step["lines"]["wrote"].as_u64()), "{steps:?}");
    let text = world.run(&["lineage"]).ends(0).stdout;
    assert!(text.contains(&format!("largest gain: candidate {}, +", most.1)), "{text}");
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with(char::is_numeric)).count(), steps.len());
}

#[test]
fn a_lineage_needs_no_archive() {
    let world = finished::world();
    let whole = world.run(&["lineage", "best", "--run", NAME]).ends(0).stdout;
    fs::remove_dir_all(world.path(&format!("runs/{NAME}/archive.git"))).unwrap();
    assert_eq!(world.run(&["lineage", "best", "--run", NAME]).ends(0).stdout, whole);
}

#[test]
fn a_lineage_is_of_the_best_in_the_newest_run_unless_others_are_named() {
    let world = finished::world();
    let whole = world.run(&["lineage", "best", "--run", NAME]).ends(0).stdout;
    for names in
        [&[][..], &["best"], &["--run", NAME], &["--run", "runs/small"], &["--run", NAME, "--runs", "runs", "best"]]
    {
        assert_eq!(world.run(&[&["lineage"], names].concat()).ends(0).stdout, whole, "{names:?}");
    }
    let seed = world.run(&["lineage", "seed"]).ends(0).stdout;
    assert!(!seed.contains("largest gain"), "{seed}");
    world.run(&["lineage", "99", "--run", NAME]).ends(3).tells_one_error(&["no candidate \"99\""]);
}

#[test]
fn what_diff_prints_makes_one_program_of_the_other_by_git_and_by_patch() {
    let world = finished::world();
    let program = |name: &str| world.run(&["show", name, "--run", NAME, "--program"]).ends(0).stdout;
    let run = finished::run();
    for id in run.search.candidates().map(|(id, _)| id).chain([CandidateId::SEED]) {
        for (a, b) in [("seed".to_owned(), id.to_string()), (id.to_string(), "best".to_owned())] {
            let printed = world.run(&["diff", &a, &b, "--run", NAME]).ends(0).stdout;
            if program(&a) == program(&b) {
                assert!(!printed.contains("--- a/"), "{printed}");
                continue;
            }
            world.write("the.patch", &printed);
            for tool in [&["git", "apply", "the.patch"][..], &["patch", "-s", "-p1", "-i", "the.patch"]] {
                world.write("eplb.py", program(&a));
                world.tool(tool[0], &tool[1..]).ends(0);
                assert_eq!(fs::read_to_string(world.path("eplb.py")).unwrap(), program(&b), "{tool:?}: {a} to {b}");
            }
        }
    }
}

#[test]
fn a_diff_shows_both_side_by_side_with_what_the_second_has_over_the_first() {
    let world = finished::world();
    let json = world.run(&["diff", "seed", "refine_packing", "--run", NAME, "--format", "json"]).ends(0).json();
    let text = world.run(&["diff", "seed", "refine_packing"]).ends(0).stdout;
    let figure = |side: &str| format!("{:.4}", json[side]["scores"]["combined_score"].as_f64().unwrap());
    let change = format!("{:+.4}", json["gain"]["combined_score"].as_f64().unwrap());
    let line = text.lines().find(|line| line.trim_start().starts_with("combined_score")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["combined_score", &figure("a"), &figure("b"), &change]);
    for wanted in ["0 seed [", "refine_packing [", "unit ms", "time ms", "--- a/eplb.py\n+++ b/eplb.py\n@@ -"] {
        assert!(text.contains(wanted), "{wanted:?} is missing:\n{text}");
    }
    let same = world.run(&["diff", "best", "best", "--run", NAME]).ends(0).stdout;
    assert!(!same.contains("@@"), "{same}");
    assert_eq!(json["diff"], text[text.find("--- a/").unwrap()..]);
    World::new().run(&["diff", "0"]).ends(2);
    world.run(&["diff", "0", "99"]).ends(3).tells_one_error(&["no candidate \"99\""]);
}
