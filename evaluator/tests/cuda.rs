//! Tests on a GPU. Without one they are skipped; where one was asked for, or the machine has its device files, they fail
//! instead. `make gpu-check` runs them.

use std::collections::BTreeSet;
use std::path::Path;

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::protocol::{Reply, Request, Session};
use packevolve_contract::statistic::median;

use crate::chains::{chains, ending};
use crate::client::skip::skip;
use crate::client::{Client, DEVICE, program, session_on};
use crate::fates::{NEED_A_GPU, kind};

/// What shows on any device, and differs most between the two.
const ON_ANY_DEVICE: [&str; 8] = [
    "crash/aborts.py",
    "exception/raises.py",
    "hang/endless_loop.py",
    "invalid-placement/over_full_pack.py",
    "measured/honest.py",
    "mutated-input/adds_in_place.py",
    "mutated-input/rebalance_changes_its_loads.py",
    "wrong-result/floats.py",
];
/// What would keep others from the GPU if it did not end.
const HOLD_THE_GPU: [&str; 2] = ["hang/kernel_that_never_ends.py", "memory/nearly_all_of_the_gpu.py"];
/// How far five evaluations of one program may be apart.
const SPREAD: f64 = 0.05;
/// The share of pairs that may be void on a quiet GPU.
const MOST_VOID: f64 = 0.02;

/// A session on the GPU; `None` where there is none.
fn open() -> Option<Client> {
    open_with(|session| session)
}

fn open_with(change: fn(Session) -> Session) -> Option<Client> {
    let wanted = std::env::var(DEVICE).ok().filter(|device| device != "cpu");
    let device = wanted.clone().unwrap_or_else(|| "cuda:0".to_owned());
    let mut client = Client::start();
    match client.ask(&Request::Open(Box::new(change(Session { cpu: None, ..session_on(&device) })))) {
        Reply::Ready(_) => Some(client),
        Reply::Failed { error, .. } => {
            let is_expected =
                wanted.is_some() || ["/dev/nvidiactl", "/dev/dxg"].iter().any(|path| Path::new(path).exists());
            assert!(!is_expected, "no session on {device}: {error}");
            skip("gpu", error);
            None
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn on_a_gpu_context_and_event_times_are_recorded_apart_from_scored_times() {
    let Some(mut client) = open() else { return };
    let measurement = client.measure(&program("measured/honest.py"));
    let gpu = measurement.gpu.as_ref().expect("times of the GPU");
    // One child for all cases, and one more for each void pair.
    assert_eq!(gpu.context_seconds.len(), 1 + measurement.calibration.voided.len());
    assert!(gpu.context_seconds.iter().all(|seconds| *seconds > 0.0), "{gpu:?}");
    let calls = measurement.cases.iter().map(|case| case.samples.len()).sum::<usize>();
    assert_eq!(gpu.reported.len(), calls + measurement.calibration.voided.len());
    for reported in &gpu.reported {
        let sample =
            measurement.samples(&reported.case).iter().find(|sample| sample.window == reported.window).unwrap();
        assert!((0.0..=10.0 * sample.wall_seconds).contains(&reported.seconds), "{reported:?}, {sample:?}");
    }
    // The context is not created during a call.
    assert!(measurement.first_call_seconds < gpu.context_seconds[0] + 10.0);
}

#[test]
fn programs_on_a_gpu_meet_their_fates() {
    let Some(mut client) = open() else { return };
    let mut wrong = BTreeSet::new();
    for name in NEED_A_GPU.iter().chain(&ON_ANY_DEVICE) {
        let evaluation = client.evaluate(&program(name));
        eprintln!("{name}: {}", kind(&evaluation));
        if !name.starts_with(&format!("{}/", kind(&evaluation))) {
            wrong.insert(format!("{name}: {evaluation:?}"));
        }
        // What a program held is free again.
        if HOLD_THE_GPU.contains(name) {
            let after = client.evaluate(&program("measured/honest.py"));
            if kind(&after) != "measured" {
                wrong.insert(format!("an honest program after {name}: {after:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Without a GPU this shows little.
#[test]
fn a_session_on_the_cpu_finds_no_gpu() {
    let mut client = Client::start();
    client.ready(session_on("cpu"));
    client.measure(&program("measured/uses_a_gpu_on_the_cpu.py"));
}

#[test]
fn a_policy_that_leaves_work_on_a_gpu_is_rejected() {
    let Some(mut client) = open_with(chains) else { return };
    let evaluation = client.evaluate(&ending("left-work", "works_after_its_call"));
    assert_eq!(kind(&evaluation), "left-work", "{evaluation:?}");
}

#[test]
fn five_evaluations_of_a_program_agree_and_few_pairs_are_void() {
    let Some(mut client) = open() else { return };
    let measured: Vec<Measurement> = (0..5).map(|_| client.measure(&program("measured/honest.py"))).collect();
    let ratio = |measurement: &Measurement| {
        let credited = measurement.credited();
        median(credited.all_samples().map(|sample| sample.seconds / sample.reference_seconds))
    };
    let ratios: Vec<f64> = measured.iter().map(ratio).collect();
    let (least, most) =
        ratios.iter().fold((f64::MAX, 0.0), |(least, most), ratio| (f64::min(least, *ratio), f64::max(most, *ratio)));
    let pairs: usize = measured.iter().map(|measurement| measurement.all_samples().count()).sum();
    let void: usize = measured.iter().map(|measurement| measurement.calibration.voided.len()).sum();
    eprintln!("ratios {ratios:.4?}, {void} of {pairs} pairs void");
    assert!(most <= least * (1.0 + SPREAD), "{ratios:?}");
    assert!(void as f64 <= MOST_VOID * pairs as f64, "{void} of {pairs} pairs are void");
}
