//! Tests for GPUs, skipped without one. `make gpu-check` also runs the other tests on a GPU.

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::protocol::{Reply, Request, Session};
use packevolve_contract::statistic::median;

use crate::client::skip::skip;
use crate::client::{Client, program, session_on};

/// Fills a side stream with work, never waits for it, and disables waiting.
const LEAVES_WORK_ON_THE_DEVICE: &str = "
import torch

SIDE = None


def balanced_packing(weight, num_packs):
    global SIDE
    torch.cuda.synchronize = lambda *_: None
    SIDE = SIDE or torch.cuda.Stream()
    with torch.cuda.stream(SIDE):
        block = torch.rand(4096, 4096, device=weight.device)
        for _ in range(200):
            block = block @ block
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return places % num_packs, places // num_packs
";

fn open() -> Option<Client> {
    let mut client = Client::start();
    match client.ask(&Request::Open(Box::new(Session { cpu: None, ..session_on("cuda:0") }))) {
        Reply::Ready(_) => Some(client),
        Reply::Failed { error, .. } => {
            skip("gpu", error);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn references(measurement: &Measurement) -> f64 {
    median(measurement.cases.iter().flat_map(|case| &case.samples).map(|sample| sample.reference_seconds))
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
fn a_program_that_takes_more_of_a_gpu_than_the_limit_is_rejected_for_its_memory() {
    let Some(mut client) = open() else { return };
    let bytes = session_on("cuda:0").limits.memory_bytes + (1 << 30);
    let greedy = format!(
        "import torch\n\n\ndef balanced_packing(weight, num_packs):\n    torch.empty({bytes}, dtype=torch.uint8, device=weight.device)\n"
    );
    let evaluation = client.evaluate(&greedy);
    assert_eq!(evaluation.rejection().map(<&str>::from), Some("memory"), "{evaluation:?}");
}

#[test]
fn work_left_on_a_gpu_makes_no_program_faster() {
    let Some(mut client) = open() else { return };
    let measurement = client.measure(LEAVES_WORK_ON_THE_DEVICE);
    let calibration = &measurement.calibration;
    let alone = median(calibration.before.iter().copied()).max(median(calibration.after.iter().copied()));
    assert!(references(&measurement.credited()) <= alone * 1.001, "{calibration:?}");
}
