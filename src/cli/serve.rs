//! `packevolve serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::serve::{Runs, Token, bind};
use crate::view::output::{print, status};

/// Show runs on pages that follow them, for a browser
///
/// Shows all runs of the folder of runs, the newest first, or the one in --run. Prints an address with a token: who has it
/// can read, and no one can change anything. `/metrics` has the figures for Prometheus, with the token as Bearer.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    run: RunArgs,
    /// Port to listen at; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 7070)]
    port: u16,
    /// Address to listen at; another one than the default can be reached from other machines, without encryption
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// File with the token, for scrapers that outlive this process; it is written if it does not exist [default: a new
    /// token]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Serve {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let place = self.run.place()?;
        let token = match &self.token_file {
            Some(path) => Token::kept_in(path)?,
            None => Token::drawn(),
        };
        let server = bind(SocketAddr::new(self.host, self.port), token, Runs::follow(place)).await?;
        print(format!("{}\n", server.address()))?;
        if !self.host.is_loopback() {
            status("note: other machines can reach this address, and nothing on the way is encrypted");
        }
        status("serving until Ctrl-C");
        server.run().await?;
        Ok(Exit::Success)
    }
}
