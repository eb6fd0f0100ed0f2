//! `packevolve doctor`.

use std::path::PathBuf;

use clap::Args;
use packevolve_contract::protocol::{Gpu, JailStep, Ready, Session};
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::cli::input::check_loads;
use crate::config::Config;
use crate::judge::client::{self, Judge, JudgeError};
use crate::view::inspect::torch_text;

/// Show what this machine offers: judge, Python, torch, GPU, jail
///
/// Starts a judge to find out.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Doctor {
    pub async fn run(&self) -> Result<(), CommandError> {
        let config = Config::read(self.config.as_deref())?;
        let settings = config.settings()?;
        check_loads(&config)?;
        let hidden = settings.llm.key_variables();
        let session = client::session(&settings.evaluation, &[], settings.rng_seed, None)?;
        let judge = Judge::open(session.clone(), &hidden).await?;
        let ready = judge.ready().clone();
        drop(judge);
        let mut gpus = Vec::new();
        for gpu in &ready.gpus {
            gpus.push(try_gpu(gpu, &ready, session.clone(), &hidden).await?);
        }
        let report = Report { ready, gpus };
        Ok(self.format.print(&report, |_| text(&report, settings.slots()))?)
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    ready: Ready,
    gpus: Vec<Tried>,
}

/// A GPU, and whether programs can be measured on it.
#[derive(Serialize)]
struct Tried {
    #[serde(flatten)]
    gpu: Gpu,
    /// Why it cannot be used; null if it can.
    error: Option<String>,
    /// The steps of the jail that are in force there.
    jail: Vec<JailStep>,
}

/// Opens a session on a GPU, unless the one that is open was on it.
async fn try_gpu(gpu: &Gpu, ready: &Ready, session: Session, hidden: &[String]) -> Result<Tried, JudgeError> {
    let tried = |error, jail| Tried { gpu: gpu.clone(), error, jail };
    if ready.device == gpu.device {
        return Ok(tried(None, ready.jail.clone()));
    }
    match Judge::open(Session { device: gpu.device.clone(), ..session }, hidden).await {
        Ok(judge) => Ok(tried(None, judge.ready().jail.clone())),
        Err(JudgeError::Refused { error, .. } | JudgeError::Failed { error, .. }) => Ok(tried(Some(error), Vec::new())),
        Err(error) => Err(error),
    }
}

fn text(Report { ready, gpus }: &Report, slots: usize) -> String {
    let Ready { device, device_name, python, numba, windows, real_windows, jail, no_gpu, .. } = ready;
    let numba = numba.as_deref().unwrap_or("none: programs that use it are rejected");
    let step = |JailStep { step, in_force, reason }: &JailStep| match in_force {
        true => format!("  {step:<18}yes\n"),
        false => format!("  {step:<18}no: {reason}\n"),
    };
    let jail: String = jail.iter().map(step).collect();
    let no_gpu = no_gpu.as_ref().map(|reason| format!("            no GPU: {reason}\n")).unwrap_or_default();
    let gpus: String = gpus.iter().map(line_of_gpu).collect();
    format!(
        "packevolve  {}\n\
         python      {python}\n\
         torch       {}\n\
         numpy       {}\n\
         numba       {numba}\n\
         device      {device} ({device_name})\n{no_gpu}{gpus}\
         slots       {slots}\n\
         loads       {windows} windows, {real_windows} of them as given or made up\n\
         jail\n{jail}",
        env!("CARGO_PKG_VERSION"),
        torch_text(ready),
        if ready.numpy.is_empty() { "unknown" } else { &ready.numpy },
    )
}

fn line_of_gpu(Tried { gpu: Gpu { device, name, driver }, error, jail }: &Tried) -> String {
    let left_out: Vec<&str> = jail.iter().filter(|step| !step.in_force).map(|step| step.step.as_str()).collect();
    let verdict = match error {
        Some(error) => format!("cannot be used: {error}"),
        None if left_out.is_empty() => "works in the jail".to_owned(),
        None => format!("works without {}", left_out.join(", ")),
    };
    format!("{device:<12}{name}, driver {driver}: {verdict}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(device: &str) -> Gpu {
        Gpu { device: device.to_owned(), name: "H200".to_owned(), driver: "580.82, CUDA 13.0".to_owned() }
    }

    fn step(step: &str, in_force: bool) -> JailStep {
        JailStep { step: step.to_owned(), in_force, reason: "refused".to_owned() }
    }

    #[test]
    fn each_gpu_has_a_line_with_its_driver_and_the_step_that_keeps_it_from_working() {
        let [whole, partly] =
            [false, true].map(|is_left_out| vec![step("seccomp", !is_left_out), step("landlock", true)]);
        let tried =
            |device, error: Option<&str>, jail| Tried { gpu: gpu(device), error: error.map(str::to_owned), jail };
        let refused = "the jail lacks seccomp: no CUDA context can be made with it";
        let ready = Ready { device: "cpu".to_owned(), device_name: "EPYC".to_owned(), ..Ready::default() };
        let gpus = vec![
            tried("cuda:0", None, whole),
            tried("cuda:1", None, partly),
            tried("cuda:2", Some(refused), Vec::new()),
        ];
        let text = text(&Report { ready, gpus }, 3);
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("device")).take(5).collect();
        assert_eq!(
            lines,
            [
                "device      cpu (EPYC)",
                "cuda:0      H200, driver 580.82, CUDA 13.0: works in the jail",
                "cuda:1      H200, driver 580.82, CUDA 13.0: works without seccomp",
                &format!("cuda:2      H200, driver 580.82, CUDA 13.0: cannot be used: {refused}"),
                "slots       3",
            ]
        );
    }

    #[test]
    fn a_machine_whose_gpu_is_not_offered_says_why() {
        let no_gpu = Some("cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802)".to_owned());
        let ready = Ready { device: "cpu".to_owned(), no_gpu, ..Ready::default() };
        let text = text(&Report { ready, gpus: Vec::new() }, 1);
        assert!(text.contains("\n            no GPU: cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802)\nslots"), "{text}");
    }
}
