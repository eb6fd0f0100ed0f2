//! The archive of a run, as plain git sees it.

use crate::support::finished::{self, NAME};
use crate::support::{World, repository};

fn git(world: &World, arguments: &[&str]) -> String {
    let archive = format!("runs/{NAME}/archive.git");
    world.tool("git", &[&["-C", &archive], arguments].concat()).ends(0).stdout
}

#[test]
fn blame_names_the_proposal_that_wrote_each_line() {
    let world = finished::world();
    let run = finished::run();
    let (id, known) = run.search.candidates().find(|(_, known)| known.name == "refine_packing").unwrap();
    let blamed = git(&world, &["blame", "--line-porcelain", &known.commit.to_string(), "--", "eplb.py"]);
    let authors: Vec<&str> = blamed.lines().filter_map(|line| line.strip_prefix("author ")).collect();
    let program = git(&world, &["show", &format!("{}:eplb.py", known.commit)]);
    assert_eq!(authors.len(), program.lines().count(), "candidate {id}");
    assert!(authors.contains(&"seed") && authors.contains(&"refine_packing"));
    assert!(authors.iter().all(|author| ["seed", "refine_packing"].contains(author)));
}

#[test]
fn blame_of_the_best_names_only_its_ancestors() {
    let world = finished::world();
    let run = finished::run();
    let mut ancestors = vec![run.search.best().unwrap().candidate];
    while let Some(parent) = run.search.candidate(*ancestors.last().unwrap()).unwrap().parents.first() {
        ancestors.push(*parent);
    }
    let names: Vec<&str> = ancestors.iter().map(|id| run.search.candidate(*id).unwrap().name.as_str()).collect();
    let blamed = git(&world, &["blame", "--line-porcelain", "best", "--", "eplb.py"]);
    let authors: Vec<&str> = blamed.lines().filter_map(|line| line.strip_prefix("author ")).collect();
    assert!(authors.contains(&names[0]), "the best wrote no line: {names:?}");
    assert!(authors.iter().all(|author| names.contains(author)), "{authors:?} of {names:?}");
}

#[test]
fn fsck_is_clean_and_a_clone_holds_every_candidate() {
    let world = finished::world();
    let fsck = world.tool("git", &["-C", "runs/small/archive.git", "fsck", "--strict"]).ends(0);
    assert_eq!((fsck.stdout.as_str(), fsck.stderr.as_str()), ("", ""));
    world.tool("git", &["clone", "--quiet", "--mirror", "runs/small/archive.git", "mirror"]).ends(0);
    for (id, known) in finished::run().search.candidates() {
        let commit = format!("{}^{{commit}}", known.commit);
        let output = world.tool("git", &["-C", "mirror", "cat-file", "-e", &commit]);
        assert_eq!(output.code, Some(0), "candidate {id} is not in the clone");
    }
    world.tool("git", &["clone", "--quiet", "runs/small/archive.git", "clone"]).ends(0);
    assert!(world.path("clone/eplb.py").is_file());
}

#[test]
fn the_graph_of_commits_is_the_family_tree() {
    let world = finished::world();
    for (id, known) in finished::run().search.candidates() {
        let line = git(&world, &["log", "-1", "--format=%P|%an|%s|%at", &known.commit.to_string()]);
        let parents: Vec<String> = known.parents.iter().map(|id| commit_of(*id)).collect();
        let time = 1_700_000_000 + id.0;
        assert_eq!(line.trim(), format!("{}|{name}|{name}|{time}", parents.join(" "), name = known.name));
    }
}

fn commit_of(id: packevolve::candidate::CandidateId) -> String {
    finished::run().search.candidate(id).unwrap().commit.to_string()
}

#[test]
fn a_commit_holds_the_proposal_as_it_was_received() {
    let world = finished::world();
    let run = finished::run();
    let (_, known) = run.search.candidates().find(|(_, known)| known.name == "refine_packing").unwrap();
    let tree = git(&world, &["ls-tree", "--name-only", &known.commit.to_string()]);
    let file = tree.lines().find(|name| *name != "eplb.py").unwrap();
    let kept = git(&world, &["show", &format!("{}:{file}", known.commit)]);
    assert_eq!(kept, std::fs::read_to_string(repository("candidates/proposals/004_refine_packing.txt")).unwrap());
}
