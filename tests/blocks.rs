//! The building blocks of `compose`: each alone, by the oracles of `testdata/blocks/check_blocks.py`, and the programs
//! that are assembled of them, by those of `testdata/programs/check_programs.py` and
//! `testdata/blocks/check_consistent.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use packevolve::config::Asset;
use packevolve::proposer::catalogue::{Catalogue, gather};
use packevolve::proposer::compose;
use packevolve_contract::stream::{Purpose, stream};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The catalogues of packing, and that of policies.
fn all_catalogues() -> (Vec<Catalogue>, Vec<Catalogue>) {
    let texts = gather(&Asset::At(root().join("candidates/blocks"))).unwrap();
    let all = texts.iter().map(|text| Catalogue::parse(text).unwrap());
    all.partition(|catalogue| catalogue.name() != "policy")
}

fn catalogues() -> Vec<Catalogue> {
    all_catalogues().0
}

/// The name and the file of each block.
fn files(catalogue: &Catalogue) -> Vec<(String, PathBuf)> {
    let folder = root().join("candidates/blocks").join(catalogue.name());
    catalogue.names().map(|name| (name.to_owned(), folder.join(format!("{name}.py")))).collect()
}

fn python(script: &str, arguments: &[PathBuf]) -> Output {
    let python = root().join(".venv/bin/python");
    assert!(python.is_file(), "there is no {}: `make setup` makes it", python.display());
    // An index beyond an array raises.
    let mut command = Command::new(python);
    command.env("NUMBA_BOUNDSCHECK", "1").arg("-B").arg(root().join(script)).args(arguments).output().unwrap()
}

/// The checks that held; fails with the others if there are some.
fn held(output: &Output) -> Vec<String> {
    let report = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = report.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{}", failed.join("\n"), String::from_utf8_lossy(&output.stderr));
    report.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned).collect()
}

#[test]
fn every_block_alone_does_what_its_kind_promises() {
    for catalogue in catalogues() {
        let folder = root().join("candidates/blocks").join(catalogue.name());
        let held = held(&python("tests/testdata/blocks/check_blocks.py", std::slice::from_ref(&folder)));
        for name in catalogue.names() {
            let times = held.iter().filter(|line| line.starts_with(&format!("{name} "))).count();
            // What others need is checked with them.
            let is_helper = fs::read_to_string(folder.join(format!("{name}.py"))).unwrap().contains("# kind: helper\n");
            assert!(times >= 17 || is_helper, "{name} was checked {times} times");
        }
    }
}

#[test]
fn every_block_of_policies_alone_does_what_its_kind_promises() {
    for catalogue in all_catalogues().1 {
        let folder = root().join("candidates/blocks").join(catalogue.name());
        let held = held(&python("tests/testdata/blocks/check_policy_blocks.py", std::slice::from_ref(&folder)));
        for name in catalogue.names() {
            let times = held.iter().filter(|line| line.starts_with(&format!("{name} "))).count();
            // Helpers and the frame are checked together.
            let text = fs::read_to_string(folder.join(format!("{name}.py"))).unwrap();
            let kinds = ["helper", "frame", "forecast"];
            let [is_helper, is_frame, is_forecast] = kinds.map(|kind| text.contains(&format!("# kind: {kind}\n")));
            let least = if is_forecast { 1 } else { 9 };
            assert!(times >= least || is_helper || is_frame, "{name} was checked {times} times");
        }
        for check in ["check_names", "check_renamed", "check_helpers", "check_frame"] {
            assert!(held.iter().any(|line| line == check), "{check} is missing");
        }
    }
}

#[test]
fn a_block_is_in_the_file_of_its_name() {
    let (packing, policies) = all_catalogues();
    for (name, path) in packing.iter().chain(&policies).flat_map(files) {
        assert!(fs::read_to_string(path).unwrap().starts_with(&format!("# block: {name}\n")), "{name}");
    }
}

/// Which of two equal values comes first would depend on the processor, too seldom for the programs below to show it.
#[test]
fn blocks_sort_so_that_the_order_of_equal_values_is_known() {
    let (packing, policies) = all_catalogues();
    for (name, path) in packing.iter().chain(&policies).flat_map(files) {
        let text = fs::read_to_string(path).unwrap();
        let open =
            |line: &&str| line.contains("argpartition(") || line.contains("argsort(") && !line.contains("\"stable\"");
        assert_eq!(text.lines().find(open), None, "{name}");
    }
}

/// Four hundred proposals of compose. Every other one is a new draw; between them one program is varied further.
fn composed(catalogue: &Catalogue) -> impl Iterator<Item = Composed> {
    let catalogue_alone = std::slice::from_ref(catalogue);
    let seed = fs::read_to_string(root().join("candidates/eplb.py")).unwrap();
    let mut varied = seed.clone();
    (0..400).map(move |number| {
        let parent = if number % 2 == 0 { &seed } else { &varied };
        let mut rng = stream(11, number, Purpose::Proposal);
        let (operator, proposal) = compose::propose(parent, catalogue_alone, None, &mut rng, &|_| false).unwrap();
        let program = proposal.edit.apply(parent).unwrap();
        if number % 2 == 1 {
            varied.clone_from(&program);
        }
        let blocks = catalogue.names().filter(|name| program.contains(&format!("def _{name}(")));
        let parts = blocks.map(str::to_owned).chain([operator.to_string()]).collect();
        Composed { file: format!("{number}_{}.py", proposal.name), parts, program }
    })
}

struct Composed {
    file: String,
    /// The names of its blocks, and the operator that made it.
    parts: Vec<String>,
    program: String,
}

/// The first `least` programs and those further ones that are among the first `times` with one of their parts, written
/// to `folder`.
fn written(catalogue: &Catalogue, folder: &Path, least: usize, times: usize) -> Vec<PathBuf> {
    let operators = ["assemble", "tune", "swap", "add", "drop"];
    let mut seen: BTreeMap<String, usize> =
        catalogue.names().chain(operators).map(|part| (part.to_owned(), 0)).collect();
    let mut programs = Vec::new();
    for composed in composed(catalogue) {
        let is_rare = composed.parts.iter().any(|part| seen[part] < times);
        if programs.len() < least || is_rare {
            composed.parts.into_iter().for_each(|part| *seen.get_mut(&part).unwrap() += 1);
            let path = folder.join(composed.file);
            fs::write(&path, composed.program).unwrap();
            programs.push(path);
        }
    }
    seen.retain(|_, seen| *seen < times);
    assert!(seen.is_empty(), "seldom drawn: {seen:?}");
    programs
}

#[test]
fn programs_that_are_assembled_or_varied_keep_the_contract() {
    for catalogue in catalogues() {
        let folder = tempfile::tempdir().unwrap();
        // Each of the compiled ones costs seconds.
        let programs = written(&catalogue, folder.path(), if catalogue.needs_numba() { 8 } else { 40 }, 1);
        let held = held(&python("tests/testdata/programs/check_programs.py", &programs));
        assert!(held.len() >= 36 * programs.len(), "only {} checks were made", held.len());
    }
}

/// Every rank of a deployment plans for itself.
#[test]
fn programs_that_are_assembled_or_varied_answer_the_same_elsewhere_and_for_each_row_alone() {
    for catalogue in catalogues() {
        let folder = tempfile::tempdir().unwrap();
        let programs = written(&catalogue, folder.path(), 0, if catalogue.needs_numba() { 1 } else { 3 });
        let held = held(&python("tests/testdata/blocks/check_consistent.py", &programs));
        assert!(held.len() >= 10 * programs.len(), "only {} checks were made", held.len());
    }
}

#[test]
fn policies_that_are_composed_plan_from_any_plan_in_force_and_each_layer_by_itself() {
    let (_, policies) = all_catalogues();
    let seed = fs::read_to_string(root().join("candidates/policy.py")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let written = (0..8).map(|number| {
        let mut rng = stream(11, number, Purpose::Proposal);
        let (_, proposal) = compose::propose(&seed, &policies, None, &mut rng, &|_| false).unwrap();
        let path = folder.path().join(format!("policy{number}.py"));
        fs::write(&path, proposal.edit.apply(&seed).unwrap()).unwrap();
        path
    });
    let held = held(&python("tests/testdata/blocks/check_policies.py", &written.collect::<Vec<_>>()));
    assert_eq!(held.len(), 8 * (4 * (3 + 3 * 3) + 1), "{held:?}");
}
