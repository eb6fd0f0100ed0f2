//! Seccomp: the filters of system calls that children run under. `calls` holds the list; the conditions on arguments are
//! here.

use std::collections::BTreeMap;

use nix::libc::*;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, sock_filter};

use crate::calls::{NEWEST, Verdict, numbers};
use crate::numbers::Arch;

/// What the C library starts a thread with. A thread that shares less has descriptors of its own, beyond their limit; one
/// with `CLONE_VFORK` keeps its creator from being stopped; `CLONE_PIDFD` makes a file whose number counts up.
const THREAD: i32 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SYSVSEM
    | CLONE_SIGHAND
    | CLONE_THREAD
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID;
/// Has no effect any more.
const OF_NO_EFFECT: i32 = CLONE_DETACHED;
/// What no process may be started with, not even by a compiler.
const NOT_FOR_COMPILERS: i32 = CLONE_NEWUSER
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWIPC
    | CLONE_NEWUTS
    | CLONE_NEWCGROUP
    | CLONE_PIDFD
    | CLONE_PARENT
    | CLONE_PTRACE;

/// Commands of `fcntl`. No locks, leases, hints and notifications, which other processes can notice; no pipe of another
/// size, which holds memory that counts for no process.
const FCNTL: [i32; 7] = [F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GET_SEALS];
/// Commands of `fcntl` that set and drop locks.
const LOCKS: [i32; 4] = [F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW];
/// Advice about memory. None to drop pages, which other processes can notice, nor to merge them across processes.
const MADVISE: [i32; 17] = [
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_DOFORK,
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP,
    MADV_DODUMP,
    MADV_WIPEONFORK,
    MADV_KEEPONFORK,
    MADV_POPULATE_WRITE,
    // Guard pages around stacks; the C library has no names for them yet.
    102,
    103,
];
/// Requests of `ioctl`: whether a descriptor is a terminal, how much it holds, whether it waits.
const IOCTL: [u64; 7] = [TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX];
/// Requests of `ioctl` for attributes and extents of files. A GPU driver has too many requests to list those.
const IOCTL_OF_FILES: [u64; 10] = [
    FS_IOC_GETFLAGS,
    FS_IOC_SETFLAGS,
    FS_IOC_GETVERSION,
    FS_IOC_SETVERSION,
    0xC020_660B, // FS_IOC_FIEMAP
    0x801C_581F, // FS_IOC_FSGETXATTR
    0x401C_5820, // FS_IOC_FSSETXATTR
    FICLONE,
    FICLONERANGE,
    0xC018_9436, // FIDEDUPERANGE
];
/// Names memory, and is newer than the C library's list.
const PR_SET_VMA: i32 = 0x5356_4d41;
/// Options of `prctl`: names of threads and of memory. All others undo settings of the judge, or are not needed.
const PRCTL: [i32; 4] = [PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA];
/// Options of `getsockopt` that say what kind of socket the channel is.
const GETSOCKOPT: [i32; 4] = [SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN];

/// What GPU drivers need of the calls that are for compilers.
const COMPILERS_OR_GPU: [&str; 6] =
    ["SYS_sysinfo", "SYS_getrusage", "SYS_statfs", "SYS_fstatfs", "SYS_statx", "SYS_pipe2"];

/// The part of a socket's type that is not a flag.
const SOCKET_KIND: u32 = 0xf;

/// What distinguishes the filters of children.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The child is pid 1 of its own namespace, so it may signal its own threads.
    pub alone: bool,
    pub on_cpu: bool,
    /// The child may start processes, or another filter decides about them.
    pub compilers: bool,
}

/// The filter of a child on this machine, in the kernel's format: allows what the list allows, and answers EPERM to
/// everything else.
pub fn filter(setting: Setting) -> Vec<u8> {
    bytes(&filter_on(Arch::own(), setting))
}

/// The number of a call that every architecture has.
fn number(arch: Arch, call: &str) -> c_long {
    arch.number(call).unwrap_or_else(|| panic!("BUG: {call} is not on {}", arch.name()))
}

fn filter_on(arch: Arch, setting: Setting) -> Vec<sock_filter> {
    let allowed = |verdict: Verdict| numbers(arch, verdict).map(|call| (call, Vec::new()));
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = allowed(Verdict::Allowed).collect();
    if setting.compilers {
        rules.extend(allowed(Verdict::Compilers));
    }
    if !setting.on_cpu {
        rules.extend(allowed(Verdict::Gpu));
        rules.extend(COMPILERS_OR_GPU.map(|call| (number(arch, call), Vec::new())));
    }
    rules.extend(conditions(arch, setting));
    let architecture = arch.name().try_into().expect("BUG: the library knows both architectures");
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(EPERM as u32), SeccompAction::Allow, architecture)
        .and_then(BpfProgram::try_from)
        .expect("BUG: the filter consists of constants");
    [&refused_early(arch, setting), &filter[..]].concat()
}

/// The arguments with which the calls of [`Verdict::Judged`] are allowed.
fn conditions(arch: Arch, setting: Setting) -> BTreeMap<c_long, Vec<SeccompRule>> {
    let of = |call| number(arch, call);
    let Setting { alone, on_cpu, compilers } = setting;
    let mut rules = BTreeMap::from([
        (of("SYS_clone"), vec![all(&[masked(0, !OF_NO_EFFECT as u32, THREAD)])]),
        // `refused_early` has the condition.
        (of("SYS_futex"), Vec::new()),
        (of("SYS_mmap"), mappings()),
        (of("SYS_madvise"), any(2, &MADVISE)),
        (of("SYS_fcntl"), any(1, &FCNTL)),
        (of("SYS_ioctl"), IOCTL.map(|request| all(&[equal(1, request)])).to_vec()),
        (of("SYS_prctl"), any(0, &PRCTL)),
        (of("SYS_getsockopt"), any(2, &GETSOCKOPT)),
        (of("SYS_prlimit64"), any(0, &[0])),
    ]);
    // `abort` and `raise` signal the calling process by its pid. Without a pid namespace, pid 1 is another process.
    if alone {
        rules.insert(of("SYS_tgkill"), any(0, &[1]));
    }
    if compilers {
        let process = masked(0, (CLONE_THREAD | NOT_FOR_COMPILERS) as u32, 0);
        rules.entry(of("SYS_clone")).or_default().push(all(&[process]));
    }
    if !on_cpu {
        rules.insert(of("SYS_mmap"), Vec::new());
        rules.insert(of("SYS_ioctl"), vec![all(&IOCTL_OF_FILES.map(|request| condition(1, Ne, request)))]);
        rules.entry(of("SYS_fcntl")).or_default().extend(any(1, &[F_ADD_SEALS]));
        rules.insert(of("SYS_socket"), vec![all(&[equal(0, AF_UNIX as u64), masked(1, SOCKET_KIND, SOCK_SEQPACKET)])]);
    }
    rules
}

/// Mappings of files, and private ones without a file. Pages of a shared mapping without a file count for no process
/// while they are not mapped; huge pages are files whose number counts up, and have a limit for the whole machine.
fn mappings() -> Vec<SeccompRule> {
    let kinds = (MAP_HUGETLB | MAP_ANONYMOUS | MAP_TYPE) as u32;
    let of_a_file = masked(3, (MAP_HUGETLB | MAP_ANONYMOUS) as u32, 0);
    vec![all(&[of_a_file]), all(&[masked(3, kinds, MAP_ANONYMOUS | MAP_PRIVATE)])]
}

fn any(argument: u8, values: &[i32]) -> Vec<SeccompRule> {
    values.iter().map(|value| all(&[equal(argument, *value as u32 as u64)])).collect()
}

fn all(conditions: &[SeccompCondition]) -> SeccompRule {
    SeccompRule::new(conditions.to_vec()).expect("BUG: a rule without a condition")
}

/// Whether the low word of an argument, which is all that the kernel reads of it, has a value.
fn equal(argument: u8, value: u64) -> SeccompCondition {
    condition(argument, Eq, value)
}

fn masked(argument: u8, mask: u32, value: i32) -> SeccompCondition {
    condition(argument, MaskedEq(mask.into()), value as u32 as u64)
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, Dword, op, value).expect("BUG: a system call has six arguments")
}

/// What is answered before the list: ENOSYS to `clone3`, for which the C library then uses `clone`, to calls that are
/// newer than the list, and to all calls by x32 numbers. A futex that another process could wait on has no use here but
/// to wait for the end of a thread, which EAGAIN makes the C library try again. The scratch folder is the child's own, so
/// a lock for a compiler is always free, and others cannot be noticed.
fn refused_early(arch: Arch, setting: Setting) -> Vec<sock_filter> {
    let errno = |error: i32| instruction(RETURN, 0, 0, SECCOMP_RET_ERRNO | error as u32);
    let is = |call: &str, then: &[sock_filter]| when(JUMP_IF_EQUAL, number(arch, call) as u32, then);
    let mut early = is("SYS_clone3", &[errno(ENOSYS)]);
    early.extend(when(JUMP_IF_AT_LEAST, NEWEST as u32 + 1, &[errno(ENOSYS)]));
    let own = instruction(JUMP_IF_ANY_BIT, 1, 0, FUTEX_PRIVATE_FLAG as u32);
    early.extend(is("SYS_futex", &[instruction(LOAD_WORD, 0, 0, low_word(1)), own, errno(EAGAIN)]));
    if setting.compilers {
        early.extend(is("SYS_flock", &[errno(0)]));
        for lock in LOCKS {
            let is_lock = instruction(JUMP_IF_EQUAL, 0, 1, lock as u32);
            early.extend(is("SYS_fcntl", &[instruction(LOAD_WORD, 0, 0, low_word(1)), is_lock, errno(0)]));
        }
    }
    early
}

/// Instructions for the calls whose number passes a test.
fn when(test: u16, number: u32, then: &[sock_filter]) -> Vec<sock_filter> {
    let mut block = vec![instruction(LOAD_WORD, 0, 0, NUMBER), instruction(test, 0, then.len() as u8, number)];
    block.extend_from_slice(then);
    block
}

/// The filter that lets a supervisor decide about the calls that are for compilers, in the kernel's format. The other
/// filter rejects what neither threads nor compilers need.
pub fn supervised() -> Vec<u8> {
    bytes(&supervised_on(Arch::own()))
}

fn supervised_on(arch: Arch) -> Vec<sock_filter> {
    let calls: Vec<c_long> = numbers(arch, Verdict::Compilers).collect();
    let mut program = vec![instruction(LOAD_WORD, 0, 0, NUMBER)];
    for (before, call) in calls.iter().enumerate() {
        let to_notify = calls.len() - before + 2;
        program.push(instruction(JUMP_IF_EQUAL, to_notify as u8, 0, *call as u32));
    }
    program.extend([
        instruction(JUMP_IF_EQUAL, 0, 3, number(arch, "SYS_clone") as u32),
        instruction(LOAD_WORD, 0, 0, low_word(0)),
        instruction(JUMP_IF_ANY_BIT, 1, 0, CLONE_THREAD as u32),
        instruction(RETURN, 0, 0, SECCOMP_RET_USER_NOTIF),
        instruction(RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]);
    program
}

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the number of a call.
const NUMBER: u32 = 0;

/// Where it has the low word of an argument.
const fn low_word(argument: u32) -> u32 {
    16 + 8 * argument + if cfg!(target_endian = "little") { 0 } else { 4 }
}

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
    use std::collections::BTreeSet;

    use super::*;
    use crate::calls::{GROUPS, Group};

    const SETTINGS: [Setting; 4] = [
        Setting { alone: true, on_cpu: true, compilers: false },
        Setting { alone: false, on_cpu: true, compilers: false },
        Setting { alone: true, on_cpu: false, compilers: true },
        Setting { alone: false, on_cpu: true, compilers: true },
    ];
    const ALLOWED: u32 = SECCOMP_RET_ALLOW;
    const DENIED: u32 = SECCOMP_RET_ERRNO | EPERM as u32;

    /// What a filter answers to a call: the few instructions of BPF that filters are made of, as the kernel runs them.
    fn answer(program: &[sock_filter], arch: Arch, call: c_long, arguments: [u64; 6]) -> u32 {
        let audit: u32 = match arch {
            Arch::X86_64 => 0xC000_003E,
            Arch::Aarch64 => 0xC000_00B7,
        };
        let mut data = [call as u32, audit, 0, 0].map(u32::to_le_bytes).concat();
        data.extend(arguments.map(u64::to_le_bytes).concat());
        let word = |at: u32| u32::from_le_bytes(data[at as usize..][..4].try_into().unwrap());
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            at += 1 + match code {
                LOAD_WORD => {
                    accumulator = word(k);
                    0
                }
                // And, by which masks are compared.
                0x54 => {
                    accumulator &= k;
                    0
                }
                0x05 => k as usize,
                JUMP_IF_EQUAL => jump(accumulator == k),
                0x25 => jump(accumulator > k),
                JUMP_IF_AT_LEAST => jump(accumulator >= k),
                JUMP_IF_ANY_BIT => jump(accumulator & k != 0),
                RETURN => return k,
                _ => panic!("instruction {code:#x}"),
            };
        }
    }

    fn with(first: &[u64]) -> [u64; 6] {
        std::array::from_fn(|at| first.get(at).copied().unwrap_or(0))
    }

    #[test]
    fn the_kernel_can_take_the_filters_of_both_architectures() {
        for arch in Arch::ALL {
            for setting in SETTINGS {
                assert!(filter_on(arch, setting).len() < 4096, "BPF_MAXINSNS");
            }
            assert!(
                numbers(arch, Verdict::Compilers).count() < 250,
                "a jump of a filter skips at most 255 instructions"
            );
        }
        assert_eq!(filter(SETTINGS[0]).len(), 8 * filter_on(Arch::own(), SETTINGS[0]).len(), "struct sock_filter");
    }

    #[test]
    fn every_judged_call_has_its_condition() {
        for arch in Arch::ALL {
            let conditions = conditions(arch, SETTINGS[0]);
            let judged: BTreeSet<c_long> = numbers(arch, Verdict::Judged).collect();
            assert_eq!(conditions.keys().copied().collect::<BTreeSet<_>>(), judged);
        }
    }

    #[test]
    fn every_call_gets_its_verdict_on_both_architectures() {
        for arch in Arch::ALL {
            for setting in SETTINGS {
                let program = filter_on(arch, setting);
                for group in GROUPS.iter().filter(|group| group.verdict != Verdict::Judged) {
                    for (name, _) in group.calls() {
                        let Some(call) = arch.number(name) else { continue };
                        let wanted = match group.verdict {
                            _ if name == "SYS_clone3" => SECCOMP_RET_ERRNO | ENOSYS as u32,
                            _ if name == "SYS_flock" && setting.compilers => SECCOMP_RET_ERRNO,
                            _ if name == "SYS_socket" => DENIED,
                            Verdict::Allowed => ALLOWED,
                            Verdict::Compilers if setting.compilers => ALLOWED,
                            _ if !setting.on_cpu && COMPILERS_OR_GPU.contains(&name) => ALLOWED,
                            Verdict::Gpu if !setting.on_cpu => ALLOWED,
                            _ => DENIED,
                        };
                        assert_eq!(answer(&program, arch, call, [0; 6]), wanted, "{name} on {arch:?}, {setting:?}");
                    }
                }
                let newer = answer(&program, arch, NEWEST + 1, [0; 6]);
                assert_eq!(newer, SECCOMP_RET_ERRNO | ENOSYS as u32, "a call that is newer than the list");
            }
        }
    }

    #[test]
    fn arguments_decide_alike_on_both_architectures() {
        for arch in Arch::ALL {
            let program = filter_on(arch, SETTINGS[0]);
            let ask = |call, arguments: &[u64]| answer(&program, arch, number(arch, call), with(arguments));
            assert_eq!(ask("SYS_clone", &[THREAD as u64]), ALLOWED);
            assert_eq!(ask("SYS_clone", &[SIGCHLD as u64]), DENIED, "a process");
            assert_eq!(ask("SYS_mmap", &[0, 0, 0, (MAP_PRIVATE | MAP_ANONYMOUS) as u64]), ALLOWED);
            assert_eq!(ask("SYS_mmap", &[0, 0, 0, (MAP_SHARED | MAP_ANONYMOUS) as u64]), DENIED);
            assert_eq!(ask("SYS_mmap", &[0, 0, 0, (MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB) as u64]), DENIED);
            assert_eq!(ask("SYS_futex", &[0, FUTEX_PRIVATE_FLAG as u64]), ALLOWED);
            assert_eq!(ask("SYS_futex", &[0, 0]), SECCOMP_RET_ERRNO | EAGAIN as u32);
            assert_eq!(ask("SYS_tgkill", &[1]), ALLOWED);
            assert_eq!(ask("SYS_tgkill", &[2]), DENIED);
            assert_eq!(ask("SYS_prctl", &[PR_SET_NAME as u64]), ALLOWED);
            assert_eq!(ask("SYS_prctl", &[PR_SET_SECCOMP as u64]), DENIED);
        }
    }

    #[test]
    fn a_call_of_another_architecture_ends_the_process() {
        let program = filter_on(Arch::Aarch64, SETTINGS[0]);
        let read = number(Arch::Aarch64, "SYS_read");
        assert_eq!(answer(&program, Arch::X86_64, read, [0; 6]), SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn a_supervisor_hears_of_processes_and_not_of_threads_on_both_architectures() {
        for arch in Arch::ALL {
            let program = supervised_on(arch);
            let ask = |call, arguments: &[u64]| answer(&program, arch, number(arch, call), with(arguments));
            assert_eq!(ask("SYS_clone", &[THREAD as u64]), ALLOWED);
            assert_eq!(ask("SYS_clone", &[SIGCHLD as u64]), SECCOMP_RET_USER_NOTIF);
            assert_eq!(ask("SYS_execve", &[]), SECCOMP_RET_USER_NOTIF);
            assert_eq!(ask("SYS_read", &[]), ALLOWED);
        }
        let listed = GROUPS.iter().filter(|group| group.verdict == Verdict::Compilers).flat_map(Group::calls).count();
        assert_eq!(numbers(Arch::own(), Verdict::Compilers).count(), listed);
    }
}
