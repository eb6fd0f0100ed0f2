//! Layers: each step of the jail assumes that the steps before it failed, so it protects without the others too. If a
//! step cannot be taken, the judge refuses or records the reason.

use std::process::Command;

use packevolve_contract::protocol::{Reply, Request, Sandbox, Session};
use packevolve_contract::rejection::Rejection;
use packevolve_evaluator::call::Call;
use packevolve_evaluator::child::Child;
use packevolve_evaluator::kernels::Kernels;
use packevolve_evaluator::nursery::{Nursery, NurseryError, Variables};
use packevolve_evaluator::sandbox::Jail;

use crate::client::skip::skip;
use crate::client::{Client, judge_program, program, python, session};

const READS: &str = "measured/reads_what_is_not_its_own.py";
const WRITES: &str = "measured/writes_outside_its_scratch_folder.py";
const ATTACKS: &str = "measured/attacks_other_processes.py";
const REACHES: &str = "measured/opens_a_socket.py";
const FORKS: &str = "measured/double_forks.py";

/// Steps to leave out, and the programs that must still find nothing to raise about.
const LAYERS: [(&[&str], &[&str]); 5] = [
    (&["seccomp"], &[READS, WRITES, ATTACKS, REACHES]),
    (&["landlock"], &[READS, WRITES, ATTACKS, REACHES, FORKS]),
    (&["landlock", "seccomp"], &[READS, WRITES, ATTACKS, REACHES]),
    (&["namespaces"], &[READS, WRITES, ATTACKS, REACHES, FORKS]),
    (&["namespaces", "privileges"], &[READS, WRITES, ATTACKS, REACHES, FORKS]),
];

#[test]
fn a_step_protects_without_the_others() {
    let mut wrong = Vec::new();
    for (left_out, programs) in LAYERS {
        let mut jail = Jail::new(Sandbox::BestEffort, false);
        for step in left_out {
            assert!(jail.leave_out(step, "left out by a test"));
        }
        let mut nursery = match Nursery::start(&python(), &jail, &Variables::new()) {
            Ok(nursery) => nursery,
            Err(NurseryError::Unavailable { step, reason }) => {
                skip("jail", format_args!("without {left_out:?}: {step}: {reason}"));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for name in programs {
            if let Err(evidence) = run(&mut nursery, &program(name)) {
                wrong.push(format!("{name} without {left_out:?}: {evidence}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_child_that_keeps_running_when_it_is_stopped_is_rejected() {
    let mut jail = Jail::new(Sandbox::BestEffort, false);
    assert!(jail.leave_out("seccomp", "left out by a test"));
    let mut nursery = match Nursery::start(&python(), &jail, &Vec::new()) {
        Ok(nursery) => nursery,
        Err(error) => return skip("jail", error),
    };
    for (name, is_stopped) in
        [("measured/stops_like_any_other.py", false), ("measured/leaves_a_thread_running.py", true)]
    {
        let mut child =
            Child::fork(&mut nursery, &program(name), &Kernels::none().unwrap(), 1 << 12, &session().limits).unwrap();
        child.load("eplb.py", Some("balanced_packing"), &mut None).unwrap();
        let paused = child.pause();
        child.end(&mut nursery, "", String::new()).unwrap();
        match paused {
            Ok(()) => assert!(is_stopped, "{name}"),
            Err(Rejection::Unstoppable { running }) => assert!(!is_stopped && running >= 3, "{name}: {running}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
}

/// Runs a judge without capabilities where user namespaces are not allowed, as in many containers.
const CONFINED: &str =
    "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all \"$0\"";

#[test]
fn a_step_that_cannot_be_taken_is_refused_or_recorded_with_the_reason() {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(arguments);
        command
    };
    let probe = unshare(&["setpriv", "--version"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("user-namespaces", "it needs a user namespace and setpriv to do without");
    }
    let mut command = unshare(&["sh", "-c", CONFINED]);
    command.arg(judge_program());
    let mut client = Client::start_as(command);
    match client.ask(&Request::Open(Box::new(session()))) {
        Reply::Failed { error, .. } => assert!(error.starts_with("the jail lacks namespaces: unshare: "), "{error}"),
        other => panic!("{other:?}"),
    }
    let ready = client.ready(Session { sandbox: Sandbox::BestEffort, ..session() });
    let missing = ready.jail.iter().filter(|step| !step.in_force).map(|step| (&*step.step, &*step.reason));
    let missing: Vec<_> = missing.collect();
    assert_eq!(missing[0].0, "namespaces");
    assert!(missing[0].1.starts_with("unshare: "), "{missing:?}");
    assert_eq!(missing[1], ("filesystem", "needs namespaces"));
    client.measure(&program("measured/honest.py"));
}

/// Mounts something below /proc, as containers with GPUs do, and runs a judge.
const OVER_MOUNTED: &str = "mount -t tmpfs none /proc/irq && exec \"$0\"";

#[test]
fn root_has_a_whole_jail_where_something_is_mounted_below_proc() {
    let probe = Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /proc/irq"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("root", "only root can mount below /proc");
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", OVER_MOUNTED]).arg(judge_program());
    let mut client = Client::start_as(command);
    let ready = client.ready(session());
    assert!(ready.jail.iter().all(|step| step.in_force), "{:?}", ready.jail);
    client.measure(&program("measured/honest.py"));
}

/// Loads a program and makes one call.
fn run(nursery: &mut Nursery, text: &str) -> Result<(), String> {
    let call = Call { rows: 2, items: 8, packs: 4, seed: 0 };
    let mut child = Child::fork(nursery, text, &Kernels::none().unwrap(), 1 << 12, &session().limits)
        .map_err(|error| error.to_string())?;
    let outcome =
        child.load("eplb.py", Some("balanced_packing"), &mut None).and_then(|()| child.call(call, &[1.0; 16]));
    child.end(nursery, "", String::new()).unwrap();
    outcome.map(drop).map_err(|halt| format!("{halt:?}"))
}
