//! Sandbox: which steps of the jail are taken, what follows when one cannot be, and the system calls that a child is
//! denied. The steps themselves are taken by the child, in `jail.py`.
//!
//! They are taken there because a child is a fork of the Python that has torch: between its fork and its program no
//! Rust runs. What they need of the kernel is a dozen calls through ctypes, with nothing to build, find or load.

use nix::libc::{self, c_long};
use packevolve_contract::protocol::{JailStep, Sandbox};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter};

/// The steps in the order in which a child takes them; whether judging itself needs the step, jail or no jail.
const STEPS: [(&str, bool); 8] = [
    ("descriptors", true),
    ("environment", true),
    ("resource-limits", true),
    ("namespaces", false),
    ("filesystem", false),
    ("privileges", false),
    ("landlock", false),
    ("seccomp", false),
];
/// The step that comes after all others where compilers are allowed: from a moment on no more processes.
const LATE_STEP: &str = "processes";
/// A /proc and a scratch folder of the child's own are mounts in a namespace of its own. What a child leaves running
/// is found below it only where it is pid 1, and what is supervised is told apart by filters.
const NEEDS: [(&str, &str); 3] = [("filesystem", "namespaces"), (LATE_STEP, "namespaces"), (LATE_STEP, "seccomp")];

/// The jail of a judge's children: all of them are in the same one.
#[derive(Clone, Debug)]
pub struct Jail {
    sandbox: Sandbox,
    steps: Vec<JailStep>,
    allow_compile: bool,
}

impl Jail {
    /// The jail that `sandbox` asks for, before anything was tried.
    pub fn new(sandbox: Sandbox) -> Self {
        let step = |(name, needed): (&str, bool)| JailStep {
            step: name.to_owned(),
            in_force: needed || sandbox != Sandbox::Off,
            reason: if needed || sandbox != Sandbox::Off { String::new() } else { "sandbox is off".to_owned() },
        };
        Self { sandbox, steps: STEPS.into_iter().map(step).collect(), allow_compile: false }
    }

    /// The same, in which a program may run compilers until it is sealed.
    #[must_use]
    pub fn with_compilers(mut self) -> Self {
        let in_force = self.sandbox != Sandbox::Off;
        let reason = if in_force { String::new() } else { "sandbox is off".to_owned() };
        self.steps.push(JailStep { step: LATE_STEP.to_owned(), in_force, reason });
        self.allow_compile = true;
        self
    }

    /// Whether a program may run compilers until it is sealed.
    pub fn allows_compilers(&self) -> bool {
        self.allow_compile
    }

    /// Every step, with the reason if it is left out.
    pub fn steps(&self) -> &[JailStep] {
        &self.steps
    }

    /// The names of the steps to take.
    pub fn wanted(&self) -> Vec<&str> {
        self.steps.iter().filter(|step| step.in_force).map(|step| step.step.as_str()).collect()
    }

    /// Whether a step is to be taken.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted().contains(&name)
    }

    /// Leaves out a step that cannot be taken, and what needs it. False if it must be taken.
    pub fn leave_out(&mut self, name: &str, reason: &str) -> bool {
        let is_needed = STEPS.iter().any(|(step, needed)| *step == name && *needed);
        if is_needed || self.sandbox == Sandbox::Required || !self.wants(name) {
            return false;
        }
        let dependents = NEEDS.into_iter().filter(|(_, needs)| *needs == name);
        let dependents: Vec<_> = dependents.map(|(step, needs)| (step, format!("needs {needs}"))).collect();
        for (name, reason) in dependents.into_iter().chain([(name, reason.to_owned())]) {
            for step in self.steps.iter_mut().filter(|step| step.step == name && step.in_force) {
                (step.in_force, step.reason) = (false, reason.clone());
            }
        }
        true
    }

    /// The filter of system calls for a child, as the kernel reads it; `None` if that step is left out.
    pub fn filter(&self, on_cpu: bool) -> Option<Vec<u8>> {
        self.wants("seccomp").then(|| bytes(&filter(self.wants("namespaces"), on_cpu, self.allow_compile)))
    }

    /// The filter that tells which calls a supervisor is to decide on; `None` if there is nothing to decide.
    pub fn supervised(&self) -> Option<Vec<u8>> {
        self.wants(LATE_STEP).then(|| bytes(&starts_of_processes().into()))
    }
}

/// What no child may call. A deny list, because torch and CUDA call nearly everything else.
const DENIED: &[c_long] = &[
    // running programs
    libc::SYS_execve,
    libc::SYS_execveat,
    // other processes: their memory, their descriptors, signals to them
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    // another CPU, another share of it
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    // the network and every other kind of socket; its channel is open already
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // timers: they go off, and cost the CPU, while a stopped process should do nothing
    libc::SYS_timer_create,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_setitimer,
    // what one child could leave for another: locks, watches on files, which of their pages are in memory
    libc::SYS_flock,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_mincore,
    CACHESTAT,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    // memory that outlives a process, or that its own limits do not count
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_memfd_secret,
    // mounts, namespaces, files by other means than their path
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // modes, owners and attributes of files: Landlock does not know them
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // doors to the kernel
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    // the clock and the name of the machine
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// What a file's pages in memory are; newer than the C library's own list, and the same number everywhere.
const CACHESTAT: c_long = 451;

/// Commands of `fcntl` that other processes can notice: locks, leases, notes of changes.
const DENIED_FCNTL: [i32; 9] = [
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_SETLEASE,
    libc::F_GETLEASE,
    libc::F_NOTIFY,
];

/// Advice to drop pages from memory, of which others can find out.
const DENIED_MADVISE: [i32; 2] = [libc::MADV_COLD, libc::MADV_PAGEOUT];

/// Older names of what is denied above, which only x86 has.
#[cfg(target_arch = "x86_64")]
const DENIED_OF_X86: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_alarm,
    libc::SYS_inotify_init,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_OF_X86: &[c_long] = &[];

/// Of what is denied, what compilers do: they start programs, set the modes and times of what they write, and lock it.
const OF_COMPILERS: &[c_long] = &[
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_clone,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
];

/// Options of `prctl` that would undo what the judge has set: death with its parent, who adopts orphans, who may
/// trace, where its memory lies, with whom it shares a core.
const DENIED_PRCTL: [i32; 6] = [
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_CHILD_SUBREAPER,
    libc::PR_SET_PTRACER,
    libc::PR_SET_MM,
    libc::PR_SET_SECUREBITS,
    libc::PR_SCHED_CORE,
];

/// The filter; `alone`: the child is pid 1 of a namespace of its own, and may signal its own threads. `compilers`: it may
/// start processes, or another filter says whether.
fn filter(alone: bool, on_cpu: bool, compilers: bool) -> BpfProgram {
    let mut rules: std::collections::BTreeMap<c_long, Vec<SeccompRule>> =
        DENIED.iter().chain(DENIED_OF_X86).map(|call| (*call, Vec::new())).collect();
    if on_cpu {
        // Its pages are nobody's until they are mapped. CUDA shares memory by it.
        rules.insert(libc::SYS_memfd_create, Vec::new());
    }
    // A thread is no new process.
    rules.insert(libc::SYS_clone, vec![rule(0, Qword, MaskedEq(libc::CLONE_THREAD as u64), 0)]);
    // `abort` and `raise` signal the calling process by its pid. Elsewhere pid 1 is somebody else.
    rules.insert(libc::SYS_tgkill, if alone { vec![rule(0, Dword, Ne, 1)] } else { Vec::new() });
    rules.insert(libc::SYS_prlimit64, vec![rule(0, Dword, Ne, 0)]);
    rules.insert(libc::SYS_prctl, DENIED_PRCTL.map(|option| rule(0, Dword, Eq, option as u64)).into());
    rules.insert(libc::SYS_fcntl, DENIED_FCNTL.map(|command| rule(1, Dword, Eq, command as u64)).into());
    rules.insert(libc::SYS_madvise, DENIED_MADVISE.map(|advice| rule(2, Dword, Eq, advice as u64)).into());
    if compilers {
        rules.retain(|call, _| !OF_COMPILERS.contains(call));
    }
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let compiled = SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture())
        .and_then(BpfProgram::try_from)
        .expect("BUG: the filter is made of constants");
    unknown_calls().into_iter().chain(compiled).collect()
}

fn rule(argument: u8, length: seccompiler::SeccompCmpArgLen, op: seccompiler::SeccompCmpOp, value: u64) -> SeccompRule {
    SeccompCondition::new(argument, length, op, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .expect("BUG: a system call has six arguments")
}

fn architecture() -> TargetArch {
    std::env::consts::ARCH.try_into().expect("BUG: built for an architecture without seccomp filters")
}

/// Calls that do not exist here, before the list is asked: `clone3`, whose flags lie where a filter cannot read them
/// (the C library then uses `clone`), and every call by its x32 number, which the list does not name.
fn unknown_calls() -> [sock_filter; 4] {
    const X32: u32 = 0x4000_0000;
    [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, 1, 0, libc::SYS_clone3 as u32),
        instruction(JUMP_IF_AT_LEAST, 0, 1, X32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

/// Calls that start a process or run a program wait for a supervisor; a thread is no new process. `clone3` and x32 are
/// out of the question before.
fn starts_of_processes() -> [sock_filter; 10] {
    const NUMBER: u32 = 0;
    const LOW_WORD_OF_FIRST_ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };
    #[cfg(target_arch = "x86_64")]
    let (fork, vfork) = (libc::SYS_fork, libc::SYS_vfork);
    #[cfg(not(target_arch = "x86_64"))]
    let (fork, vfork) = (libc::SYS_execve, libc::SYS_execve);
    [
        instruction(LOAD_WORD, 0, 0, NUMBER),
        instruction(JUMP_IF_EQUAL, 6, 0, libc::SYS_execve as u32),
        instruction(JUMP_IF_EQUAL, 5, 0, libc::SYS_execveat as u32),
        instruction(JUMP_IF_EQUAL, 4, 0, fork as u32),
        instruction(JUMP_IF_EQUAL, 3, 0, vfork as u32),
        instruction(JUMP_IF_EQUAL, 0, 3, libc::SYS_clone as u32),
        instruction(LOAD_WORD, 0, 0, LOW_WORD_OF_FIRST_ARGUMENT),
        instruction(JUMP_IF_ANY_BIT, 1, 0, libc::CLONE_THREAD as u32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// As `struct sock_filter` lies in memory.
fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |filter: &sock_filter| {
        let mut bytes = filter.code.to_ne_bytes().to_vec();
        bytes.extend([filter.jt, filter.jf]);
        bytes.extend(filter.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(jail: &Jail) -> Vec<&str> {
        jail.steps().iter().filter(|step| !step.in_force).map(|step| step.step.as_str()).collect()
    }

    #[test]
    fn a_required_jail_leaves_nothing_out() {
        let mut jail = Jail::new(Sandbox::Required);
        assert!(!jail.leave_out("seccomp", "not in this kernel"));
        assert!(left_out(&jail).is_empty());
    }

    #[test]
    fn best_effort_leaves_out_a_step_with_its_reason_and_what_needs_it() {
        let mut jail = Jail::new(Sandbox::BestEffort);
        assert!(jail.leave_out("namespaces", "forbidden"));
        assert_eq!(left_out(&jail), ["namespaces", "filesystem"]);
        assert_eq!(
            (jail.steps()[3].reason.as_str(), jail.steps()[4].reason.as_str()),
            ("forbidden", "needs namespaces")
        );
        assert!(!jail.leave_out("namespaces", "again"), "it cannot fail where it is not tried");
        assert!(!jail.leave_out("descriptors", "judging needs them"));
    }

    #[test]
    fn without_a_sandbox_only_what_judging_needs_is_done() {
        let jail = Jail::new(Sandbox::Off);
        assert_eq!(jail.wanted(), ["descriptors", "environment", "resource-limits"]);
        assert!(jail.filter(true).is_none());
    }

    #[test]
    fn where_compilers_are_allowed_a_step_more_ends_that() {
        let mut jail = Jail::new(Sandbox::BestEffort).with_compilers();
        assert!(jail.wants("processes") && jail.supervised().is_some());
        assert!(Jail::new(Sandbox::Required).supervised().is_none());
        assert!(jail.leave_out("seccomp", "not in this kernel"));
        assert_eq!(left_out(&jail), ["seccomp", "processes"]);
        assert!(jail.allows_compilers() && jail.supervised().is_none());
    }

    #[test]
    fn the_filter_is_one_that_the_kernel_can_take() {
        for (alone, on_cpu) in [(true, true), (true, false), (false, true)] {
            let program = filter(alone, on_cpu, false);
            assert!(filter(alone, on_cpu, true).len() < program.len());
            assert!(program.len() < 4096, "BPF_MAXINSNS");
            assert_eq!(bytes(&program).len(), program.len() * 8);
        }
    }
}
