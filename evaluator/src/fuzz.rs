//! Messages of a broken harness or a hostile child: the readers of the protocols accept or reject any bytes.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p packevolve-evaluator fuzz::` searches longer. Each finding is kept as
//! a test of its own.

use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, send};
use packevolve_contract::case::cases;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{
    Calibration, CaseInterval, CaseMeasurement, Evaluation, GpuTimes, Measurement, NextLoads, ReportedTime, Sample,
    Voided,
};
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::loads::LoadsFile;
use packevolve_contract::objective::Weights;
use packevolve_contract::planning::{InForce, Planned, Rebalance, TimedPlan};
use packevolve_contract::protocol::{
    Chunk, DuelRequest, Duelist, EvaluateRequest, Limits, PlanRequest, Ready, Reply, Request, Sandbox, Session,
    Threshold, TimeLimits, VERSION,
};
use packevolve_contract::rebalance::Policy;
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::topology::Topology;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::failure;
use crate::channel::{Channel, Received};
use crate::error::Halt;
use crate::message::Message;

#[path = "../../tests/support/changed.rs"]
mod changed;

use changed::{change, changed};

fn measurement() -> Measurement {
    let sample = Sample {
        window: 3,
        mean_load: 0.1 + 0.2,
        max_load: 1e300,
        bound: 1e-300,
        worst_row_gap: 5e-324,
        seconds: 1.0 / 3.0,
        wall_seconds: 0.5,
        reference_seconds: 0.0,
        next: Some(NextLoads { mean_load: 0.1, max_load: 0.7 }),
    };
    let case = "8->4".to_owned();
    Measurement {
        cases: vec![CaseMeasurement { case: case.clone(), samples: vec![sample.clone()] }],
        calibration: Calibration {
            before: vec![0.1],
            after: vec![0.2],
            voided: vec![Voided { case: case.clone(), sample }],
            again: vec![0.3],
            doubtful: vec![case.clone()],
            intervals: vec![CaseInterval { case: case.clone(), half_width: 0.01 }],
        },
        gpu: Some(GpuTimes {
            context_seconds: vec![1.0],
            reported: vec![ReportedTime { case, window: 3, seconds: 0.1 }],
        }),
        peak_memory_bytes: u64::MAX,
        ..Measurement::default()
    }
}

fn requests() -> Vec<Request> {
    let topology = Topology::deepseek_v3();
    let session = Session {
        version: VERSION,
        device: "cuda:0".to_owned(),
        cpu: Some(1),
        python: Some("/usr/bin/python3".into()),
        cases: cases(&topology, &[], 1, 1).unwrap(),
        chain_windows: None,
        topology,
        loads: Some(vec![LoadsFile { path: "ä".into(), bytes: u64::MAX, digest: "0".repeat(32) }]),
        loads_seed: u64::MAX,
        windows: Some(4),
        held_out: 2,
        rng_seed: u64::MAX,
        limits: Limits {
            call_seconds: None,
            evaluation_seconds: Some(1.0),
            load_seconds: 1.0,
            compile_seconds: 1.0,
            memory_bytes: 1,
            output_bytes: 1,
            threads: 1,
            scratch_bytes: 1,
            scratch_files: 1,
        },
        sandbox: Sandbox::BestEffort,
        allow_compile: true,
    };
    let evaluate = EvaluateRequest {
        candidate: u64::MAX,
        file_name: "eplb.py".to_owned(),
        program: "x = \"\\\n\u{2028}\"".to_owned(),
        budget_seconds: Some(15.0),
        limits: Some(TimeLimits::LEAST),
        outclassed: Some(Threshold { score: 0.5, baseline: measurement(), objective: Weights::default().into() }),
        measures_inconsistent: true,
        is_baseline: false,
        rebalance: true,
        is_of_blocks: false,
    };
    let duelist = |candidate| Duelist { candidate, program: "x".to_owned() };
    let duel = DuelRequest {
        contender: duelist(2),
        best: duelist(1),
        file_name: "eplb.py".to_owned(),
        seed: u64::MAX,
        least_rounds: 8,
        most_rounds: 16,
        budget_seconds: None,
        limits: TimeLimits::LEAST,
        baseline: measurement(),
        objective: Weights::default().into(),
        rebalance: false,
    };
    let call = Rebalance {
        topology: Topology::deepseek_v3(),
        policy: Policy::Hierarchical,
        loads: vec![0.0, 1e15, 1.0 / 3.0],
        in_force: Some(InForce { old_phy2log: vec![0, -1], history: vec![0.5] }),
    };
    let plan = PlanRequest {
        file_name: "eplb.py".to_owned(),
        program: "\u{1}".to_owned(),
        limits: Some(TimeLimits::LEAST),
        calls: vec![call],
        repeats: 3,
        checks_consistency: true,
    };
    let chunk = Chunk { digest: "0".repeat(32), offset: u64::MAX, bytes: "00ff".to_owned() };
    vec![
        Request::Open(Box::new(session)),
        Request::Chunk(chunk),
        Request::Evaluate(Box::new(evaluate)),
        Request::Duel(Box::new(duel)),
        Request::Plan(Box::new(plan)),
    ]
}

fn replies() -> Vec<Reply> {
    let rejection = Rejection::Crash { status: "signal SIGSEGV".to_owned() };
    let evidence = Evidence { during: "loading".to_owned(), traceback: "\u{1}".to_owned(), ..Evidence::default() };
    let evaluations = [
        Evaluation::Measured { measurement: measurement() },
        Evaluation::Inconsistent {
            inconsistencies: vec![
                Inconsistency::Elsewhere { case: "8->4".to_owned(), switch: Switch::Seed, rows: 1, of: 2 },
                Inconsistency::Rows { case: "8->4".to_owned(), rows: 1, of: 2 },
            ],
            measurement: measurement(),
        },
        Evaluation::Outclassed { measurement: measurement(), at_best: -0.5 },
        Evaluation::Rejected { rejection, evidence },
    ];
    let evaluated = evaluations.map(|evaluation| Reply::Evaluated(Box::new(evaluation)));
    let duel = Duel {
        contender: Evaluation::Measured { measurement: measurement() },
        best: Evaluation::Measured { measurement: measurement() },
    };
    let plan = "global, 20 replicas on 4 GPUs".to_owned();
    let planned = Planned::Plans {
        plans: vec![TimedPlan { phy2log: vec![0, -1, i64::MAX], seconds: vec![0.1, 5e-324] }],
        inconsistencies: vec![
            Inconsistency::PlansElsewhere { plan: plan.clone(), switch: Switch::HashSeed, layers: 1, of: 2 },
            Inconsistency::Layers { plan, layers: 1, of: 2 },
        ],
    };
    let others = [
        Reply::Hello { version: VERSION },
        Reply::Alive,
        Reply::Wants { digest: "0".repeat(32), offset: u64::MAX },
        Reply::Ready(Box::default()),
        Reply::Failed { error: "no".to_owned(), hint: None, may_pass: true },
        Reply::Dueled(Box::new(duel)),
        Reply::Planned(Box::new(Planned::Absent)),
        Reply::Planned(Box::new(planned)),
    ];
    evaluated.into_iter().chain(others).collect()
}

/// One message of each kind that a child can send.
const FROM_CHILDREN: [&str; 9] = [
    r#"{"reply": "jailed"}"#,
    r#"{"reply": "prepared", "threads": 1}"#,
    r#"{"reply": "loaded"}"#,
    r#"{"reply": "raised", "message": "SyntaxError: x", "traceback": "", "memory": false}"#,
    r#"{"reply": "returned"}"#,
    r#"{"reply": "returned", "device_seconds": 0.25}"#,
    r#"{"reply": "wrong-result", "message": "None, not a pair of tensors"}"#,
    r#"{"reply": "raised", "message": "ValueError: x", "traceback": "Traceback\n", "memory": true}"#,
    r#"{"reply": "unavailable", "step": "seccomp", "reason": "x"}"#,
];

fn lines<T: Serialize>(messages: &[T]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| serde_json::to_vec(message).unwrap()).collect()
}

/// If a line can be read, it is written so that it reads the same.
fn read_or_rejected<T: DeserializeOwned + Serialize + PartialEq>(line: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(line) {
        let again = serde_json::to_vec(&message).unwrap();
        assert!(serde_json::from_slice::<T>(&again).unwrap() == message, "{}", String::from_utf8_lossy(&again));
    }
}

/// A packet of a child, as the judge receives it.
fn received(packet: &[u8]) -> Received {
    let (channel, other) = Channel::pair().unwrap();
    send(other.as_raw_fd(), packet, MsgFlags::empty()).unwrap();
    channel.receive().unwrap()
}

fn blamed_on_the_child(packet: &[u8]) {
    let memory = Rejection::Memory { used_bytes: 1, limit_bytes: 1 };
    match received(packet) {
        Received::Message(value) => {
            let Ok(message) = Message::deserialize(&value) else { return };
            let halt = failure(message, memory, |message| Rejection::Load { message });
            let Halt::Rejected { rejection, .. } = halt else { panic!("{halt:?}") };
            assert!(rejection.to_string().len() <= packet.len() + 200);
        }
        Received::Garbage(text) => assert!(text.len() <= 3 * 200, "{text}"),
        Received::Closed => assert!(packet.is_empty()),
        Received::Nothing => panic!("the packet is lost"),
    }
}

#[test]
fn every_message_reads_as_what_was_written() {
    for line in lines(&requests()) {
        assert!(serde_json::from_slice::<Request>(&line).is_ok());
        read_or_rejected::<Request>(&line);
    }
    for line in lines(&replies()) {
        assert!(serde_json::from_slice::<Reply>(&line).is_ok());
        read_or_rejected::<Reply>(&line);
    }
    assert_eq!(
        serde_json::from_str::<Ready>(&serde_json::to_string(&Ready::default()).unwrap()).unwrap(),
        Ready::default()
    );
}

#[test]
fn a_packet_that_nests_without_end_is_garbage() {
    let deep = [vec![b'['; 60_000], vec![b']'; 4_000]].concat();
    assert!(matches!(received(&deep), Received::Garbage(_)));
    assert!(matches!(received(&vec![b'7'; 65_536]), Received::Garbage(_)), "a number that was cut");
}

proptest! {
    #[test]
    fn any_line_is_a_message_or_refused(line in vec(any::<u8>(), 0..2000)) {
        read_or_rejected::<Request>(&line);
        read_or_rejected::<Reply>(&line);
        blamed_on_the_child(&line);
    }

    #[test]
    fn a_changed_request_is_read_or_rejected(line in select(lines(&requests())), changes in vec(change(), 1..6)) {
        read_or_rejected::<Request>(&changed(line, &changes));
    }

    #[test]
    fn a_changed_reply_is_read_or_rejected(line in select(lines(&replies())), changes in vec(change(), 1..6)) {
        read_or_rejected::<Reply>(&changed(line, &changes));
    }

    #[test]
    fn any_message_of_a_child_is_its_own_failure(said in select(&FROM_CHILDREN[..]), changes in vec(change(), 1..6)) {
        prop_assert!(serde_json::from_str::<Message>(said).is_ok());
        blamed_on_the_child(&changed(said.as_bytes().to_vec(), &changes));
    }
}
