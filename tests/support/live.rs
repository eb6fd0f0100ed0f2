//! A run under way: its journal is watched for events, its processes are found by their session, signals are sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{Output, World};

/// Longer than anything takes that is waited for; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that is the leader of a session of its own, so that everything below it can be found again.
pub struct Live {
    process: Option<Child>,
    session: Pid,
    journal: PathBuf,
}

impl Live {
    /// Starts `packevolve` with arguments that make or resume the run `name`.
    pub fn start(world: &World, name: &str, arguments: &[&str]) -> Self {
        let mut command = world.command(&[]);
        let setsid = ["/usr/bin/setsid", "/bin/setsid"].into_iter().find(|path| fs::exists(path).unwrap());
        let mut leader = std::process::Command::new(setsid.expect("setsid of util-linux"));
        leader
            .arg(&world.harness)
            .args(arguments)
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        leader.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
        let process = leader.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        command.stdin(Stdio::null());
        let session = Pid::from_raw(process.id().try_into().unwrap());
        Self { process: Some(process), session, journal: world.path("runs").join(name).join("journal.jsonl") }
    }

    /// Waits until the journal holds `count` events of a type.
    pub fn wait_for(&self, event: &str, count: usize) {
        let wanted = format!(r#""event":{{"type":"{event}""#);
        self.until(&format!("{count} times {event}"), || {
            let text = fs::read(&self.journal).unwrap_or_default();
            String::from_utf8_lossy(&text).matches(&wanted).count() >= count
        });
    }

    /// Sends a signal to the harness alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.session, signal).unwrap();
    }

    /// Sends a signal to the harness's process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        killpg(self.session, signal).unwrap();
    }

    /// Pids of the session's processes by their command; ended ones that are not reaped yet are not counted.
    pub fn processes(&self) -> BTreeMap<i32, String> {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: i32| Some((pid, self.command_of(pid)?))).collect()
    }

    fn command_of(&self, pid: i32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let lives = !matches!(fields[0], "Z" | "X") && fields[3] == self.session.to_string();
        lives.then(|| head.split_once('(').unwrap().1.to_owned())
    }

    /// Kills one of the session's processes whose command begins so.
    pub fn kill_one(&self, command: &str) {
        let found = self.processes().into_iter().find(|(_, name)| name.starts_with(command));
        let (pid, _) = found.unwrap_or_else(|| panic!("no {command} in {:?}", self.processes()));
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    /// Waits until nothing of the session is left.
    pub fn wait_until_all_are_gone(&self) {
        self.until("nothing is left of the run", || self.processes().is_empty());
    }

    /// Waits for the harness to end.
    pub fn end(mut self) -> Output {
        let output = self.process.take().unwrap().wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        self.wait_until_all_are_gone();
        ended
    }

    /// Kills the harness as a power cut would, and waits until all below it has followed.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.end().code, None, "it had ended before it was killed");
    }

    fn until(&self, what: &str, happened: impl Fn() -> bool) {
        let began = Instant::now();
        while !happened() {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}; {:?}", self.processes());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Live {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
