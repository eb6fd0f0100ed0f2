//! Tests of whole files of settings.

use std::path::Path;

use super::asset::Asset;
use super::file::Config;
use super::message;
use super::read::paths;
use super::testing::{REFERENCE, error_of, message_of, names};
use crate::values::error_kind::Classify;

#[test]
fn the_commented_reference_equals_the_defaults() {
    assert_eq!(Config::parse(REFERENCE).unwrap(), Config::default());
    assert_eq!(Config::parse("# nothing\n").unwrap(), Config::default());
}

#[test]
fn the_commented_reference_names_every_setting() {
    let written: serde_yaml::Value = serde_yaml::from_str(REFERENCE).unwrap();
    let all = serde_yaml::to_value(Config::default()).unwrap();
    assert_eq!(names(&written), names(&all));
}

#[test]
fn a_typo_is_reported_with_its_line_and_the_nearest_key() {
    let error = error_of("rng_seed: 2\nevaluation:\n  windos: 3\n");
    let message = error.to_string();
    assert!(message.starts_with("config.yaml:3:3: "), "{message}");
    assert!(message.contains("unknown field `windos`"), "{message}");
    assert_eq!(error.hint().as_deref(), Some("did you mean `windows`?"));
}

#[test]
fn a_value_of_the_wrong_kind_is_reported_with_its_line() {
    let message = message_of("rng_seed: 2\nlimits:\n  memory: much\n");
    assert!(message.starts_with("config.yaml:3:"), "{message}");
}

#[test]
fn a_value_of_a_wrong_type_is_reported_as_written_with_what_it_must_be() {
    for (text, wanted, hint) in [
        (
            "search: {candidates: \"300\"}",
            "search.candidates is \"300\", must be a whole number",
            "without quotes: 300",
        ),
        ("search: {candidates: 3e2}", "search.candidates is 3e2, must be a whole number from 0 on", "write it as 300"),
        ("search: {candidates: 300.5}", "search.candidates is 300.5, must be a whole number", ""),
        ("search: {candidates: null}", "search.candidates is null, must be a whole number", ""),
        ("search: {candidates: [1]}", "search.candidates is a list, must be a whole number", ""),
        ("judges: [{slots: all}]", "judges[0].slots is all, must be a whole number from 0 on, or null", ""),
        (
            "search: {target_score: \"0.9\"}",
            "search.target_score is \"0.9\", must be a number, or null",
            "without quotes: 0.9",
        ),
        ("search: {target_score: 95}", "search.target_score is 95, must be a combined_score, from -1 to 1", ""),
        ("search: {target_score: .nan}", "search.target_score is NaN, must be", ""),
        ("search: 5", "search is 5, must be a mapping of settings", ""),
        (
            "search: {wall_time: 3600}",
            "search.wall_time is 3600, must be a time with its unit",
            "3600s if these are seconds",
        ),
        ("limits: {load_timeout: soon  # or late\n}", "limits.load_timeout is soon, must be a time", ""),
        ("limits: {load_timeout: null}", "limits.load_timeout is null, must be a time", ""),
        (
            "limits: {memory: 4}",
            "limits.memory is 4 B, must be at least 1 MiB; a number without a unit counts bytes",
            "",
        ),
        ("limits: {memory: 4 gigs}", "limits.memory is 4 gigs, must be a size, such as 64MiB or 4GiB", ""),
        ("limits: {memory: -1}", "limits.memory is -1, must be a size", ""),
        (
            "limits: {threads: 5000000000}",
            "limits.threads is 5000000000, must be a whole number from 0 to 4294967295",
            "",
        ),
        ("allow_compile: yes", "allow_compile is yes, must be true or false", ""),
        ("sandbox: maybe", "sandbox is maybe, must be required, best-effort or off", ""),
        ("program: null", "program is null, must be a path", ""),
        ("program: 5", "program is 5, must be a path", ""),
        ("runs: ~", "runs is ~, must be a path", ""),
        ("loads: false", "loads is false, must be a path, or null", ""),
        ("loads: [a.csv, b.csv]", "loads is a list, must be a path, or null", ""),
        ("loads: ''", "loads is '', must be a path, or null", ""),
        ("evaluation: {device: 0}", "evaluation.device is 0, must be a text", ""),
        ("evaluation: {python: 3.12}", "evaluation.python is 3.12, must be a path, or null", ""),
        ("evaluation: {weights: {quality: 0.5}}", "evaluation.weights: it lacks `speed`", ""),
        ("topology: deepseek-v3", "topology is deepseek-v3, must be a mapping", "`topology: { preset: deepseek-v3 }`"),
        ("topology: {preset: null}", "topology.preset is null, must be a text", ""),
        ("proposers: {mutate: false}", "proposers.mutate is false, must be a mapping", "`mutate: { enabled: false }`"),
        ("proposers: {budget: {dollars: $5}}", "proposers.budget.dollars is $5, must be a number, or null", ""),
        ("proposers: {models: [{retries: often}]}", "proposers.models[0].retries is often, must be a whole number", ""),
        ("just words", "the file is just words, must be a mapping of settings", ""),
    ] {
        let error = error_of(text);
        let message = error.to_string();
        assert!(message.starts_with("config.yaml:1:") && message.contains(wanted), "{message}");
        assert_eq!(error.hint().unwrap_or_default(), hint, "{text}");
    }
}

/// A file with one setting.
fn with(path: &str, value: &str) -> String {
    let (groups, name) = path.rsplit_once('.').unwrap_or(("", path));
    let groups: Vec<&str> = groups.split('.').filter(|group| !group.is_empty()).collect();
    let open: String = groups.iter().map(|group| format!("{group}: {{")).collect();
    format!("{open}{name}: {value}{}", "}".repeat(groups.len()))
}

#[test]
fn null_is_taken_where_messages_say_so_and_nowhere_else() {
    for path in paths().iter().filter(|path| !path.starts_with("proposers.models")) {
        let takes_null = Config::parse(&with(path, "null")).is_ok();
        let of_topology = path.starts_with("topology.") && path != "topology.preset";
        assert_eq!(takes_null, of_topology || message::NULLABLE.contains(&path.as_str()), "{path}");
    }
    // All settings of a group may be commented out.
    assert_eq!(Config::parse("search:\n  # candidates: 3\nlimits:\n").unwrap(), Config::default());
}

#[test]
fn what_a_person_pastes_from_another_tool_is_reported_with_our_name() {
    for (text, hint) in [
        (
            "llm: {models: [{api_base: a, api_key: b, extra_body: {}}]}",
            "here `llm` is `proposers.models`, a list with an entry for each language model; `api_base` is `base_url` of a model; `api_key` is `key_env` of a model, the name of the environment variable with the key; `extra_body` is `parameters` of a model: each of them is sent with every request",
        ),
        ("max_iterations: 100", "here `max_iterations` is `search.candidates`"),
        ("random-seed: 1", "here `random-seed` is `rng_seed`"),
        ("database: {num_islands: 5}", "here `database` is `search`; `num_islands` is `search.islands`"),
        (
            "evaluator: {parallel_evaluations: 4}",
            "here `evaluator` is `evaluation` and `limits`; `parallel_evaluations` is `slots` of a place in `judges`",
        ),
        ("topology: {n_routed_experts: 64}", "here `n_routed_experts` is `topology.experts`"),
        ("proposers: {models: [{api_base: a}]}", "here `api_base` is `base_url` of a model"),
        (
            "proposers: {models: [{temperature: 1}]}",
            "here `temperature` is in `parameters` of a model, which are sent with every request",
        ),
        (
            "proposers: {models: [{extra_body: {a: 1}}]}",
            "here `extra_body` is `parameters` of a model: each of them is sent with every request",
        ),
        // Our own keys in a wrong place.
        ("candidates: 30", "`candidates` belongs to `search`"),
        ("search.candidates: 30", "write `candidates` below `search:`"),
        ("models: []", "`models` belongs to `proposers`"),
        ("budget: 5", "`budget` belongs to `evaluation` or `proposers`"),
        ("xyzzy: 1", ""),
    ] {
        let error = error_of(text);
        assert!(error.to_string().contains("unknown field"), "{error}");
        assert_eq!(error.hint().unwrap_or_default(), hint, "{text}");
        assert!(!format!("{error}{:?}", error.hint()).contains("secret"));
    }
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_must_be_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let read = |bytes: &[u8]| {
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, bytes).unwrap();
        Config::read(Some(&path))
    };
    assert_eq!(read(b"\xef\xbb\xbfrng_seed: 7\r\n").unwrap().rng_seed, 7);
    let utf_16: Vec<u8> = "\u{feff}rng_seed: 7\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(
        read(&utf_16).unwrap_err().to_string().ends_with("config.yaml is not UTF-8 text, but UTF-16: save it as UTF-8")
    );
    assert!(read(b"a: 1\nb: \xe9\n").unwrap_err().to_string().contains("byte 9, in line 2"));
    let wrong = read(b"\xef\xbb\xbfrng_seed: x\n").unwrap_err().to_string();
    assert!(wrong.contains("config.yaml:1:11: rng_seed is x, must"), "{wrong}");
}

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    for (text, wanted) in [
        (
            "topology: {layers: 58, experts: 256, groups: 8, nodes: 4, gpus: 32, replicas: 290}",
            "1:11: topology: replicas",
        ),
        ("topology: {preset: mine}", "1:20: topology.preset: unknown preset \"mine\""),
        ("cases: {global: [{replicas: 256, gpus: 48}]}", "1:17: cases.global: replicas (256)"),
        ("evaluation:\n  windows: 0", "2:12: evaluation.windows is 0, must be at least 1"),
        ("evaluation: {weights: {quality: -1, speed: 1}}", "evaluation.weights is { quality: -1, speed: 1 }, must"),
        ("search: {candidates: -3}", "search.candidates is -3, must be a whole number from 0 on"),
        ("search: {candidates: 0}", "1:22: search.candidates is 0, must be at least 1"),
        ("judges: []", "1:9: judges is empty, must be a list of at least one place"),
        ("judges: [{slots: 0}]", "1:18: judges[0].slots is 0, must be at least 1"),
        ("judges: [{slots: 10001}]", "judges[0].slots is 10001, must be at most 10000"),
        ("judges: [{}, {launch: [ssh, node7]}]", "judges[1].slots: must be given"),
        ("judges: [{slots: 1, launch: ['']}]", "judges[0].launch: has an empty word"),
        ("judges: [{initial_backoff: 0s}]", "judges[0].initial_backoff is 0s, must be from 1ms"),
        ("judges: [{max_backoff: 367days}]", "judges[0].max_backoff is 1year"),
        ("proposers: {budget: {dollars: -1}}", "1:31: proposers.budget.dollars is -1, must be from 0 to 1000000"),
        ("proposers: {budget: {dollars: .nan}}", "proposers.budget.dollars is NaN"),
        ("proposers: {prune: {attempts: 0}}", "proposers.prune.attempts is 0, must be at least 1"),
        ("cases: {random: 101}", "cases.random is 101, must be at most 100"),
        ("cases: {global: [{replicas: 320000000, gpus: 32}]}", "cases.global: rows * items of 320000000->32 is"),
        ("cases: {global: [{replicas: 9223372036854775808, gpus: 32}]}", "cases.global: rows * items of 92"),
        ("topology: {layers: 20000}", "topology: layers * experts is 5120000, must be at most 4194304"),
        ("topology: {layers: 9223372036854775808}", "topology: layers * experts"),
        ("topology: {replicas: 9223372036854775808}", "topology: layers * replicas is 18446744073709551615, must"),
        ("evaluation: {budget: 367days}", "evaluation.budget is 1year 1day 18h"),
        ("limits: {call_timeout: 500000000000years}", "limits.call_timeout is"),
        ("limits: {load_timeout: 367days}", "must be from 0s to 366 days"),
        ("search: {wall_time: 367days}", "search.wall_time is"),
        ("limits: {memory: 1025TiB}", "limits.memory is 1.0 PiB, must be at most 1 PiB"),
        ("limits: {max_output: 2PiB}", "limits.max_output is 2.0 PiB"),
        ("limits: {scratch_size: 2PiB}", "limits.scratch_size is"),
        ("search: {islands: 18446744073709551615}", "search.islands is 18446744073709551615, must be at most 10000"),
        ("evaluation: {windows: 1000000000000}", "evaluation.windows is 1000000000000, must be at most 100000"),
        ("evaluation: {held_out_windows: 1000000000000}", "evaluation.held_out_windows is 1000000000000, must be"),
    ] {
        let message = message_of(text);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn the_largest_values_that_can_work_are_taken() {
    let text = "cases: {random: 100}\nevaluation: {budget: 366days}\nlimits: {call_timeout: 366days, memory: 1PiB}";
    Config::parse(text).unwrap().settings().unwrap();
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = Config::default().resolved(Path::new("/somewhere"));
    assert_eq!(config.runs, Path::new("/somewhere/runs"));
    let named = Config::parse("program: candidates/eplb.py\nproposers: {corpus: ideas}\n").unwrap();
    let named = named.resolved(Path::new("/somewhere"));
    assert_eq!(named.program.path(), Path::new("/somewhere/candidates/eplb.py"));
    assert_eq!(named.proposers.corpus.unwrap().path(), Path::new("/somewhere/ideas"));
    assert_eq!(config.loads, None);
}

#[test]
fn what_the_settings_do_not_name_is_that_of_the_binary() {
    let config = Config::parse("rng_seed: 2\n").unwrap().resolved(Path::new("/somewhere"));
    let assets = [&config.program, &config.baseline, &config.proposers.compose.blocks];
    for asset in assets.into_iter().chain(&config.proposers.corpus) {
        assert!(matches!(asset, Asset::Shipped(_)), "{asset}");
    }
    assert_eq!(&*config.program.read().unwrap(), include_bytes!("../../candidates/eplb.py"));
    let named = Config::parse("program: candidates/eplb.py\n").unwrap().resolved(Path::new("/nowhere"));
    assert!(named.program.read().is_err(), "what the settings name is never another file");
}

#[test]
fn with_the_default_program_each_target_starts_from_its_own_and_the_baseline_stays() {
    let config = |text: &str| Config::parse(text).unwrap().resolved(Path::new("/somewhere"));
    let shipped = config("target: policy");
    assert!(matches!(shipped.program, Asset::Shipped("candidates/policy.py")), "{}", shipped.program);
    assert!(matches!(shipped.baseline, Asset::Shipped("candidates/eplb.py")), "{}", shipped.baseline);
    assert_eq!(&*shipped.program.read().unwrap(), include_bytes!("../../candidates/policy.py"));
    let named = config("target: policy\nprogram: candidates/eplb.py");
    assert_eq!(named.program.path(), Path::new("/somewhere/candidates/policy.py"));
    for other in ["mine.py", "elsewhere/candidates/eplb.py"] {
        let named = config(&format!("target: policy\nprogram: {other}"));
        assert_eq!(named.program.path(), Path::new("/somewhere").join(other));
    }
    assert_eq!(config("target: packing").program, Config::default().program);
}

#[test]
fn the_default_corpus_is_for_packing() {
    let corpus = |text: &str| Config::parse(text).unwrap().proposers.corpus;
    assert!(corpus("target: packing").is_some());
    assert_eq!(corpus("target: policy"), None);
    assert_eq!(corpus("target: policy\nproposers: {corpus: candidates/proposals}"), None);
    assert!(corpus("target: policy\nproposers: {corpus: mine}").is_some());
}

#[test]
fn prices_are_refused_by_the_names_that_the_file_has() {
    for (text, wanted) in [
        ("deployment: {expert_bytes: 0}", "deployment.expert_bytes is 0, must be"),
        ("deployment: {bandwidth: 0}", "deployment.bandwidth is 0, must be"),
        ("deployment: {moe_share: 2}", "deployment.moe_share is 2, must be"),
    ] {
        let message = message_of(text);
        assert!(message.contains(wanted), "{message}");
    }
}
