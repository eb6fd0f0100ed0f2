//! The jail of a session on a GPU, on a machine that needs none: a program and a driver's library of the tests ask the
//! kernel for what a GPU driver asks for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use packevolve_contract::protocol::{Ready, Reply, Request, Sandbox, Session};
use packevolve_evaluator::call::Call;
use packevolve_evaluator::child::Child;
use packevolve_evaluator::gpu::Gpu;
use packevolve_evaluator::kernels::Kernels;
use packevolve_evaluator::nursery::{Nursery, NurseryError, Variables};
use packevolve_evaluator::sandbox::Jail;

use tempfile::TempDir;

use crate::client::skip::skip;
use crate::client::{Client, judge_program, program, python, session, testdata};
use crate::users::{ordinary_user, ordinary_user_with};

/// A driver's library whose GPU computes nothing.
const DRIVER: &str = "gpu/libcuda.c";
/// The folder of the same, compiled, in files with the names of their definitions.
const BUILT_DRIVERS: &str = "gpu/drivers";
/// The driver without anything special.
const PLAIN: &str = "PLAIN";
const NAME: &str = "a GPU of the tests";
/// How a session fails whose context could be made, as no library of torch can use such a driver.
const MADE: &str = "CUDA works in the jail, but torch cannot use it: ";

const ASKS: &str = include_str!("../../tests/testdata/gpu/asks_as_a_driver_does.py");

/// A nursery whose children are on a GPU without a device file; none, and `skip`, where `jail` is not possible.
fn nursery(jail: Jail) -> Option<Nursery> {
    match Nursery::start(&python(), &jail.on(Some(Gpu::default())), &Variables::new()) {
        Ok(nursery) => Some(nursery),
        Err(NurseryError::Unavailable { step, reason }) => {
            skip("jail", format_args!("{step}: {reason}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn call(child: &mut Child) -> Result<(), String> {
    let call = Call { rows: 2, items: 8, packs: 4, seed: 0 };
    let outcome =
        child.load("eplb.py", Some("balanced_packing"), &mut None).and_then(|()| child.call(call, &[1.0; 16]));
    outcome.map(drop).map_err(|halt| format!("{halt:?}"))
}

/// Has two children ask, while both live.
fn asks(jail: Jail) {
    let Some(mut nursery) = nursery(jail) else { return };
    let mut fork = || Child::fork(&mut nursery, ASKS, &Kernels::none().unwrap(), 1 << 12, &session().limits).unwrap();
    let [mut one, mut other] = [fork(), fork()];
    let outcomes = [call(&mut one), call(&mut other)];
    for child in [one, other] {
        child.end(&mut nursery, "", String::new()).unwrap();
    }
    assert_eq!(outcomes, [Ok(()), Ok(())]);
}

#[test]
fn a_child_on_a_gpu_gets_what_its_driver_asks_for_and_nothing_else() {
    asks(Jail::new(Sandbox::Required, false));
}

#[test]
fn an_ordinary_users_child_on_a_gpu_gets_the_same() {
    let test = "gpu_jail::a_child_on_a_gpu_gets_what_its_driver_asks_for_and_nothing_else";
    let (aside, own) = (TempDir::new().unwrap(), std::env::current_exe().unwrap());
    match ordinary_user_with(aside.path(), &own, &[test, "--exact", "--nocapture"]) {
        Ok(mut command) => {
            // That this user has no jail is for this test to say.
            let output = command.env("PACKEVOLVE_REQUIRE", "0").env_remove("CI").output().unwrap();
            let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            if let Some((_, why)) = text.split_once("skipped: ") {
                skip("other-user", why.lines().next().unwrap_or_default());
            }
        }
        Err(reason) => skip("other-user", reason),
    }
}

#[test]
fn without_a_view_of_files_of_its_own_it_gets_them_too() {
    let mut jail = Jail::new(Sandbox::BestEffort, false);
    assert!(jail.leave_out("namespaces", "left out by a test"));
    let Some(mut nursery) = nursery(jail) else { return };
    // Without a namespace the name on which a driver listens must be its own, and a child sees the machine's processes.
    let names = "listens_on_its_socket, shares_32_mib";
    let text = ASKS.replace("def wrong():", &format!("NEEDED = (names_another_thread, {names})\n\n\ndef wrong():"));
    let mut child = Child::fork(&mut nursery, &text, &Kernels::none().unwrap(), 1 << 12, &session().limits).unwrap();
    let outcome = call(&mut child);
    child.end(&mut nursery, "", String::new()).unwrap();
    assert_eq!(outcome, Ok(()));
}

/// A folder with the driver's library, compiled with this definition, or ready-built where `make gpu-kit` put it; none,
/// and `skip`, without a compiler.
fn driver(definition: &str) -> Option<TempDir> {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let library = folder.path().join("libcuda.so.1");
    let built = testdata().join(BUILT_DRIVERS);
    if built.exists() {
        fs::copy(built.join(definition), &library).unwrap();
        return Some(folder);
    }
    let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(testdata().join(DRIVER)).arg("-lpthread");
    match compiler.arg(format!("-D{definition}")).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            skip("compilers", error);
            return None;
        }
    }
    Some(folder)
}

/// A judge, started by `command`, that finds the driver in `folder` and no other one.
fn beside(folder: &TempDir, mut command: Command) -> Client {
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = std::iter::once(folder.path().to_owned()).chain(std::env::split_paths(&others));
    command.env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap()).env_remove("CUDA_VISIBLE_DEVICES");
    Client::start_as(command)
}

fn on(device: &str, sandbox: Sandbox) -> Session {
    Session { device: device.to_owned(), sandbox, ..session() }
}

/// Why no session on a GPU opens.
fn refusal(client: &mut Client, session: Session) -> String {
    match client.ask(&Request::Open(Box::new(session))) {
        Reply::Failed { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_driver_makes_its_context_in_the_jail() {
    let Some(folder) = driver(PLAIN) else { return };
    let mut client = beside(&folder, Command::new(judge_program()));
    let error = refusal(&mut client, on("cuda:0", Sandbox::Required));
    assert!(error.contains(MADE), "{error}");
    let error = refusal(&mut client, on("cuda:1", Sandbox::Required));
    assert_eq!(error, format!("no device cuda:1: this machine has cpu, cuda:0 ({NAME})"));
}

#[test]
fn a_driver_makes_its_context_in_the_jail_of_an_ordinary_user() {
    let Some(folder) = driver(PLAIN) else { return };
    let aside = TempDir::new().unwrap();
    match ordinary_user(aside.path()) {
        Ok(command) => {
            let error = refusal(&mut beside(&folder, command), on("cuda:0", Sandbox::Required));
            if error.starts_with("the jail lacks") && !error.contains("CUDA") {
                return skip("other-user", error);
            }
            assert!(error.contains(MADE), "{error}");
        }
        Err(reason) => skip("other-user", reason),
    }
}

#[test]
fn the_step_that_keeps_a_gpu_from_working_is_named_and_only_best_effort_leaves_it_out() {
    for (definition, step) in [("AFFINITY", "seccomp"), ("HOSTS", "namespaces and landlock")] {
        let Some(folder) = driver(definition) else { return };
        let mut client = beside(&folder, Command::new(judge_program()));
        let error = refusal(&mut client, on("cuda:0", Sandbox::Required));
        let expected = "no CUDA context can be made with it: cuInit: CUDA_ERROR_OPERATING_SYSTEM (304)";
        assert_eq!(error, format!("the jail lacks {step}: {expected}"));
        let error = refusal(&mut client, on("cuda:0", Sandbox::BestEffort));
        assert!(error.contains(MADE), "without {step}: {error}");
    }
}

#[test]
fn auto_falls_back_to_the_cpu_and_says_why() {
    let Some(folder) = driver(PLAIN) else { return };
    let mut client = beside(&folder, Command::new(judge_program()));
    let ready = client.ready(on("auto", Sandbox::Required));
    let Ready { device, gpus, no_gpu, .. } = &ready;
    assert_eq!(device, "cpu");
    assert_eq!((gpus[0].device.as_str(), gpus[0].name.as_str()), ("cuda:0", NAME));
    assert!(gpus[0].driver.ends_with("CUDA 13.0"), "{gpus:?}");
    assert!(no_gpu.as_ref().unwrap().contains(MADE), "{no_gpu:?}");
    client.measure(&program("measured/honest.py"));
}

#[test]
fn a_driver_that_is_not_ready_is_an_error_where_a_gpu_was_asked_for() {
    let Some(folder) = driver("NOT_READY") else { return };
    let mut client = beside(&folder, Command::new(judge_program()));
    let reason = "cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802)";
    let error = refusal(&mut client, on("cuda:0", Sandbox::Required));
    assert_eq!(error, format!("no device cuda:0: this machine has cpu ({reason})"));
    let ready = client.ready(on("auto", Sandbox::Required));
    assert_eq!((ready.device.as_str(), ready.no_gpu.as_deref()), ("cpu", Some(reason)));
}
