//! Fates: every program under `tests/testdata/fates` meets the fate that its folder names, and leaves nothing behind. The
//! long form judges an honest program after each of them, as root and as an ordinary user.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::loads::LoadsFile;
use packevolve_contract::protocol::{Reply, Request, Sandbox, Session};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::client::skip::skip;
use crate::client::{Client, fates, patience, program, session};
use crate::processes::{descendants, left_of};
use crate::users::ordinary_user;

/// No program may delay the judge much longer than the limits of a session, even with void pairs and a busy machine.
const EVALUATION_LIMIT: Duration = Duration::from_secs(20);
/// Only the jail stops these programs: without it they meet another fate, and may do harm.
const NEED_A_JAIL: [&str; 16] = [
    "exception/fork_bomb.py",
    "exception/runs_a_program.py",
    "hang/stops_itself.py",
    "measured/asks_the_kernel_for_more.py",
    "measured/attacks_other_processes.py",
    "measured/changes_its_cpu.py",
    "measured/fills_its_scratch_folder.py",
    "measured/hides_memory.py",
    "measured/leaves_marks_for_later_children.py",
    "measured/numba_calls_c.py",
    "measured/opens_a_socket.py",
    "measured/reads_what_is_not_its_own.py",
    "measured/reads_what_the_machine_counts.py",
    "measured/stops_like_any_other.py",
    "measured/tries_every_system_call.py",
    "measured/writes_outside_its_scratch_folder.py",
];
/// These differ in what only another process on a CPU does, or raise about what a GPU's driver needs: `gpu_jail` has what
/// the jail refuses there.
const NEED_A_CPU: [&str; 16] = [
    "inconsistent/exits_elsewhere.py",
    "inconsistent/hash_seed.py",
    "inconsistent/memory_addresses.py",
    "inconsistent/numba_cpu.py",
    "inconsistent/numba_reads_beyond_an_array.py",
    "inconsistent/numpy_vectors.py",
    "inconsistent/raises_at_import_elsewhere.py",
    "inconsistent/threads.py",
    "inconsistent/torch_vectors.py",
    "inconsistent/two_settings_together.py",
    "measured/hides_memory.py",
    "measured/leaves_marks_for_later_children.py",
    "measured/reads_what_the_machine_counts.py",
    "measured/tries_every_system_call.py",
    "measured/uses_a_gpu_on_the_cpu.py",
    "mutated-input/numba_writes_into_its_input.py",
];
/// What only a GPU makes possible.
pub const NEED_A_GPU: [&str; 11] = [
    "hang/kernel_that_never_ends.py",
    "left-work/works_after_its_call.py",
    "measured/compiles_for_the_gpu.py",
    "measured/keeps_the_cache_of_the_gpu.py",
    "measured/sees_one_gpu.py",
    "measured/sets_the_clock_of_the_gpu.py",
    "measured/skips_the_wait_for_the_gpu.py",
    "memory/gpu_memory_of_torch.py",
    "memory/gpu_memory_outside_torch.py",
    "memory/lifts_the_limit_of_torch.py",
    "memory/nearly_all_of_the_gpu.py",
];
/// The name of the files that programs try to write, and the folders in which they try.
const LEFT_BEHIND: &str = "packevolve-left-behind";
const FOLDERS: [&str; 8] = ["/", "/tmp", "/var/tmp", "/dev/shm", "/root", "/usr/lib", "/run", "."];

/// How often an honest program is judged, which must come to the same as before all others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Honest {
    AfterEachFolder,
    AfterEachProgram,
}

#[test]
fn every_program_meets_its_fate() {
    let secrets = secrets();
    fates_of(&programs(secrets.path()), &mut Client::start(), secrets.path(), Honest::AfterEachFolder);
}

#[test]
fn what_depends_on_privileges_meets_its_fate_where_an_ordinary_user_runs_the_judge() {
    let depends =
        |name: &str| NEED_A_JAIL.contains(&name) || name.starts_with("crash/") || name.starts_with("measured/");
    fates_by_an_ordinary_user(depends, Honest::AfterEachFolder);
}

mod long {
    use super::*;

    #[test]
    #[ignore = "takes minutes"]
    fn every_program_meets_its_fate_and_an_honest_one_follows_each() {
        let secrets = secrets();
        fates_of(&programs(secrets.path()), &mut Client::start(), secrets.path(), Honest::AfterEachProgram);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn every_program_meets_its_fate_where_an_ordinary_user_runs_the_judge() {
        fates_by_an_ordinary_user(|_| true, Honest::AfterEachProgram);
    }
}

fn fates_by_an_ordinary_user(is_chosen: impl Fn(&str) -> bool, honest: Honest) {
    let (secrets, aside) = (secrets(), TempDir::new().unwrap());
    let mut programs = programs(secrets.path());
    programs.retain(|(name, _)| is_chosen(name));
    match ordinary_user(aside.path()) {
        Ok(command) => {
            let mut client = Client::start_as(command);
            fates_of(&programs, &mut client, secrets.path(), honest);
            let user = fs::metadata(format!("/proc/{}", client.process.id())).unwrap().uid();
            assert_ne!(user, 0);
        }
        Err(reason) => skip("other-user", reason),
    }
}

/// Has programs judged, with an honest one in between.
fn fates_of(programs: &[(String, String)], client: &mut Client, secrets: &Path, often: Honest) {
    let is_jailed = open(client, secrets);
    let honest = program("measured/honest.py");
    let honest_loads = loads(&client.measure(&honest));
    // The searches for their causes start all nurseries, which stay: that for Numba only for a program that uses it.
    for name in ["inconsistent/two_settings_together.py", "inconsistent/numba_cpu.py"] {
        client.evaluate(&program(name));
    }
    let ours = descendants(client.process.id());
    let folder_of = |at: usize| programs.get(at).map(|(name, _)| name.split('/').next());
    let mut wrong = Vec::new();
    for (at, (name, text)) in programs.iter().enumerate() {
        if !is_jailed && NEED_A_JAIL.contains(&name.as_str()) {
            skip("jail", format_args!("{name} needs a jail"));
            continue;
        }
        if (if session().device == "cpu" { &NEED_A_GPU[..] } else { &NEED_A_CPU }).contains(&name.as_str()) {
            continue;
        }
        if without_its_vectors(name) {
            skip("vectors", format_args!("{name} needs vector units"));
            continue;
        }
        let started = Instant::now();
        let evaluation = client.evaluate(text);
        let took = started.elapsed();
        if !name.starts_with(&format!("{}/", kind(&evaluation))) {
            wrong.push(format!("{name}: {evaluation:?}"));
        }
        if took > EVALUATION_LIMIT * patience(&session().device) {
            wrong.push(format!("{name}: took {took:?}"));
        }
        // What its proposer pays.
        let seconds = evaluation.seconds();
        if seconds <= 0.0 || seconds > took.as_secs_f64() {
            wrong.push(format!("{name}: {seconds} s of {took:?}"));
        }
        let left = left_of(&(&descendants(client.process.id()) - &ours));
        if !left.is_empty() {
            wrong.push(format!("{name}: leaves {left:?}"));
        }
        wrong.extend(files_left().into_iter().map(|path| format!("{name}: leaves {}", path.display())));
        if often == Honest::AfterEachFolder && folder_of(at) == folder_of(at + 1) {
            continue;
        }
        let after = client.evaluate(&honest);
        if after.measured().map(loads).as_ref() != Some(&honest_loads) {
            wrong.push(format!("{name}: an honest program after it: {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let replaced: BTreeSet<_> = &ours - &descendants(client.process.id());
    assert!(replaced.is_empty(), "the nursery or the reference was replaced: {replaced:?}");
}

/// Whether a program depends on vector instructions that this CPU lacks.
pub fn without_its_vectors(name: &str) -> bool {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lacks = |vectors: &str| !info.split_whitespace().any(|word| word == vectors);
    (name.ends_with("_vectors.py") && lacks("avx2")) || (name.ends_with("numba_cpu.py") && lacks("fma"))
}

/// Opens a session on the loads among `secrets`, in a jail; without one, and false, if this machine has none.
fn open(client: &mut Client, secrets: &Path) -> bool {
    let path = secrets.join("loads/window.csv");
    let content = fs::read(&path).unwrap();
    let digest = hex::encode(&Sha256::digest(&content)[..16]);
    let loads = LoadsFile { path, bytes: content.len() as u64, digest };
    let jailed = Session { loads: Some(vec![loads]), ..session() };
    match client.ask(&Request::Open(Box::new(jailed.clone()))) {
        Reply::Failed { error, .. } if error.starts_with("the jail lacks") => {
            eprintln!("no jail: {error}");
            client.ready(Session { sandbox: Sandbox::BestEffort, ..jailed });
            false
        }
        Reply::Ready(ready) => {
            assert!(ready.jail.iter().all(|step| step.in_force), "{:?}", ready.jail);
            true
        }
        other => panic!("{other:?}"),
    }
}

/// Name, `KIND/NAME.py`, and text of every program, in the order of the names.
fn programs(secrets: &Path) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for kind in fs::read_dir(fates()).unwrap() {
        let kind = kind.unwrap();
        for program in fs::read_dir(kind.path()).unwrap() {
            let program = program.unwrap().file_name();
            names.push(format!("{}/{}", kind.file_name().display(), program.display()));
        }
    }
    assert!(names.len() > 60, "{names:?}");
    names.sort();
    let text = |name: &str| program(name).replace("SECRETS = []", &secret_paths(secrets));
    let mut programs: Vec<_> =
        names.into_iter().map(|name| (text(&name), name)).map(|(text, name)| (name, text)).collect();
    // Too large for a file in the repository.
    programs.push(("memory/50_mb_of_statements".to_owned(), "x = 1\n".repeat(50_000_000 / 6)));
    programs
}

/// Files that no candidate may read, although every user may: loads, archive and journal.
fn secrets() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.path().join("archive.git/refs")).unwrap();
    fs::write(folder.path().join("archive.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(folder.path().join("journal.jsonl"), "{}\n").unwrap();
    fs::create_dir(folder.path().join("loads")).unwrap();
    let row =
        |layer: u32| (0..16).map(|expert| (100 + layer * 7 + expert * expert * 3).to_string()).collect::<Vec<_>>();
    let window: Vec<String> = (0..4).map(|layer| row(layer).join(",")).collect();
    fs::write(folder.path().join("loads/window.csv"), window.join("\n") + "\n").unwrap();
    folder
}

/// The line with the paths that a program tries to read: the secrets, the files in the home folder, and those of this
/// process in /proc.
fn secret_paths(secrets: &Path) -> String {
    let names = ["", "loads", "loads/window.csv", "journal.jsonl", "archive.git", "archive.git/HEAD"];
    let mut paths: Vec<String> = names.map(|name| secrets.join(name).display().to_string()).to_vec();
    let home = std::env::home_dir().and_then(|home| fs::read_dir(home).ok());
    let files = home.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    paths.extend(files.map(|path| path.display().to_string()));
    let me = std::process::id();
    paths.extend(["environ", "maps", "cwd", "fd", "root/etc"].map(|name| format!("/proc/{me}/{name}")));
    format!("SECRETS = {paths:?}")
}

fn files_left() -> Vec<PathBuf> {
    FOLDERS.map(|folder| Path::new(folder).join(LEFT_BEHIND)).into_iter().filter(|path| path.exists()).collect()
}

pub fn kind(evaluation: &Evaluation) -> &'static str {
    match evaluation {
        Evaluation::Measured { .. } => "measured",
        Evaluation::Inconsistent { .. } => "inconsistent",
        Evaluation::Outclassed { .. } => "outclassed",
        Evaluation::Rejected { rejection, .. } => rejection.into(),
    }
}

/// The loads of every sample, to the bit.
fn loads(measurement: &Measurement) -> Vec<[u64; 3]> {
    let samples = measurement.cases.iter().flat_map(|case| &case.samples);
    samples.map(|sample| [sample.mean_load, sample.max_load, sample.bound].map(f64::to_bits)).collect()
}
