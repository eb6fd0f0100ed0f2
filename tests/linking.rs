//! What the two programs are linked with, and that they find it by themselves.

use std::process::{Command, Stdio};

use crate::support::{Output, World, harness, judge};

#[test]
fn the_harness_has_no_torch_in_it() {
    let output = World::new().tool("ldd", &[harness().to_str().unwrap()]).ends(0);
    assert!(output.stdout.contains("libc.so"), "{}", output.stdout);
    assert!(!output.stdout.contains("torch") && !output.stdout.contains("libc10"), "{}", output.stdout);
}

#[test]
fn the_judge_finds_torch_from_anywhere_without_an_environment() {
    let mut alone = Command::new(judge());
    let output = Output::of(alone.env_clear().current_dir("/").stdin(Stdio::null())).ends(0);
    assert!(output.stdout.starts_with("{\"reply\":\"hello\""), "{output:?}");
    let linked = World::new().tool("ldd", &[judge().to_str().unwrap()]).ends(0).stdout;
    assert!(linked.contains("libtorch_cpu.so => /") && !linked.contains("not found"), "{linked}");
}
