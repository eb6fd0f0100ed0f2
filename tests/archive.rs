//! The archive of a run, as plain git sees it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use packevolve::values::candidate::CandidateId;

use crate::support::finished::{self, NAME};
use crate::support::{World, repository, text_of};

fn git(world: &World, arguments: &[&str]) -> String {
    let archive = format!("runs/{NAME}/archive.git");
    world.tool("git", &[&["-C", &archive], arguments].concat()).ends(0).stdout
}

/// README's lines and those at the end of a run, as a person pastes them.
#[test]
fn the_lines_that_are_shown_work_with_the_strictest_settings_of_git() {
    let world = finished::world();
    let readme = text_of("README.md");
    let shown = readme.lines().filter_map(|line| line.strip_prefix("$ git ")).map(|line| line.replace("NAME", NAME));
    let lines: Vec<String> = shown.collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.starts_with("--git-dir ")), "{lines:?}");
    for line in lines {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = world.tool("git", &[&["-c", "safe.bareRepository=explicit"], &arguments[..]].concat()).ends(0);
        assert!(!output.stdout.is_empty(), "{line}");
        // Of another owner.
        if uid() == 0 {
            let archive = world.path(&format!("runs/{NAME}/archive.git"));
            chown(&archive, Some(65534), None).unwrap();
            world.tool("git", &arguments).ends(0);
        }
    }
}

fn uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
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
    // An edit that only takes lines out has none to its name.
    let added = git(&world, &["diff", "--numstat", "best^", "best", "--", "eplb.py"]);
    assert!(authors.contains(&names[0]) || added.starts_with("0\t"), "the best wrote no line: {names:?}");
    assert!(authors.iter().all(|author| names.contains(author)), "{authors:?} of {names:?}");
}

#[test]
fn fsck_is_clean_and_a_clone_holds_every_candidate() {
    let world = finished::world();
    let fsck = world.tool("git", &["-C", "runs/small/archive.git", "fsck", "--strict", "--no-dangling"]).ends(0);
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

fn commit_of(id: CandidateId) -> String {
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
    assert_eq!(kept, fs::read_to_string(repository("candidates/proposals/004_refine_packing.txt")).unwrap());
}

#[test]
fn scores_stand_below_commits_as_notes() {
    let world = finished::world();
    let run = finished::run();
    let log = git(&world, &["log", "-1", "best"]);
    let best = run.search.best().unwrap();
    let score = run.search.scores_of(best.candidate).unwrap().combined_score;
    assert!(log.contains(&format!("Notes (packevolve):\n    combined_score {score:.4}")), "{log}");
    assert!(log.contains("    the best of the run\n"), "{log}");
    let judged: Vec<_> = run.search.candidates().filter(|(_, known)| known.outcome.is_some()).collect();
    let listed = git(&world, &["notes", "--ref=packevolve", "list"]);
    assert_eq!(listed.lines().count(), judged.len());
    for (id, known) in judged {
        let note = git(&world, &["notes", "--ref=packevolve", "show", &known.commit.to_string()]);
        let score = run.search.scores_of(id).map(|scores| format!("combined_score {:.4}", scores.combined_score));
        assert!(note.starts_with(score.as_deref().unwrap_or("")), "candidate {id}: {note}");
    }
}

#[test]
fn git_shows_the_front_and_the_best_of_every_island() {
    let world = finished::world();
    let search = &finished::run().search;
    let front: Vec<String> = search.elites().front().map(|member| commit_of(member.candidate)).collect();
    let shown = git(&world, &["rev-parse", "packevolve/front^@"]);
    assert_eq!(shown.lines().collect::<Vec<_>>(), front);
    for island in 0..search.islands().count() {
        let shown = git(&world, &["rev-parse", &format!("packevolve/islands/{island}")]);
        let members = search.islands().members(island);
        let is_shown = |id| commit_of(id) == shown.trim();
        let best = members.iter().find(|member| is_shown(member.candidate)).expect("it is of the island");
        assert!(members.iter().all(|member| member.score <= best.score), "{island}");
    }
    // A view: who has moved it has it moved back.
    git(&world, &["update-ref", "refs/packevolve/front", "best"]);
    git(&world, &["update-ref", "refs/packevolve/islands/0", &commit_of(CandidateId::SEED)]);
    let findings = world.run(&["fsck", "--run", NAME]).ends(7).stdout;
    assert_eq!(
        (findings.matches("packevolve/front names ").count(), findings.matches("islands/0 names ").count()),
        (1, 1),
        "{findings}"
    );
    world.run(&["fsck", "--run", NAME, "--repair"]).ends(0);
    assert_eq!(git(&world, &["rev-parse", "packevolve/front^@"]), shown);
    git(&world, &["update-ref", "-d", "refs/packevolve/front"]);
    world.run(&["fsck", "--run", NAME]).ends(7);
    world.run(&["fsck", "--run", NAME, "--repair"]).ends(0);
    assert_eq!(git(&world, &["rev-parse", "packevolve/front^@"]), shown);
}

#[test]
fn collection_and_a_mirror_lose_nothing_and_both_are_read_and_replayed() {
    let world = finished::world();
    let archive = format!("runs/{NAME}/archive.git");
    let looks = [&["show", "best"][..], &["show", "seed", "--program"], &["diff", "seed", "best"], &["export"]];
    let before = looks.map(|arguments| world.run(arguments).ends(0).stdout);
    git(&world, &["gc", "--quiet", "--prune=now"]);
    world.tool("git", &["clone", "--quiet", "--mirror", &archive, "mirror"]).ends(0);
    for mirrored in [false, true] {
        if mirrored {
            fs::remove_dir_all(world.path(&archive)).unwrap();
            fs::rename(world.path("mirror"), world.path(&archive)).unwrap();
        }
        let fsck = world.tool("git", &["-C", &archive, "fsck", "--strict"]).ends(0);
        assert_eq!((fsck.stdout.as_str(), fsck.stderr.as_str()), ("", ""));
        assert_eq!(looks.map(|arguments| world.run(arguments).ends(0).stdout), before);
        world.run(&["replay", "--run", NAME, "--no-evaluate"]).ends(0);
        let log = git(&world, &["log", "--notes=packevolve", "-1", "best"]);
        assert!(log.contains("Notes (packevolve):\n    combined_score "), "{log}");
    }
}

#[test]
fn notes_are_a_view_that_a_resumed_run_rewrites() {
    let world = finished::world();
    let note = || git(&world, &["notes", "--ref=packevolve", "show", "best"]);
    let before = note();
    let author = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"];
    git(&world, &[&author[..], &["notes", "--ref=packevolve", "add", "-f", "-m", "own words", "best"]].concat());
    world.run(&["show", "best"]).ends(0);
    world.run(&["replay", "--run", NAME, "--no-evaluate"]).ends(0);
    world.run(&["resume", "--run", NAME]).ends(0);
    assert_eq!(note(), before);
    git(&world, &["update-ref", "-d", "refs/notes/packevolve"]);
    world.run(&["resume", "--run", NAME]).ends(0);
    assert_eq!(note(), before);
}
