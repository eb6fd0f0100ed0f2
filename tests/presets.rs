//! `packevolve presets`, and settings that name models and deployments.

use crate::support::{World, judge};

#[test]
fn models_deployments_and_presets_are_listed() {
    let world = World::new();
    let text = world.run(&["presets"]).ends(0).stdout;
    let line = |begins: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(begins));
        line.unwrap_or_else(|| panic!("no line begins with {begins:?}:\n{text}")).split_whitespace().collect::<Vec<_>>()
    };
    let [layers, dense, experts, groups, top_k, megabytes] = ["58", "3", "256", "8", "8", "44.0"];
    assert_eq!(line("deepseek-v3 ")[1..8], [layers, dense, experts, groups, top_k, megabytes, "fp8"]);
    assert_eq!(line("ep72"), ["ep72", "72", "1"]);
    assert_eq!(line("deepseek-v3-320"), ["deepseek-v3-320", "58", "256", "8", "8", "64", "320"]);
    let json = world.run(&["presets", "--format", "json"]).ends(0).json();
    let models = json["models"].as_array().unwrap();
    let of =
        |name: &str| models.iter().find(|model| model["names"].as_array().unwrap().contains(&name.into())).unwrap();
    assert_eq!(of("kimi-k2.6")["expert_bytes"], 3 * 7168 * 2048 * 9 / 16);
    assert_eq!(of("deepseek-r1")["precision"], "fp8");
    assert_eq!(json["presets"][0]["topology"]["replicas"], 288);
}

#[test]
fn groups_without_effect_are_noted_once_and_the_rest_runs() {
    judge();
    let world = World::new();
    world.set("topology", "{layers: 2, experts: 8, groups: 0, nodes: 2, gpus: 4, replicas: 8}");
    world.set("cases", "{global: [], random: 0}");
    let program = crate::support::repository("candidates/eplb.py").display().to_string();
    let output = world.run(&["evaluate", &program]).ends(0);
    let note = "note: topology has no groups (0), so engines use the global policy, and so do the cases\n";
    assert_eq!(output.stderr.matches(note).count(), 1, "{}", output.stderr);
    assert!(output.stdout.contains("8->4") && !output.stdout.contains("hierarchical"), "{}", output.stdout);
}

#[test]
fn a_combination_that_does_not_divide_is_refused_with_the_nearest_that_does() {
    let world = World::new();
    world.set("topology", "{model: kimi-k2, deployment: ep72, redundant: 32}");
    world.run(&["doctor"]).ends(3).tells_one_error(&[
        "topology: replicas (416) is not a multiple of gpus (72); the nearest that fits is 432 (48 redundant experts)",
    ]);
}
