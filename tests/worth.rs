//! `packevolve worth`: plans on recorded windows, judged on the next ones, and the verdict.

use std::fmt::Write;

use serde_json::Value;

use crate::support::{Output, World, judge, repository};

/// A window of the small settings: 4 layers of 16 experts; the expert `hot` of each layer has ten times the load.
fn window(hot: usize, heavier: f64) -> String {
    let load = |layer: usize, expert: usize| {
        let usual = 100.0 + ((7 * expert + 3 * layer) % 11) as f64;
        if expert == (hot + layer) % 16 { usual * heavier } else { usual }
    };
    let layers = (0..4).map(|layer| {
        let loads: Vec<String> = (0..16).map(|expert| load(layer, expert).round().to_string()).collect();
        loads.join(",")
    });
    layers.collect::<Vec<_>>().join("\n") + "\n"
}

fn world(windows: &[(usize, f64)]) -> World {
    judge();
    let world = World::new();
    for (number, (hot, heavier)) in windows.iter().enumerate() {
        world.write(&format!("window{number}.csv"), window(*hot, *heavier));
    }
    world
}

fn program() -> String {
    repository("candidates/eplb.py").display().to_string()
}

fn run(world: &World, arguments: &[&str]) -> Output {
    world.run(&[&["worth", "--program", &program()], arguments].concat())
}

/// The option of a planner and a policy with this redundancy.
fn option<'j>(json: &'j Value, planner: &str, policy: Option<&str>, redundant: u64) -> &'j Value {
    let is = |option: &&Value| {
        option["planner"] == planner && option["policy"].as_str() == policy && option["redundant"] == redundant
    };
    json["options"].as_array().unwrap().iter().find(is).unwrap()
}

#[test]
fn traffic_with_hot_experts_that_stay_hot_is_worth_rebalancing() {
    let world = world(&[(5, 6.0), (5, 6.5), (5, 5.5)]);
    let loads = ["--loads", "window0.csv", "window1.csv", "window2.csv", "--redundant", "4"];
    let more = ["--step-ms", "20", "--moe-share", "0.5", "--expert-bytes", "1GB", "--format", "json"];
    let json = run(&world, &[&loads[..], &more].concat()).ends(0).json();
    assert_eq!(json["verdict"]["outcome"], "recommended", "{}", json["verdict"]);
    assert_eq!(
        (json["windows"].as_u64(), json["planned"].as_u64(), json["served"].as_u64()),
        (Some(3), Some(2), Some(2))
    );
    let saved = json["verdict"]["saved"].as_f64().unwrap();
    assert!(saved > 0.05, "{saved}");
    assert!((json["verdict"]["saved_seconds"].as_f64().unwrap() - saved * 0.01).abs() < 1e-12);
    // The program is the engine's planner.
    assert_eq!(json["verdict"]["packing"]["saved"], 0.0);
    for policy in ["hierarchical", "global"] {
        for redundant in [0, 4, 8] {
            let [engine, program] =
                ["engine", "program"].map(|planner| option(&json, planner, Some(policy), redundant));
            assert_eq!(engine["next_balancedness"], program["next_balancedness"]);
            assert_eq!(engine["moved_bytes"], program["moved_bytes"]);
        }
    }
    let none = option(&json, "none", None, 4);
    assert_eq!(
        (none["moe_time"].as_f64(), none["moved"].as_f64(), none["seconds"].as_f64()),
        (Some(1.0), Some(0.0), None)
    );
    let program = option(&json, "program", Some("hierarchical"), 4);
    assert!((1.0 - program["moe_time"].as_f64().unwrap() - saved).abs() < 1e-12);
    assert_eq!(json["layers"].as_array().unwrap().len(), 4);
    // Four redundant experts in each of four layers on four GPUs, of 1 GB.
    let redundancy = &json["verdict"]["redundancy"][1];
    assert_eq!((redundancy["redundant"].as_u64(), redundancy["bytes"].as_f64()), (Some(4), Some(4e9)));
}

#[test]
fn even_traffic_is_not_worth_it_and_the_text_says_where_nothing_makes_a_difference() {
    let world = world(&[(0, 1.0), (0, 1.0)]);
    let output = run(&world, &["--loads", "window0.csv", "window1.csv", "--report", "worth.html"]).ends(0);
    for wanted in [
        "traffic: 2 windows of 4 layers and 16 experts; 1 plan, judged on 1 next window\n",
        "windows: of unknown length",
        "deployment: 16 replicas (0 redundant) on 4 GPUs of 2 nodes",
        "balancedness by layer: ○ without balancing, ● with the program",
        "rebalancing (hierarchical, 0 redundant experts) is not recommended",
        "recommended from 5.0 % less",
        "the packing makes no difference: balancedness on the next windows is 0.",
        "a rebalance moves ",
    ] {
        assert!(output.stdout.contains(wanted), "{wanted:?} is missing:\n{}", output.stdout);
    }
    assert!(output.stderr.contains("planning with "), "{}", output.stderr);
    let page = std::fs::read_to_string(world.path("worth.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("is not recommended") && page.contains("Layer by layer"));
}

#[test]
fn a_single_window_is_not_enough_and_later_traffic_is() {
    let world = world(&[(5, 6.0), (5, 6.0)]);
    let alone = run(&world, &["--loads", "window0.csv", "--format", "json"]).ends(0).json();
    assert_eq!(alone["verdict"]["outcome"], "not-enough-windows");
    assert_eq!((alone["verdict"]["saved"].as_f64(), alone["served"].as_u64()), (None, Some(0)));
    assert!(run(&world, &["--loads", "window0.csv"]).ends(0).stdout.contains("not enough windows"));
    let next = ["--loads", "window0.csv", "--next", "window1.csv", "--redundant", "4", "--format", "json"];
    let json = run(&world, &next).ends(0).json();
    assert_eq!(json["verdict"]["outcome"], "recommended");
    assert_eq!((json["planned"].as_u64(), json["served"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let world = world(&[(5, 6.0), (5, 6.0)]);
    let refused =
        |arguments: &[&str], exit: i32| run(&world, &[&["--loads", "window0.csv"], arguments].concat()).ends(exit);
    refused(&["--redundant", "3"], 3).tells_one_error(&[
        "error: replicas (19) is not a multiple of gpus (4)",
        "hint: the nearest that fit are 16 (0 redundant experts) and 20 (4 redundant experts)",
    ]);
    refused(&["--step-ms", "20"], 2);
    refused(&["--step-ms", "0", "--moe-share", "0.5"], 2);
    refused(&["--step-ms", "1", "--moe-share", "2"], 2);
    world.write("other.csv", "1,2\n3,4\n");
    refused(&["--next", "other.csv"], 3)
        .tells_one_error(&["other.csv: 2 layers of 2 loads, but the topology has 4 layers"]);
    refused(&["--next", "none.csv"], 3).tells_one_error(&["there are no loads at none.csv"]);
}

#[test]
fn loads_of_another_model_than_that_of_the_settings_are_planned_as_they_are() {
    let world = world(&[]);
    let row = (0..8).fold(String::new(), |mut row, expert| {
        write!(row, "{}{}", if expert == 0 { "" } else { "," }, 10 + 20 * expert).unwrap();
        row
    });
    world.write("mixtral.json", format!("[[[{row}],[{row}]],[[{row}],[{row}]]]"));
    let output = run(&world, &["--loads", "mixtral.json", "--format", "json"]).ends(0);
    let json = output.json();
    assert_eq!((json["topology"]["layers"].as_u64(), json["topology"]["experts"].as_u64()), (Some(2), Some(8)));
    let note = json["notes"][0].as_str().unwrap();
    assert!(note.contains("2 layers of 8 experts, the settings 4 of 16"), "{note}");
    assert_eq!(json["topology"]["replicas"], 8);
}

#[test]
fn a_program_that_cannot_plan_is_rejected_with_its_evidence() {
    let world = world(&[(5, 6.0), (5, 6.0)]);
    let text = crate::support::text_of("candidates/eplb.py");
    world.write(
        "raises.py",
        text.replace(
            "def rebalance_experts(",
            "def rebalance_experts(*_):\n    raise ValueError('no')\n\n\ndef _other(",
        ),
    );
    let output = world.run(&["worth", "--program", "raises.py", "--loads", "window0.csv", "window1.csv"]).ends(4);
    output.tells_one_error(&["no plan can be made with raises.py: it raises ValueError: no"]);
    world.write("packs.py", "def balanced_packing(weight, num_packs):\n    return None\n");
    let output = world.run(&["worth", "--program", "packs.py", "--loads", "window0.csv"]).ends(3);
    output.tells_one_error(&["packs.py has no `rebalance_experts`"]);
}
