//! Cheats that need no jail to fail: each is rejected, or scored as exactly what it computed.

use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};
use packevolve_contract::rejection::Rejection;

use crate::client::{Client, program};

/// What the programs that work hard burn in a call, seconds of CPU time.
const WORK: f64 = 0.03;

fn samples(measurement: &Measurement) -> impl Iterator<Item = &Sample> {
    measurement.cases.iter().flat_map(|case| &case.samples)
}

#[test]
fn a_memo_keyed_on_sorted_weights_is_charged_its_full_work_in_every_call() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/memo_on_sorted_weights.py"));
    let seconds: Vec<f64> = samples(&measurement).map(|sample| sample.seconds).collect();
    assert!(!seconds.is_empty() && seconds.iter().all(|&seconds| seconds >= WORK), "{seconds:?}");
}

#[test]
fn work_moved_to_between_the_calls_is_charged() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/works_between_calls.py"));
    // Work begins with each done, the first call's too; what is done of it before the judge has read its clock is
    // charged to the call before, the rest to the next one. So it is their sum that cannot be made smaller.
    let scored = samples(&measurement).count();
    let charged = measurement.first_call_seconds + samples(&measurement).map(|sample| sample.seconds).sum::<f64>();
    assert!(charged >= WORK * scored as f64, "{charged} s for {scored} calls");
}

#[test]
fn work_in_a_thread_that_outlives_the_call_is_charged() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/works_in_a_thread_between_calls.py"));
    // The thread of each call but the last is waited for in the next one.
    let scored = samples(&measurement).count();
    let charged = measurement.first_call_seconds + samples(&measurement).map(|sample| sample.seconds).sum::<f64>();
    assert!(charged >= WORK * scored as f64, "{charged} s for {scored} calls");
}

#[test]
fn clocks_and_functions_that_a_program_has_patched_are_not_asked() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/patches_everything.py"));
    assert!(samples(&measurement).all(|sample| sample.seconds >= WORK), "{measurement:?}");
}

#[test]
fn what_is_written_after_done_does_not_count() {
    let (mut client, _) = Client::open();
    let honest = client.measure(&program("measured/heaviest_together.py"));
    let cheat = client.measure(&program("measured/writes_after_done.py"));
    let scores = |measurement: &Measurement| -> Vec<[f64; 4]> {
        samples(measurement).map(|s| [s.mean_load, s.max_load, s.bound, s.worst_row_gap]).collect()
    };
    assert_eq!(scores(&cheat), scores(&honest));
}

#[test]
fn an_over_full_pack_is_rejected_with_its_row_and_pack() {
    let (mut client, _) = Client::open();
    match client.evaluate(&program("invalid-placement/over_full_pack.py")) {
        Evaluation::Rejected { rejection: Rejection::InvalidPlacement { message }, evidence } => {
            assert!(message.contains("row 0") && message.contains("pack 0"), "{message}");
            assert_eq!(evidence.during, "a small call, three items a pack: 12->4");
        }
        other => panic!("{other:?}"),
    }
}
