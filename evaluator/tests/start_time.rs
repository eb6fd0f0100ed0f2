//! The time of a child from its fork until its program is loaded. Run by hand, as root and as an ordinary user:
//! `cargo test --release -p packevolve-evaluator --test main start_time -- --ignored --nocapture`

use std::time::{Duration, Instant};

use packevolve_contract::protocol::Sandbox;
use packevolve_evaluator::child::Child;
use packevolve_evaluator::kernels::Kernels;
use packevolve_evaluator::nursery::{Nursery, Variables};
use packevolve_evaluator::sandbox::Jail;

use crate::client::{program, python, session};

#[test]
#[ignore = "prints times"]
fn start_time_of_a_child() {
    for sandbox in [Sandbox::Off, Sandbox::Required] {
        print_times(&Jail::new(sandbox, false));
    }
}

fn print_times(jail: &Jail) {
    let python = python();
    let limits = session().limits;
    let text = program("measured/honest.py");
    let mut nursery = Nursery::start(&python, jail, &Variables::new()).unwrap();
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        let mut child = Child::fork(&mut nursery, &text, &Kernels::none().unwrap(), 1 << 17, &limits).unwrap();
        let forked = started.elapsed();
        child.load("eplb.py", Some("balanced_packing"), &mut None).unwrap();
        let loaded = started.elapsed();
        child.end(&mut nursery, "", String::new()).unwrap();
        times.push((loaded, forked, started.elapsed()));
    }
    let median = |pick: fn(&(Duration, Duration, Duration)) -> Duration| {
        let mut picked: Vec<Duration> = times.iter().map(pick).collect();
        picked.sort();
        picked[picked.len() / 2]
    };
    eprintln!(
        "{} steps: forked {:?}, loaded {:?}, ended {:?}",
        jail.wanted().len(),
        median(|t| t.1),
        median(|t| t.0),
        median(|t| t.2)
    );
}
