//! Judges through ssh: a server of its own on loopback. Long, and skipped by name where no server is installed (Debian:
//! `openssh-server`).

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use packevolve::values::event::Event;
use tempfile::TempDir;

use crate::support::live::Live;
use crate::support::marked::{MARK, all_have_ended, until};
use crate::support::{World, count, judge, skip};

const SERVER: &str = "/usr/sbin/sshd";
/// More than are made before a test has seen what it waits for.
const CANDIDATES: &str = "10000";

/// A server with a key, and a client's settings that lead to it as `node7`.
struct Ssh {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Ssh {
    /// `None`, with a note, where it cannot run.
    fn start() -> Option<Self> {
        let has = |tool: &str| Path::new("/usr/bin").join(tool).is_file();
        if !Path::new(SERVER).is_file() || !has("ssh") || !has("ssh-keygen") || !geteuid().is_root() {
            skip::skip("ssh", "it needs root, openssh-client and openssh-server");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut ssh = Self { folder: TempDir::new().unwrap(), port, server: None };
        for key in ["host", "user"] {
            let status =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &ssh.path(key)]).status();
            assert!(status.unwrap().success());
        }
        fs::copy(ssh.path("user.pub"), ssh.path("authorized")).unwrap();
        fs::set_permissions(ssh.path("authorized"), Permissions::from_mode(0o600)).unwrap();
        fs::write(
            ssh.path("server"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\n\
                 StrictModes no\nPermitRootLogin prohibit-password\nUsePAM no\nPidFile none\nAcceptEnv {MARK}\n",
                ssh.folder.path().display()
            ),
        )
        .unwrap();
        fs::write(
            ssh.path("client"),
            format!(
                "Host node7\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentityFile {0}/user\nBatchMode yes\n\
                 StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nSendEnv {MARK}\n",
                ssh.folder.path().display()
            ),
        )
        .unwrap();
        // The server wants this folder, which its service makes elsewhere.
        fs::create_dir_all("/run/sshd").unwrap();
        ssh.listen();
        Some(ssh)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn listen(&mut self) {
        let mut server = Command::new(SERVER);
        server.args(["-D", "-e", "-f", &self.path("server")]).stdin(Stdio::null()).stderr(Stdio::null());
        self.server = Some(server.spawn().unwrap());
        until("the server listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Ends the server; connections stay.
    fn deafen(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The processes of the server that serve a connection each.
    fn connections(&self) -> Vec<i32> {
        let server = self.server.as_ref().unwrap().id();
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    fn world(&self) -> World {
        let launch = format!("[ssh, -F, {}, node7]", self.path("client"));
        // More restarts than fit into the time in which the server is away.
        let place = format!("{{slots: 2, launch: {launch}, restarts: 100, max_backoff: 2s}}");
        let mut world = World::with(&format!("judges: [{place}]\n"));
        world.export("PATH", &std::env::var("PATH").unwrap());
        world.export(MARK, &self.mark());
        world
    }

    fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[test]
#[ignore = "long: starts an ssh server"]
fn a_run_through_ssh_loses_nothing_when_a_connection_breaks_and_the_server_is_away() {
    judge();
    let Some(mut ssh) = Ssh::start() else { return };
    let world = ssh.world().slowed();
    let live = Live::start(&world, "x", &["evolve", "--run", "x", "--candidates", CANDIDATES]);
    live.wait_for("candidate-evaluated", 2);
    let connections = ssh.connections();
    assert_eq!(connections.len(), 2, "one connection for each slot");
    ssh.deafen();
    kill(Pid::from_raw(connections[0]), Signal::SIGKILL).unwrap();
    // The one that broke, and a try to start it again.
    live.wait_for("slot-lost", 2);
    live.wait_for("candidate-evaluated", 5);
    ssh.listen();
    live.wait_for("slot-opened", 3);
    fs::write(world.path("runs/x/stop"), "").unwrap();
    live.end().ends(0);
    all_have_ended(&ssh.mark());
    // What was made and not measured when it stopped is measured now, and nothing else.
    let made = world.read("x").search.candidates().len();
    world.run(&["resume", "--run", "x", "--candidates", &made.to_string()]).ends(0);
    let run = world.read("x");
    assert!(made > 5 && run.search.tally().ended() == run.search.candidates().len());
    assert!(count(&run, |event| matches!(event, Event::SlotLost { .. })) >= 2);
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains("was lost") && log.contains("Connection refused"), "{log}");
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
}

#[test]
#[ignore = "long: starts an ssh server"]
fn judges_behind_ssh_end_with_a_harness_that_is_interrupted_or_killed() {
    judge();
    let Some(ssh) = Ssh::start() else { return };
    for (name, signals) in [("aborted", &[Signal::SIGINT, Signal::SIGTERM][..]), ("killed", &[Signal::SIGKILL])] {
        let world = ssh.world().slowed();
        let live = Live::start(&world, name, &["evolve", "--run", name, "--candidates", CANDIDATES]);
        live.wait_for("candidate-evaluated", 1);
        signals.iter().for_each(|signal| live.signal(*signal));
        live.end();
        all_have_ended(&ssh.mark());
    }
}
