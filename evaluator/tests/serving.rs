//! The judge as a server: what it answers to what is no request, and what becomes of it and its processes when a
//! process around it dies.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packevolve_contract::protocol::{Reply, Request};

use crate::client::{Client, evaluate_request, judge_program, program, session};
use crate::processes::{descendants, left_of};

fn failure(reply: Reply) -> String {
    match reply {
        Reply::Failed { error } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_request_is_answered_with_failed_and_the_next_request_is_served() {
    let mut client = Client::start();
    for line in ["", "{", "no json", "{\"request\":\"dance\"}", "[1]"] {
        assert!(failure(client.ask_line(line)).starts_with("no request"));
    }
    assert_eq!(failure(client.ask(&evaluate_request("x = 1"))), "no session is open");
    let mut older = session();
    older.version = 0;
    assert!(failure(client.ask(&Request::Open(Box::new(older)))).contains("version 0"));
    client.ready(session());
    client.measure(&program("measured/honest.py"));
}

#[test]
fn a_nursery_killed_from_outside_is_replaced_and_the_evaluation_succeeds() {
    let (mut client, _) = Client::open();
    let before = descendants(client.process.id());
    for process in &before {
        kill(Pid::from_raw(process.pid as i32), Signal::SIGKILL).unwrap();
    }
    client.measure(&program("measured/honest.py"));
    let left = left_of(&before);
    assert!(left.is_empty(), "{left:?}");
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
fn a_judge_ends_with_its_stream_and_leaves_no_process_behind() {
    let (mut client, _) = Client::open();
    let below = descendants(client.process.id());
    assert!(client.hang_up().success());
    let left = left_of(&below);
    assert!(left.is_empty(), "{left:?}");
}
