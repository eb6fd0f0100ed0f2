//! Compilers: the programs that a candidate may start with `allow_compile`, and the error message without it.

use std::process::Command;
use std::time::Instant;

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{Limits, Reply, Request, Session};
use tempfile::TempDir;

use crate::client::skip::skip;
use crate::client::{Client, session, testdata};
use crate::fates::kind;
use crate::processes::{descendants, left_of};
use crate::users::ordinary_user;

/// Programs under `tests/testdata` and their fates with compilers. The limit that stops a fork bomb depends on the
/// machine.
const WITH: [(&str, &[&str]); 13] = [
    ("compilers/c_by_subprocess.py", &["measured"]),
    ("compilers/compiles_too_late.py", &["exception"]),
    ("compilers/forks_late.py", &["measured"]),
    ("compilers/helper_without_a_main_thread.py", &["measured"]),
    ("compilers/leaves_a_daemon.py", &["measured"]),
    ("compilers/supervises_itself.py", &["measured"]),
    ("fates/measured/hides_memory.py", &["measured"]),
    ("fates/measured/leaves_marks_for_later_children.py", &["measured"]),
    ("fates/measured/reads_what_the_machine_counts.py", &["measured"]),
    ("fates/measured/stops_like_any_other.py", &["measured"]),
    ("fates/measured/tries_every_system_call.py", &["measured"]),
    ("fates/exception/fork_bomb.py", &["threads", "memory", "exception"]),
    ("compilers/torch_compile.py", &["measured"]),
];
/// Their fates without compilers.
const WITHOUT: [(&str, &str); 3] = [
    ("compilers/c_by_subprocess.py", "load"),
    ("compilers/leaves_a_daemon.py", "load"),
    ("compilers/torch_compile.py", "load"),
];
const HINT: &str = "compilers and other programs run only with `allow_compile: true`";

#[test]
fn with_allow_compile_programs_compile_until_they_are_warm_and_start_nothing_after_that() {
    let Some(mut client) = open(Client::start(), true) else { return };
    meet_their_fates(&mut client, &WITH);
}

#[test]
fn they_meet_their_fates_where_an_ordinary_user_runs_the_judge() {
    let aside = TempDir::new().unwrap();
    let command = match ordinary_user(aside.path()) {
        Ok(command) => command,
        Err(reason) => return skip("other-user", reason),
    };
    let Some(mut client) = open(Client::start_as(command), true) else { return };
    // All but torch's compiler, which takes half a minute.
    meet_their_fates(&mut client, &WITH[..WITH.len() - 1]);
}

fn meet_their_fates(client: &mut Client, programs: &[(&str, &[&str])]) {
    // Starts the nursery in which programs must answer alike, which stays.
    client.measure(&text("fates/measured/honest.py"));
    let ours = descendants(client.process.id());
    for (name, fates) in programs {
        let began = Instant::now();
        let evaluation = client.evaluate(&text(name));
        eprintln!("{name}: {} in {:?}", kind(&evaluation), began.elapsed());
        assert!(fates.contains(&kind(&evaluation)), "{name}: {evaluation:?}");
        let left = left_of(&(&descendants(client.process.id()) - &ours));
        assert!(left.is_empty(), "{name} leaves {left:?}");
    }
    assert!((&ours - &descendants(client.process.id())).is_empty(), "the nursery or the reference was replaced");
}

#[test]
fn without_allow_compile_the_error_of_a_program_that_compiles_names_the_option() {
    let Some(mut client) = open(Client::start(), false) else { return };
    for (name, fate) in WITHOUT {
        let evaluation = client.evaluate(&text(name));
        assert_eq!(kind(&evaluation), fate, "{name}: {evaluation:?}");
        let message = evaluation.rejection().unwrap().to_string();
        // A program that forks by itself needs no compiler.
        assert_eq!(message.contains(HINT), !name.contains("daemon"), "{name}: {message}");
    }
}

/// Shows a program for each compiler.
const TOPIC: &str = include_str!("../../src/cli/help/compile.md");
/// Triton comes with torch only for some platforms.
const MAY_LACK: &str = "No module named 'triton'";

#[test]
fn the_examples_of_the_topic_are_measured() {
    let Some(mut client) = open(Client::start(), true) else { return };
    let examples: Vec<&str> =
        TOPIC.split("```python\n").skip(1).map(|part| part.split_once("```").unwrap().0).collect();
    assert_eq!(examples.len(), 3, "Numba, C++ and Triton");
    let mut loads = Vec::new();
    for example in examples {
        let evaluation = client.evaluate(example);
        if evaluation.rejection().is_some_and(|rejection| rejection.to_string().contains(MAY_LACK)) {
            skip("triton", "torch came without it");
            continue;
        }
        let Evaluation::Measured { measurement } = evaluation else { panic!("{example}: {evaluation:?}") };
        loads.push(measurement.all_samples().map(|sample| sample.max_load).collect::<Vec<f64>>());
    }
    // They pack alike, apart from the roundings of their sums.
    let is_close = |these: &Vec<f64>| these.iter().zip(&loads[0]).all(|(one, other)| (one / other - 1.0).abs() < 0.01);
    assert!(loads.iter().all(is_close), "{loads:?}");
}

/// A session with a single case, because every child compiles for itself; `None` if this machine cannot run the test.
fn open(mut client: Client, allow_compile: bool) -> Option<Client> {
    for compiler in ["cc", "c++"] {
        if Command::new(compiler).arg("--version").output().is_err() {
            skip("compilers", format_args!("there is no {compiler}"));
            return None;
        }
    }
    let small = session();
    let limits = Limits {
        call_seconds: Some(600.0),
        evaluation_seconds: Some(1200.0),
        load_seconds: 600.0,
        compile_seconds: 600.0,
        memory_bytes: 2 << 30,
        scratch_bytes: 64 << 20,
        scratch_files: 1000,
        ..small.limits
    };
    let cases = small.cases[..1].to_vec();
    match client.ask(&Request::Open(Box::new(Session { limits, cases, allow_compile, ..small }))) {
        Reply::Ready(ready) => {
            let late = ready.jail.iter().filter(|step| step.step == "processes" && step.in_force).count();
            assert_eq!(late, usize::from(allow_compile));
            Some(client)
        }
        Reply::Failed { error, .. } if error.starts_with("the jail lacks") => {
            skip("jail", error);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn text(name: &str) -> String {
    let path = testdata().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
