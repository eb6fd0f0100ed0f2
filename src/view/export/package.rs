//! A package that an engine loads: the program, its origin, and the hook that the engine offers. What does not depend
//! on the program lies in `engines/`, as the files that are installed.

use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::view::export::origin::Origin;
use crate::view::export::program::standalone;

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Engine {
    Deepseek,
    Sglang,
    Vllm,
    Ascend,
}

/// A file of every package, by its path in the repository.
macro_rules! of_repository {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../", $path)))
    };
}

/// A file of an engine: its name, and its text.
macro_rules! of_engine {
    ($engine:literal, $name:literal) => {
        ($name, include_str!(concat!("engines/", $engine, "/", $name)))
    };
}

type Texts = &'static [(&'static str, &'static str)];

const LICENCES: Texts =
    &[of_repository!("LICENSE-APACHE"), of_repository!("LICENSE-MIT"), of_repository!("LICENSE-THIRD-PARTY")];
/// In the module of every engine.
const COMMON: Texts = &[of_engine!("common", "guard.py"), of_engine!("common", "memory.py")];

/// As it stands in `pyproject.toml`.
const NO_DEPENDENCIES: &str = "dependencies = []";

impl Engine {
    fn name(self) -> &'static str {
        self.into()
    }

    /// The files beside the module, and those of the module.
    fn texts(self) -> (Texts, Texts) {
        match self {
            Self::Deepseek => (
                &[of_engine!("deepseek", "README.md"), of_engine!("deepseek", "pyproject.toml")],
                &[of_engine!("deepseek", "__init__.py")],
            ),
            Self::Sglang => (
                &[of_engine!("sglang", "README.md"), of_engine!("sglang", "pyproject.toml")],
                &[of_engine!("sglang", "__init__.py")],
            ),
            Self::Vllm => (
                &[of_engine!("vllm", "README.md"), of_engine!("vllm", "pyproject.toml")],
                &[of_engine!("vllm", "__init__.py"), of_engine!("vllm", "policy.py")],
            ),
            Self::Ascend => (
                &[of_engine!("ascend", "README.md"), of_engine!("ascend", "pyproject.toml")],
                &[
                    of_engine!("ascend", "__init__.py"),
                    of_engine!("ascend", "placement.py"),
                    of_engine!("ascend", "policy.py"),
                ],
            ),
        }
    }

    /// What its hook calls that the program lacks, in words.
    pub fn lacks(self, program: &str) -> Option<&'static str> {
        match self {
            Self::Sglang if binds(program, "balanced_packing") || starts_from_plan(program) => None,
            Self::Sglang => {
                Some("neither `balanced_packing` nor a `rebalance_experts` that takes `old_phy2log` or `history`")
            }
            _ if binds(program, "rebalance_experts") => None,
            _ => Some("no function `rebalance_experts`"),
        }
    }
}

/// Whether the program defines, imports or assigns this name.
fn binds(program: &str, name: &str) -> bool {
    let code = program.lines().map(|line| line.split('#').next().unwrap_or_default().trim_start());
    let mut statements = code.filter(|line| line.contains(name));
    statements.any(|line| ["def ", "from ", "import ", name].iter().any(|start| line.starts_with(start)))
}

/// Whether its `rebalance_experts` takes a keyword that only policies have. One that is imported or made by a call may.
fn starts_from_plan(program: &str) -> bool {
    let Some((_, rest)) = program.split_once("def rebalance_experts(") else {
        return binds(program, "rebalance_experts");
    };
    let mut depth = 1;
    let is_inside = |next: &char| {
        depth += i32::from("([{".contains(*next)) - i32::from(")]}".contains(*next));
        depth > 0
    };
    let parameters: String = rest.chars().take_while(is_inside).collect();
    ["old_phy2log", "history", "**"].iter().any(|keyword| parameters.contains(keyword))
}

/// The files of the package, by their paths in it.
pub fn package(engine: Engine, program: &str, origin: &Origin) -> Vec<(String, Vec<u8>)> {
    let module = format!("packevolve_{}", engine.name());
    let (beside, inside) = engine.texts();
    let mut files: Vec<(String, String)> = Vec::new();
    files.extend(beside.iter().chain(LICENCES).map(|(name, text)| ((*name).to_owned(), required(text, program))));
    files.push(("VERSION".to_owned(), origin.version() + "\n"));
    files.extend(inside.iter().map(|(name, text)| (format!("{module}/{name}"), (*text).to_owned())));
    files.extend(COMMON.iter().map(|(name, text)| (format!("{module}/{name}"), (*text).to_owned())));
    files.push((format!("{module}/origin.json"), json(origin)));
    files.push((format!("{module}/program.py"), standalone(program, origin)));
    files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect()
}

/// The text of a file beside the module, with Numba among the dependencies if the program imports it: not every engine
/// brings it along, as it does torch and NumPy.
fn required(text: &str, program: &str) -> String {
    let imports =
        |line: &str| ["import numba", "from numba"].into_iter().any(|import| line.trim_start().starts_with(import));
    let named = if program.lines().any(imports) { r#"dependencies = ["numba"]"# } else { NO_DEPENDENCIES };
    text.replace(NO_DEPENDENCIES, named)
}

fn json(origin: &Origin) -> String {
    serde_json::to_string_pretty(origin).expect("BUG: an origin is plain values") + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use strum::VariantNames;

    use super::*;

    #[test]
    fn a_package_has_every_file_that_lies_in_the_folder_of_its_engine() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/view/export/engines");
        for name in Engine::VARIANTS {
            let engine: Engine = name.parse().unwrap();
            let files = package(engine, "", &Origin::of_file(Path::new("p.py"), ""));
            for entry in root.join(name).read_dir().unwrap() {
                let lying = entry.unwrap().file_name().into_string().unwrap();
                let ends = |(path, _): &(String, _)| path.rsplit('/').next() == Some(&*lying);
                assert!(files.iter().any(ends), "{name} lacks {lying}");
            }
        }
    }

    #[test]
    fn a_package_requires_numba_if_its_program_imports_it() {
        for name in Engine::VARIANTS {
            let requires = |program: &str| {
                let files = package(name.parse().unwrap(), program, &Origin::of_file(Path::new("p.py"), ""));
                let (_, text) = files.into_iter().find(|(path, _)| path == "pyproject.toml").unwrap();
                let text = String::from_utf8(text).unwrap();
                text.lines().find(|line| line.starts_with("dependencies")).unwrap().to_owned()
            };
            assert_eq!(requires("import torch\n# from numba\n"), "dependencies = []");
            assert_eq!(requires("from numba import njit\n"), "dependencies = [\"numba\"]");
        }
    }

    #[test]
    fn a_program_has_what_the_hook_of_its_engine_calls() {
        let with = |signature: &str| format!("import torch\n\ndef rebalance_experts({signature}):\n    history = 1\n");
        let fits = |program: &str| [Engine::Sglang, Engine::Vllm].map(|engine| engine.lacks(program).is_none());
        assert_eq!(fits("def balanced_packing(weight, num_packs):\n    # rebalance_experts\n"), [true, false]);
        assert_eq!(fits("from x import balanced_packing, rebalance_experts"), [true, true]);
        assert_eq!(fits(&with("w, r, g: int = max(1, 2), n=1, p=1")), [false, true]);
        for keyword in ["*, old_phy2log=None", "*, history=None", "**others"] {
            assert_eq!(fits(&with(&format!("w, r, g, n, p, {keyword}"))), [true, true], "{keyword}");
        }
        for seed in [include_str!("../../../candidates/eplb.py"), include_str!("../../../candidates/policy.py")] {
            assert_eq!(fits(seed), [true, true]);
        }
    }

    #[test]
    fn readme_and_help_name_the_versions_that_a_package_was_tried_with() {
        let help = include_str!("../../cli/help/engines.md");
        for engine in [Engine::Sglang, Engine::Vllm, Engine::Ascend] {
            let (beside, inside) = engine.texts();
            let tried = inside[0].1.split_once("TRIED = (").unwrap().1.split_once(')').unwrap().0;
            for version in tried.split('"').skip(1).step_by(2) {
                for text in [beside[0].1, help] {
                    assert!(text.contains(version), "{version} of {} is not in:\n{text}", engine.name());
                }
            }
        }
    }
}
