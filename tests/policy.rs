//! `target: policy`: a run that evolves whole rebalances, from its first event to its replay and its package.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use packevolve::config::Asset;
use packevolve::proposer::catalogue::{Catalogue, gather};
use packevolve::proposer::compose;
use packevolve::proposer::parts::{Without, without_parts};
use packevolve::run::fold::Run;
use packevolve::search::Search;
use packevolve::values::event::{Event, Proposer};
use packevolve_contract::stream::{Purpose, stream};
use serde_json::Value;

use crate::json;
use crate::support::{Output, World, finished, judge, repository, scripted, skip::skip, text_of};

const NAME: &str = "policies";
const POLICY: &str = "
target: policy
deployment: {window: 10s, exposed: 0.5, bandwidth: 200MB}
search: {candidates: 6}
judges: [{slots: 1}]
";

struct Finished {
    world: World,
    output: Output,
}

static FINISHED: LazyLock<Finished> = LazyLock::new(|| {
    judge();
    let world = World::with(POLICY);
    // Chains of four windows: two plans each.
    let chains = "{device: cpu, chain_windows: 4, windows: 2, held_out_windows: 1, loads_seed: 5}";
    world.set("evaluation", chains);
    let blocks = repository("candidates/blocks").display().to_string();
    let proposers = format!("{{corpus: null, compose: {{blocks: {blocks}}}, prune: {{enabled: false}}}}");
    world.set("proposers", &proposers);
    world.set("program", "candidates/eplb.py");
    std::fs::create_dir(world.path("candidates")).unwrap();
    world.write("candidates/policy.py", text_of("candidates/policy.py"));
    let output = world.run(&["evolve", "--run", NAME]);
    Finished { world, output }
});

fn run() -> Run {
    FINISHED.world.read(NAME)
}

fn printed(arguments: &[&str]) -> String {
    FINISHED.world.run(&[arguments, &["--run", NAME]].concat()).ends(0).stdout
}

#[test]
fn a_run_of_policies_measures_chains_and_says_what_they_lose_and_move() {
    let Output { code, stdout: output, stderr } = &FINISHED.output;
    assert_eq!(*code, Some(0), "{output}{stderr}");
    assert!(output.contains("served") && output.contains("stayed") && output.contains("lost,"), "{output}");
    let run = run();
    let baseline = run.search.baseline().unwrap();
    assert!(baseline.cases.is_empty() && baseline.chains.len() == 2, "{baseline:?}");
    assert!(baseline.chains.iter().all(|chain| chain.steps.len() == 2));
    let best = run.search.best().unwrap();
    let scores = run.search.scores_of(best.candidate).unwrap();
    let policy = scores.policy.as_ref().expect("a policy has figures of its own");
    assert_eq!((policy.prices.window, policy.prices.exposed), (10.0, 0.5));
    let composed = run.search.candidates().filter(|(_, known)| known.name.starts_with("compose_policy"));
    assert!(composed.count() > 0, "no policy was composed");
    assert!(printed(&["show", "best"]).contains("imbalance served"));
    assert!(printed(&["top"]).contains("moved"));
    let front: Value = serde_json::from_str(&printed(&["top", "--front", "--format", "json"])).unwrap();
    let listed = front["candidates"].as_array().unwrap().iter().map(|row| row["candidate"].as_u64().unwrap());
    let members = run.search.elites().front().map(|member| member.candidate.0);
    assert_eq!(listed.collect::<BTreeSet<_>>(), members.collect::<BTreeSet<_>>());
    let compared = printed(&["diff", "seed", "best"]);
    assert!(compared.contains("balance won") && compared.contains("to uneven GPUs"), "{compared}");
    assert!(!compared.contains("gap %"), "policies have no cases: {compared}");
}

/// With one island of one program, every other parent is from the front.
#[test]
fn parents_come_from_the_front_too_and_their_children_are_measured_in_full() {
    let world = scripted::of_policies();
    world.set("search", "{candidates: 40, islands: 1, population_size: 1}");
    Output::of(&mut scripted::command(&world, &["evolve", "--run", "x"])).ends(0);
    let run = world.read("x");
    let mut search = Search::new(run.search.origin().clone());
    let (mut of_island, mut of_front, mut towards) = (0, 0, 0);
    for entry in run.entries().unwrap() {
        if let Event::Selected { selection, .. } = &entry.event
            && selection.cut.is_none()
        {
            let parent = selection.parent;
            if search.islands().members(selection.island).iter().any(|member| member.candidate == parent) {
                of_island += 1;
            } else {
                assert!(search.elites().front().any(|member| member.candidate == parent), "{selection:?}");
                assert_eq!(selection.outclassed_below, None, "{selection:?}");
                of_front += 1;
            }
            if let (Proposer::Compose, [neighbour]) = (selection.proposer, &selection.inspirations[..]) {
                assert!(search.elites().front().any(|member| member.candidate == *neighbour), "{selection:?}");
                assert_ne!(parent, *neighbour);
                towards += 1;
            }
        }
        if !matches!(entry.event, Event::RunStarted(_)) {
            search.apply(&entry.event).unwrap_or_else(|refusal| panic!("{refusal}"));
        }
    }
    assert!(of_island > 10 && of_front > 3 && towards > 0, "{of_island} {of_front} {towards}");
}

/// Such a run would evolve nothing and say nothing of it.
#[test]
fn a_program_whose_editable_region_has_packing_alone_is_refused() {
    let world = World::with(POLICY);
    world.write("mine.py", text_of("candidates/eplb.py"));
    world.set("program", "mine.py");
    let refused = world.run(&["evolve", "--run", "x"]).ends(3);
    refused.tells_one_error(&[
        "mine.py has no function `rebalance_experts` in its editable region, and `target` is policy",
        "hint: `program: candidates/policy.py` has one",
    ]);
    assert!(!world.path("runs").exists());
}

#[test]
fn other_prices_on_a_finished_run_measure_nothing_again() {
    let world = &FINISHED.world;
    world.write("prices.yaml", "deployment: {exposed: 0, moe_share: 1.0}\n");
    let top = |more: &[&str]| {
        let arguments = [&["top", "--all", "--format", "json", "--run", NAME][..], more].concat();
        world.run(&arguments).ends(0).json()
    };
    let (own, priced) = (top(&[]), top(&["--deployment", "prices.yaml"]));
    let of = |json: &Value, part: &str| json["candidates"][0]["scores"]["policy"]["lost"][part].as_f64().unwrap();
    assert!(of(&own, "planning") > 0.0);
    assert_eq!((of(&priced, "planning"), of(&priced, "transfer")), (0.0, 0.0));
    let table = world.run(&["top", "--deployment", "prices.yaml", "--run", NAME]).ends(0).stdout;
    assert!(!table.contains("duel;"), "no duel was at these prices: {table}");
    assert_eq!(own["candidates"].as_array().unwrap().len(), priced["candidates"].as_array().unwrap().len());
}

#[test]
fn a_run_of_policies_is_reproduced_and_so_is_a_candidate_of_it() {
    let whole = printed(&["replay"]);
    assert!(whole.contains("reproduced"), "{whole}");
    let best = FINISHED.world.run(&["replay", "best", "--run", NAME]);
    // Times may move on a busy machine; loads may not.
    assert!(
        [Some(0), Some(6)].contains(&best.code) && best.stdout.contains("balancedness and gaps are reproduced"),
        "{best:?}"
    );
}

#[test]
fn a_report_of_policies_has_their_front_and_no_cases() {
    let world = &FINISHED.world;
    world.run(&["report", "--run", NAME, "-o", "report.html"]).ends(0);
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("Balance against what is moved") && page.contains("Throughput lost"));
    assert!(
        page.contains("balance served") && !page.contains("gap, mean %"),
        "the table of the front is that of packing"
    );
    assert!(!page.contains("Gap to the lower bound in each case"));
}

/// Programs measured beside the best on one chain: DeepSeek's planner, the front, and the best without its parts.
static BESIDE: LazyLock<Value> = LazyLock::new(|| {
    let eplb = repository("candidates/eplb.py").display().to_string();
    let parts = if parts_of_best().is_some() { &["--without-parts"][..] } else { &[] };
    let arguments =
        [&["compare", &eplb, "--front", "--chains", "1", "--format", "json", "--run", NAME], parts].concat();
    FINISHED.world.run(&arguments).ends(0).json()
});

/// The best without each of its blocks; `None` if it is not put together from blocks.
fn parts_of_best() -> Option<Vec<Without>> {
    let run = run();
    let best = run.search.best().unwrap().candidate;
    let catalogues: Vec<Catalogue> =
        run.search.origin().catalogues.iter().map(|text| Catalogue::parse(text).unwrap()).collect();
    without_parts(&run.programs.program(best).unwrap(), &catalogues)
}

fn of_kind<'a>(beside: &'a Value, kind: &str) -> Vec<&'a Value> {
    beside["programs"].as_array().unwrap().iter().filter(|program| program["kind"] == kind).collect()
}

#[test]
fn programs_are_measured_beside_the_best_on_the_same_chains() {
    let schema = World::new().run(&["schema", "compare"]).ends(0).json();
    json::check(&BESIDE, &schema, &schema).unwrap();
    let programs = BESIDE["programs"].as_array().unwrap();
    assert_eq!((&programs[0]["kind"], of_kind(&BESIDE, "best").len()), (&Value::from("best"), 1));
    let [eplb] = of_kind(&BESIDE, "file")[..] else { panic!("{programs:?}") };
    let imbalance = |program: &Value, whose: &str| program["policy"][whose]["imbalance"].as_f64().unwrap();
    // What DeepSeek's planner loses follows from the chains alone.
    let measured = programs.iter().filter(|program| program["rejection"].is_null());
    assert!(measured.clone().count() >= 2);
    assert!(measured.clone().all(|one| imbalance(one, "baseline_lost") == imbalance(eplb, "baseline_lost")));
    let (own, planner) = (imbalance(eplb, "lost"), imbalance(eplb, "baseline_lost"));
    assert!((own / planner - 1.0).abs() < 0.05, "the planner beside itself: {own} and {planner}");
    assert!(measured.skip(1).all(|program| program["verdict"]["rounds"] == 1));
    let without: Vec<&str> =
        of_kind(&BESIDE, "without").iter().map(|program| program["name"].as_str().unwrap()).collect();
    let parts = parts_of_best().unwrap_or_default();
    assert_eq!(without, parts.iter().map(|part| part.block.as_str()).collect::<Vec<_>>());
}

#[test]
fn a_report_shows_what_was_measured_beside_the_best() {
    let world = &FINISHED.world;
    world.write("beside.json", BESIDE.to_string());
    world.run(&["report", "--run", NAME, "-o", "beside.html", "--beside", "beside.json"]).ends(0);
    let page = std::fs::read_to_string(world.path("beside.html")).unwrap();
    assert!(page.contains("<section id=\"beside\"") && page.contains(">eplb<"), "{page}");
    for part in parts_of_best().unwrap_or_default() {
        assert!(page.contains(&format!("without {}", part.block)), "{}", part.block);
    }
    let alone = printed(&["report", "-o", "-"]);
    assert!(!alone.contains("id=\"beside\""));
}

#[test]
fn figures_on_other_chains_or_at_other_prices_are_refused() {
    let world = &FINISHED.world;
    let other = |path: &str, value: Value| {
        let mut beside = BESIDE.clone();
        *beside.pointer_mut(path).unwrap() = value;
        beside
    };
    let refused = |files: &[&str]| {
        let given = ["report", "--run", NAME, "-o", "none.html", "--beside"];
        let arguments = [&given[..], files].concat();
        let output = world.run(&arguments).ends(3);
        assert!(!world.path("none.html").exists());
        output
    };
    for (path, value, text) in [
        ("/chains/loads_digest", Value::from("another"), "other loads"),
        ("/chains/seed", Value::from(1), "other chains"),
        ("/chains/prices/window", Value::from(77.0), "the prices of another deployment"),
        ("/chains/topology/nodes", Value::from(1), "another topology"),
        ("/best_program", Value::from("0".repeat(40)), "another best program"),
    ] {
        world.write("other.json", other(path, value).to_string());
        refused(&["other.json"]).tells_one_error(&["other.json does not go with this run", text]);
    }
    world.write("beside_one.json", BESIDE.to_string());
    world.write("two.json", other("/chains/count", Value::from(2)).to_string());
    refused(&["beside_one.json", "two.json"]).tells_one_error(&["two.json", "another number of chains"]);
    world.write("text.json", "{}");
    refused(&["text.json"]).tells_one_error(&["text.json was not printed by `packevolve compare --format json`"]);
}

#[test]
fn a_run_of_packers_has_nothing_to_compare_by_lost_time() {
    let eplb = repository("candidates/eplb.py").display().to_string();
    let refused = finished::world().run(&["compare", &eplb, "--run", finished::NAME]).ends(3);
    refused.tells_one_error(&["the target of this run is packing"]);
}

/// A source of an engine that plans from what is in force, and imports from the engine.
const OF_ENGINE: &str = "\
\"\"\"A planner.\"\"\"
import numpy as np
from .abstract import (
    AbstractEplbPolicy,
)


class DefaultEplbPolicy(AbstractEplbPolicy):
    @classmethod
    def rebalance_experts(cls, weight, replicas, groups, nodes, ranks, old=None):
        assert isinstance(np.zeros(1), np.ndarray) and nodes == 2
        return old.flip(1)
";

#[test]
fn an_engines_planner_becomes_a_program_that_needs_no_engine() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = World::new();
    let folder = world.path("tree/vllm/distributed/eplb/policy");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("default.py"), OF_ENGINE).unwrap();
    let engines = repository("tests/engines").display().to_string();
    let script = format!(
        "import sys; sys.path.insert(0, {engines:?})\nimport pathlib, programs, torch\nspace = {{}}\n\
         exec(programs.program(programs.PLANNERS['vllm'], pathlib.Path('tree'), '1.0'), space)\n\
         plan = space['rebalance_experts'](torch.ones(1, 3), 4, 2, 2, 2, old_phy2log=torch.tensor([[0, 1, 2, 0]]))\n\
         print([part.tolist() for part in plan])\n"
    );
    let output = world.tool(python.to_str().unwrap(), &["-B", "-c", &script]).ends(0);
    assert_eq!(output.stdout, "[[[0, 2, 1, 0]], [[[0, 3], [2, -1], [1, -1]]], [[2, 1, 1]]]\n");
}

/// A program of building blocks: an improved plan in force.
fn composed(world: &World) {
    let texts = gather(&Asset::At(repository("candidates/blocks"))).unwrap();
    let all = texts.iter().map(|text| Catalogue::parse(text).unwrap());
    let policies: Vec<Catalogue> = all.filter(|catalogue| catalogue.name() == "policy").collect();
    let seed = text_of("candidates/policy.py");
    let moves = |number| {
        let mut rng = stream(11, number, Purpose::Proposal);
        let (_, proposal) = compose::propose(&seed, &policies, None, &mut rng, &|_| false).unwrap();
        proposal.edit.apply(&seed).unwrap()
    };
    let program = (0..100).map(moves).find(|program| {
        let planned = program.split("def _planned(").nth(1).unwrap().split("def ").next().unwrap();
        planned.contains("_move_heaviest(") && !program.contains("_renew_")
    });
    world.write("policy.py", program.expect("one of a hundred improves the plan in force"));
}

#[test]
fn the_packages_for_vllm_and_sglang_start_from_what_is_in_force_and_their_ranks_agree() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = World::new();
    composed(&world);
    for engine in ["vllm", "sglang"] {
        world.run(&["export", "--engine", engine, "--program", "policy.py", "-o", engine]).ends(0);
        let script = repository("tests/engines/policies.py").display().to_string();
        let rank = |folder: &str| {
            let arguments = ["-B", &script, engine, engine, &format!("{engine}-{folder}")];
            let output = world.tool(python.to_str().unwrap(), &arguments).ends(0).stdout;
            output.lines().last().unwrap().to_owned()
        };
        let (one, other) = (rank("one"), rank("other"));
        assert_eq!(one, other, "two ranks plan differently");
        let printed: Value = serde_json::from_str(&one).unwrap();
        let changed = printed["changed"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap());
        let moved: Vec<f64> = serde_json::from_value(printed["moved"].clone()).unwrap();
        assert!(moved[0] < 0.8 * moved[1], "it is measured as a fresh plan: {printed}");
        assert!(changed.clone().count() == 3 && changed.fold(0.0, f64::max) < 0.4, "{printed}");
    }
}

/// Every check that `make engines` runs on the engine itself, on a policy without a packing and on one that has it.
#[test]
fn the_packages_of_policies_keep_their_promises_in_doubles_of_the_engines() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = World::new();
    composed(&world);
    world.write("seed.py", text_of("candidates/policy.py"));
    for (engine, least) in [("deepseek", 6), ("sglang", 10), ("vllm", 14), ("ascend", 11)] {
        for program in ["policy", "seed"] {
            let package = format!("{engine}-{program}");
            let file = format!("{program}.py");
            world.run(&["export", "--engine", engine, "--program", &file, "-o", &package]).ends(0);
            let (script, folder) = (repository("tests/engines/offline.py"), format!("{package}-installed"));
            let arguments = ["-B", script.to_str().unwrap(), engine, &package, &folder];
            let output = world.tool(python.to_str().unwrap(), &arguments).ends(0);
            assert!(output.stderr.contains("ok      a_policy_is_given_what_is_in_force"), "{}", output.stderr);
            let counted: Value = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
            assert!(counted["checks"].as_u64().unwrap() >= least && counted["failed"] == 0, "{package}: {counted}");
        }
    }
}

/// Plans by both policies what has as many layers and experts as the run had.
const BOTH_POLICIES: &str = "
import torch
from packevolve_deepseek import rebalance_experts
weight = torch.arange(64.0).view(4, 16)
for groups, nodes in [(4, 2), (4, 2), (1, 1), (1, 1)]:
    rebalance_experts(weight, 16, groups, nodes, 4)
";

#[test]
fn a_package_warns_where_the_engine_asks_for_plans_that_its_run_did_not_measure() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = &FINISHED.world;
    let exported = printed(&["export", "best"]);
    let topology = "# topology   4 layers of 16 experts, 16 replicas on 4 GPUs of 2 nodes; hierarchical, 4 groups\n";
    assert!(exported.contains(topology), "{exported}");
    printed(&["export", "best", "--engine", "deepseek", "-o", "package"]);
    world.write("package/plan.py", BOTH_POLICIES);
    let output = world.tool(python.to_str().unwrap(), &["-B", "package/plan.py"]).ends(0);
    let warning = "the engine asks for global plans, but candidate";
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains(warning) && output.stderr.contains("hierarchical ones"), "{}", output.stderr);
    // A program of no run: which policy it was measured for is not recorded.
    world.write("policy.py", text_of("candidates/policy.py"));
    world.run(&["export", "--engine", "deepseek", "--program", "policy.py", "-o", "of_a_file"]).ends(0);
    world.write("of_a_file/plan.py", BOTH_POLICIES);
    let output = world.tool(python.to_str().unwrap(), &["-B", "of_a_file/plan.py"]).ends(0);
    assert_eq!(output.stderr, "");
}

#[test]
fn a_package_calls_a_program_with_the_keywords_that_the_judge_calls_it_with() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let script = repository("tests/engines/keywords.py").display().to_string();
    let output = World::new().tool(python.to_str().unwrap(), &["-B", &script]).ends(0);
    assert_eq!(output.stdout.lines().count(), 7, "{}", output.stdout);
}

/// On made-up windows of two layers: that the seed program, which plans afresh, moves most, in both policies.
#[test]
fn the_marks_are_printed_beside_what_a_policy_reaches_and_moves() {
    let python = repository(".venv/bin/python");
    if !python.is_file() {
        return skip("python", format_args!("there is no {}", python.display()));
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("loads/dsv3_sglang")).unwrap();
    let names = [
        "prefill_in1024",
        "prefill_in2048",
        "prefill_in1000out1000",
        "prefill_in1800out100",
        "prefill_in2000out100",
        "prefill_in500out1500",
        "decode_in1000out1000",
        "decode_in1800out100",
    ];
    for (number, name) in names.iter().enumerate() {
        let load = |layer: usize, expert: usize| 1000 + (expert * (37 + layer) + 101 * number * (expert % 5)) % 997 * 9;
        let row = |layer| (0..256).map(|expert| load(layer, expert).to_string()).collect::<Vec<_>>().join(",");
        world.write(&format!("loads/dsv3_sglang/{name}.csv"), format!("{}\n{}\n", row(0), row(1)));
    }
    // Another model, whose loads do not change: there is nothing to correct.
    let same = serde_json::json!([(0..64).map(|expert| 10 + expert * 37 % 101).collect::<Vec<_>>()]);
    std::fs::create_dir_all(world.path("loads/olmoe")).unwrap();
    let domains = serde_json::json!({"olmoe": {"a": same, "b": same, "c": same}});
    world.write("loads/olmoe/olmoe_expert_counts.json", domains.to_string());
    let (script, program) = (repository("tests/engines/marks.py"), repository("candidates/policy.py"));
    let arguments = ["-B", script.to_str().unwrap(), "--loads", "loads", "--limit", "1e9", program.to_str().unwrap()];
    let output = world.tool(python.to_str().unwrap(), &arguments);
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = output.stdout.lines().filter(|line| line.contains("| policy ")).map(cells).collect();
    let of = |policy: &str| rows.iter().find(|row| row[1] == policy && row[2] == "policy");
    assert!(output.stdout.contains("no: the plan in force serves as well"), "{output:?}");
    for policy in ["global", "hierarchical"] {
        let row = of(policy).unwrap_or_else(|| panic!("{output:?}"));
        assert!(row[3].parse::<f64>().unwrap() > 50.0 && row[4].parse::<f64>().unwrap() > 0.8, "{row:?}");
    }
}
