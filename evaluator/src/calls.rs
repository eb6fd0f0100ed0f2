//! Calls: every system call of Linux up to [`NEWEST`], with what the jail does about it and why. `help jail` shows this
//! list. A call that is in no group cannot be made.

use nix::libc::*;

use crate::numbers::Arch;

/// The newest call of the list. What a newer kernel adds fails with ENOSYS, as on an older one.
pub const NEWEST: c_long = SYS_FILE_SETATTR;

/// Calls that are newer than the C library's list of numbers. Their numbers are the same on every architecture.
macro_rules! newer {
    ($($call:ident = $number:literal,)*) => { $(const $call: c_long = $number;)* };
}
newer! {
    SYS_CACHESTAT = 451,
    SYS_FCHMODAT2 = 452,
    SYS_MAP_SHADOW_STACK = 453,
    SYS_FUTEX_WAKE = 454,
    SYS_FUTEX_WAIT = 455,
    SYS_FUTEX_REQUEUE = 456,
    SYS_STATMOUNT = 457,
    SYS_LISTMOUNT = 458,
    SYS_LSM_GET_SELF_ATTR = 459,
    SYS_LSM_SET_SELF_ATTR = 460,
    SYS_LSM_LIST_MODULES = 461,
    SYS_SETXATTRAT = 463,
    SYS_GETXATTRAT = 464,
    SYS_LISTXATTRAT = 465,
    SYS_REMOVEXATTRAT = 466,
    SYS_OPEN_TREE_ATTR = 467,
    SYS_FILE_GETATTR = 468,
    SYS_FILE_SETATTR = 469,
}
#[cfg(target_arch = "x86_64")]
newer! {
    SYS_CREATE_MODULE = 174,
    SYS_GET_KERNEL_SYMS = 177,
    SYS_QUERY_MODULE = 178,
    SYS_IO_PGETEVENTS = 333,
    SYS_URETPROBE = 335,
    SYS_UPROBE = 336,
}
/// These the C library's list lacks there; the kernel has them.
#[cfg(target_arch = "aarch64")]
#[allow(non_upper_case_globals)]
mod unlisted {
    use nix::libc::c_long;

    pub const SYS_renameat: c_long = 38;
    pub const SYS_sync_file_range: c_long = 84;
    pub const SYS_getrlimit: c_long = 163;
    pub const SYS_setrlimit: c_long = 164;
}
#[cfg(target_arch = "aarch64")]
use unlisted::{SYS_getrlimit, SYS_renameat, SYS_setrlimit, SYS_sync_file_range};

/// A call of the list: its constant's name and its number.
pub type Call = (&'static str, c_long);

macro_rules! calls {
    ($($call:ident)*) => { &[$((stringify!($call), $call)),*] };
}

/// Calls that only x86 has, most of them older forms of others.
#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($($call:ident)*) => { &[$((stringify!($call), $call)),*] };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! x86 {
    ($($call:ident)*) => {
        &[]
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// Allowed with certain arguments only, see `seccomp`.
    Judged,
    /// Denied, but with `allow_compile` allowed until the program is warm.
    Compilers,
    /// Denied on the CPU, allowed on a GPU.
    Gpu,
    Denied,
}

/// Calls with a common reason.
pub struct Group {
    pub verdict: Verdict,
    /// What they do: why they are needed, or why they are denied.
    pub why: &'static str,
    calls: &'static [Call],
    x86: &'static [Call],
}

impl Group {
    const fn new(verdict: Verdict, why: &'static str, calls: &'static [Call], x86: &'static [Call]) -> Self {
        Self { verdict, why, calls, x86 }
    }

    pub fn calls(&self) -> impl Iterator<Item = Call> {
        self.calls.iter().chain(self.x86).copied()
    }
}

/// The numbers of all calls with a verdict, on an architecture.
pub fn numbers(arch: Arch, verdict: Verdict) -> impl Iterator<Item = c_long> {
    let groups = GROUPS.iter().filter(move |group| group.verdict == verdict);
    // What only x86 has is not listed elsewhere, and may be listed here.
    groups.flat_map(Group::calls).filter_map(move |(name, _)| arch.number(name))
}

use Verdict::{Allowed, Compilers, Denied, Gpu, Judged};

pub const GROUPS: &[Group] = &[
    Group::new(
        Allowed,
        "reading files; writing in the scratch folder",
        calls! {
            SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_lseek SYS_openat
            SYS_openat2 SYS_close SYS_close_range SYS_dup SYS_dup3 SYS_fstat SYS_newfstatat SYS_faccessat SYS_faccessat2
            SYS_readlinkat SYS_getdents64 SYS_getcwd SYS_chdir SYS_fchdir SYS_umask SYS_mkdirat SYS_unlinkat
            SYS_renameat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_truncate SYS_ftruncate SYS_fallocate SYS_fsync
            SYS_fdatasync
        },
        x86! {
            SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_dup2 SYS_readlink SYS_getdents SYS_mkdir SYS_rmdir
            SYS_unlink SYS_rename SYS_link SYS_symlink
        },
    ),
    Group::new(
        Allowed,
        "memory of its own",
        calls! { SYS_brk SYS_munmap SYS_mremap SYS_mprotect SYS_msync SYS_mseal },
        x86! {},
    ),
    Group::new(
        Allowed,
        "threads of its own",
        calls! {
            SYS_set_robust_list SYS_get_robust_list SYS_set_tid_address SYS_rseq SYS_exit SYS_exit_group SYS_sched_yield
            SYS_sched_getaffinity SYS_sched_getparam SYS_sched_getscheduler SYS_sched_get_priority_min
            SYS_sched_get_priority_max SYS_getcpu SYS_restart_syscall
        },
        x86! { SYS_arch_prctl },
    ),
    Group::new(
        Allowed,
        "signals to itself, clocks, waiting, randomness",
        calls! {
            SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigsuspend SYS_rt_sigtimedwait
            SYS_sigaltstack SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday
            SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2
            SYS_wait4 SYS_waitid SYS_getrandom
        },
        x86! { SYS_time SYS_pause SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_eventfd },
    ),
    Group::new(
        Allowed,
        "names of itself and of the system, which never change",
        calls! {
            SYS_getpid SYS_gettid SYS_getppid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid
            SYS_getgroups SYS_uname SYS_getrlimit
        },
        x86! {},
    ),
    Group::new(Allowed, "the channel to the judge", calls! { SYS_sendto SYS_recvfrom SYS_getsockname }, x86! {}),
    Group::new(
        Judged,
        "clone only for threads that share everything; futex only where no other process could wait; mmap neither huge \
         nor shared without a file; madvise, fcntl, ioctl, prctl and getsockopt only for what is named in seccomp.rs; \
         limits and signals only of itself",
        calls! {
            SYS_clone SYS_futex SYS_mmap SYS_madvise SYS_fcntl SYS_ioctl SYS_prctl SYS_getsockopt SYS_prlimit64
            SYS_tgkill
        },
        x86! {},
    ),
    Group::new(
        Compilers,
        "start programs and talk to them",
        calls! {
            SYS_execve SYS_execveat SYS_pipe2 SYS_kill SYS_setpgid SYS_setsid SYS_getpgid SYS_getsid SYS_socketpair
            SYS_copy_file_range SYS_sendfile SYS_membarrier
        },
        x86! { SYS_fork SYS_vfork SYS_pipe SYS_getpgrp },
    ),
    Group::new(
        Compilers,
        "locks (they always succeed), modes and times of files",
        calls! { SYS_flock SYS_fchmod SYS_fchmodat SYS_FCHMODAT2 SYS_utimensat },
        x86! { SYS_chmod SYS_utime SYS_utimes SYS_futimesat },
    ),
    Group::new(
        Compilers,
        "figures of the machine and of page faults, which other processes change",
        calls! { SYS_sysinfo SYS_getrusage SYS_times SYS_statfs SYS_fstatfs SYS_statx },
        x86! {},
    ),
    Group::new(
        Gpu,
        "memory and threads of GPU drivers",
        calls! {
            SYS_memfd_create SYS_mlock SYS_mlock2 SYS_munlock SYS_mlockall SYS_munlockall SYS_get_mempolicy
            SYS_set_mempolicy SYS_mbind SYS_signalfd4 SYS_sendmsg SYS_recvmsg SYS_capget
        },
        x86! {},
    ),
    Group::new(
        Gpu,
        "the local socket on which a GPU driver listens while it starts, and no other kind; nothing can connect to it",
        calls! { SYS_socket SYS_bind SYS_listen },
        x86! {},
    ),
    Group::new(
        Denied,
        "fork and clone whose flags a filter cannot read; the C library uses clone instead",
        calls! { SYS_clone3 },
        x86! {},
    ),
    Group::new(
        Denied,
        "other processes: their memory, their descriptors, signals to them, what they have in common",
        calls! {
            SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_process_mrelease SYS_kcmp
            SYS_pidfd_open SYS_pidfd_getfd SYS_pidfd_send_signal SYS_tkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo
            SYS_migrate_pages SYS_move_pages SYS_futex_waitv SYS_FUTEX_WAKE SYS_FUTEX_WAIT SYS_FUTEX_REQUEUE
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "another CPU, another share of it",
        calls! {
            SYS_sched_setaffinity SYS_sched_setattr SYS_sched_getattr SYS_sched_setparam SYS_sched_setscheduler
            SYS_sched_rr_get_interval SYS_setpriority SYS_getpriority SYS_ioprio_set SYS_ioprio_get
            SYS_set_mempolicy_home_node
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "sockets, and what comes with a packet",
        calls! {
            SYS_connect SYS_accept SYS_accept4 SYS_shutdown SYS_getpeername SYS_setsockopt SYS_sendmmsg SYS_recvmmsg
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "timers: they fire, and use CPU time, while the process is stopped",
        calls! {
            SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete
            SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_setitimer SYS_getitimer
        },
        x86! { SYS_alarm },
    ),
    Group::new(
        Denied,
        "what one child could leave for another: watches, hints and attributes of files, pages in the cache, queues \
         with a limit for the whole machine, new files with a number that counts up",
        calls! {
            SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch SYS_fanotify_init SYS_fanotify_mark
            SYS_fadvise64 SYS_readahead SYS_mincore SYS_CACHESTAT SYS_preadv2 SYS_pwritev2 SYS_sync SYS_syncfs
            SYS_sync_file_range SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_GETXATTRAT SYS_listxattr SYS_llistxattr
            SYS_flistxattr SYS_LISTXATTRAT SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_SETXATTRAT SYS_removexattr
            SYS_lremovexattr SYS_fremovexattr SYS_REMOVEXATTRAT SYS_FILE_GETATTR SYS_FILE_SETATTR SYS_fchown
            SYS_fchownat SYS_mknodat SYS_io_setup SYS_io_submit SYS_io_getevents SYS_io_cancel SYS_io_destroy
        },
        x86! { SYS_inotify_init SYS_chown SYS_lchown SYS_mknod SYS_signalfd SYS_ustat SYS_sysfs SYS_IO_PGETEVENTS },
    ),
    Group::new(
        Denied,
        "memory that outlives a process, or that its figures do not show",
        calls! {
            SYS_shmget SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop SYS_semtimedop SYS_semctl SYS_msgget
            SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend SYS_mq_timedreceive
            SYS_mq_notify SYS_mq_getsetattr SYS_memfd_secret SYS_vmsplice SYS_splice SYS_tee SYS_remap_file_pages
            SYS_userfaultfd SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_MAP_SHADOW_STACK
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "the jail itself: another filter, other rules, other privileges, higher limits",
        calls! {
            SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
            SYS_LSM_GET_SELF_ATTR SYS_LSM_SET_SELF_ATTR SYS_LSM_LIST_MODULES SYS_setuid SYS_setgid SYS_setreuid
            SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid SYS_setgroups SYS_capset SYS_setrlimit
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "mounts, namespaces, files by other means than their path",
        calls! {
            SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_mount_setattr SYS_move_mount SYS_open_tree
            SYS_OPEN_TREE_ATTR SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_STATMOUNT SYS_LISTMOUNT SYS_unshare
            SYS_setns SYS_name_to_handle_at SYS_open_by_handle_at SYS_quotactl SYS_quotactl_fd SYS_swapon SYS_swapoff
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "interfaces with a large attack surface in the kernel",
        calls! {
            SYS_bpf SYS_perf_event_open SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_add_key
            SYS_keyctl SYS_request_key SYS_personality SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load
            SYS_reboot SYS_syslog SYS_acct SYS_vhangup
        },
        x86! {
            SYS_kexec_file_load SYS_iopl SYS_ioperm SYS_modify_ldt SYS_set_thread_area SYS_get_thread_area SYS_uselib
            SYS_URETPROBE SYS_UPROBE
        },
    ),
    Group::new(
        Denied,
        "the clock and the name of the machine",
        calls! {
            SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname
        },
        x86! {},
    ),
    Group::new(
        Denied,
        "calls that Linux no longer has",
        calls! { SYS_nfsservctl SYS_lookup_dcookie },
        x86! {
            SYS__sysctl SYS_getpmsg SYS_putpmsg SYS_afs_syscall SYS_tuxcall SYS_security SYS_epoll_ctl_old
            SYS_epoll_wait_old SYS_vserver SYS_CREATE_MODULE SYS_GET_KERNEL_SYMS SYS_QUERY_MODULE
        },
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const HELP: &str = include_str!("../../src/cli/help/jail.md");

    fn all() -> impl Iterator<Item = Call> {
        GROUPS.iter().flat_map(Group::calls)
    }

    /// The name of a call as `man 2` has it.
    fn plain((name, _): Call) -> String {
        name.trim_start_matches("SYS_").to_lowercase()
    }

    #[test]
    fn every_call_is_listed_once() {
        let mut by_number: BTreeMap<c_long, Vec<&str>> = BTreeMap::new();
        all().for_each(|(name, number)| by_number.entry(number).or_default().push(name));
        let twice: Vec<_> = by_number.values().filter(|names| names.len() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        // The numbers in between are kept free on x86.
        let free = if cfg!(target_arch = "x86_64") { 337..424 } else { 0..0 };
        let missing: Vec<c_long> =
            (0..=NEWEST).filter(|number| !by_number.contains_key(number) && !free.contains(number)).collect();
        #[cfg(target_arch = "x86_64")]
        assert!(missing.is_empty(), "{missing:?}");
        assert!(by_number.keys().all(|number| *number <= NEWEST), "{missing:?}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn help_jail_holds_the_list() {
        let titles = [
            (Allowed, "### Allowed"),
            (Judged, "### Allowed with certain arguments"),
            (Compilers, "### Denied once a program is warm; before that only with `allow_compile`"),
            (Gpu, "### Denied on the CPU"),
            (Denied, "### Denied"),
        ];
        for (verdict, title) in titles {
            let groups = GROUPS.iter().filter(|group| group.verdict == verdict);
            let row = |group: &Group| {
                format!("| {} | {} |\n", group.why, group.calls().map(plain).collect::<Vec<_>>().join(" "))
            };
            let table = format!("{title}\n\n| reason | calls |\n|---|---|\n{}", groups.map(row).collect::<String>());
            assert!(HELP.contains(&table), "help jail lacks:\n{table}");
        }
    }
}
