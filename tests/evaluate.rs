//! `packevolve evaluate`: one program, measured; and the measured gaps of the field on real loads.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;

use packevolve::archive::programs::derive;
use packevolve::config::Config;
use packevolve::judge::client::{self as judges, Judge};
use packevolve::values::settings::EvaluationSettings;
use packevolve_contract::adrs::adrs_scores;
use packevolve_contract::case;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Yardstick, scores};
use packevolve_contract::protocol::EvaluateRequest;
use packevolve_contract::rebalance::{Policy, rebalance_scores};
use packevolve_contract::rejection::Rejection;
use serde_json::Value;

use crate::support::scripted::{self, stub};
use crate::support::skip::skip;
use crate::support::{Output, World, judge, repository, text_of};

fn seed_program() -> String {
    repository("candidates/eplb.py").display().to_string()
}

fn heavy_program() -> String {
    repository("tests/testdata/fates/measured/heaviest_together.py").display().to_string()
}

/// The seed program, measured once for the tests that read the text.
static TEXT: LazyLock<Output> = LazyLock::new(|| {
    judge();
    World::new().run(&["evaluate", &seed_program()]).ends(0)
});

/// The seed program beside another one, measured once for the tests that read JSON.
static JSON: LazyLock<Value> = LazyLock::new(|| {
    judge();
    let arguments = ["evaluate", &seed_program(), "--against", &heavy_program(), "--score", "adrs", "--format", "json"];
    World::new().run(&arguments).ends(0).json()
});

#[test]
fn the_baseline_itself_scores_zero_and_every_case_is_shown() {
    for wanted in ["16->4", "8->2", "speed_score 0.0000   combined_score 0.0000", "peak memory", "8 windows of loads"] {
        assert!(TEXT.stdout.contains(wanted), "{wanted:?} is missing:\n{}", TEXT.stdout);
    }
    assert!(TEXT.stderr.starts_with("measuring "), "{}", TEXT.stderr);
}

#[test]
fn missing_loads_are_reported_before_a_judge_starts() {
    let output = World::new().run(&["evaluate", &seed_program(), "--loads", "none.csv"]).ends(3);
    output.tells_one_error(&["error: there are no loads at none.csv"]);
}

#[test]
fn a_program_is_compared_with_the_one_that_is_named() {
    let json = &*JSON;
    for field in ["format", "program", "against", "judge", "score", "scores", "comparison", "evaluation"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    let speedup = &json["comparison"]["speedup"];
    let [low, ratio, high] = ["low", "ratio", "high"].map(|field| speedup[field].as_f64().unwrap());
    assert!(0.0 < low && low <= ratio && ratio <= high, "{speedup}");
    let case = &json["comparison"]["cases"][1];
    assert!(case["gap"].as_f64().unwrap() < case["gap_against"].as_f64().unwrap(), "{case}");
    // The other has no rebalance_experts.
    assert_eq!(json["rebalance_against"], serde_json::json!([]));
    assert_eq!(json["comparison"]["rebalance"], serde_json::json!([]));
    assert!(json["scores"]["quality"].as_f64().unwrap() > 0.5, "{}", json["scores"]);
    assert_eq!(json["evaluation"]["outcome"], "measured");
}

#[test]
fn a_program_compared_with_itself_is_measured_twice() {
    judge();
    let world = World::new();
    let json =
        world.run(&["evaluate", &seed_program(), "--against", &seed_program(), "--format", "json"]).ends(0).json();
    assert_ne!(json["comparison"]["speedup"]["ratio"], 1.0, "the same samples");
    for case in json["comparison"]["cases"].as_array().unwrap() {
        assert_eq!(case["gap"], case["gap_against"], "the same inputs");
    }
    assert_eq!(json["comparison"]["rebalance"].as_array().unwrap().len(), 2);
}

#[test]
fn rebalances_spread_and_consistency_are_reported() {
    let text = &TEXT.stdout;
    for wanted in ["quartiles", "hierarchical ", "global ", "replicas %", "next", "consistent: another process"] {
        assert!(text.contains(wanted), "{wanted:?} is missing:\n{text}");
    }
    assert!(!text.contains("as fast") && !text.contains("adrs"), "{text}");
    let scores = &JSON["scores"];
    assert_eq!(JSON["loads_seed"], 1);
    assert!(JSON["half_width"].as_f64().is_some_and(|half_width| half_width > 0.0), "{}", JSON["half_width"]);
    for (place, policy) in ["hierarchical", "global"].into_iter().enumerate() {
        let score = &scores["rebalance"][place];
        assert_eq!((score["policy"].as_str(), score["windows"].as_u64()), (Some(policy), Some(2)));
        for field in ["balancedness", "next_balancedness", "moved"] {
            assert!((0.0..=1.0).contains(&score[field].as_f64().unwrap()), "{field}: {score}");
        }
        assert!(score["seconds"].as_f64().unwrap() >= score["seconds_quartiles"]["lower"].as_f64().unwrap());
    }
    assert!(scores["cases"][1]["next_balancedness"].as_f64().unwrap() < 1.0);
}

#[test]
fn a_program_that_answers_differently_is_scored_and_flagged() {
    judge();
    let program =
        repository("tests/testdata/fates/inconsistent/other_answers_for_equal_input.py").display().to_string();
    let output = World::new().run(&["evaluate", &program]).ends(0).stdout;
    assert!(output.contains("NOT consistent: "), "{output}");
    assert!(output.contains("combined_score"), "{output}");
}

#[test]
fn the_published_scores_have_their_name() {
    judge();
    let world = World::new();
    let text = world.run(&["evaluate", &seed_program(), "--score", "adrs"]).ends(0).stdout;
    assert!(text.contains("score preset adrs") && text.contains("leaderboard"), "{text}");
    assert_eq!(JSON["score"], "adrs");
    let adrs = &JSON["adrs"]["program"];
    let number = |field: &str| adrs[field].as_f64().unwrap();
    let speed = 0.002 / number("seconds");
    assert!((number("combined") - (number("balancedness_expert") + speed) / 2.0).abs() < 1e-9, "{adrs}");
    let without = world.run(&["evaluate", &heavy_program(), "--score", "adrs"]).ends(0).stdout;
    assert!(without.contains("score preset adrs: no score"), "{without}");
}

/// Other evaluators let these pass.
#[tokio::test(flavor = "multi_thread")]
async fn plans_that_claim_what_is_not_so_are_rejected() {
    judge();
    let world = World::new();
    world.set("topology", "{layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 20}");
    let path = world.path("config.yaml");
    let settings = Config::read(Some(&path)).unwrap().settings().unwrap().evaluation;
    let cases = case::cases(&settings.topology, &settings.global_cases, 0, 1).unwrap();
    let mut judge = Judge::open(judges::session(&settings, &cases, 1, None).unwrap(), &[]).await.unwrap();
    for (cheat, message) in [
        ("over_claims_counts", "replicas claimed, but phy2log has"),
        ("lists_a_replica_twice", "is listed twice"),
        ("crowds_an_idle_gpu", "replicas claimed, but phy2log has"),
    ] {
        let program = text_of(&format!("tests/testdata/fates/invalid-rebalance/{cheat}.py"));
        let evaluation = judge.evaluate(request(program, true)).await.unwrap();
        let Evaluation::Rejected { rejection: Rejection::InvalidRebalance { message: reason }, evidence } = evaluation
        else {
            panic!("{cheat}: {evaluation:?}")
        };
        assert!(reason.contains(message), "{cheat}: {reason}");
        assert!(evidence.during.contains("rebalance"), "{cheat}");
    }
}

#[test]
fn a_rejected_program_is_reported_with_its_evidence() {
    judge();
    let world = World::new();
    let program =
        "print('here I am')\n\n\ndef balanced_packing(weight, num_packs):\n    raise ValueError('no packs')\n";
    world.write("bad.py", program);
    let output = world.run(&["evaluate", "bad.py"]).ends(4);
    for wanted in ["rejected: it raises ValueError: no packs", "during: ", "line 5, in balanced_packing", "here I am"] {
        assert!(output.stdout.contains(wanted), "{wanted:?} is missing:\n{}", output.stdout);
    }
    let json = world.run(&["evaluate", "bad.py", "--format", "json"]).ends(4).json();
    assert_eq!(json["evaluation"]["outcome"], "rejected");
    assert!(json["scores"].is_null());
    let compared = world.run(&["evaluate", &seed_program(), "--against", "bad.py"]).ends(4);
    compared.tells_one_error(&["bad.py cannot be compared with: it raises ValueError", "line 5, in balanced_packing"]);
}

/// A world with a cache folder, whose judge computes nothing, and whose `loads_seed` is drawn.
fn caching() -> World {
    let mut world = scripted::world();
    let cache = world.path("cache").display().to_string();
    world.export("XDG_CACHE_HOME", &cache);
    world.set("evaluation", "{device: cpu, windows: 2}");
    world
}

fn kept(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("cache/packevolve/baselines")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn evaluated(world: &World, more: &[&str]) -> Output {
    world.run(&[&["evaluate", &heavy_program(), "--format", "json"], more].concat()).ends(0)
}

const MEASURES: &str = "measuring the baseline ";
const REUSES: &str = ": as measured at ";

#[test]
fn the_baseline_is_measured_once_and_used_again_with_its_windows() {
    let world = caching();
    let first = evaluated(&world, &[]);
    assert!(first.stderr.contains(MEASURES) && !first.stderr.contains(REUSES), "{}", first.stderr);
    let again = evaluated(&world, &[]);
    assert!(!again.stderr.contains(MEASURES) && again.stderr.contains(REUSES), "{}", again.stderr);
    assert_eq!(first.json(), again.json(), "the stub measures alike on the same windows");
    // The baseline itself is not measured again either.
    let itself = world.run(&["evaluate", &seed_program(), "--format", "json"]).ends(0);
    assert!(!itself.stderr.contains("measuring ") && itself.stderr.contains(REUSES), "{}", itself.stderr);
    assert_eq!(itself.json()["scores"]["combined_score"], 0.0);
    let fresh = evaluated(&world, &["--fresh"]);
    assert!(fresh.stderr.contains(MEASURES) && !fresh.stderr.contains(REUSES), "{}", fresh.stderr);
    assert_ne!(fresh.json()["loads_seed"], first.json()["loads_seed"]);
    assert_eq!(evaluated(&world, &[]).json()["loads_seed"], fresh.json()["loads_seed"], "it was replaced");
    assert_eq!(kept(&world).len(), 1);
}

#[test]
fn other_settings_and_programs_that_are_named_use_no_kept_baseline() {
    let world = caching();
    evaluated(&world, &[]);
    let against = evaluated(&world, &["--against", &seed_program()]);
    assert!(against.stderr.contains(MEASURES) && !against.stderr.contains(REUSES), "{}", against.stderr);
    assert_eq!(kept(&world).len(), 1, "nothing is kept for --against");
    world.set("limits", "{threads: 3}");
    assert!(evaluated(&world, &[]).stderr.contains(MEASURES));
    world.set("limits", "{threads: 64}");
    assert!(evaluated(&world, &[]).stderr.contains(REUSES));
    world.set("baseline", &heavy_program());
    assert!(!evaluated(&world, &[]).stderr.contains(REUSES));
    assert_eq!(kept(&world).len(), 3);
}

#[test]
fn a_kept_baseline_that_is_damaged_or_of_another_machine_is_replaced_with_a_note() {
    let mut world = caching();
    evaluated(&world, &[]);
    let path = kept(&world).remove(0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    evaluated(&world, &[]).tells(&["is not used and is replaced: it is damaged", MEASURES]);
    evaluated(&world, &[]).tells(&[REUSES]);
    world.export(stub::MODEL, "another");
    evaluated(&world, &[]).tells(&["it was measured with processor none, and now it is another", MEASURES]);
    evaluated(&world, &[]).tells(&[REUSES]);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    evaluated(&world, &[]).tells(&["it cannot be read", MEASURES, "the baseline is not kept: cannot write"]);
}

#[test]
fn evaluations_at_the_same_time_do_not_harm_each_other() {
    let world = caching();
    let command = || {
        let mut command = world.command(&["evaluate", &heavy_program(), "--format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let running: Vec<_> = (0..4).map(|_| command().spawn().unwrap()).collect();
    for one in running {
        let output = one.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(evaluated(&world, &[]).stderr.contains(REUSES));
    assert_eq!(kept(&world).len(), 1);
}

/// As Python reads a file.
#[test]
fn a_program_may_begin_with_a_byte_order_mark_or_declare_its_encoding() {
    let world = World::new();
    let marked = format!("\u{feff}{}", text_of("candidates/eplb.py"));
    let declared = "# -*- coding: latin-1 -*-\nassert len('\u{e9}') == 2\n".to_owned() + &text_of("candidates/eplb.py");
    for program in [marked, declared] {
        world.write("program.py", program);
        let json = world.run(&["evaluate", "program.py", "--format", "json"]).ends(0).json();
        assert_eq!(json["evaluation"]["outcome"], "measured");
    }
}

#[test]
fn a_file_that_is_not_a_program_is_reported_once() {
    let world = World::new();
    world.write("binary.py", [0xff, 0xfe, 0x00]);
    world.run(&["evaluate", "none.py"]).ends(3).tells_one_error(&["cannot read none.py"]);
    world.run(&["evaluate", "binary.py"]).ends(3).tells_one_error(&["binary.py is not UTF-8 text"]);
    world.run(&["evaluate", "."]).ends(3).tells_one_error(&["because: Is a directory"]);
    let missing = world.run(&["evaluate", &seed_program(), "--loads", "none"]).ends(3);
    missing.tells_one_error(&["none"]);
}

/// Gaps in percent that FIELD.md gives for the cases of [`field_settings`]; CPU, one thread, eight real windows.
const FIELD_CASES: [&str; 5] = ["72->8", "288->32", "320->64", "256->32", "256->64"];
const FIELD_GAPS: [(&str, [f64; 5]); 4] = [
    ("seed", [0.614, 0.669, 1.772, 3.507, 0.355]),
    ("000", [0.122, 0.238, 1.171, 1.093, 0.329]),
    ("001", [0.026, 0.073, 0.788, 0.359, 0.110]),
    ("004", [0.122, 0.239, 1.171, 1.093, 0.329]),
];
/// How far a gap may be from the published one, percentage points.
const TOLERANCE: f64 = 0.002;

fn field_settings(loads: PathBuf) -> EvaluationSettings {
    let mut config = Config::default();
    config.loads = Some(loads);
    config.cases.random = 0;
    config.evaluation.device = "cpu".to_owned();
    config.evaluation.windows = None;
    config.evaluation.held_out_windows = 0;
    config.settings().unwrap().evaluation
}

/// The seed program with proposals of the corpus applied, one after the other.
fn edited(files: &[&str]) -> String {
    files.iter().fold(text_of("candidates/eplb.py"), |program, file| {
        derive(&program, text_of(&format!("candidates/proposals/{file}.txt")).as_bytes()).unwrap().1
    })
}

fn request(program: String, rebalance: bool) -> EvaluateRequest {
    EvaluateRequest {
        candidate: 0,
        file_name: "eplb.py".to_owned(),
        program,
        budget_seconds: None,
        limits: None,
        outclassed: None,
        measures_inconsistent: true,
        is_baseline: false,
        rebalance,
        is_of_blocks: false,
    }
}

async fn measure(judge: &mut Judge, program: String, rebalance: bool) -> Measurement {
    judge.evaluate(request(program, rebalance)).await.unwrap().measurement().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gaps_on_real_loads_are_those_of_the_field() {
    let loads = repository("../shared/loads/dsv3_sglang");
    if !loads.is_dir() {
        return skip("given-loads", format_args!("there is no {}", loads.display()));
    }
    judge();
    let settings = field_settings(loads);
    let cases = case::cases(&settings.topology, &settings.global_cases, 0, 1).unwrap();
    let mut judge = Judge::open(judges::session(&settings, &cases, 1, None).unwrap(), &[]).await.unwrap();
    assert_eq!((judge.ready().windows, judge.ready().real_windows), (8, 8));
    let programs = [
        edited(&[]),
        edited(&["000_0_bridge_vectorized_lpt", "000_vectorized_local_search_refinement"]),
        edited(&["001_vectorized_iterative_greedy"]),
        edited(&["004_refine_packing"]),
    ];
    for (program, (name, gaps)) in programs.into_iter().zip(FIELD_GAPS) {
        let measured = measure(&mut judge, program, false).await;
        let yardstick = Yardstick { baseline: &measured, objective: settings.objective(), pairing: Pairing::Shared };
        let scores = scores(&measured, yardstick, &[], measured.clock());
        for (case, wanted) in FIELD_CASES.into_iter().zip(gaps) {
            let gap = scores.cases.iter().find(|score| score.case == case).unwrap().gap * 100.0;
            // The published figures are rounded to three digits.
            assert!((gap - wanted).abs() <= TOLERANCE + 0.0005, "{name} on {case}: {gap} %, published {wanted} %");
        }
    }
}

/// By an own program in plain Python, of the plans of the seed program for the eight windows: balancedness, then of the
/// first seven on the window after theirs, and the share of replicas that the later seven move.
const REAL_PLANS: [(Policy, [f64; 3]); 2] = [
    (Policy::Hierarchical, [0.8180684109740921, 0.7852695140394292, 0.8083692528735632]),
    (Policy::Global, [0.993359159169348, 0.9239864858424012, 0.9320265462506843]),
];
/// Of the same plans, as the published evaluator computes them: means over the windows, hierarchical.
const REAL_ADRS: [f64; 2] = [0.7758236074530441, 0.31267970330481026];
/// Packers differ by no more than this on the next window (FIELD.md section 2).
const NEXT_WINDOW: f64 = 0.011;

#[tokio::test(flavor = "multi_thread")]
async fn the_plans_for_real_loads_weigh_what_an_independent_program_says() {
    let loads = repository("../shared/loads/dsv3_sglang");
    if !loads.is_dir() {
        return skip("given-loads", format_args!("there is no {}", loads.display()));
    }
    judge();
    let settings = field_settings(loads);
    let cases = case::unit(&settings.topology);
    let mut judge = Judge::open(judges::session(&settings, &cases, 1, None).unwrap(), &[]).await.unwrap();
    // The same placements as the seed program's, in less time.
    let vectorised = measure(&mut judge, edited(&["000_0_bridge_vectorized_lpt"]), true).await;
    let refined = measure(&mut judge, edited(&["001_vectorized_iterative_greedy"]), true).await;
    let figures = |measurement: &Measurement| rebalance_scores(&measurement.rebalance, &[], measurement.clock());
    for ((policy, wanted), score) in REAL_PLANS.into_iter().zip(figures(&vectorised)) {
        assert_eq!((score.policy, score.windows), (policy, 8));
        let found = [score.balancedness, score.next_balancedness.unwrap(), score.moved.unwrap()];
        let close = found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6);
        assert!(close, "{policy:?}: {found:?}, not {wanted:?}");
    }
    let adrs = adrs_scores(&vectorised).unwrap();
    assert!((adrs.balancedness_gpu - REAL_ADRS[0]).abs() < 1e-6, "{adrs:?}");
    assert!((adrs.balancedness_expert - REAL_ADRS[1]).abs() < 1e-6, "{adrs:?}");
    for (one, other) in figures(&vectorised).iter().zip(figures(&refined)) {
        let apart = other.next_balancedness.unwrap() - one.next_balancedness.unwrap();
        assert!(apart.abs() <= NEXT_WINDOW, "{:?}: {apart}", one.policy);
        assert!(other.balancedness > one.balancedness, "{:?}", one.policy);
    }
}
