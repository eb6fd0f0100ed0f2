//! `packevolve export` and `replay --export`: a program as it leaves its run.

use std::fs;

use packevolve::values::candidate::CandidateId;

use crate::support::finished::{self, NAME};
use crate::support::skip::skip;
use crate::support::{World, repository, text_of};

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
