//! Gpu: the GPUs of this machine, and the environment in which a driver and torch find one of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;

use crate::shared::sealed_copy;

/// Prints the GPUs as JSON; as a module it tells whether a child can make a context.
pub(crate) const GPUS: &str = include_str!("gpus.py");
/// The first use of CUDA loads kernel modules and wakes all GPUs; that takes tens of seconds where none is kept awake.
const LIMIT: Duration = Duration::from_secs(120);
/// Where drivers keep their libraries if the loader does not know: containers, NixOS, Windows' subsystem for Linux.
const FOLDERS: [&str; 4] =
    ["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/run/opengl-driver/lib", "/usr/lib/wsl/lib"];
const LIBRARIES: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];
/// Which GPUs a scheduler gave to this process, and in which order they count.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
/// What the numbers in that variable count.
const ORDER: &str = "CUDA_DEVICE_ORDER";
const SEARCHED: &str = "LD_LIBRARY_PATH";

/// A GPU, or a slice of one, with what a child needs to use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Gpu {
    pub name: String,
    /// By which `CUDA_VISIBLE_DEVICES` selects it, such as `GPU-1234...`.
    pub uuid: String,
    /// The versions of driver and CUDA.
    pub driver: String,
    /// Its device files, and those that all GPUs share.
    pub files: Vec<PathBuf>,
    /// The folders of the driver's libraries.
    #[serde(skip)]
    pub folders: Vec<PathBuf>,
}

/// What a machine offers.
#[derive(Debug, Default)]
pub struct Gpus {
    /// In the order of their numbers, `cuda:0` first.
    pub gpus: Vec<Gpu>,
    /// Why there is none although the machine has the device files of a driver.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    gpus: Vec<Gpu>,
    folders: Vec<PathBuf>,
    error: Option<String>,
}

impl Gpus {
    /// Asks the driver in a process of its own, outside of all namespaces, as the first use of CUDA makes the device files.
    /// A scheduler's choice of GPUs is respected. A `python` that cannot run offers none: the nursery says why.
    pub fn look(python: &Path) -> Self {
        match ask(python) {
            Ok(Answer { mut gpus, folders, error }) => {
                gpus.iter_mut().for_each(|gpu| gpu.folders.clone_from(&folders));
                Self { gpus, error }
            }
            Err(error) => Self { gpus: Vec::new(), error },
        }
    }
}

impl Gpu {
    /// The variables with which a process finds the driver and sees this GPU alone. Nothing that the driver compiles is
    /// kept, because it would be kept in the scratch folder of one child.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            (VISIBLE, self.uuid.clone().into()),
            ("CUDA_CACHE_DISABLE", "1".into()),
            // torch counts GPUs by the management library, which makes no context that would break in a fork.
            ("PYTORCH_NVML_BASED_CUDA_CHECK", "1".into()),
        ];
        variables.extend(driver_folders().map(|folders| (SEARCHED, folders)));
        // Triton would run ldconfig to find it.
        variables.extend(self.folders.first().map(|folder| ("TRITON_LIBCUDA_PATH", folder.clone().into())));
        variables
    }
}

/// The variables of a process that must not find a GPU.
pub fn no_gpu() -> [(&'static str, OsString); 1] {
    [(VISIBLE, OsString::new())]
}

fn ask(python: &Path) -> Result<Answer, Option<String>> {
    let failed = |error: String| Some(format!("asking the GPU driver: {error}"));
    let Ok(program) = sealed_copy(GPUS.as_bytes()) else { return Err(None) };
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-B", "-"]).env_clear().current_dir("/");
    command.env(ORDER, std::env::var_os(ORDER).unwrap_or_else(|| "PCI_BUS_ID".into()));
    command.envs(std::env::var_os(VISIBLE).map(|visible| (VISIBLE, visible)));
    command.envs(driver_folders().map(|folders| (SEARCHED, folders)));
    let command = command.stdin(program).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut process) = command.spawn() else { return Err(None) };
    let mut output = process.stdout.take().expect("BUG: its output is a pipe");
    let text = read_within(&mut output, LIMIT);
    let _ = process.kill();
    let status = process.wait().map_err(|error| failed(error.to_string()))?;
    let Some(text) = text else { return Err(failed(format!("no answer within {} s", LIMIT.as_secs()))) };
    serde_json::from_str(&text).map_err(|_| failed(format!("{status}")))
}

/// All that a process prints until it closes its output; `None` if that takes longer than `limit`.
fn read_within(output: &mut (impl Read + AsFd), limit: Duration) -> Option<String> {
    let until = Instant::now() + limit;
    let mut bytes = Vec::new();
    loop {
        let left = until.checked_duration_since(Instant::now())?;
        let mut descriptors = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut descriptors, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        if !descriptors[0].any().unwrap_or(false) {
            continue;
        }
        let mut part = [0; 4096];
        match output.read(&mut part) {
            Ok(0) | Err(_) => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// The folders, joined as the loader takes them, in which a driver's libraries lie and the loader may not look by itself;
/// `None` if there are none. Other elements of `LD_LIBRARY_PATH` may hold another torch.
fn driver_folders() -> Option<OsString> {
    let of_user = std::env::var_os(SEARCHED).unwrap_or_default();
    let all = std::env::split_paths(&of_user).chain(FOLDERS.map(PathBuf::from));
    let mut known = BTreeSet::new();
    let holding = all.filter(|folder| LIBRARIES.iter().any(|library| folder.join(library).exists()));
    let folders: Vec<PathBuf> = holding.filter(|folder| known.insert(folder.clone())).collect();
    (!folders.is_empty()).then(|| std::env::join_paths(folders).expect("BUG: parts of a search path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_python_offers_no_gpu_and_no_reason() {
        let gpus = Gpus::look(Path::new("/nonexistent/python"));
        assert!(gpus.gpus.is_empty() && gpus.error.is_none(), "{gpus:?}");
    }

    #[test]
    fn one_that_ends_without_an_answer_is_an_error() {
        let gpus = Gpus::look(Path::new("/bin/false"));
        assert_eq!(gpus.error.as_deref(), Some("asking the GPU driver: exit status: 1"));
    }

    #[test]
    fn a_process_sees_the_chosen_gpu_alone() {
        let gpu = Gpu { uuid: "GPU-1".to_owned(), folders: vec!["/driver".into()], ..Gpu::default() };
        let variables = gpu.variables();
        assert!(variables.contains(&(VISIBLE, "GPU-1".into())), "{variables:?}");
        assert!(variables.contains(&("TRITON_LIBCUDA_PATH", "/driver".into())), "{variables:?}");
        assert_eq!(no_gpu(), [(VISIBLE, OsString::new())]);
    }
}
