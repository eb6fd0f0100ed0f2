//! Cheats that fail without a jail: the judge rejects them, or scores exactly what they computed.

use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};
use packevolve_contract::rejection::Rejection;

use crate::client::{Client, program};

/// CPU time that the programs with hard work use in a call, seconds.
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
    // The work begins at the end of each call, including the first. The part that is done before the judge reads its
    // clock is charged to that call, the rest to the next one, so only the sum has a lower limit.
    let scored = samples(&measurement).count();
    let charged = measurement.first_call_seconds + samples(&measurement).map(|sample| sample.seconds).sum::<f64>();
    assert!(charged >= WORK * scored as f64, "{charged} s for {scored} calls");
}

#[test]
fn work_in_a_thread_that_outlives_the_call_is_charged() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/works_in_a_thread_between_calls.py"));
    // Each call waits for the thread of the call before.
    let scored = samples(&measurement).count();
    let charged = measurement.first_call_seconds + samples(&measurement).map(|sample| sample.seconds).sum::<f64>();
    assert!(charged >= WORK * scored as f64, "{charged} s for {scored} calls");
}

#[test]
fn the_judge_does_not_use_clocks_and_functions_that_a_program_has_patched() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/patches_everything.py"));
    assert!(samples(&measurement).all(|sample| sample.seconds >= WORK), "{measurement:?}");
}

#[test]
fn outputs_written_after_the_end_of_a_call_do_not_count() {
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
