//! Judges through Slurm: a controller and a node of their own on this machine, started as root without systemd. Long, and
//! skipped by name where Slurm and munge are not installed (Debian: `slurm-wlm` and `munge`).

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::unistd::geteuid;
use packevolve::values::event::Event;
use tempfile::TempDir;

use crate::support::live::Live;
use crate::support::marked::{MARK, all_have_ended, marked, until};
use crate::support::{World, count, judge, skip};

const LAUNCH: &str = "[srun, --ntasks=1, --cpus-per-task=1, --cpu-bind=cores]";
/// More than are made before a test has seen what it waits for.
const CANDIDATES: &str = "10000";

/// A cluster of one node; it ends when dropped.
struct Slurm {
    folder: TempDir,
    node: String,
    daemons: Vec<Child>,
}

impl Slurm {
    /// `None`, with a note, where it cannot run.
    fn start() -> Option<Self> {
        let path = path();
        let lacks = |tool: &&str| !path.split(':').any(|folder| PathBuf::from(folder).join(tool).is_file());
        let missing: Vec<&str> =
            ["munged", "slurmctld", "slurmd", "srun", "scancel"].into_iter().filter(lacks).collect();
        if !missing.is_empty() || !geteuid().is_root() {
            skip::skip("slurm", format!("it needs root, slurm-wlm and munge; missing: {missing:?}"));
            return None;
        }
        let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
        let mut slurm = Self { folder: TempDir::new().unwrap(), node, daemons: Vec::new() };
        slurm.configure();
        slurm.start_munge();
        slurm.daemon("slurmctld", &["-D", "-c"]);
        slurm.daemon("slurmd", &["-D", "-N", &slurm.node.clone()]);
        until("the node is idle", || slurm.ask("sinfo", &["-h", "-o", "%t"]) == "idle");
        Some(slurm)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn configure(&self) {
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o711)).unwrap();
        let [controller, node] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = |listener: TcpListener| listener.local_addr().unwrap().port();
        let (controller, daemon) = (port(controller), port(node));
        let (name, folder) = (&self.node, self.folder.path().display());
        let cpus = std::thread::available_parallelism().unwrap();
        fs::write(
            self.path("slurm.conf"),
            format!(
                "ClusterName=packevolve\nSlurmctldHost={name}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
                 AuthType=auth/munge\nAuthInfo=socket={folder}/munge.socket\n\
                 StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n\
                 SlurmctldPidFile={folder}/controller.pid\nSlurmdPidFile={folder}/node.pid\n\
                 SlurmctldPort={controller}\nSlurmdPort={daemon}\n\
                 ProctrackType=proctrack/linuxproc\nTaskPlugin=task/affinity\n\
                 SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nMpiDefault=none\n\
                 NodeName={name} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN\n\
                 PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
            ),
        )
        .unwrap();
        fs::create_dir(self.path("state")).unwrap();
        fs::create_dir(self.path("spool")).unwrap();
    }

    /// Its own munge, with a key and a socket that nothing else uses.
    fn start_munge(&mut self) {
        let mut key = [0; 1024];
        File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
        fs::write(self.path("munge.key"), key).unwrap();
        fs::set_permissions(self.path("munge.key"), Permissions::from_mode(0o600)).unwrap();
        let files = [
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        ];
        let files = files.map(|(option, end)| format!("--{option}={}", self.path(&format!("munge.{end}"))));
        let arguments: Vec<&str> = files.iter().map(String::as_str).chain(["--force", "--foreground"]).collect();
        self.daemon("munged", &arguments);
        let socket = self.path("munge.socket");
        until("munge listens", || fs::exists(&socket).unwrap());
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.path(&format!("{program}.log"))).unwrap();
        let mut command = self.command(program, arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.path("slurm.conf")).env("PATH", path());
        command
    }

    /// What a client of the cluster prints.
    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn set_node(&self, state: &str) {
        let node = format!("NodeName={}", self.node);
        self.ask("scontrol", &["update", &node, &format!("State={state}"), "Reason=test"]);
    }

    /// The jobs that run, one for each judge.
    fn jobs(&self) -> Vec<String> {
        self.ask("squeue", &["-h", "-t", "running", "-o", "%i"]).lines().map(str::to_owned).collect()
    }

    fn world(&self, judges: &str) -> World {
        let mut world = World::with(&format!("judges: [{judges}]\n"));
        world.export("SLURM_CONF", &self.path("slurm.conf"));
        world.export("PATH", &path());
        world.export(MARK, &self.mark());
        world
    }

    fn mark(&self) -> String {
        self.folder.path().display().to_string()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // The clients first: they need the daemons to end.
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// With the folders of daemons.
fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

#[test]
#[ignore = "long: starts Slurm"]
fn a_run_through_slurm_loses_nothing_when_a_step_is_cancelled_and_the_node_drained() {
    judge();
    let Some(slurm) = Slurm::start() else { return };
    let world = slurm.world(&format!("{{slots: 2, launch: {LAUNCH}}}")).slowed();
    let live = Live::start(&world, "x", &["evolve", "--run", "x", "--candidates", CANDIDATES]);
    live.wait_for("candidate-evaluated", 2);
    let jobs = slurm.jobs();
    assert_eq!(jobs.len(), 2, "one step for each slot, and none for a candidate");
    assert_cpus_differ(&slurm);
    slurm.set_node("DRAIN");
    slurm.ask("scancel", &[&format!("{}.0", jobs[0])]);
    live.wait_for("slot-lost", 1);
    live.wait_for("candidate-evaluated", 5);
    assert_eq!(slurm.jobs().len(), 1, "a drained node starts nothing");
    slurm.set_node("RESUME");
    live.wait_for("slot-opened", 3);
    fs::write(world.path("runs/x/stop"), "").unwrap();
    live.end().ends(0);
    until("no job is left", || slurm.ask("squeue", &["-h"]).is_empty());
    all_have_ended(&slurm.mark());
    // What was made and not measured when it stopped is measured now, and nothing else.
    let made = world.read("x").search.candidates().len();
    world.run(&["resume", "--run", "x", "--candidates", &made.to_string()]).ends(0);
    let run = world.read("x");
    assert!(made > 5 && run.search.tally().ended() == run.search.candidates().len());
    assert!(count(&run, |event| matches!(event, Event::SlotLost { .. })) >= 1);
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
}

/// Each judge has a core of its own.
#[track_caller]
fn assert_cpus_differ(slurm: &Slurm) {
    let judges = marked(&slurm.mark()).into_iter().filter(|(_, command)| command.starts_with("packevolve-judg"));
    let cpus: Vec<String> = judges.map(|(pid, _)| allowed_cpus(pid)).collect();
    assert!(cpus.len() == 2 && cpus[0] != cpus[1], "{cpus:?}");
}

fn allowed_cpus(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
}

#[test]
#[ignore = "long: starts Slurm"]
fn judges_in_slurm_end_with_a_harness_that_is_interrupted_or_killed() {
    use nix::sys::signal::Signal;
    judge();
    let Some(slurm) = Slurm::start() else { return };
    for (name, signals) in [("aborted", &[Signal::SIGINT, Signal::SIGTERM][..]), ("killed", &[Signal::SIGKILL])] {
        let world = slurm.world(&format!("{{slots: 2, launch: {LAUNCH}}}")).slowed();
        let live = Live::start(&world, name, &["evolve", "--run", name, "--candidates", CANDIDATES]);
        live.wait_for("candidate-evaluated", 1);
        signals.iter().for_each(|signal| live.signal(*signal));
        live.end();
        until("no job is left", || slurm.ask("squeue", &["-h"]).is_empty());
        all_have_ended(&slurm.mark());
    }
}
