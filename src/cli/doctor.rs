//! `packevolve doctor`: what this machine offers.

use std::path::PathBuf;

use clap::Args;
use packevolve_contract::protocol::{JailStep, Ready};

use super::{Format, config_path, print_json};
use crate::config::Config;
use crate::exit::Exit;
use crate::judge::{self, Judge};

/// Starts a judge and says what it measures with; says what is missing if it does not start.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Settings; `config.yaml` of the current folder if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Doctor {
    pub async fn run(&self) -> anyhow::Result<Exit> {
        let config = Config::read(self.config.as_deref())?;
        let settings = config.settings(config_path(self.config.as_deref()))?;
        let session = judge::session(&settings.evaluation, &[], settings.rng_seed, None);
        let judge = Judge::open(session).await?;
        match self.format {
            Format::Json => print_json(judge.ready())?,
            Format::Table => print(judge.ready(), settings.search.slots),
        }
        Ok(Exit::Success)
    }
}

fn print(ready: &Ready, slots: usize) {
    let Ready { device, device_name, python, torch, windows, real_windows, jail, .. } = ready;
    println!("packevolve  {}", env!("CARGO_PKG_VERSION"));
    println!("python      {python}");
    println!("torch       {torch}");
    println!("device      {device} ({device_name})");
    println!("slots       {slots}");
    println!("loads       {windows} windows, {real_windows} of them as given or made up");
    println!("jail");
    for JailStep { step, in_force, reason } in jail {
        match in_force {
            true => println!("  {step:<18}yes"),
            false => println!("  {step:<18}no: {reason}"),
        }
    }
}
