//! Edits as they arrive: documents, applied to programs. The cases are data, in `testdata/edits`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packevolve::edit::apply::Edit;
use packevolve::edit::mismatch::Mismatch;
use packevolve::edit::proposal::{Proposal, ProposalError};
use packevolve::proposer::mutate;
use packevolve::values::operator::Operator;
use packevolve_contract::stream::{Purpose, stream};

/// A row of `cases.txt`.
struct Case {
    name: String,
    program: String,
    fate: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/edits")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

fn cases() -> Vec<Case> {
    let table = read(folder().join("cases.txt"));
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cells = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| match <[String; 3]>::try_from(cells(row)) {
        Ok([name, program, fate]) => Case { name, program, fate },
        Err(_) => panic!("a row of cases.txt has not three cells: {row}"),
    })
    .collect()
}

/// About 300,000 lines of which each pair stands once.
fn ten_megabytes() -> String {
    let function =
        |n: usize| format!("def total_{n}(weights):\n    total_{n} = weights[{n}] * {n}\n    return total_{n}\n\n\n");
    (0..).map(function).scan(0, |size, text| (*size < 10_000_000).then(|| (*size += text.len(), text).1)).collect()
}

impl Case {
    fn program(&self) -> String {
        match self.program.as_str() {
            "ten_megabytes" => ten_megabytes(),
            name => read(folder().join("programs").join(name).with_extension("py")),
        }
    }

    fn child(&self) -> String {
        match self.program.as_str() {
            "ten_megabytes" => ten_megabytes().replace("weights[3] * 3\n", "weights[3] * 4\n"),
            _ => read(folder().join("children").join(&self.name).with_extension("py")),
        }
    }

    /// What becomes of the document, in the words of the table, and the child if there is one.
    fn outcome(&self) -> (String, Option<String>) {
        match Proposal::parse(&read(folder().join("proposals").join(&self.name).with_extension("txt"))) {
            Err(ProposalError::Edit { error }) => (tag(&error), None),
            Err(error) => (tag(&error), None),
            Ok(proposal) => match proposal.edit.apply(&self.program()) {
                Ok(child) => ("applies".to_owned(), Some(child)),
                Err(mismatch) => (in_words(&mismatch), None),
            },
        }
    }
}

fn in_words(mismatch: &Mismatch) -> String {
    let difference = match mismatch {
        Mismatch::NoMatch { nearest, .. } => nearest.first().map(|place| place.difference),
        _ => None,
    };
    match difference {
        Some(difference) => {
            let word = serde_json::to_value(difference).expect("BUG: a difference has no JSON");
            format!("{}:{}", tag(mismatch), word.as_str().expect("BUG: a difference is a word"))
        }
        None => tag(mismatch),
    }
}

/// The kind as it stands in the journal.
fn tag(error: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(error).expect("BUG: an error has no JSON");
    json["kind"].as_str().expect("BUG: an error has no kind").to_owned()
}

#[test]
fn every_case_of_the_table_has_its_fate() {
    for case in cases() {
        let (fate, child) = case.outcome();
        assert_eq!(fate, case.fate, "{}", case.name);
        assert!(child.is_none_or(|child| child == case.child()), "{}: the child is another one", case.name);
    }
}

#[test]
fn every_file_of_the_test_data_is_in_the_table() {
    let mut listed = BTreeSet::new();
    for case in cases() {
        listed.insert(format!("proposals/{}.txt", case.name));
        if case.program != "ten_megabytes" {
            listed.insert(format!("programs/{}.py", case.program));
            listed.extend((case.fate == "applies").then(|| format!("children/{}.py", case.name)));
        }
    }
    let files = ["proposals", "programs", "children"].into_iter().flat_map(|kind| {
        fs::read_dir(folder().join(kind))
            .unwrap()
            .map(move |entry| format!("{kind}/{}", entry.unwrap().file_name().display()))
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn every_edit_that_applies_is_found_again_between_parent_and_child() {
    for case in cases().into_iter().filter(|case| case.fate == "applies") {
        // A `=======` among the lines that change cannot be searched for, but it can be written.
        let edit = Edit::between(&case.program(), &case.child());
        let edit = edit.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(edit.apply(&case.program()).unwrap(), case.child(), "{}", case.name);
        assert_eq!(Edit::parse(&edit.to_string()).unwrap(), edit, "{}", case.name);
    }
}

#[test]
fn the_five_proposals_are_read_and_print_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("candidates/proposals");
    let mut names = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let text = read(&path);
        let proposal = Proposal::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(Proposal::parse(&proposal.to_string()).unwrap(), proposal, "{}", path.display());
        // Printing changes blank lines outside the blocks at most.
        let solid = |text: &str| {
            text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect::<String>()
        };
        assert_eq!(solid(&proposal.to_string()), solid(&text), "{}", path.display());
        names.insert(proposal.name);
    }
    for name in [
        "vectorized_local_search_refinement",
        "vectorized_iterative_greedy",
        "vectorized_ensemble_refinement_v2",
        "batched_refinement_packing",
        "refine_packing",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}

#[test]
fn ten_megabytes_take_no_noticeable_time() {
    let program = ten_megabytes();
    let within = |what: &str, limit: Duration, act: &dyn Fn()| {
        let start = Instant::now();
        act();
        let time = start.elapsed();
        println!("{what}: {time:?}");
        assert!(time < limit, "{what} took {time:?}");
    };
    let block = |search: &str| format!("<<<<<<< SEARCH\n{search}=======\n>>>>>>> REPLACE\n");
    let apply = |search: &str| Edit::parse(&block(search)).unwrap().apply(&program);
    // Limits are far above what is needed (10 to 200 ms), for machines that are busy.
    within("apply", Duration::from_secs(1), &|| assert!(apply("    return total_77777\n").is_ok()));
    within("repeated text", Duration::from_secs(1), &|| assert!(apply("\n").is_err()));
    within("near miss", Duration::from_secs(3), &|| assert!(apply("    return total_77777 \n\n").is_err()));
    within("nothing alike", Duration::from_secs(3), &|| assert!(apply("class Elsewhere:\n").is_err()));
    within("a near miss as long as the program", Duration::from_secs(5), &|| {
        assert!(apply(&program.replace("total_9 ", "total_8 ")).is_err());
    });
    let child = program.replace("weights[3] * 3\n", "weights[3] * 4\n");
    within("between", Duration::from_secs(5), &|| assert!(Edit::between(&program, &child).is_ok()));
}

/// What the corpus' proposal 001 makes of the text that it searches for.
fn iterative_greedy() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("candidates/proposals/001_vectorized_iterative_greedy.txt");
    let edit = Proposal::parse(&read(path)).unwrap().edit;
    edit.apply(edit.blocks()[0].search()).unwrap()
}

#[test]
fn mutations_of_proposal_001_turn_its_knobs_first() {
    let parent = iterative_greedy();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..400 {
        let mut rng = stream(1, number, Purpose::Proposal);
        let proposal = mutate::propose(&parent, Some(Operator::Constant), &mut rng, &|_| false);
        let (_, proposal) = proposal.expect("there are constants");
        assert!(proposal.edit.apply(&parent).is_ok());
        *times.entry(proposal.name).or_default() += 1;
    }
    let turned =
        |knob: &str| times.iter().filter(|(name, _)| name.contains(knob)).map(|(_, times)| times).sum::<usize>();
    assert!(turned("num_attempts") > 100 && turned("max_iters") > 100, "{times:?}");
    assert!(turned("num_attempts_5_to_1") > 10, "{times:?}");
    assert!(turned("1.05_to_") > 20 && turned("1e-5_to_") > 20, "{times:?}");
}
