//! The installed program: the wheel in a fresh environment, the installation without pip, the sources, and a set-up that
//! says little.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::skip::skip;
use crate::support::{Output, SMALL, World, harness, judge, repository};

/// The Python of the checkout, whose packages are those that a wheel requires.
fn python() -> Option<PathBuf> {
    let python = repository(".venv/bin/python");
    if !python.exists() {
        skip("python", format_args!("there is no {}", python.display()));
        return None;
    }
    Some(python)
}

/// The backend, with the programs that these tests were built with.
fn backend(python: &Path, arguments: &[&str]) -> Output {
    judge();
    let mut command = Command::new(python);
    command.arg("-B").arg(repository("packaging/backend.py")).args(arguments);
    Output::of(command.env("PACKEVOLVE_PROGRAMS", harness().parent().unwrap()))
}

/// An environment without packages but those that `pip install` would download, which are links to the checkout's.
fn fresh(python: &Path, folder: &Path) -> PathBuf {
    Output::of(Command::new(python).args(["-m", "venv"]).arg(folder)).ends(0);
    let own = packages(folder);
    for entry in fs::read_dir(packages(&repository(".venv"))).unwrap().map(Result::unwrap) {
        let path = own.join(entry.file_name());
        if !path.exists() {
            symlink(entry.path(), path).unwrap();
        }
    }
    folder.join("bin")
}

fn packages(environment: &Path) -> PathBuf {
    let mut folders = fs::read_dir(environment.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    folders.find(|path| path.join("site-packages").is_dir()).unwrap().join("site-packages")
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("one file: {files:?}") };
    file.clone()
}

#[test]
fn a_wheel_in_a_fresh_environment_searches_in_an_empty_folder() {
    let Some(python) = python() else { return };
    let world = World::new();
    fs::remove_file(world.path("config.yaml")).unwrap();
    let dist = world.path("dist").display().to_string();
    backend(&python, &["wheel", &dist]).ends(0);
    let wheel = only_file(&world.path("dist"));
    let name = wheel.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("packevolve-") && name.contains("-py3-none-manylinux_2_"), "{name}");
    let bin = fresh(&python, &world.path("environment"));
    // Nothing is downloaded: what the wheel requires is there, in the versions that it requires.
    let install = ["-m", "pip", "install", "--no-index", "--disable-pip-version-check", &wheel.display().to_string()];
    Output::of(Command::new(bin.join("python")).args(install)).ends(0);
    Output::of(Command::new(bin.join("python")).args(["-m", "pip", "check"])).ends(0);
    fs::create_dir(world.path("empty")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(bin.join("packevolve"));
        Output::of(command.args(arguments).env_clear().current_dir(world.path("empty")))
    };
    // A small deployment, so that the judge is quick; the programs are those of the wheel.
    world.write("small.yaml", format!("{SMALL}runs: empty/runs\n"));
    let evolved = run(&["evolve", "--config", "../small.yaml", "--run", "x", "--candidates", "4"]).ends(0);
    assert!(evolved.stdout.contains("best: candidate"), "{}", evolved.stdout);
    run(&["export", "-o", "eplb.py"]).ends(0);
    assert!(fs::read_to_string(world.path("empty/eplb.py")).unwrap().contains("def balanced_packing"));
    run(&["init"]).ends(0);
    let programs = fs::read(bin.join("packevolve-judge")).unwrap();
    let place = repository(".venv").canonicalize().unwrap().join("lib/python3.").display().to_string();
    let is_place = |bytes: &[u8]| bytes.windows(place.len()).any(|part| part == place.as_bytes());
    assert!(is_place(&fs::read(judge()).unwrap()) && !is_place(&programs), "the wheel names a folder of this machine");
    let licences = world.path("environment").join("lib");
    let found =
        Output::of(Command::new("find").arg(licences).args(["-name", "LICENSE-CRATES", "-size", "+100k"])).ends(0);
    assert!(found.stdout.contains("packevolve-"), "the licences of the crates: {}", found.stdout);
    assert!(world.path("environment/share/man/man1/packevolve.1").exists());
}

#[test]
fn what_a_wheel_holds_is_what_its_record_says() {
    let Some(python) = python() else { return };
    let world = World::new();
    let dist = world.path("dist").display().to_string();
    backend(&python, &["wheel", &dist]).ends(0);
    let check = "
import base64, csv, hashlib, io, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
record = next(name for name in wheel.namelist() if name.endswith('/RECORD'))
rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode()))}
assert set(rows) == set(wheel.namelist()), set(rows) ^ set(wheel.namelist())
for name, (digest, size) in rows.items():
    if name != record:
        own = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b'=').decode()
        assert (digest, size) == (f'sha256={own}', str(len(wheel.read(name)))), name
metadata = wheel.read(record.replace('RECORD', 'METADATA')).decode()
for wanted in ('Requires-Dist: torch==', 'License-Expression: MIT OR Apache-2.0', 'License-File: LICENSE-THIRD-PARTY'):
    assert wanted in metadata, wanted
for name in [line.split(': ')[1] for line in metadata.splitlines() if line.startswith('License-File: ')]:
    assert record.replace('RECORD', 'licenses/' + name) in rows, name
";
    let wheel = only_file(&world.path("dist"));
    Output::of(Command::new(python).args(["-c", check]).arg(wheel)).ends(0);
}

#[test]
fn the_sources_are_whole_and_nothing_else() {
    let Some(python) = python() else { return };
    let world = World::new();
    let dist = world.path("dist").display().to_string();
    backend(&python, &["sdist", &dist]).ends(0);
    let archive = only_file(&world.path("dist")).display().to_string();
    world.tool("tar", &["-xzf", &archive]).ends(0);
    let sources = only_file_but(&world, "packevolve-");
    for wanted in
        ["PKG-INFO", "Cargo.lock", "build.rs", "pyproject.toml", "candidates/eplb.py", "evaluator/src/jail.py"]
    {
        assert!(sources.join(wanted).is_file(), "{wanted}");
    }
    for left_out in [".venv", "target", "runs", "dist", ".git"] {
        assert!(!sources.join(left_out).exists(), "{left_out}");
    }
    let metadata = Output::of(
        Command::new("cargo")
            .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
            .current_dir(&sources),
    );
    assert!(metadata.ends(0).stdout.contains("packevolve-evaluator"));
}

fn only_file_but(world: &World, begin: &str) -> PathBuf {
    let paths = fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(begin);
    paths.into_iter().find(is_it).unwrap()
}

#[test]
fn an_installation_without_pip_works_and_refuses_a_rival_torch() {
    let Some(python) = python() else { return };
    let world = World::new();
    let prefix = world.path("prefix").display().to_string();
    backend(&python, &["install", &prefix]).ends(0);
    let installed = world.tool(&format!("{prefix}/bin/packevolve"), &["doctor"]).ends(0);
    assert!(installed.stdout.contains("torch       2."), "{}", installed.stdout);
    assert!(world.path("prefix/share/man/man1/packevolve.1").exists());
    assert!(world.path("prefix/share/bash-completion/completions/packevolve").exists());
    fs::create_dir_all(world.path("prefix/lib/python3.12/site-packages/torch")).unwrap();
    let refused = backend(&python, &["install", &prefix]);
    assert!(refused.code == Some(1) && refused.stderr.contains("choose another PREFIX"), "{refused:?}");
}

#[test]
fn a_step_of_the_set_up_is_one_line_and_a_failed_one_names_its_log() {
    let Some(python) = python() else { return };
    let world = World::new();
    let step = |more: &[&str], script: &str| {
        let fixed = ["-B", "STEP", "--log", "logs/setup.log", "--name", "Something"];
        let mut arguments: Vec<String> = [&fixed, more].concat().into_iter().map(str::to_owned).collect();
        arguments[1] = repository("packaging/step.py").display().to_string();
        arguments.extend(["--", "sh", "-c", script].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        world.tool(&python.display().to_string(), &arguments)
    };
    let quiet = step(&["--size", "config.yaml"], "for word in $(seq 2000); do echo noise $word; done").ends(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.lines().count()), ("", 1), "{quiet:?}");
    assert!(quiet.stderr.starts_with("Something ") && quiet.stderr.contains(" MB"), "{quiet:?}");
    let nothing = step(&["--only-if", "Compiling"], "echo Finished").ends(0);
    assert_eq!(nothing.stderr, "");
    let failed = step(&[], "echo before; seq 100; echo the reason >&2; exit 7").ends(7);
    assert!(failed.stderr.contains("the reason\n") && !failed.stderr.contains("before"), "{failed:?}");
    assert!(failed.stderr.contains("all of its output is in logs/setup.log"), "{failed:?}");
    let log = fs::read_to_string(world.path("logs/setup.log")).unwrap();
    assert!(log.contains("noise 2000") && log.contains("before"));
}
