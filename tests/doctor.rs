//! `packevolve doctor`: what this machine offers.

use crate::support::{Output, World, judge};

#[test]
fn doctor_shows_what_programs_are_measured_with() {
    judge();
    let world = World::new();
    let table = world.run(&["doctor"]).ends(0).stdout;
    for row in [
        "packevolve  0.",
        "python      3.",
        "torch       2.",
        "device      cpu (",
        "slots       1",
        "loads       2 windows",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row:?} is missing:\n{table}");
    }
    assert!(table.lines().any(|line| line.starts_with("jail")), "{table}");
    let json = world.run(&["doctor", "--format", "json"]).ends(0).json();
    for field in ["version", "device", "device_name", "python", "torch", "windows", "loads_digest", "jail"] {
        assert!(json.get(field).is_some(), "{field}");
    }
}

#[test]
fn what_is_missing_is_reported_with_a_hint() {
    let world = World::new();
    let output = Output::of(world.lone_harness().arg("doctor")).ends(1);
    output.tells_one_error(&["packevolve-judge is not beside", "hint: "]);
}
