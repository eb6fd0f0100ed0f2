//! Inconsistent programs: measured, shown and never deployed.

use std::fs;

use packevolve::search::Outcome;
use packevolve::values::candidate::CandidateId;

use crate::support::script::{GOOD, INCONSISTENT, MEASURED};
use crate::support::{World, scripted};

/// A proposal for the seed program that adds this line.
pub fn adding(name: &str, line: &str) -> String {
    format!(
        "<NAME>\n{name}\n</NAME>\n<DESCRIPTION>\nAdds a line.\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n    \
         num_layers, num_groups = weight.shape\n=======\n    num_layers, num_groups = weight.shape\n    {line}\n\
         >>>>>>> REPLACE\n</DIFF>\n"
    )
}

/// A run of the seed program, a measured proposal and one that is better and inconsistent.
fn run_with(consistency: &str) -> World {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 4}\n");
    fs::create_dir(world.path("corpus")).unwrap();
    world.write("corpus/1.txt", adding("plain", &format!("mark = 1  {MEASURED}")));
    world.write("corpus/2.txt", adding("unsteady", &format!("mark = 2  {GOOD} {INCONSISTENT}")));
    world.set(
        "proposers",
        "{corpus: corpus, compose: {enabled: false}, cross: {enabled: false}, prune: {enabled: false}}",
    );
    let evaluation =
        format!("{{device: cpu, windows: 2, held_out_windows: 2, loads_seed: 1, consistency: {consistency}}}");
    world.set("evaluation", &evaluation);
    world.run(&["evolve", "--run", "x"]).ends(0);
    world
}

#[test]
fn an_inconsistent_program_is_scored_and_shown_and_is_never_the_best() {
    let world = run_with("required");
    let search = world.read("x").search;
    let known = search.candidate(CandidateId(2)).unwrap();
    assert!(matches!(&known.outcome, Some(Outcome::Inconsistent(Some(scores))) if scores.combined_score > 0.9));
    assert_ne!(search.best().unwrap().candidate, CandidateId(2));
    let top = world.run(&["top", "--run", "x"]).ends(0).stdout;
    assert!(top.contains("unsteady (inconsistent)"), "{top}");
    let show = world.run(&["show", "unsteady", "--run", "x"]).ends(0).stdout;
    for wanted in ["\ninconsistent\n", "NOT consistent: another process packs 2 of 4 rows of ", "PYTHONHASHSEED", "±"]
    {
        assert!(show.contains(wanted), "{wanted:?} is missing:\n{show}");
    }
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains(", inconsistent: another process packs 2 of 4 rows of "), "{log}");
    let json = world.run(&["show", "unsteady", "--run", "x", "--format", "json"]).ends(0).json();
    assert_eq!(json["inconsistencies"][0]["switch"], "hash-seed");
    assert_eq!((&json["outcome"], &json["evaluation"]["outcome"]), (&"inconsistent".into(), &"inconsistent".into()));
    world.run(&["replay", "--run", "x"]).ends(0);
    world.run(&["replay", "unsteady", "--run", "x"]).ends(0);
}

#[test]
fn an_inconsistent_program_is_exported_only_by_force() {
    let world = run_with("required");
    let refused = world.run(&["export", "unsteady", "--run", "x", "-o", "out.py"]).ends(3);
    refused.tells_one_error(&[
        "candidate 2 must not be deployed, its answers are inconsistent: another process packs",
        "hint: --force writes it all the same",
    ]);
    assert!(!world.path("out.py").exists());
    let package = ["export", "unsteady", "--run", "x", "--engine", "vllm", "-o", "package"];
    world.run(&package).ends(3).tells_one_error(&["candidate 2 must not be deployed"]);
    assert!(!world.path("package").exists());
    world.run(&[&package[..], &["--force"]].concat()).ends(0);
    let origin = fs::read_to_string(world.path("package/packevolve_vllm/origin.json")).unwrap();
    assert!(origin.contains("another process packs 2 of 4 rows of "), "{origin}");
    world.run(&["replay", "unsteady", "--run", "x", "--no-evaluate", "--export", "series"]).ends(3);
    let exported = world.run(&["export", "unsteady", "--run", "x", "--force"]).ends(0).stdout;
    assert!(exported.contains("# NOT consistent: another process packs 2 of 4 rows of "), "{exported}");
    world.run(&["replay", "unsteady", "--run", "x", "--no-evaluate", "--export", "series", "--force"]).ends(0);
    world.run(&["export", "plain", "--run", "x", "-o", "out.py"]).ends(0);
}

#[test]
fn settings_that_only_report_mark_an_inconsistent_program() {
    let world = run_with("report");
    assert_eq!(world.read("x").search.best().unwrap().candidate, CandidateId(2));
    let top = world.run(&["top", "--run", "x"]).ends(0).stdout;
    assert!(top.contains("unsteady (inconsistent)"), "{top}");
    let exported = world.run(&["export", "best", "--run", "x"]).ends(0).stdout;
    assert!(exported.contains("# NOT consistent: "), "{exported}");
}
