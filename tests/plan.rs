//! `packevolve plan`: from a dump of loads to a plan file, and the inputs that it refuses.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::finished::{self, NAME};
use crate::support::skip::skip;
use crate::support::{World, judge, repository, text_of};

/// SGLang's record of layer 0, which is dense, and layers 1 to 4 of 16 experts, in two windows.
fn recorded() -> String {
    let load = |window: usize, layer: usize, expert: usize| {
        if layer == 0 { 0 } else { (expert * expert * layer + 3 * window + 1) * 10 }
    };
    let layer = |window, layer| (0..16).map(|expert| load(window, layer, expert)).collect::<Vec<usize>>();
    let window = |window| (0..5).map(|number| layer(window, number)).collect::<Vec<_>>();
    json!({ "logical_count": [window(0), window(1)] }).to_string()
}

/// A world with the loads in `loads.json`, which fit its settings.
fn world() -> World {
    judge();
    let world = World::new();
    world.write("loads.json", recorded());
    world
}

fn seed_program() -> String {
    repository("candidates/eplb.py").display().to_string()
}

/// The shipped program with another packing.
fn with_packing(world: &World, name: &str) -> String {
    let packing = text_of(&format!("tests/testdata/fates/{name}.py"));
    world.write("program.py", text_of("candidates/eplb.py") + "\n\n" + &packing);
    "program.py".to_owned()
}

fn json_of(world: &World, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(world.path(name)).unwrap()).unwrap()
}

#[test]
fn a_plan_is_written_for_an_engine_and_kept_where_nothing_changes() {
    let world = world();
    let written = world.run(&["plan", "--loads", "loads.json", "--engine", "sglang", "-o", "plan.json"]).ends(0);
    written.tells(&["planning with packed.py, which PackEvolve brings along", "wrote plan.json for sglang"]);
    let plan = json_of(&world, "plan.json");
    let rows = plan["physical_to_logical_map"].as_array().unwrap();
    assert_eq!((plan.as_object().unwrap().len(), rows.len()), (1, 5));
    // The dense layer has what the engine starts with.
    assert_eq!(rows[0], json!((0..16).collect::<Vec<_>>()));
    assert_ne!(rows[1], rows[0]);
    let again = ["plan", "--loads", "loads.json", "--from", "plan.json", "--expert-bytes", "2MB", "--format", "json"];
    let json = world.run(&again).ends(0).json();
    let figures = &json["figures"];
    assert_eq!(
        (figures["moves"]["slots"].as_u64(), figures["before"] == figures["after"]),
        (Some(0), true),
        "{figures}"
    );
    assert_eq!(figures["moves"]["bytes"]["all"], 0.0);
    let topology = json!({"layers": 4, "experts": 16, "groups": 4, "nodes": 2, "gpus": 4, "replicas": 16});
    assert_eq!((&json["topology"], json["policy"].as_str()), (&topology, Some("hierarchical")));
    assert_eq!((json["windows"].as_u64(), json["output"].is_null()), (Some(2), true));
    assert!(figures["after"]["worst_layer"].as_u64() >= Some(1), "{figures}");
}

#[test]
fn figures_are_printed_by_layer_of_the_model_and_a_window_can_be_named() {
    let world = world();
    let printed = world.run(&["plan", "--loads", "loads.json", "--window", "1", "--groups", "1"]).ends(0).stdout;
    for wanted in [
        "1 window, summed",
        "plan     global: 4 layers of 16 experts, 16 replicas",
        "4 GPUs on 2 nodes",
        "no balancing",
    ] {
        assert!(printed.contains(wanted), "{wanted:?} is missing:\n{printed}");
    }
    let layers: Vec<&str> =
        printed.lines().skip_while(|line| !line.trim_start().starts_with("layer ")).skip(1).collect();
    let numbers: Vec<&str> = layers.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"], "{printed}");
}

#[test]
fn the_program_is_the_named_one_or_the_best_of_the_newest_run() {
    let world = world();
    finished::copy_to(&world);
    let best = finished::run().search.best().unwrap().candidate;
    let json = |arguments: &[&str], said: &str| {
        let output = world.run(&[&["plan", "--loads", "loads.json", "--format", "json"], arguments].concat()).ends(0);
        let json = output.json();
        output.tells(&[said]);
        json
    };
    let of_best = json(&["-o", "own.json"], &format!("planning with candidate {best} ("));
    let of_seed = json(&["--program", &seed_program()], &seed_program());
    assert_ne!(of_best["program_digest"], of_seed["program_digest"]);
    let own = json_of(&world, "own.json");
    assert_eq!((&own["origin"]["run"], &own["origin"]["candidate"]), (&json!(NAME), &json!(best)));
    assert_eq!(own["origin"]["program_digest"], of_best["program_digest"]);
    assert_eq!(own["origin"]["balancedness"], of_best["figures"]["after"]["balancedness"]);
    let named = ["plan", "best", "--program", "x.py", "--loads", "loads.json"];
    world.run(&named).ends(2);
    world.run(&["plan", "nothing", "--loads", "loads.json"]).ends(3).tells_one_error(&["no candidate \"nothing\""]);
}

#[test]
fn an_inconsistent_program_makes_no_plan_unless_it_is_forced() {
    let world = world();
    let program = with_packing(&world, "inconsistent/hash_seed");
    let plan = ["plan", "--loads", "loads.json", "--program", &program];
    let refused = world.run(&[&plan[..], &["-o", "plan.json"]].concat()).ends(3);
    refused.tells_one_error(&[
        "no plan of program.py may be deployed",
        "PYTHONHASHSEED",
        "--force writes it all the same",
    ]);
    assert!(!world.path("plan.json").exists());
    let shown = world.run(&plan).ends(0).stdout;
    assert!(shown.contains("NOT consistent: another process plans"), "{shown}");
    world.run(&[&plan[..], &["-o", "plan.json", "--force"]].concat()).ends(0);
    assert!(world.path("plan.json").exists());
}

#[test]
fn a_rejected_program_is_reported_with_its_evidence() {
    let world = world();
    let program = with_packing(&world, "exception/raises");
    let rejected = world.run(&["plan", "--loads", "loads.json", "--program", &program, "-o", "plan.json"]).ends(4);
    for wanted in ["rejected: it raises ", "during: ", "traceback:"] {
        assert!(rejected.stdout.contains(wanted), "{wanted:?} is missing:\n{}", rejected.stdout);
    }
    assert!(!world.path("plan.json").exists());
    world.write("packing.py", text_of("tests/testdata/fates/measured/honest.py"));
    let cannot = world.run(&["plan", "--loads", "loads.json", "--program", "packing.py"]).ends(3);
    cannot.tells_one_error(&["packing.py has no `rebalance_experts`, so it makes no plans"]);
}

/// Puts the replicas of an expert on one GPU.
const TOGETHER: &str = "
def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = weight.argsort(dim=-1, stable=True)
    places = torch.empty_like(order).scatter_(1, order, torch.arange(items).expand(rows, items))
    return places // (items // num_packs), places % (items // num_packs)
";

#[test]
fn doubles_are_counted_and_parted() {
    let world = world();
    world.write("program.py", text_of("candidates/eplb.py") + "\n" + TOGETHER);
    let plan = ["plan", "--loads", "loads.json", "--program", "program.py", "--replicas", "20", "--engine", "ascend"];
    let counted = world.run(&[&plan[..], &["-o", "a.json", "--format", "json"]].concat()).ends(0);
    let doubles = counted.json()["figures"]["doubles"]["layers"].as_u64().unwrap();
    assert!(doubles > 0);
    counted.tells(&[
        &format!("warning: {doubles} of 4 layers have an expert twice on a device"),
        "`--doubles part` parts them",
    ]);
    let parted = world.run(&[&plan[..], &["-o", "b.json", "--format", "json", "--doubles", "part"]].concat()).ends(0);
    let figures = &parted.json()["figures"];
    assert_eq!(figures["doubles"], json!({"layers": 0, "slots": 0}));
    assert_eq!(figures["doubles_before_parting"]["layers"].as_u64(), Some(doubles));
    assert!(!parted.stderr.contains("warning"), "{}", parted.stderr);
    for device in json_of(&world, "b.json")["layer_list"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|layer| layer["device_list"].as_array().unwrap())
    {
        let mut experts: Vec<i64> = serde_json::from_value(device["device_expert"].clone()).unwrap();
        experts.sort_unstable();
        experts.dedup();
        assert_eq!(experts.len(), 5, "{device}");
    }
}

#[test]
fn what_contradicts_itself_or_cannot_be_written_is_refused_before_a_judge_starts() {
    let world = World::new();
    world.write("loads.json", recorded());
    world.write("bare.csv", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n".repeat(4));
    world.write("there.json", "mine");
    world.write("empty.json", "");
    world.write("half.json", "{\"physical_to_logical_map\": [[0, 1, 2");
    world.write(
        "other.json",
        json!({"physical_to_logical_map": vec![(0..20).map(|slot| slot % 16).collect::<Vec<_>>(); 5]}).to_string(),
    );
    let plan = |loads: &str, arguments: &[&str]| world.run(&[&["plan", "--loads", loads], arguments].concat()).ends(3);
    plan("loads.json", &["-o", "there.json"]).tells_one_error(&["there.json is there already", "--force replaces it"]);
    plan("none.pt", &[]).tells_one_error(&["there are no loads at none.pt"]);
    plan("loads.json", &["--window", "2"]).tells_one_error(&["there is no window 2: the loads have 2, counted from 0"]);
    plan("loads.json", &["--replicas", "18"]).tells_one_error(&["replicas (18) is not a multiple of gpus (4)"]);
    plan("loads.json", &["--replicas", "12"]).tells_one_error(&["12 replicas cannot hold 16 experts"]);
    plan("loads.json", &["--from", "empty.json"]).tells_one_error(&["empty.json is empty, not a plan"]);
    plan("loads.json", &["--from", "half.json"]).tells_one_error(&["half.json: the file ends too early: ", "column "]);
    plan("loads.json", &["--from", "loads.json"])
        .tells_one_error(&["loads.json is SGLang's record of loads, not a plan"]);
    let other = plan("loads.json", &["--from", "other.json"]);
    other.tells_one_error(&["replicas: the old plan says 20, the settings say 16", "--replicas N"]);
    let other = plan("loads.json", &["--from", "other.json", "--replicas", "16"]);
    other.tells_one_error(&["other.json: layer 1 has 20 slots, but there are 16 replicas"]);
    let bare = plan("bare.csv", &["--engine", "sglang", "-o", "plan.json"]);
    bare.tells_one_error(&["do not say which layers of the model they are of, and SGLang asks for that", "--dense N"]);
    let shape = plan("bare.csv", &["--model", "mixtral-8x7b", "--gpus", "4"]);
    shape.tells_one_error(&["bare.csv: 4 layers of 16 loads, but the topology has 32 layers of 8 experts"]);
    plan("bare.csv", &["--deployment", "ep7"]).tells_one_error(&["unknown deployment \"ep7\"", "packevolve presets"]);
    assert_eq!(fs::read_to_string(world.path("there.json")).unwrap(), "mine");
    assert!(!world.path("plan.json").exists());
}

/// The dumps of every engine, made of the same loads, give the same plan.
#[test]
fn the_dumps_of_all_engines_give_one_plan() {
    let dumps = repository("../shared/dumps");
    if !dumps.is_dir() {
        return skip("given-dumps", format_args!("there is no {}", dumps.display()));
    }
    judge();
    let world = World::new();
    let config = dumps.join("config.yaml").display().to_string();
    let plan = |dump: &str, engine: &str, output: &str| -> PathBuf {
        let dump = dumps.join(dump).display().to_string();
        let arguments = ["plan", "--loads", &dump, "--config", &config, "--engine", engine, "-o", output, "--program"];
        world.run(&[&arguments[..], &[&seed_program()]].concat()).ends(0);
        world.path(output)
    };
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let first = read(plan("sglang_stat", "sglang", "0.json"));
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["physical_to_logical_map"].as_array().unwrap().len(), 9);
    assert_eq!(read(plan("trtllm", "sglang", "1.json")), first);
    let lines = ["sglang_per_pass", "vllm.jsonl"].map(|dump| read(plan(dump, "vllm", &format!("{dump}.out.jsonl"))));
    assert_eq!(lines[0], lines[1]);
}
