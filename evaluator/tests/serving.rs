//! The judge as a server: its answers to invalid requests, and the end of its processes when a process around it dies.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packevolve_contract::loads::LoadsFile;
use packevolve_contract::protocol::{Chunk, Reply, Request, Session};
use sha2::{Digest, Sha256};

use crate::client::{Client, evaluate_request, judge_program, program, session};
use crate::processes::{descendants, left_of};

fn failure(reply: Reply) -> String {
    match reply {
        Reply::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalid_request_is_answered_with_failed_and_the_next_request_is_served() {
    let mut client = Client::start();
    for line in ["", "{", "no json", "{\"request\":\"dance\"}", "[1]"] {
        assert!(failure(client.ask_line(line)).starts_with("not a request"));
    }
    assert_eq!(failure(client.ask(&evaluate_request("x = 1"))), "no session is open");
    let mut older = session();
    older.version = 0;
    assert!(failure(client.ask(&Request::Open(Box::new(older)))).contains("version 0"));
    client.ready(session());
    client.measure(&program("measured/honest.py"));
}

#[test]
fn what_a_library_prints_in_a_judge_goes_to_its_standard_error() {
    let (mut errors, theirs) = io::pipe().unwrap();
    let mut command = Command::new(judge_program());
    command.stderr(theirs);
    let mut client = Client::start_as(command);
    // A socket, as the protocol's is, could not be opened.
    fs::write(format!("/proc/{}/fd/1", client.process.id()), "printed by a library\n").unwrap();
    assert_eq!(failure(client.ask(&evaluate_request("x = 1"))), "no session is open");
    assert!(client.hang_up().success());
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("printed by a library\n"), "{text:?}");
}

#[test]
fn a_long_request_is_read_although_the_harness_reads_no_sign_of_life_meanwhile() {
    let mut client = Client::start();
    assert_eq!(failure(client.ask(&evaluate_request(&"x = 1\n".repeat(8_000_000)))), "no session is open");
}

#[test]
fn a_nursery_killed_from_outside_is_replaced_and_the_evaluation_succeeds() {
    let (mut client, _) = Client::open();
    let first = descendants(client.process.id());
    client.measure(&program("measured/honest.py"));
    // The nursery in which programs must answer alike; then all that replace it and the first one.
    for spared in [first, BTreeSet::new()] {
        let killed: BTreeSet<_> = &descendants(client.process.id()) - &spared;
        assert!(!killed.is_empty());
        for process in &killed {
            // A keeper exits with its nursery.
            let _ = kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL);
        }
        client.measure(&program("measured/honest.py"));
        let left = left_of(&killed);
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_judge_whose_harness_is_killed_leaves_no_process_behind() {
    let mut harness = Command::new("sh");
    harness.args(["-c", "exec 3<&0; \"$0\" <&3 3<&- & wait"]).arg(judge_program());
    let mut client = Client::start_as(harness);
    client.ready(session());
    client.send_line(&serde_json::to_string(&evaluate_request(&program("hang/endless_loop.py"))).unwrap());
    let below = descendants(client.process.id());
    assert!(below.len() >= 3, "judge, nursery, reference: {below:?}");
    client.process.kill().unwrap();
    client.process.wait().unwrap();
    let left = left_of(&below);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_judge_whose_input_ends_while_it_measures_leaves_no_process_behind() {
    let (mut client, _) = Client::open();
    client.send_line(&serde_json::to_string(&evaluate_request(&program("hang/endless_loop.py"))).unwrap());
    // The child is in its call, which has two seconds.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let below = descendants(client.process.id());
    let began = std::time::Instant::now();
    assert_eq!(client.hang_up().code(), None, "killed");
    assert!(began.elapsed().as_secs_f64() < 1.0);
    let left = left_of(&below);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn loads_that_the_judge_does_not_see_are_asked_for_and_read() {
    let mut client = Client::start();
    // Of this test alone, so that no judge has kept it.
    let row = |layer: u32| (0..16).map(move |expert| (std::process::id() + layer + expert * 3).to_string());
    let window = (0..4).map(|layer| row(layer).collect::<Vec<_>>().join(",")).collect::<Vec<_>>().join("\n");
    let digest = hex::encode(&Sha256::digest(&window)[..16]);
    let file = LoadsFile { path: "/nowhere/w.csv".into(), bytes: window.len() as u64, digest: digest.clone() };
    let session = Session { loads: Some(vec![file]), ..session() };
    let open = Request::Open(Box::new(session));
    assert_eq!(client.ask(&open), Reply::Wants { digest: digest.clone(), offset: 0 });
    assert!(failure(client.ask(&evaluate_request("x = 1"))).contains("no session is open"));
    let chunk = |bytes: &str| Request::Chunk(Chunk { digest: digest.clone(), offset: 0, bytes: hex::encode(bytes) });
    assert!(failure(client.ask(&chunk(&window.repeat(2)))).contains("not asked for"));
    let Reply::Ready(first) = client.ask(&chunk(&window)) else { panic!("not ready") };
    assert_eq!(first.real_windows, 1);
    let Reply::Ready(again) = client.ask(&open) else { panic!("they travel once") };
    assert_eq!(again.loads_digest, first.loads_digest);
}

#[test]
fn no_process_has_source_text_among_its_arguments_or_a_program_left_open() {
    let (mut client, _) = Client::open();
    // The program is loaded by then, and the child is in its call.
    client.send_line(&serde_json::to_string(&evaluate_request(&program("hang/endless_loop.py"))).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(500));
    let below = descendants(client.process.id());
    assert!(below.len() >= 3, "nursery, reference program, candidate: {below:?}");
    for process in &below {
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", process.pid)).unwrap();
        assert!(arguments.contains("namespaces"), "{arguments:?}");
        assert!(arguments.len() < 500 && !arguments.contains('\n') && !arguments.contains("import"), "{arguments:?}");
        for descriptor in fs::read_dir(format!("/proc/{}/fd", process.pid)).into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default().display().to_string();
            assert!(!target.contains("packevolve-program"), "{process:?} holds {target}");
        }
    }
    client.reply();
}

#[test]
fn a_judge_ends_with_its_stream_and_leaves_no_process_behind() {
    let (mut client, _) = Client::open();
    let below = descendants(client.process.id());
    assert!(client.hang_up().success());
    let left = left_of(&below);
    assert!(left.is_empty(), "{left:?}");
}
