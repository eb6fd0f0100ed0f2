//! Writes the place of libtorch into the binaries (rpath), so that they find it from any working directory, and the
//! place of the Python environment that it belongs to, the judge's default interpreter.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=PACKEVOLVE_PYTHON");
    let libtorch = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    let real = libtorch.canonicalize().unwrap_or_else(|_| libtorch.clone());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", real.join("lib").display());
    // .venv/libtorch lies beside .venv/bin/python
    let python = match env::var_os("PACKEVOLVE_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => libtorch.parent().map(|venv| venv.join("bin/python")).unwrap_or_default(),
    };
    println!("cargo:rustc-env=PACKEVOLVE_PYTHON={}", python.display());
}
