//! Numba: what a program compiles in its own process, how its children share that, and what is charged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use packevolve_contract::evaluation::{Compilation, Evaluation};
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::protocol::{EvaluateRequest, Limits, Reply, Request, Session};
use packevolve_contract::rejection::Rejection;
use tempfile::TempDir;

use crate::client::skip::skip;
use crate::client::{Client, evaluate_request, program, python, session};

#[test]
fn only_the_first_child_compiles_and_no_scored_call_does() {
    let (mut client, ready) = Client::open();
    assert!(ready.numba.is_some(), "{ready:?}");
    let measurement = client.measure(&program("measured/numba_honest.py"));
    let Some(Compilation { functions, seconds, in_scored_calls }) = measurement.compilation else { panic!() };
    assert_eq!((functions, in_scored_calls), (1, 0));
    assert!(seconds > 0.0 && measurement.evaluation_seconds > seconds, "compiling is a part of its cost");
    client.measure(&program("measured/numba_takes_over_what_was_compiled.py"));
    assert_eq!(client.measure(&program("measured/honest.py")).compilation, None);
}

/// A session whose calls may take so long.
fn limited(call_seconds: f64) -> Client {
    let mut client = Client::start();
    let session = session();
    let limits = Limits { call_seconds: Some(call_seconds), ..session.limits.clone() };
    client.ready(Session { limits, ..session });
    client
}

#[test]
fn compiling_has_a_limit_of_its_own_and_what_was_compiled_that_of_a_call() {
    let (mut client, _) = Client::open();
    let honest = program("measured/numba_honest.py");
    let seconds = client.measure(&honest).compilation.unwrap().seconds;
    limited(seconds / 2.0).measure(&honest);
    match limited(1.5).evaluate(&program("hang/numba_never_ends.py")) {
        Evaluation::Rejected { rejection: Rejection::Hang { limit_seconds }, .. } => assert_eq!(limit_seconds, 1.5),
        other => panic!("{other:?}"),
    }
}

/// How many functions a program had to compile.
fn compiled(client: &mut Client, program: &str, is_of_blocks: bool) -> u32 {
    let Request::Evaluate(request) = evaluate_request(program) else { unreachable!() };
    match client.ask(&Request::Evaluate(Box::new(EvaluateRequest { is_of_blocks, ..*request }))) {
        Reply::Evaluated(evaluation) => match *evaluation {
            Evaluation::Measured { measurement } => measurement.compilation.unwrap().functions,
            other => panic!("not measured: {other:?}"),
        },
        other => panic!("no evaluation: {other:?}"),
    }
}

/// A program that deals items to packs in turn, with two compiled functions.
const DEALS: &str = "\
import numba
import torch

STEP = 1


@numba.njit
def _next(pack):
    return pack + STEP


@numba.njit
def _deal(place, packs):
    pack = 0
    for item in range(place.shape[1]):
        place[:, item] = pack
        pack = _next(pack) % packs


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    packs = torch.zeros((rows, items), dtype=torch.int64)
    _deal(packs.numpy(), num_packs)
    return packs, torch.arange(items).expand(rows, items) // num_packs
";

#[test]
fn what_building_blocks_have_compiled_serves_the_same_functions_of_other_programs() {
    let (mut client, _) = Client::open();
    assert_eq!([false, false, true].map(|is_of_blocks| compiled(&mut client, DEALS, is_of_blocks)), [1; 3]);
    // Neither does the child for another processor compile, which the check of consistency has.
    let check = "    if _deal.stats.cache_misses:\n        raise RuntimeError(\"compiles again\")\n    return packs,";
    let other = DEALS.replace("    return packs,", check);
    assert_ne!(other, DEALS);
    assert_eq!(compiled(&mut client, &other, false), 0);
}

#[test]
fn a_function_that_may_compile_to_something_else_is_compiled_again() {
    let (mut client, _) = Client::open();
    assert_eq!([true, false].map(|is_of_blocks| compiled(&mut client, DEALS, is_of_blocks)), [1, 0]);
    let deal = "@numba.njit\ndef _deal";
    for (from, to) in [
        ("pack = 0\n", "pack = 1\n"),
        ("pack + STEP", "STEP + pack"),
        ("STEP = 1", "STEP = 3 - 2"),
        (deal, &deal.replace("njit", "njit(fastmath=True)")),
    ] {
        let changed = DEALS.replace(from, to);
        assert_ne!(changed, DEALS);
        assert_eq!(compiled(&mut client, &changed, false), 1, "{to}");
    }
}

#[test]
fn a_program_that_compiles_in_a_scored_call_is_charged_and_this_is_reported() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/numba_compiles_for_its_loads.py"));
    let compilation = measurement.compilation.unwrap();
    let samples: Vec<f64> = measurement.all_samples().map(|sample| sample.seconds).collect();
    // Void pairs are more calls.
    assert!(compilation.in_scored_calls as usize >= samples.len(), "{compilation:?}");
    // Any compilation takes longer.
    assert!(samples.iter().all(|&seconds| seconds > 0.005), "{samples:?}");
}

#[test]
fn work_in_threads_of_numba_is_charged() {
    let (mut client, _) = Client::open();
    let measurement = client.measure(&program("measured/numba_threads.py"));
    let samples: Vec<f64> = measurement.all_samples().map(|sample| sample.seconds).collect();
    assert!(samples.iter().all(|&seconds| seconds >= 0.03), "{samples:?}");
}

#[test]
fn an_answer_that_depends_on_the_processor_is_found_and_named() {
    if !fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains(" fma ") {
        return skip("vectors", "this CPU does not multiply and add at once");
    }
    let (mut client, _) = Client::open();
    match client.evaluate(&program("inconsistent/numba_cpu.py")) {
        Evaluation::Inconsistent { inconsistencies, .. } => {
            let named =
                |found: &Inconsistency| matches!(found, Inconsistency::Elsewhere { switch: Switch::NumbaCpu, .. });
            assert!(inconsistencies.iter().any(named), "{inconsistencies:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_that_reads_beyond_an_array_is_found_and_the_reason_named() {
    let (mut client, _) = Client::open();
    match client.evaluate(&program("inconsistent/numba_reads_beyond_an_array.py")) {
        Evaluation::Inconsistent { inconsistencies, .. } => {
            let named =
                |found: &Inconsistency| matches!(found, Inconsistency::Elsewhere { switch: Switch::NumbaBounds, .. });
            assert!(inconsistencies.iter().any(named), "{inconsistencies:?}");
        }
        other => panic!("not inconsistent: {other:?}"),
    }
}

#[test]
fn where_python_lacks_numba_a_program_that_needs_it_is_rejected_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let mut client = Client::start();
    let ready = client.ready(Session { python: Some(without_numba(folder.path())), ..session() });
    assert_eq!(ready.numba, None);
    client.measure(&program("measured/honest.py"));
    match client.evaluate(&program("measured/numba_honest.py")) {
        Evaluation::Rejected { rejection: Rejection::Load { message }, .. } => {
            assert!(message.contains("has none: `pip install numba`"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// An environment with everything that the tests' Python has except Numba.
fn without_numba(folder: &Path) -> PathBuf {
    let ask = "import sys, sysconfig; print(sys._base_executable, sysconfig.get_path('purelib'), \
               f'python{sys.version_info[0]}.{sys.version_info[1]}')";
    let output = Command::new(python()).args(["-c", ask]).output().unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let [base, packages, name] = answer.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{answer}") };
    let [programs, library] = [folder.join("bin"), folder.join("lib").join(name).join("site-packages")];
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir_all(&library).unwrap();
    symlink(base, programs.join("python")).unwrap();
    let home = Path::new(base).parent().unwrap().display();
    fs::write(folder.join("pyvenv.cfg"), format!("home = {home}\n")).unwrap();
    fs::write(library.join("others.pth"), format!("{packages}\nimport sys; sys.modules['numba'] = None\n")).unwrap();
    programs.join("python")
}
