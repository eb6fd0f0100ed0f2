//! `packevolve export` and `replay --export`: a program as it leaves its run.

use std::fs;
use std::path::{Path, PathBuf};

use packevolve::values::candidate::CandidateId;

use crate::support::finished::{self, NAME};
use crate::support::skip::skip;
use crate::support::{Output, World, repository, text_of};

/// The lines that `export` puts in.
fn header(exported: &str) -> &str {
    let end = "# Without these lines it is the program of that commit to the byte.\n#\n";
    &exported[..exported.find(end).unwrap() + end.len()]
}

#[test]
fn an_exported_program_says_where_it_comes_from_and_is_else_the_program_to_the_byte() {
    let world = finished::world();
    let exported = world.run(&["export", "best", "--run", NAME]).ends(0).stdout;
    let run = finished::run();
    let best = run.search.best().unwrap().candidate;
    let known = run.search.candidate(best).unwrap();
    let header = header(&exported);
    for wanted in [
        format!("# run        {NAME}, rng_seed "),
        format!("# candidate  {best}, {}: ", known.name),
        format!("# commit     {}\n", known.commit),
        "# scores     combined_score ".to_owned(),
        "on windows that the search never saw\n".to_owned(),
        "# baseline   balancedness_score ".to_owned(),
        "# loads      made up ".to_owned(),
        format!("# replay     packevolve replay {best} --run {NAME}\n"),
    ] {
        assert!(header.contains(&wanted), "{wanted:?} is missing:\n{header}");
    }
    assert!(header.lines().all(|line| line.starts_with('#')), "{header}");
    let program = world.run(&["show", "best", "--run", NAME, "--program"]).ends(0).stdout;
    assert_eq!(exported[header.len()..], program);
    assert!(exported.contains("SPDX-FileCopyrightText: Copyright (c) 2025 DeepSeek"));
}

#[test]
fn export_writes_a_file_once_and_again_only_by_force() {
    let world = finished::world();
    let best = world.run(&["export", "best", "--run", NAME, "-o", "-"]).ends(0).stdout;
    world.run(&["export", "-o", "out.py"]).ends(0).tells(&["wrote out.py"]);
    assert_eq!(fs::read_to_string(world.path("out.py")).unwrap(), best);
    let refused = world.run(&["export", "seed", "--run", NAME, "-o", "out.py"]).ends(3);
    refused.tells_one_error(&["out.py is there already", "hint: --force replaces it"]);
    assert_eq!(fs::read_to_string(world.path("out.py")).unwrap(), best);
    world.run(&["export", "seed", "--run", NAME, "-o", "out.py", "--force"]).ends(0);
    let seed = fs::read_to_string(world.path("out.py")).unwrap();
    assert_eq!(seed[header(&seed).len()..], text_of("candidates/eplb.py"));
    world
        .run(&["export", "--run", NAME, "-o", "no/such/out.py"])
        .ends(3)
        .tells_one_error(&["cannot write no/such/out.py"]);
}

/// Imports the modules that it is given and calls each as DeepSeek's `eplb.py` is called.
const CALLER: &str = r#"
import importlib
import itertools
import sys

import torch

torch.manual_seed(1)
calls = [((4, 16), (16, 4, 2, 4)), ((2, 12), (16, 4, 2, 8)), ((3, 10), (12, 1, 1, 4)), ((2, 12), (16, 3, 2, 8))]
for name, ((layers, experts), (replicas, groups, nodes, gpus)) in itertools.product(sys.argv[1:], calls):
    rebalance_experts = importlib.import_module(name).rebalance_experts
    weight = torch.randint(1, 1000, (layers, experts)).float()
    phy2log, log2phy, logcnt = rebalance_experts(weight, replicas, groups, nodes, gpus)
    for table in (phy2log, log2phy, logcnt):
        assert table.dtype == torch.int64 and table.device == weight.device, table
    assert phy2log.shape == (layers, replicas) and logcnt.shape == (layers, experts)
    assert log2phy.shape[:2] == (layers, experts) and log2phy.shape[2] >= logcnt.max()
    assert (logcnt.sum(1) == replicas).all() and (logcnt >= 1).all()
    for layer in range(layers):
        assert (torch.bincount(phy2log[layer], minlength=experts) == logcnt[layer]).all()
        for expert in range(experts):
            places = log2phy[layer, expert]
            count = int(logcnt[layer, expert])
            assert (phy2log[layer, places[:count]] == expert).all() and (places[count:] == -1).all()
print("all are drop-ins")
"#;

#[test]
fn an_exported_program_is_a_drop_in_for_the_published_eplb() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = finished::world();
    world.write("caller.py", CALLER);
    let candidates = ["best", "refine_packing", "seed"];
    for candidate in candidates {
        world.run(&["export", candidate, "--run", NAME, "-o", &format!("{candidate}.py")]).ends(0);
    }
    let output = world.tool(python.to_str().unwrap(), &[&["-B", "caller.py"], &candidates[..]].concat()).ends(0);
    assert_eq!(output.stdout, "all are drop-ins\n");
}

const ENGINES: [&str; 4] = ["deepseek", "sglang", "vllm", "ascend"];

/// The files of a folder and of those in it, by their paths in it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

#[test]
fn a_package_holds_the_program_its_origin_and_the_licences() {
    let world = finished::world();
    let alone = world.run(&["export", "best", "--run", NAME]).ends(0).stdout;
    let best = finished::run().search.best().unwrap().candidate;
    for engine in ENGINES {
        let arguments = ["export", "--engine", engine, "--run", NAME, "-o", &format!("new/{engine}")];
        world.run(&arguments).ends(0).tells(&["wrote ", "`pip install ./new/"]);
        let package = world.path("new").join(engine);
        let module = package.join(format!("packevolve_{engine}"));
        assert_eq!(fs::read_to_string(module.join("program.py")).unwrap(), alone);
        let origin = fs::read_to_string(module.join("origin.json")).unwrap();
        let origin: serde_json::Value = serde_json::from_str(&origin).unwrap();
        let (title, known) = (origin["title"].as_str().unwrap(), finished::run().search.candidate(best).unwrap());
        assert_eq!(title, format!("candidate {best} ({}) of run {NAME}", known.name));
        assert_eq!(origin["run"]["commit"], known.commit.to_string());
        assert_eq!(origin["run"]["edits"].as_array().unwrap().len() + 1, finished::run().search.line_to(best).len());
        assert!(origin["run"]["scores"]["held_out_windows"].as_u64().unwrap() > 0, "{origin}");
        let version = fs::read_to_string(package.join("VERSION")).unwrap();
        assert!(version.contains(&format!("+candidate.{best}.")), "{version}");
        let names: Vec<PathBuf> = files_in(&package);
        for wanted in ["LICENSE-APACHE", "LICENSE-MIT", "LICENSE-THIRD-PARTY", "README.md", "pyproject.toml"] {
            assert!(names.contains(&package.join(wanted)), "{engine} lacks {wanted}");
        }
    }
}

#[test]
fn a_package_goes_into_a_new_or_empty_folder_only() {
    let world = finished::world();
    fs::create_dir(world.path("empty")).unwrap();
    world.run(&["export", "--engine", "vllm", "-o", "empty"]).ends(0);
    let before = files_in(&world.path("empty"));
    let refused = world.run(&["export", "--engine", "vllm", "-o", "empty", "--force"]).ends(3);
    refused.tells_one_error(&["empty is not empty", "hint: name a new folder"]);
    assert_eq!(files_in(&world.path("empty")), before);
    world.run(&["export", "--engine", "vllm"]).ends(2).tells(&["--output"]);
    world.run(&["export", "--engine", "vlm", "-o", "x"]).ends(2).tells(&["sglang, vllm, ascend"]);
    world.run(&["export", "--program", "x.py", "-o", "x"]).ends(2).tells(&["--engine"]);
}

#[test]
fn a_program_file_is_packaged_without_a_run() {
    let world = World::new();
    world.write("mine.py", text_of("candidates/eplb.py"));
    world.run(&["export", "--engine", "sglang", "--program", "mine.py", "-o", "out"]).ends(0);
    let program = fs::read_to_string(world.path("out/packevolve_sglang/program.py")).unwrap();
    let (header, rest) = program.split_once("# Without these lines it is that file to the byte.\n#\n").unwrap();
    assert!(header.contains("# file       mine.py\n") && header.contains("no run measured it"), "{header}");
    assert_eq!(rest, text_of("candidates/eplb.py"));
    let version = fs::read_to_string(world.path("out/VERSION")).unwrap();
    assert!(version.contains("+program."), "{version}");
    world.write("half.py", "def balanced_packing(weight, num_packs):\n    pass\n");
    world.run(&["export", "--engine", "sglang", "--program", "half.py", "-o", "half"]).ends(0);
    let refused = world.run(&["export", "--engine", "vllm", "--program", "half.py", "-o", "other"]).ends(3);
    refused.tells_one_error(&["program half.py has no function `rebalance_experts`, which the package of vllm calls"]);
    assert!(!world.path("other").exists());
    // A whole planner that starts from nothing, without a packing that SGLang could call.
    world.write("plain.py", "def rebalance_experts(weight, replicas, groups, nodes, gpus):\n    pass\n");
    let refused = world.run(&["export", "--engine", "sglang", "--program", "plain.py", "-o", "other"]).ends(3);
    refused.tells_one_error(&["program plain.py has neither `balanced_packing` nor a `rebalance_experts` that takes"]);
    assert!(!world.path("other").exists());
    world.run(&["export", "--engine", "vllm", "--program", "plain.py", "-o", "other"]).ends(0);
}

/// Runs `tests/engines/offline.py` on a package of this program, in a world of its own.
fn in_a_double(world: &World, engine: &str, candidate: &str, version: &[&str]) -> Option<Output> {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        skip("python", format_args!("there is no {}", python.display()));
        return None;
    }
    let package = format!("{engine}-{candidate}");
    if !world.path(&package).exists() {
        world.run(&["export", candidate, "--run", NAME, "--engine", engine, "-o", &package]).ends(0);
    }
    let (script, folder) = (repository("tests/engines/offline.py"), format!("{package}-installed{}", version.concat()));
    let arguments = ["-B", script.to_str().unwrap(), engine, &package, &folder];
    Some(world.tool(python.to_str().unwrap(), &[&arguments[..], version].concat()))
}

/// Every check that `make engines` runs on the engine itself.
fn passes_in_a_double(engine: &str, least: u64) {
    let world = finished::world();
    for candidate in ["seed", "refine_packing"] {
        let Some(output) = in_a_double(&world, engine, candidate, &[]) else { return };
        let output = output.ends(0);
        let counted: serde_json::Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
        assert!(counted["checks"].as_u64().unwrap() >= least && counted["failed"] == 0, "{counted}");
    }
}

#[test]
fn the_package_for_deepseeks_interface_keeps_its_promises() {
    passes_in_a_double("deepseek", 6);
}

#[test]
fn the_package_for_sglang_keeps_its_promises_in_a_double() {
    passes_in_a_double("sglang", 9);
}

#[test]
fn the_package_for_vllm_keeps_its_promises_in_a_double() {
    passes_in_a_double("vllm", 13);
}

#[test]
fn the_package_for_vllm_ascend_keeps_its_promises_in_a_double() {
    passes_in_a_double("ascend", 10);
}

#[test]
fn a_package_refuses_an_engine_that_it_was_not_tried_with_unless_it_is_forced() {
    let mut world = finished::world();
    for engine in ["sglang", "vllm", "ascend"] {
        let Some(refused) = in_a_double(&world, engine, "seed", &["0.0.9"]) else { return };
        let refused = refused.ends(3);
        let wanted = ["PackEvolve is NOT in place: this is ", " 0.0.9, it was tried with ", "PACKEVOLVE_FORCE=1"];
        assert!(wanted.iter().all(|words| refused.stdout.contains(words)), "{}", refused.stdout);
    }
    world.export("PACKEVOLVE_FORCE", "1");
    for engine in ["sglang", "vllm", "ascend"] {
        // The checks run, so the package is in place.
        in_a_double(&world, engine, "seed", &["0.0.8"]).unwrap().ends(0);
    }
}

#[test]
fn a_series_makes_the_winner_edit_by_edit_by_hand_and_by_its_patch() {
    let world = finished::world();
    let run = finished::run();
    for candidate in run.search.candidates().map(|(id, _)| id) {
        let folder = format!("series{candidate}");
        let arguments = ["replay", &candidate.to_string(), "--run", NAME, "--no-evaluate", "--export", &folder];
        world.run(&arguments).ends(0).tells(&[&format!("files to {folder}")]);
        let mut files: Vec<String> = fs::read_dir(world.path(&folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let edits: Vec<&String> = files.iter().filter(|name| name.ends_with(".txt")).collect();
        assert_eq!(files.len(), edits.len() + 3, "{files:?}");
        let line = run.search.line_to(candidate);
        assert_eq!(edits.len(), line.len() - 1);
        let winner = fs::read_to_string(world.path(&format!("{folder}/eplb.py"))).unwrap();
        let made = world.path("made.py");
        fs::copy(world.path(&format!("{folder}/000_seed_eplb.py")), &made).unwrap();
        for (edit, made_by) in edits.iter().zip(&line[1..]) {
            let edit = format!("{folder}/{edit}");
            world.run(&["apply", "made.py", &edit, "-o", "made.py"]).ends(0);
            let program = world.run(&["show", &made_by.to_string(), "--run", NAME, "--program"]).ends(0).stdout;
            assert_eq!(fs::read_to_string(&made).unwrap(), program, "{edit}");
        }
        assert_eq!(fs::read_to_string(&made).unwrap(), winner);
        fs::copy(world.path(&format!("{folder}/000_seed_eplb.py")), world.path("eplb.py")).unwrap();
        if candidate != CandidateId::SEED {
            world.tool("git", &["apply", &format!("{folder}/all.patch")]).ends(0);
        }
        assert_eq!(fs::read_to_string(world.path("eplb.py")).unwrap(), winner);
    }
}

#[test]
fn a_series_goes_into_a_new_or_empty_folder_only() {
    let world = finished::world();
    fs::create_dir(world.path("empty")).unwrap();
    world.run(&["replay", "best", "--run", NAME, "--no-evaluate", "--export", "empty"]).ends(0);
    let refused = world.run(&["replay", "best", "--run", NAME, "--no-evaluate", "--export", "empty"]).ends(3);
    refused.tells_one_error(&["empty is not empty", "hint: name a new folder"]);
    let refused = world.run(&["replay", "--run", NAME, "--export", "config.yaml"]).ends(3);
    refused.tells_one_error(&["cannot write config.yaml"]);
    // Of the whole run: the best.
    world.run(&["replay", "--run", NAME, "--export", "deep/er"]).ends(0);
    for name in ["eplb.py", "all.patch"] {
        let file = |folder: &str| fs::read(world.path(folder).join(name)).unwrap();
        assert_eq!(file("deep/er"), file("empty"));
    }
}

#[test]
fn of_a_record_that_is_not_reproduced_nothing_is_exported() {
    let world = finished::world();
    let mut journal = fs::read(world.path("runs/small/journal.jsonl")).unwrap();
    journal.truncate(journal.len() - 9);
    world.write("runs/small/journal.jsonl", journal);
    world.run(&["replay", "--run", NAME, "--export", "out"]).ends(5);
    assert!(!world.path("out").exists());
}

#[test]
fn without_a_run_there_is_nothing_to_export() {
    World::new().run(&["export"]).ends(3).tells_one_error(&["there are no runs in "]);
}
