//! The seed program and the corpus: what the proposals make of `candidates/eplb.py`, and that every program on the way
//! keeps its contract, by the oracles of `testdata/programs/check_programs.py`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use packevolve::archive::programs::derive;
use packevolve::config::Asset;
use packevolve::edit::apply::Edit;
use packevolve::edit::proposal::Proposal;
use packevolve::proposer::corpus;

/// The documents that the corpus was given.
const GIVEN: [&str; 5] = [
    "vectorized_local_search_refinement",
    "vectorized_iterative_greedy",
    "vectorized_ensemble_refinement_v2",
    "batched_refinement_packing",
    "refine_packing",
];

/// A document of the corpus applied.
struct Applied {
    file: String,
    proposal: Proposal,
    /// Name of the proposal that made its parent; `None`: the seed program.
    parent_name: Option<String>,
    parent: String,
    program: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seed_program() -> String {
    fs::read_to_string(root().join("candidates/eplb.py")).unwrap()
}

/// The whole corpus, applied in the harness's own order.
fn applied() -> Vec<Applied> {
    let seed = seed_program();
    let documents = corpus::read(&Asset::At(root().join("candidates/proposals"))).unwrap();
    let mut all: Vec<Applied> = Vec::new();
    for planned in corpus::plan(&seed, documents) {
        let parent = planned.parent.map(|place| &all[place]);
        let (parent_name, parent) =
            parent.map_or((None, seed.clone()), |parent| (Some(parent.proposal.name.clone()), parent.program.clone()));
        let file = planned.document.file;
        let derived = derive(&parent, &planned.document.bytes);
        let (proposal, program) = derived.unwrap_or_else(|reason| panic!("{file}: {reason}"));
        all.push(Applied { file, proposal, parent_name, parent, program });
    }
    all
}

#[test]
fn every_given_proposal_is_reached_from_the_seed_program_by_edits_alone() {
    let all = applied();
    let names: BTreeSet<&str> = all.iter().map(|one| one.proposal.name.as_str()).collect();
    assert!(names.is_superset(&GIVEN.into()), "{names:?}");
    let family: Vec<(&str, Option<&str>)> = all
        .iter()
        .filter(|one| one.parent_name.is_some() || one.proposal.name.starts_with("bridge_"))
        .map(|one| (one.proposal.name.as_str(), one.parent_name.as_deref()))
        .collect();
    let bridged = [
        ("bridge_vectorized_lpt", None),
        ("vectorized_local_search_refinement", Some("bridge_vectorized_lpt")),
        ("bridge_greedy_ensemble", None),
        ("vectorized_ensemble_refinement_v2", Some("bridge_greedy_ensemble")),
        ("bridge_greedy_restarts", None),
        ("batched_refinement_packing", Some("bridge_greedy_restarts")),
        // Leads to no proposal, but to the frame of the compiled blocks.
        ("bridge_numba_lpt", None),
    ];
    let as_set = |pairs: &[(_, _)]| pairs.iter().copied().collect::<BTreeSet<(&str, Option<&str>)>>();
    assert_eq!(as_set(&family), as_set(&bridged));
}

#[test]
fn all_programs_of_the_corpus_are_different() {
    let all = applied();
    let programs: BTreeSet<&str> = all.iter().map(|one| one.program.as_str()).collect();
    assert_eq!(programs.len(), all.len());
    assert!(!programs.contains(seed_program().as_str()));
}

#[test]
fn the_seed_programs_packing_is_the_text_that_proposal_001_searches_for_and_004_a_part_of() {
    let seed = seed_program();
    let from = seed.find("def balanced_packing(").unwrap();
    let to = from + seed[from..].find("# EVOLVE-BLOCK-END").unwrap();
    let packing = seed[from..to].trim_end_matches('\n');
    let searched = |name: &str| {
        let one = applied().into_iter().find(|one| one.proposal.name == name).unwrap();
        assert_eq!(one.parent, seed);
        let [block] = one.proposal.edit.blocks() else { panic!("{name} has several blocks") };
        block.search().to_owned()
    };
    assert_eq!(packing, searched("vectorized_iterative_greedy").trim_end_matches('\n'));
    assert!(packing.ends_with(searched("refine_packing").trim_end_matches('\n')));
}

#[test]
fn the_edit_between_a_program_and_its_parent_makes_it_too() {
    for one in applied() {
        let edit = Edit::between(&one.parent, &one.program).unwrap();
        assert_eq!(edit.apply(&one.parent).unwrap(), one.program, "{}", one.file);
        assert_eq!(Edit::parse(&edit.to_string()).unwrap(), edit, "{}", one.file);
    }
}

#[test]
fn every_program_of_the_corpus_keeps_its_contract() {
    let python = root().join(".venv/bin/python");
    assert!(python.is_file(), "there is no {}: `make setup` makes it", python.display());
    let folder = tempfile::tempdir().unwrap();
    let mut programs: Vec<PathBuf> = vec![root().join("candidates/eplb.py")];
    for one in applied() {
        let path = folder.path().join(&one.file).with_extension("py");
        fs::write(&path, one.program).unwrap();
        programs.push(path);
    }
    let checks = root().join("tests/testdata/programs/check_programs.py");
    let output = Command::new(python).arg("-B").arg(checks).args(&programs).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = report.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    let held = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(held >= 36 * programs.len(), "only {held} checks were made");
}
