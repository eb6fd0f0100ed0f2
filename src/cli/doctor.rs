//! `packevolve doctor`.

use std::path::PathBuf;

use clap::Args;
use packevolve_contract::protocol::{JailStep, Ready};

use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::cli::input::check_loads;
use crate::config::Config;
use crate::judge::client::{self, Judge};

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
        let session = client::session(&settings.evaluation, &[], settings.rng_seed, None);
        let judge = Judge::open(session, &settings.llm.key_variables()).await?;
        Ok(self.format.print(judge.ready(), |_| text(judge.ready(), settings.search.slots))?)
    }
}

fn text(ready: &Ready, slots: usize) -> String {
    let Ready { device, device_name, python, torch, windows, real_windows, jail, .. } = ready;
    let step = |JailStep { step, in_force, reason }: &JailStep| match in_force {
        true => format!("  {step:<18}yes\n"),
        false => format!("  {step:<18}no: {reason}\n"),
    };
    let jail: String = jail.iter().map(step).collect();
    format!(
        "packevolve  {}\n\
         python      {python}\n\
         torch       {torch}\n\
         device      {device} ({device_name})\n\
         slots       {slots}\n\
         loads       {windows} windows, {real_windows} of them as given or made up\n\
         jail\n{jail}",
        env!("CARGO_PKG_VERSION"),
    )
}
