//! Tidiness: what the architecture pages promise about the sources, held against the sources. Nothing here is compiled
//! or run; files are read as text, comments cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The packages' sources; each has its architecture page in `lib.rs`.
const SOURCES: [&str; 3] = ["src", "evaluator/src", "evaluator/contract/src"];

/// This file, which has to say what others must not.
const THIS: &str = "tests/tidy.rs";

/// What a page says right before its list of files, from the lowest layer to the highest.
const LIST_BEGINS: &str = "A file imports only from the files above it";

/// Dependencies and the only files or folders that may name them.
const DOORS: [(&str, &[&str]); 33] = [
    ("anyhow", &["evaluator/src/main.rs", "src/cli"]),
    ("bytemuck", &["evaluator/src/shared.rs"]),
    ("bytesize", &["src/config.rs"]),
    ("clap", &["src/cli"]),
    ("comfy_table", &["src/table.rs"]),
    ("console", &["src/terminal.rs"]),
    ("csv", &["evaluator/src/trace"]),
    ("flate2", &["src/repository"]),
    ("git2", &["src/repository"]),
    ("httpdate", &["src/proposer/llm/client.rs"]),
    ("humantime", &["src/cli", "src/report/machine.rs"]),
    ("humantime_serde", &["src/config.rs"]),
    ("indicatif", &["src/progress.rs"]),
    ("lru", &["src/recent.rs"]),
    ("mimalloc", &["src/main.rs"]),
    ("minijinja", &["src/proposer/llm/prompt.rs", "src/report/page.rs"]),
    ("nix", &["evaluator/src", "src/output.rs", "src/repository/ahead.rs", "src/slots.rs"]),
    ("plotters", &["src/plot"]),
    ("rand_chacha", &["evaluator/contract/src/stream.rs"]),
    ("rand_distr", &["evaluator/src/made_up.rs"]),
    ("reqwest", &["src/proposer/llm/client.rs"]),
    ("rmp_serde", &["src/snapshot.rs"]),
    ("rustls", &["src/proposer/llm/client.rs"]),
    ("seccompiler", &["evaluator/src/sandbox.rs"]),
    ("serde_yaml", &["src/config.rs"]),
    ("sha2", &["evaluator/src/workload.rs", "src/journal", "src/snapshot.rs"]),
    ("similar", &["src/blame.rs", "src/nearest.rs", "src/patch.rs", "src/rewrite.rs"]),
    ("strsim", &["src/config.rs", "src/run.rs"]),
    ("tch", &["evaluator/src/tensor.rs"]),
    (
        "tokio",
        &["src/cli", "src/driver.rs", "src/judge.rs", "src/proposer/llm/client.rs", "src/requests.rs", "src/slots.rs"],
    ),
    ("tracing_subscriber", &["evaluator/src/main.rs", "src/log.rs"]),
    ("tree_sitter", &["src/proposer/syntax"]),
    ("tree_sitter_python", &["src/proposer/syntax"]),
];

/// Dependencies that are part of how we write Rust: any file may name them.
const EVERYWHERE: [&str; 7] = ["hex", "packevolve_contract", "rand", "serde", "serde_json", "thiserror", "tracing"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files that git does not ignore, relative to the root, sorted.
fn files() -> Vec<String> {
    let ignored: BTreeSet<String> = read(".gitignore").lines().map(|line| line.replace('/', "")).collect();
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let name = path.display().to_string();
            match root().join(&path).is_dir() {
                _ if name == ".git" || ignored.contains(&name) => {}
                true => folders.push(path),
                false => files.push(name),
            }
        }
    }
    files.sort();
    files
}

fn rust_files() -> impl Iterator<Item = String> {
    files().into_iter().filter(|path| path.ends_with(".rs"))
}

/// A source without its comments.
fn code(path: &str) -> String {
    let text = read(path);
    let lines = text.lines().map(|line| line.find("//").map_or(line, |at| &line[..at]));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows each `word` that stands alone in `code`.
fn after_each<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let after = &code[at + word.len()..];
        let part_of_another = code[..at].ends_with(is_word) || (word.ends_with(is_word) && after.starts_with(is_word));
        (!part_of_another).then_some(after)
    })
}

/// The word that `text` begins with.
fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

/// First names of the paths in an import: one, or those of a group in braces.
fn first_names(import: &str) -> Vec<String> {
    let Some(group) = import.strip_prefix('{') else { return vec![word(import)] };
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        if begins && depth == 0 && is_word(c) {
            names.push(word(&group[at..]));
            begins = false;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' => begins = true,
            _ => {}
        }
    }
    names
}

/// The module of a package that a file belongs to: its own, or that of its folder. `None` for `lib.rs` and `main.rs`.
fn module<'a>(source: &str, file: &'a str) -> Option<&'a str> {
    let inside = file.strip_prefix(source)?.strip_prefix('/')?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then_some(name)
}

/// The names in backticks of a page's list.
fn listed(source: &str) -> Vec<String> {
    let page = read(&format!("{source}/lib.rs"));
    let lines = page.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let list = lines.skip_while(|line| !line.starts_with(LIST_BEGINS)).take_while(|line| !line.starts_with('#'));
    let list = list.collect::<Vec<_>>().join("\n");
    // `mod@` tells rustdoc which of two things of one name is meant.
    list.split('`').skip(1).step_by(2).map(|name| name.trim_start_matches("mod@").to_owned()).collect()
}

/// A package's modules, from the lowest layer to the highest.
fn layers(source: &str) -> Vec<String> {
    listed(source).into_iter().filter(|name| name.chars().all(is_word)).collect()
}

fn is_behind(file: &str, door: &str) -> bool {
    file == door || Path::new(file).with_extension("") == Path::new(door) || file.starts_with(&format!("{door}/"))
}

#[test]
fn every_source_says_first_what_it_is_for() {
    for file in rust_files() {
        assert!(read(&file).starts_with("//! "), "{file} does not open with `//!`");
    }
}

#[test]
fn the_architecture_pages_list_the_files_that_there_are() {
    for source in SOURCES {
        let all = files();
        let modules: BTreeSet<&str> = all.iter().filter_map(|file| module(source, file)).collect();
        let (python, rust): (Vec<&str>, Vec<&str>) = modules.into_iter().partition(|name| name.ends_with(".py"));
        let layers = layers(source);
        assert_eq!(sorted(&layers), rust, "{source}/lib.rs lists, and there are");
        let others: Vec<String> = listed(source).into_iter().filter(|name| name.ends_with(".py")).collect();
        assert_eq!(sorted(&others), python, "{source}/lib.rs lists, and there are");
        assert_eq!(declared(&format!("{source}/lib.rs")), layers, "{source}/lib.rs declares, and lists");
    }
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Modules in files of their own that a source declares.
fn declared(file: &str) -> Vec<String> {
    let code = code(file);
    let modules = after_each(&code, "mod").filter_map(|after| after.split_once(';')).map(|(name, _)| name.trim());
    modules.filter(|name| name.chars().all(is_word)).map(str::to_owned).collect()
}

#[test]
fn every_file_of_tests_is_a_module_of_the_one_binary() {
    for folder in ["tests", "evaluator/tests"] {
        let all = files();
        let inside = all.iter().filter_map(|file| file.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs"));
        let modules = inside.map(|path| path.strip_suffix("/mod").unwrap_or(path));
        let modules: Vec<&str> = modules.filter(|name| !name.contains('/') && *name != "main").collect();
        let main = format!("{folder}/main.rs");
        assert_eq!(sorted(&declared(&main)), modules, "{main} declares, and there are");
    }
}

#[test]
fn a_file_imports_only_from_the_files_above_it() {
    for source in SOURCES {
        let layers = layers(source);
        let place = |module: &str| layers.iter().position(|layer| layer == module);
        for file in rust_files() {
            let Some(own) = module(source, &file) else { continue };
            for name in after_each(&code(&file), "crate::").flat_map(first_names) {
                let Some(theirs) = place(&name) else { panic!("{file} imports crate::{name}, which is no module") };
                assert!(Some(theirs) <= place(own), "{file} imports crate::{name}, which is not above it");
            }
        }
    }
}

/// A path through `super` would get past the check of imports.
#[test]
fn no_import_climbs_out_of_its_module() {
    for file in rust_files().filter(|file| file != THIS) {
        let code = code(&file);
        assert!(!code.contains("super::super"), "{file} climbs by `super::super`: write `crate::`");
        let top =
            SOURCES.iter().any(|source| file.strip_prefix(&format!("{source}/")).is_some_and(|f| !f.contains('/')));
        let own = code.lines().take_while(|line| !(line.starts_with("mod ") && line.ends_with('{')));
        let climbs = own.into_iter().any(|line| line.contains("super::"));
        assert!(!(top && climbs), "{file} climbs by `super::`: write `crate::`");
    }
}

#[test]
fn every_dependency_has_one_door() {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in rust_files().filter(|file| SOURCES.iter().any(|source| file.starts_with(&format!("{source}/")))) {
        let code = code(&file);
        for (dependency, doors) in DOORS {
            let is_named = after_each(&code, dependency).any(|after| after.starts_with("::"))
                || code.contains(&format!("with = \"{dependency}\""));
            if is_named {
                let door = doors.iter().find(|door| is_behind(&file, door));
                let door = door.unwrap_or_else(|| panic!("{file} names {dependency}, which stays behind {doors:?}"));
                named.entry(dependency).or_default().insert(door);
            }
        }
    }
    for (dependency, doors) in DOORS {
        let used = named.remove(dependency).unwrap_or_default();
        assert_eq!(used, doors.iter().copied().collect(), "{dependency} is used behind, and has the doors");
    }
}

#[test]
fn every_dependency_is_known_to_this_test_and_used() {
    for source in SOURCES {
        let package = Path::new(source).parent().unwrap().join("Cargo.toml").display().to_string();
        let sources: Vec<String> = rust_files().filter(|file| file.starts_with(&format!("{source}/"))).collect();
        for dependency in dependencies(&package) {
            let known = EVERYWHERE.contains(&dependency.as_str()) || DOORS.iter().any(|(name, _)| *name == dependency);
            assert!(known, "{package}: where may {dependency} be named?");
            let used = sources.iter().any(|file| after_each(&code(file), &dependency).next().is_some());
            assert!(used, "{package}: {dependency} is not used");
        }
    }
}

/// A package's dependencies as the sources call them, those of tests left out.
fn dependencies(package: &str) -> Vec<String> {
    let text = read(package);
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
    lines.map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn only_the_sandbox_is_unsafe() {
    for file in rust_files().filter(|file| !file.ends_with("/sandbox.rs") && file != THIS) {
        let code = code(&file);
        for word in ["unsafe", "unsafe_code"] {
            assert!(after_each(&code, word).next().is_none(), "{file} says `{word}`");
        }
    }
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    let homes = ["root", "home", "Users"].map(|home| format!("/{home}/"));
    let folders = [homes.to_vec(), vec![root().display().to_string()]].concat();
    for file in files().into_iter().filter(|file| file != THIS) {
        let bytes = fs::read(root().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for folder in &folders {
            let absolute = text.match_indices(folder).any(|(at, _)| !text[..at].ends_with(|c| is_word(c) || c == '.'));
            assert!(!absolute, "{file} names a path in {folder}");
        }
    }
}

/// The given proposals lie beside a checkout; without them there is nothing to compare and the test says so.
#[test]
fn the_given_proposals_are_kept_to_the_byte() {
    let given = root().join("../shared/proposals");
    let Ok(entries) = fs::read_dir(&given) else {
        println!("skipped: there is no {}", given.display());
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let kept = root().join("candidates/proposals").join(path.file_name().unwrap());
        assert_eq!(fs::read(&kept).ok(), fs::read(&path).ok(), "{}", kept.display());
    }
}
