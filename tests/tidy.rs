//! Tidiness: what the architecture pages promise about the sources, held against the sources. Nothing here is compiled
//! or run; files are read as text, comments cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::skip::skip;

// Declared here, not in `support`, so that this file compiles alone.
#[path = "support/skip.rs"]
pub mod skip;

/// The packages' sources; each has its architecture page in `lib.rs`.
const SOURCES: [&str; 4] = ["src", "evaluator/src", "evaluator/contract/src", "evaluator/loads/src"];

/// This file, which has to say what others must not.
const THIS: &str = "tests/tidy.rs";

/// What a page says right before its list of files or folders, from the lowest layer to the highest.
const LIST_BEGINS: &str = "imports only from the f";

/// Dependencies and the only files or folders that may name them.
const DOORS: [(&str, &[&str]); 37] = [
    ("anyhow", &["evaluator/src/main.rs"]),
    ("axum", &["src/serve/site.rs"]),
    ("bytemuck", &["evaluator/src/shared.rs"]),
    ("bytesize", &["src/cli/deployed.rs", "src/config"]),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli/completions.rs"]),
    ("clap_mangen", &["src/cli"]),
    ("comfy_table", &["src/view/table.rs"]),
    ("console", &["src/view/terminal.rs"]),
    ("csv", &["evaluator/loads/src/table.rs"]),
    ("git2", &["src/archive"]),
    ("flate2", &["evaluator/loads/src/source.rs", "src/proposer/llm/body.rs"]),
    ("futures_util", &["src/serve/site.rs"]),
    ("httpdate", &["src/proposer/llm/retry_after.rs"]),
    ("humantime", &["src/cli", "src/config", "src/proposer/llm/retry_after.rs", "src/view/report/machine.rs"]),
    ("humantime_serde", &["src/config"]),
    ("indicatif", &["src/view/progress.rs"]),
    ("lru", &["src/values/memo.rs"]),
    ("mimalloc", &["src/main.rs"]),
    ("minijinja", &["src/proposer/llm/prompt.rs", "src/view/report/page.rs"]),
    (
        "nix",
        &[
            "evaluator/loads/src/json.rs",
            "evaluator/src",
            "src/view/output.rs",
            "src/judge/client.rs",
            "src/cli/mod.rs",
        ],
    ),
    ("rand_chacha", &["evaluator/contract/src/stream.rs"]),
    ("rand_distr", &["evaluator/src/made_up.rs"]),
    ("reqwest", &["src/proposer/llm/client.rs"]),
    ("rustls", &["src/proposer/llm/client.rs"]),
    ("safetensors", &["evaluator/loads/src/tensorrt.rs"]),
    ("seccompiler", &["evaluator/src/seccomp.rs"]),
    ("serde_yaml", &["src/config", "src/view/plans/tensorrt.rs"]),
    ("sha2", &["evaluator/src/delivery.rs", "evaluator/src/workload.rs", "src/values/digest.rs"]),
    ("similar", &["src/edit/blame.rs", "src/edit/nearest.rs", "src/edit/diff.rs", "src/edit/rewrite.rs"]),
    ("strsim", &["src/config/foreign.rs", "src/edit/nearest.rs", "src/run/fold.rs"]),
    ("tch", &["evaluator/src/tensor.rs"]),
    (
        "tokio",
        &[
            "src/cli",
            "src/run/driver",
            "src/judge/client.rs",
            "src/judge/last_words.rs",
            "src/proposer/llm/client.rs",
            "src/proposer/llm/pool.rs",
            "src/judge/pool.rs",
            "src/serve",
        ],
    ),
    ("tracing_subscriber", &["evaluator/src/main.rs", "src/cli"]),
    ("tree_sitter", &["src/proposer/syntax"]),
    ("tree_sitter_python", &["src/proposer/syntax"]),
    ("zip", &["evaluator/loads/src/archive.rs"]),
];

/// Dependencies that are part of how we write Rust: any file may name them.
const EVERYWHERE: [&str; 10] = [
    "hex",
    "packevolve_contract",
    "packevolve_loads",
    "rand",
    "schemars",
    "serde",
    "serde_json",
    "strum",
    "thiserror",
    "tracing",
];

/// Words and turns of phrase that hide the actor, stand in for a noun, or have a common word in their place.
const NOT_PLAIN: [&str; 25] = [
    "anew",
    "are to be",
    "as it is",
    "brought",
    "but for",
    "come of",
    "comes of",
    "does not come to",
    "go on",
    "goes on",
    "held against",
    "is not its matter",
    "is no",
    "is to be",
    "nobody",
    "no more is",
    "of ours",
    "said so",
    "says so",
    "so many",
    "somebody",
    "told",
    "what is so",
    "whatever",
    "whoever",
];

/// The files whose prose is held to that; proposals and the programs of others are given texts.
const PROSE: [&str; 6] = ["README.md", "config.yaml", "candidates/", "src/", "evaluator/", "tests/"];
const GIVEN: [&str; 3] = ["candidates/proposals/", "candidates/eplb.py", "tests/testdata/"];

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

/// The paths of an import, without its first `crate::`: one, or those of a group in braces.
fn paths(import: &str) -> Vec<Vec<String>> {
    if let Some(group) = import.trim_start().strip_prefix('{') {
        return items(group).into_iter().flat_map(paths).collect();
    }
    let name = word(import);
    let below = import.trim_start()[name.len()..].strip_prefix("::").filter(|_| !name.is_empty());
    let below = below.map_or_else(|| vec![Vec::new()], paths);
    below.into_iter().map(|path| [vec![name.clone()], path].concat()).collect()
}

/// The items of a group, up to the brace that closes it.
fn items(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&group[begin..at]);
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// The path of the module in a file: nothing for `lib.rs` and `main.rs`, its folder's for `mod.rs`.
fn module_path(source: &str, file: &str) -> Option<Vec<String>> {
    let inside = file.strip_prefix(source)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let names = inside.split('/').map(str::to_owned);
    Some(names.filter(|name| !["lib", "main", "mod"].contains(&name.as_str())).collect())
}

/// The file of a module.
fn file_of(source: &str, module: &[String]) -> String {
    let path = [&[source.to_owned()], module].concat().join("/");
    let places = match module {
        [] => vec![format!("{path}/lib.rs")],
        _ => vec![format!("{path}/mod.rs"), format!("{path}.rs")],
    };
    places.into_iter().find(|place| root().join(place).is_file()).unwrap_or_else(|| panic!("{path} is no module"))
}

/// The code of a file without its inline tests.
fn own_code(file: &str) -> String {
    let code = code(file);
    let tests = code.find("#[cfg(test)]\nmod tests").unwrap_or(code.len());
    code[..tests].to_owned()
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
    let list = lines.skip_while(|line| !line.contains(LIST_BEGINS)).take_while(|line| !line.starts_with('#'));
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

/// Holds the order of folders and, in each folder, of its files: the order in which their parent declares them.
#[test]
fn a_file_imports_only_from_what_is_declared_before_it() {
    let mut wrong = BTreeSet::new();
    for source in SOURCES {
        for file in rust_files().filter(|file| !file.ends_with("/tests.rs")) {
            let Some(own) = module_path(source, &file) else { continue };
            for theirs in after_each(&own_code(&file), "crate::").flat_map(paths) {
                let shared = own.iter().zip(&theirs).take_while(|(own, theirs)| own == theirs).count();
                // A module may use what is in it.
                let Some(unit) = own.get(shared) else { continue };
                let folder = file_of(source, &own[..shared]);
                let order = declared(&folder);
                let place = |name: &str| order.iter().position(|declared| declared == name);
                let theirs = theirs.get(shared).cloned().unwrap_or_default();
                match place(&theirs) {
                    None => wrong.insert(format!("{file} imports {theirs} from {folder}, which contains it")),
                    at if at < place(unit) => continue,
                    _ => wrong.insert(format!("{file} imports {theirs}, declared after {unit} in {folder}")),
                };
            }
        }
    }
    assert!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
}

/// A path through `super` would get past the check of imports.
#[test]
fn no_import_climbs_out_of_its_module() {
    for source in SOURCES {
        for file in rust_files()
            .filter(|file| file.starts_with(source) && !["tests.rs", "fuzz.rs"].iter().any(|end| file.ends_with(end)))
        {
            let climbs =
                own_code(&file).lines().any(|line| line.contains("super::") && !line.starts_with("    use super::*"));
            assert!(!climbs, "{file} climbs by `super::`: write `crate::`");
        }
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

/// The words of a file in one line, lower-case, without comment markers; names in code are words too.
fn prose(path: &str) -> String {
    let text = read(path).to_lowercase().replace('_', " ");
    let words = text.split_whitespace().filter(|word| !word.chars().all(|c| "/!#*".contains(c)));
    format!(" {} ", words.collect::<Vec<_>>().join(" "))
}

#[test]
fn prose_is_plain_english() {
    let mut wrong = Vec::new();
    let starts = |path: &str, with: &[&str]| with.iter().any(|start| path.starts_with(start));
    for file in files() {
        if !starts(&file, &PROSE) || file == THIS || starts(&file, &GIVEN) {
            continue;
        }
        let prose = prose(&file);
        for phrase in NOT_PLAIN {
            for (at, _) in prose.match_indices(phrase) {
                let (before, after) = (&prose[..at], &prose[at + phrase.len()..]);
                let is_part = before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric);
                // "There is no X" is plain; "it is no X" is not.
                let is_plain = phrase == "is no" && before.ends_with("there ");
                if !is_part && !is_plain {
                    wrong.push(format!("{file}: {phrase}: ...{}", after.chars().take(40).collect::<String>()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "write it in plain English:\n{}", wrong.join("\n"));
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

/// The given proposals lie beside the checkout of a session.
#[test]
fn the_given_proposals_are_kept_to_the_byte() {
    let given = root().join("../shared/proposals");
    let Ok(entries) = fs::read_dir(&given) else {
        return skip("given-proposals", format_args!("there is no {}", given.display()));
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let kept = root().join("candidates/proposals").join(path.file_name().unwrap());
        assert_eq!(fs::read(&kept).ok(), fs::read(&path).ok(), "{}", kept.display());
    }
}
