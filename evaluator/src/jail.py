"""The jail: isolates a candidate from everything else, in steps that can each be left out.

The nursery takes some steps once for all children; each child takes the rest before its program arrives. Each step
assumes that the steps before it failed. If a step cannot be taken, the nursery or the child reports its name and the
reason and exits; the judge decides whether to continue without it.

The steps, in the order in which a child takes them:
    descriptors       only /dev/null, a pipe for output, the channel, the memory of the calls, the program, and the
                      file with what it has compiled
    environment       inherits nothing (the judge clears it); HOME and TMPDIR are the scratch folder
    resource-limits   kernel limits as a backstop: no core, few descriptors, data, file size, threads
    namespaces        user, pid, mount, network, ipc, host name: the child is pid 1 and sees no other process
    filesystem        a read-only root with Python, libraries and a few devices; a scratch folder; of /proc what does not
                      count for the whole machine
    privileges        no capabilities, and no way to gain any
    landlock          read access to what Python needs, write access to the scratch folder, nothing else
    processes         only where compilers are allowed: the nursery allows new processes until the program is warm
    seccomp           the judge's filter: the system calls that a packing program needs. It is the last one, because it
                      allows no further filter
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig

CHANNEL, MEMORY, PROGRAM, KERNELS, SUPERVISOR = 3, 4, 5, 6, 7
# Above the descriptors that the nursery has open.
HIGH = 64
SCRATCH = "/scratch"
# Starting this many takes long enough for the judge to see it.
MOST_THREADS = 1 << 14

# Where the loader finds libraries, and where GPU drivers keep theirs. Python's own paths come in addition.
LIBRARIES = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/cuda",
    "/usr/local/nvidia", "/nix/store", "/run/opengl-driver", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
)  # fmt: skip
# Where compilers keep their programs and headers.
COMPILERS = (
    "/bin", "/usr/bin", "/usr/local/bin", "/usr/libexec", "/usr/include", "/usr/local/include", "/etc/alternatives",
)  # fmt: skip
COMPILERS_PATH = "/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin"
COMPILERS_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR")
# No /dev/zero: a shared mapping of it is memory that counts for no process once it is unmapped.
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
# A GPU driver maps it.
GPU_DEVICES = ("/dev/zero",)
# What a child sees of /proc, and what a child on a GPU sees besides. Nearly everything else there counts something for
# the whole machine, or shows numbers that the kernel counts up for all processes.
PROC = ("cpuinfo",)
GPU_PROC = ("1", "devices", "driver", "filesystems", "meminfo", "modules", "stat", "sys/vm")
# What a driver pins counts against this limit on some systems; it is too little for a child to hold much.
GPU_LOCKED = 64 << 10
# Of which CPUs there are; the rest of the folder counts what they do.
CPUS = tuple(f"/sys/devices/system/cpu/{name}" for name in ("online", "possible", "present", "kernel_max"))

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_SLAVE = 0x20, 0x1000, 0x2000, 0x4000, 0x80000
MNT_DETACH = 2
MADV_COLLAPSE, HUGE_PAGE = 25, 2 << 20
PROT_READ_WRITE, MAP_SHARED = 3, 1
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 36, 38, 47, 4
SECCOMP_MODE_FILTER = 2
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8
SYS_SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_USER_NOTIF_FLAG_CONTINUE = 0xC0502100, 0xC0182101, 1
LINUX_CAPABILITY_VERSION_3, MOST_CAPABILITIES = 0x20080522, 64
SYS_LANDLOCK_CREATE_RULESET, SYS_LANDLOCK_ADD_RULE, SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
# System calls without a function in the C library.
CALLS = {
    SYS_MOUNT_SETATTR: "mount_setattr",
    SYS_LANDLOCK_CREATE_RULESET: "landlock_create_ruleset",
    SYS_LANDLOCK_ADD_RULE: "landlock_add_rule",
    SYS_LANDLOCK_RESTRICT_SELF: "landlock_restrict_self",
    SYS_SECCOMP: "seccomp",
}

LIBC = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """A step cannot be taken."""

    def __init__(self, step, reason):
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


@contextlib.contextmanager
def step(name):
    """Turns an OSError into Unavailable for this step."""
    try:
        yield
    except OSError as error:
        raise Unavailable(name, ": ".join(filter(None, (error.filename, error.strerror)))) from error


def call(name, *arguments):
    """Calls a function of the C library; raises OSError if it fails."""
    function = getattr(LIBC, name)
    result = function(*(word(argument) for argument in arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), CALLS.get(arguments[0], "") if name == "syscall" else name)
    return result


def word(argument):
    """Widens a number to a register, because variadic functions read whole registers."""
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def die_with_parent():
    """Kills this process when its parent dies, so that no process outlives a killed judge."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans():
    """Makes the nursery the parent of processes that a child without a pid namespace leaves behind."""
    call("prctl", PR_SET_CHILD_SUBREAPER, 1)


def reap(pid):
    """Reaps a child without its status: later children copy this memory, and the child may have chosen it."""
    while True:
        with contextlib.suppress(InterruptedError):
            return call("waitpid", pid, None, 0)


def pid_outside():
    """Returns this process's pid in the judge's namespace, while /proc is still the judge's. Not for children: pids
    count up with every thread of every process."""
    return int(os.readlink("/proc/self"))


def collapse_memory():
    """Moves the 270 MB that torch's import leaves in memory into huge pages, if the kernel can.

    A fork copies a page table entry for each page that was written, and the exit of a child drops it again. With small
    pages that is most of the cost of a child (10 of 16 ms).
    """
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        mappings = [line.split() for line in maps]
    for place, permissions, _, _, _, *name in mappings:
        if "w" not in permissions or name not in ([], ["[heap]"]):
            continue
        start, end = (int(address, 16) for address in place.split("-"))
        for page in range(-(-start // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
            LIBC.madvise(ctypes.c_void_p(page), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)


# --- steps of the nursery ----------------------------------------------------------------------------------------


class Jail:
    """The wanted steps, and the state that the nursery prepares for them.

    `gpu` is the GPU that children may use: its device `files`, and the `folders` of the driver's libraries. Without one,
    a child finds no GPU, because work there would cost it no CPU time.
    """

    def __init__(self, steps, allow_compile, gpu):
        self.steps = set(steps)
        self.allow_compile = allow_compile
        self.gpu = gpu
        self.own_user_namespace = False
        self.readable = ()
        self.devices = ()
        self.pid_namespace = None

    def enter(self):
        """Moves the nursery into its own namespaces and leaves a keeper outside, which exits with it. This must happen
        before the import of torch, because a process with threads cannot enter a user namespace."""
        if "namespaces" in self.steps:
            with step("namespaces"):
                self.unshare()
                keep_child()
                self.pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def unshare(self):
        """Uses a user namespace, as an ordinary user must; root can do without one. Where something is mounted below
        /proc, as GPU containers do, no process of a new user namespace may mount a /proc of its own."""
        flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
        uid, gid = os.getuid(), os.getgid()
        try:
            if uid == 0 and not can_mount_proc(flags | CLONE_NEWUSER):
                call("unshare", flags)
                return
        except OSError:
            pass  # The user namespace is the better one; a later step says what it lacks.
        try:
            call("unshare", flags | CLONE_NEWUSER)
            self.own_user_namespace = True
        except OSError:
            if uid != 0:
                raise
            call("unshare", flags)
            return
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{uid} {uid} 1")
        write("/proc/self/gid_map", f"{gid} {gid} 1")
        # Keeps a child from regaining capabilities in a new namespace. Other steps prevent that too.
        with contextlib.suppress(OSError):
            write("/proc/sys/user/max_user_namespaces", "0")

    def prepare(self):
        """Builds the root that all children see. Runs after the import of torch, when its files are known."""
        more = (*(compiler_paths() if self.allow_compile else ()), *(self.gpu["folders"] if self.gpu else ()))
        self.readable = readable_paths(more)
        wanted = (*DEVICES, *GPU_DEVICES, *self.gpu["files"]) if self.gpu else DEVICES
        self.devices = tuple(path for path in wanted if os.path.exists(path))
        if "filesystem" in self.steps:
            with step("filesystem"):
                # torch counts the CPUs in /sys; a GPU driver also needs the buses.
                build_root((*self.readable, *(("/sys",) if self.gpu else CPUS)), self.devices)

    def fork(self):
        """Forks a child as pid 1 of its own namespace, so that its descendants die with it."""
        if self.pid_namespace is None:
            return os.fork()
        # Pids start at 1 again, so that this memory, which children copy, does not tell how many threads there were.
        with contextlib.suppress(OSError):
            write("/proc/sys/kernel/ns_last_pid", "1")
        call("unshare", CLONE_NEWPID)
        pid = None
        try:
            pid = os.fork()
            return pid
        finally:
            # The nursery returns to its own namespace, for its next child.
            if pid != 0:
                call("setns", self.pid_namespace, CLONE_NEWPID)

    # --- steps of each child -------------------------------------------------------------------------------------

    def lock_up(self, request, descriptors):
        """Takes all wanted steps before the program arrives."""
        with step("descriptors"):
            place_descriptors(*descriptors)
        if "filesystem" in self.steps:
            os.environ.update(HOME=SCRATCH, TMPDIR=SCRATCH)
        if self.allow_compile:
            caches = {name: os.path.join(os.environ["HOME"], name.lower()) for name in COMPILERS_CACHES}
            # torch asks for the user's name, and the jail has no list of users.
            os.environ.update(caches, PATH=COMPILERS_PATH, USER="candidate")
        with step("resource-limits"):
            self.limit_resources(request)
        if "filesystem" in self.steps:
            with step("filesystem"):
                self.unshare_own()
                mount_proc(PROC + GPU_PROC if self.gpu else PROC)
                mount_scratch(request["scratch_bytes"], request["scratch_files"], self.allow_compile)
        if "privileges" in self.steps:
            with step("privileges"):
                drop_privileges()
        if "landlock" in self.steps:
            with step("landlock"):
                self.restrict_files()
        # Dropping privileges resets this.
        die_with_parent()
        if "processes" in self.steps:
            with step("processes"):
                supervise_calls(bytes.fromhex(request["supervised"]))
        if "seccomp" in self.steps:
            with step("seccomp"):
                filter_calls(bytes.fromhex(request["filter"]))

    def unshare_own(self):
        """A GPU driver listens on a name that all processes of a network namespace see, so each child gets its own."""
        call("unshare", CLONE_NEWNS | CLONE_NEWIPC | (CLONE_NEWNET if self.gpu else 0))

    def limit_resources(self, request):
        """Sets kernel limits as a backstop; the judge checks the actual usage."""
        # If core dumps go to a program, a limit of 0 still starts it, and 1 does not.
        limit(resource.RLIMIT_CORE, 1)
        limit(resource.RLIMIT_NOFILE, 256)
        limit(resource.RLIMIT_FSIZE, request["file_bytes"])
        limit(resource.RLIMIT_MSGQUEUE, 0)
        limit(resource.RLIMIT_MEMLOCK, GPU_LOCKED if self.gpu else 0)
        # Queued signals count for all processes of a user; without a queue, signals still arrive.
        limit(resource.RLIMIT_SIGPENDING, 0)
        if request["data_bytes"] is not None:
            limit(resource.RLIMIT_DATA, data_used() + request["data_bytes"])
        # The kernel counts per user of a user namespace, and not at all for root; without the namespace it would count
        # all processes of the user. A limit near the judge's own would tell a child how many threads its siblings have.
        if self.own_user_namespace and os.getuid() != 0:
            limit(resource.RLIMIT_NPROC, MOST_THREADS)

    def restrict_files(self):
        """Landlock: forbids everything that this kernel's version knows, except for the rules."""
        version = call("syscall", SYS_LANDLOCK_CREATE_RULESET, None, 0, 1)
        ruleset = create_ruleset(version)
        try:
            run = FILE_EXECUTE if self.allow_compile else 0
            for path in self.readable:
                allow(ruleset, path, FILE_READ | FILE_READ_FOLDER | run)
            for path in self.devices:
                allow(ruleset, path, FILE_READ | FILE_WRITE | device_access(version))
            if "filesystem" in self.steps:
                allow(ruleset, "/proc", FILE_READ | FILE_READ_FOLDER)
                # A GPU driver names its threads.
                allow(ruleset, "/proc/1/task", FILE_READ | FILE_READ_FOLDER | FILE_WRITE)
                allow(ruleset, "/sys", FILE_READ | FILE_READ_FOLDER)
                allow(ruleset, SCRATCH, scratch_access(version) | run)
            elif self.gpu:
                for path in ("/sys", "/proc/self", *(f"/proc/{name}" for name in PROC + GPU_PROC if name != "1")):
                    allow(ruleset, path, FILE_READ | FILE_READ_FOLDER)
                allow(ruleset, "/proc/self/task", FILE_WRITE)
                # A rule is for an inode, and /proc makes a new one unless a descriptor holds the folder.
                for path in ("/proc/self", "/proc/self/task"):
                    os.open(path, os.O_PATH | os.O_CLOEXEC)
            call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            call("syscall", SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)


def write(path, text):
    """Writes to a file in /proc."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def can_mount_proc(flags):
    """Tries to mount a /proc in namespaces like those of a child, in a process of its own."""
    trial = os.fork()
    if trial == 0:
        with contextlib.suppress(OSError):
            call("unshare", flags)
            if (mounts := os.fork()) == 0:
                call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(mounts, 0)[1]) & 0xFF)
        os._exit(1)
    return os.waitpid(trial, 0)[1] == 0


def keep_child():
    """Continues in a child, pid 1 of the new namespace. This process waits and exits with the child's status."""
    pid = os.fork()
    die_with_parent()
    if pid == 0:
        return
    os.closerange(0, 256)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def compiler_paths():
    """Returns the paths of compilers and headers, including Python's headers."""
    return (*COMPILERS, *(sysconfig.get_path(name) for name in ("include", "platinclude")))


def readable_paths(more):
    """Returns the folders and files that a child must be able to read, none inside another, under all their names.

    `sys.path` is not used, because its folders may hold more than packages, such as a checkout.
    """
    prefixes = [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    packages = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    loaded = [os.path.dirname(path) for path in {*module_files(), *mapped_libraries()}]
    named = [*LIBRARIES, *prefixes, *packages, *loaded, *more]
    paths = {path for name in named for path in (os.path.abspath(name), os.path.realpath(name))}
    kept = []
    for path in sorted(path for path in paths if os.path.exists(path)):
        if not any(covers(above, path) for above in kept):
            kept.append(path)
    return tuple(kept)


def covers(above, path):
    """Whether binding `above` also shows `path` under its own name."""
    if not path.startswith(above + "/"):
        return False
    return os.path.realpath(path) == os.path.realpath(above) + path[len(above) :]


def module_files():
    """Returns the files of all imported modules, such as torch and numpy."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return {file for file in files if isinstance(file, str) and os.path.isabs(file)}


def mapped_libraries():
    """Returns the shared objects that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        names = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
    return {name for name in names if ".so" in name and os.path.exists(name)}


def build_root(readable, devices):
    """Builds a new root from `readable` and `devices` and detaches the old one.

    /tmp serves only as a mount point; the old root, including the content of /tmp, is bound from inside it.
    """
    sources = [(path, os.path.realpath(path)) for path in readable if os.path.exists(path)]
    call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
    call("mount", b"tmpfs", b"/tmp", b"tmpfs", MS_NOSUID | MS_NODEV, b"size=1m,mode=0755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    call("pivot_root", b"/tmp", b"/tmp/old")
    os.chdir("/")
    call("mount", b"/new", b"/new", None, MS_BIND, None)
    for folder in ("proc", "dev", "sys", SCRATCH[1:]):
        os.mkdir(f"/new/{folder}")
    for path, source in sources:
        bind("/old" + source, "/new" + path)
    for device in devices:
        make_place("/new" + device, is_folder=False)
    protect("/new", MS_RDONLY | MS_NOSUID | MS_NODEV)
    for device in devices:
        bind("/old" + device, "/new" + device)
    # Children mount their own /proc; the kernel lets them only if they can see one.
    call("mount", b"/old/proc", b"/new/proc", None, MS_BIND | MS_REC, None)
    os.chdir("/new")
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def bind(source, target):
    """Binds `source` to `target`."""
    make_place(target, os.path.isdir(source))
    call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)


def make_place(path, is_folder):
    """Creates a mount point."""
    if is_folder:
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def protect(path, attributes):
    """Sets attributes on the mount at `path` and all mounts below. Their values equal the classic mount flags."""
    request = struct.pack("=QQQQ", attributes, 0, 0, 0)
    call("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE, request, len(request))


def place_descriptors(channel, memory, program, kernels, output, supervisor=None):
    """Leaves the child only /dev/null, its output pipe and its own descriptors."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < HIGH + 7:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    null = os.open(os.devnull, os.O_RDONLY)
    # Moved to high numbers first, out of the way of the final ones.
    wanted = {0: null, 1: output, CHANNEL: channel, MEMORY: memory, PROGRAM: program, KERNELS: kernels}
    if supervisor is not None:
        wanted[SUPERVISOR] = supervisor
    held = {at: fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for at, fd in wanted.items()}
    for at, fd in held.items():
        os.dup2(fd, at, inheritable=False)
    # Programs that the child starts, where allowed, share its output.
    os.set_inheritable(1, True)
    os.dup2(1, 2)
    os.closerange(max(wanted) + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def map_memory():
    """Maps the memory of the calls and closes its file, which would show a number that the kernel counts up for all
    processes. Returns the memory as a buffer."""
    size = os.fstat(MEMORY).st_size
    LIBC.mmap.restype = ctypes.c_void_p
    address = LIBC.mmap(None, word(size), PROT_READ_WRITE, MAP_SHARED, MEMORY, word(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "cannot map the memory of the calls")
    os.close(MEMORY)
    return (ctypes.c_char * size).from_address(address)


def limit(which, value):
    """Sets soft and hard limit, never above the current hard limit."""
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def data_used():
    """Returns the bytes of data that this process has mapped."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024


def mount_proc(names):
    """Mounts a /proc that holds only these files and folders, of the child itself."""
    names_threads = "1" in names
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    call("mount", b"proc", b"/proc", b"proc", flags | (0 if names_threads else MS_RDONLY), None)
    # Put together where the scratch folder comes later.
    call("mount", b"tmpfs", SCRATCH.encode(), b"tmpfs", flags, b"size=1m,mode=0755")
    for name in names:
        if os.path.exists(f"/proc/{name}"):
            bind(f"/proc/{name}", f"{SCRATCH}/{name}")
    if names_threads:
        os.symlink("1", f"{SCRATCH}/self")
    # Read-only, because root can change much of /proc/sys from any namespace.
    protect(SCRATCH, flags | MS_RDONLY)
    if names_threads:
        task = f"{SCRATCH}/1/task".encode()
        call("mount", task, task, None, MS_BIND, None)
        call("mount", None, task, None, MS_BIND | MS_REMOUNT | flags, None)
    call("mount", SCRATCH.encode(), b"/proc", None, MS_MOVE, None)


def mount_scratch(scratch_bytes, scratch_files, may_run):
    """Mounts a scratch folder that disappears with the child."""
    # The folder itself takes one inode.
    size = f"size={scratch_bytes},nr_inodes={scratch_files + 1},mode=0700".encode()
    flags = MS_NOSUID | MS_NODEV | (0 if may_run else MS_NOEXEC)
    call("mount", b"tmpfs", SCRATCH.encode(), b"tmpfs", flags, size)
    os.chdir(SCRATCH)


def drop_privileges():
    """Drops all capabilities from all sets, and forbids to gain any by running a program."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(MOST_CAPABILITIES):
        # Without CAP_SETPCAP the bounding set stays, but no_new_privs makes it useless.
        LIBC.prctl(PR_CAPBSET_DROP, word(capability), word(0), word(0), word(0))
    call("capset", struct.pack("=II", LINUX_CAPABILITY_VERSION_3, 0), bytes(24))


# --- Landlock: the rights depend on the kernel's version of it, see landlock(7) ------------------------------------

FILE_EXECUTE, FILE_WRITE, FILE_READ, FILE_READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHARACTER_DEVICE, MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
FILE_ALL = (1 << 13) - 1
FILE_REFER, FILE_TRUNCATE, DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
OF_A_FILE = FILE_EXECUTE | FILE_WRITE | FILE_READ | FILE_TRUNCATE | DEVICE_CONTROL
NET_ALL, SCOPE_ALL = 0b11, 0b11


def file_access(version):
    """Returns all rights to files that this version can withhold."""
    known = FILE_ALL
    known |= FILE_REFER if version >= 2 else 0
    known |= FILE_TRUNCATE if version >= 3 else 0
    return known | device_access(version)


def device_access(version):
    """Returns the right to control devices, if this version can withhold it."""
    return DEVICE_CONTROL if version >= 5 else 0


def scratch_access(version):
    """Returns all rights except running programs and making or controlling devices."""
    return file_access(version) & ~(FILE_EXECUTE | MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE | DEVICE_CONTROL)


def create_ruleset(version):
    """Creates a ruleset that withholds all rights."""
    request = struct.pack("=Q", file_access(version))
    request += struct.pack("=Q", NET_ALL) if version >= 4 else b""
    request += struct.pack("=Q", SCOPE_ALL) if version >= 6 else b""
    return call("syscall", SYS_LANDLOCK_CREATE_RULESET, request, len(request), 0)


def allow(ruleset, path, rights):
    """Grants rights to `path` and everything below, if it exists."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & OF_A_FILE
        call("syscall", SYS_LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def filter_calls(program):
    """Installs a seccomp filter for all system calls of all threads."""
    install(program, lambda header: call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0))


def install(program, how):
    """Passes a filter to the kernel. Its header points to the instructions, which must live until then."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    instructions = ctypes.create_string_buffer(program, len(program))
    return how(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))


def supervise_calls(program):
    """Makes the calls that this filter names wait for the holder of the listener, and fail once it is closed.

    Only the nursery holds the listener, so no code of the candidate can decide about these calls.
    """
    how = (SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER)
    listener = install(program, lambda header: call("syscall", *how, header))
    with socket.socket(fileno=SUPERVISOR) as supervisor:
        socket.send_fds(supervisor, [b"!"], [listener])
    os.close(listener)


def allow_call(listener):
    """Allows the pending call of a supervised process."""
    notification = bytearray(80)
    # The process may have been killed meanwhile.
    with contextlib.suppress(OSError):
        fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification)
        (number,) = struct.unpack_from("=Q", notification)
        answer = struct.pack("=QqiI", number, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer)
