//! Seccomp: the filters of system calls that children run under.

use std::collections::BTreeMap;

use nix::libc::*;
use seccompiler::SeccompCmpArgLen::{self, Dword, Qword};
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, sock_filter};

/// Newer than the C library's list of numbers, and the same on every architecture.
const SYS_CACHESTAT: c_long = 451;

/// A list of system calls, several on a line.
macro_rules! calls {
    ($($call:ident)*) => { &[$($call),*] };
}

/// The calls that no child may make. A deny list, because torch and CUDA make nearly all others.
const DENIED: &[c_long] = calls! {
    // running programs
    SYS_execve SYS_execveat
    // other processes: their memory, their descriptors, signals to them
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_process_mrelease SYS_kcmp
    SYS_pidfd_open SYS_pidfd_getfd SYS_pidfd_send_signal SYS_kill SYS_tkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo
    SYS_migrate_pages SYS_move_pages SYS_setpgid SYS_setsid
    // another CPU, another share of it
    SYS_sched_setaffinity SYS_sched_setattr SYS_sched_setparam SYS_sched_setscheduler SYS_setpriority SYS_ioprio_set
    // the network and every other kind of socket; the channel is open already
    SYS_socket SYS_socketpair SYS_bind SYS_connect SYS_listen SYS_accept SYS_accept4
    // timers: they fire, and use CPU time, while the process is stopped
    SYS_timer_create SYS_timerfd_create SYS_timerfd_settime SYS_setitimer
    // state that one child could leave for another: locks, watches on files, pages in the cache
    SYS_flock SYS_inotify_init1 SYS_inotify_add_watch SYS_fadvise64 SYS_readahead SYS_mincore SYS_CACHESTAT
    SYS_preadv2 SYS_pwritev2
    // memory that outlives a process, or that its limits do not count
    SYS_shmget SYS_shmat SYS_shmctl SYS_semget SYS_semctl SYS_msgget SYS_msgsnd SYS_msgctl SYS_mq_open SYS_mq_unlink
    SYS_memfd_secret
    // mounts, namespaces, files by other means than their path
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_mount_setattr SYS_move_mount SYS_open_tree SYS_fsopen
    SYS_fsconfig SYS_fsmount SYS_fspick SYS_unshare SYS_setns SYS_name_to_handle_at SYS_open_by_handle_at
    SYS_fanotify_init SYS_quotactl SYS_swapon SYS_swapoff
    // modes, owners and attributes of files, which Landlock does not cover
    SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_setxattr SYS_lsetxattr SYS_fsetxattr
    SYS_removexattr SYS_lremovexattr SYS_fremovexattr
    // interfaces with a large attack surface in the kernel
    SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_add_key SYS_keyctl SYS_request_key SYS_personality SYS_init_module SYS_finit_module SYS_delete_module
    SYS_kexec_load SYS_reboot SYS_syslog SYS_acct SYS_vhangup
    // the clock and the name of the machine
    SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname
};

/// Older names of denied calls, which only x86 has.
#[cfg(target_arch = "x86_64")]
const DENIED_ON_X86: &[c_long] = calls! {
    SYS_fork SYS_vfork SYS_alarm SYS_inotify_init SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat
    SYS_kexec_file_load SYS_iopl SYS_ioperm SYS_modify_ldt
};
#[cfg(not(target_arch = "x86_64"))]
const DENIED_ON_X86: &[c_long] = &[];

/// The denied calls that compilers need: they start programs, lock their files, and set modes and times.
const NEEDED_BY_COMPILERS: &[c_long] = calls! {
    SYS_flock SYS_fcntl SYS_execve SYS_execveat SYS_clone SYS_fchmod SYS_fchmodat SYS_utimensat
};
#[cfg(target_arch = "x86_64")]
const NEEDED_ON_X86: &[c_long] = calls! { SYS_fork SYS_vfork SYS_chmod };
#[cfg(not(target_arch = "x86_64"))]
const NEEDED_ON_X86: &[c_long] = &[];

/// Commands of `fcntl` that other processes can notice: locks, leases, notifications.
const DENIED_FCNTL: &[i32] = calls! {
    F_GETLK F_SETLK F_SETLKW F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY
};

/// Advice to drop pages from memory, which other processes can notice.
const DENIED_MADVISE: &[i32] = calls! { MADV_COLD MADV_PAGEOUT };

/// Options of `prctl` that would undo settings of the judge: death with the parent, adoption of orphans, tracing, memory
/// layout, sharing of a core.
const DENIED_PRCTL: &[i32] = calls! {
    PR_SET_PDEATHSIG PR_SET_CHILD_SUBREAPER PR_SET_PTRACER PR_SET_MM PR_SET_SECUREBITS PR_SCHED_CORE
};

/// What distinguishes the filters of children.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The child is pid 1 of its own namespace, so it may signal its own threads.
    pub alone: bool,
    pub on_cpu: bool,
    /// The child may start processes, or another filter decides about them.
    pub compilers: bool,
}

/// The filter of a child, in the kernel's format.
pub fn filter(setting: Setting) -> Vec<u8> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        DENIED.iter().chain(DENIED_ON_X86).map(|call| (*call, Vec::new())).collect();
    if setting.on_cpu {
        // The pages of a memory file count for no process until they are mapped. CUDA shares memory by it.
        rules.insert(SYS_memfd_create, Vec::new());
    }
    // Threads are allowed, processes are not.
    rules.insert(SYS_clone, vec![rule(0, Qword, MaskedEq(CLONE_THREAD as u64), 0)]);
    // `abort` and `raise` signal the calling process by its pid. Without a pid namespace, pid 1 is another process.
    rules.insert(SYS_tgkill, if setting.alone { vec![rule(0, Dword, Ne, 1)] } else { Vec::new() });
    rules.insert(SYS_prlimit64, vec![rule(0, Dword, Ne, 0)]);
    for (call, argument, values) in
        [(SYS_prctl, 0, DENIED_PRCTL), (SYS_fcntl, 1, DENIED_FCNTL), (SYS_madvise, 2, DENIED_MADVISE)]
    {
        rules.insert(call, values.iter().map(|value| rule(argument, Dword, Eq, *value as u64)).collect());
    }
    if setting.compilers {
        rules.retain(|call, _| !NEEDED_BY_COMPILERS.contains(call) && !NEEDED_ON_X86.contains(call));
    }
    let architecture = std::env::consts::ARCH.try_into().expect("BUG: no seccomp filters on this architecture");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM as u32), architecture)
        .and_then(BpfProgram::try_from)
        .expect("BUG: the filter consists of constants");
    bytes(&[&unknown_calls()[..], &filter].concat())
}

fn rule(argument: u8, length: SeccompCmpArgLen, op: SeccompCmpOp, value: u64) -> SeccompRule {
    SeccompCondition::new(argument, length, op, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .expect("BUG: a system call has six arguments")
}

/// Rejects with ENOSYS, before the list: `clone3`, whose flags a filter cannot read (the C library then uses `clone`),
/// and all calls by x32 numbers, which the list does not name.
fn unknown_calls() -> [sock_filter; 4] {
    const X32: u32 = 0x4000_0000;
    [
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, 1, 0, SYS_clone3 as u32),
        instruction(JUMP_IF_AT_LEAST, 0, 1, X32),
        instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | ENOSYS as u32),
    ]
}

/// The filter that lets a supervisor decide about calls that start a process or run a program, in the kernel's format.
/// Threads are allowed; the other filter rejects `clone3` and x32.
pub fn supervised() -> Vec<u8> {
    const NUMBER: u32 = 0;
    const LOW_WORD_OF_FIRST_ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };
    #[cfg(target_arch = "x86_64")]
    let (fork, vfork) = (SYS_fork, SYS_vfork);
    #[cfg(not(target_arch = "x86_64"))]
    let (fork, vfork) = (SYS_execve, SYS_execve);
    bytes(&[
        instruction(LOAD_WORD, 0, 0, NUMBER),
        instruction(JUMP_IF_EQUAL, 6, 0, SYS_execve as u32),
        instruction(JUMP_IF_EQUAL, 5, 0, SYS_execveat as u32),
        instruction(JUMP_IF_EQUAL, 4, 0, fork as u32),
        instruction(JUMP_IF_EQUAL, 3, 0, vfork as u32),
        instruction(JUMP_IF_EQUAL, 0, 3, SYS_clone as u32),
        instruction(LOAD_WORD, 0, 0, LOW_WORD_OF_FIRST_ARGUMENT),
        instruction(JUMP_IF_ANY_BIT, 1, 0, CLONE_THREAD as u32),
        instruction(RETURN, 0, 0, SECCOMP_RET_USER_NOTIF),
        instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ])
}

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The instructions as `struct sock_filter` lies in memory.
fn bytes(program: &[sock_filter]) -> Vec<u8> {
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

    /// Size of `struct sock_filter`.
    const INSTRUCTION: usize = 8;

    #[test]
    fn the_kernel_can_take_the_filter() {
        for (alone, on_cpu) in [(true, true), (true, false), (false, true)] {
            let [without, with] = [false, true].map(|compilers| filter(Setting { alone, on_cpu, compilers }));
            assert!(with.len() < without.len());
            assert!(without.len() < 4096 * INSTRUCTION, "BPF_MAXINSNS");
            assert!(without.len().is_multiple_of(INSTRUCTION));
        }
    }
}
