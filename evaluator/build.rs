//! Writes the places of libtorch into the binaries (rpath), so that they find it from any working directory: in the
//! environment that they are installed into, or else in the one that they were built with. Also its version, and the
//! place of the Python environment that it belongs to, the judge's default interpreter.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The versions of Python that an environment may have, after `3.`.
const PYTHONS: std::ops::RangeInclusive<u32> = 10..=14;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=PACKEVOLVE_PYTHON");
    let libtorch = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    let real = libtorch.canonicalize().unwrap_or_else(|_| libtorch.clone());
    let installed = PYTHONS.map(|minor| format!("$ORIGIN/../lib/python3.{minor}/site-packages/torch/lib"));
    for place in installed.chain([real.join("lib").display().to_string()]) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
    // .venv/libtorch lies beside .venv/bin/python
    let python = match env::var_os("PACKEVOLVE_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => libtorch.parent().map(|venv| venv.join("bin/python")).unwrap_or_default(),
    };
    println!("cargo:rustc-env=PACKEVOLVE_PYTHON={}", python.display());
    println!("cargo:rustc-env=PACKEVOLVE_TORCH={}", version(&real));
}

/// The version in torch's own file of it; a libtorch without Python has another one.
fn version(torch: &Path) -> String {
    let text = fs::read_to_string(torch.join("version.py")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = '"));
    let own = line.map(|rest| rest.trim_end_matches('\'').to_owned());
    own.or_else(|| fs::read_to_string(torch.join("build-version")).ok().map(|text| text.trim().to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}
