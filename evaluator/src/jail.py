"""The jail: what stands between a candidate and everything else, as steps that can each be left out.

Run by the judge before `nursery.py`. The nursery takes some steps once for all children, each child the rest before
it sees its program. A step assumes that those before it failed. One that cannot be taken ends the nursery or the child
with its name and the reason; whether to go on without it is the judge's to decide.

The steps, in the order in which a child takes them:
    descriptors       /dev/null, a pipe for what it prints, its channel, the memory of its calls and its program
    environment       nothing inherited (the judge starts the nursery so); HOME and TMPDIR are the scratch folder
    resource-limits   kernel's backstops: no core, few descriptors, data, file size, threads
    namespaces        user, pid, mount, network, ipc, host name: the child is pid 1 and sees no process but itself
    filesystem        a root that holds Python, libraries and a few devices, read-only; a scratch folder; a /proc
    privileges        no capabilities, none to be gained
    landlock          reads what Python needs, writes to the scratch folder, nothing else
    seccomp           a filter from the judge: no new process, no socket, no signal, no other CPU ...
    processes         only where compilers are allowed: new processes are the nursery's to allow, until the program is warm
"""

import contextlib
import ctypes
import fcntl
import glob
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig

CHANNEL, MEMORY, PROGRAM, SUPERVISOR = 3, 4, 5, 6
SCRATCH = "/scratch"

# Beside what Python itself says it needs: where the loader finds libraries, and where a GPU's driver keeps its own.
LIBRARIES = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/cuda",
    "/usr/local/nvidia", "/nix/store", "/run/opengl-driver", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
)  # fmt: skip
# And where compilers are allowed, wherever they keep what they run and include.
COMPILERS = (
    "/bin", "/usr/bin", "/usr/local/bin", "/usr/libexec", "/usr/include", "/usr/local/include", "/etc/alternatives",
)  # fmt: skip
COMPILERS_PATH = "/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin"
COMPILERS_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
GPU_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dxg")

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
MNT_DETACH = 2
MADV_COLLAPSE, HUGE_PAGE = 25, 2 << 20
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 36, 38, 47, 4
SECCOMP_MODE_FILTER = 2
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8
SYS_SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_USER_NOTIF_FLAG_CONTINUE = 0xC0502100, 0xC0182101, 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522
SYS_LANDLOCK_CREATE_RULESET, SYS_LANDLOCK_ADD_RULE, SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
# The names of those that the C library has no function for.
CALLS = {
    SYS_MOUNT_SETATTR: "mount_setattr",
    SYS_LANDLOCK_CREATE_RULESET: "landlock_create_ruleset",
    SYS_LANDLOCK_ADD_RULE: "landlock_add_rule",
    SYS_LANDLOCK_RESTRICT_SELF: "landlock_restrict_self",
    SYS_SECCOMP: "seccomp",
}

LIBC = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """A step cannot be taken: its name and the reason."""

    def __init__(self, step, reason):
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


@contextlib.contextmanager
def step(name):
    """Whatever fails inside is the failure of this step."""
    try:
        yield
    except OSError as error:
        raise Unavailable(name, ": ".join(filter(None, (error.filename, error.strerror)))) from error


def call(name, *arguments):
    """A call of the C library that must succeed."""
    function = getattr(LIBC, name)
    result = function(*(word(argument) for argument in arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), CALLS.get(arguments[0], "") if name == "syscall" else name)
    return result


def word(argument):
    """Numbers as wide as a register: the variadic calls read nothing narrower."""
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def die_with_parent():
    """So that nothing outlives a judge that was killed."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans():
    """So that what a child leaves behind where it has no pid namespace of its own becomes the nursery's to end."""
    call("prctl", PR_SET_CHILD_SUBREAPER, 1)


def pid_outside():
    """This process's pid as the judge knows it, as long as /proc is the judge's."""
    return int(os.readlink("/proc/self"))


def collapse_memory():
    """Brings what torch's import has left in memory, some 270 MB, into huge pages.

    A fork copies a page table entry for every page that was written to, and the end of a child drops each again: with
    small pages that is most of what a child costs (10 of 16 ms). Where the kernel cannot do it, it stays so.
    """
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        mappings = [line.split() for line in maps]
    for place, permissions, _, _, _, *name in mappings:
        if "w" not in permissions or name not in ([], ["[heap]"]):
            continue
        start, end = (int(address, 16) for address in place.split("-"))
        for page in range(-(-start // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
            LIBC.madvise(ctypes.c_void_p(page), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)


# --- what the nursery does, once ---------------------------------------------------------------------------------


class Jail:
    """The steps that are wanted, and what the nursery has prepared for them."""

    def __init__(self, steps, allow_compile):
        self.steps = set(steps)
        self.allow_compile = allow_compile
        self.own_user_namespace = False
        self.readable = ()
        self.devices = ()
        self.pid_namespace = None

    def enter(self):
        """Takes the nursery into namespaces of its own, with a keeper outside that ends with it. Before torch is
        imported, because a process with threads cannot do this."""
        if "namespaces" in self.steps:
            with step("namespaces"):
                self.unshare()
                keep_child()
                self.pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def unshare(self):
        """With a user namespace, which is what an ordinary user can do; root can do without where there are none."""
        flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
        uid, gid = os.getuid(), os.getgid()
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
        # A child must not get capabilities back in a namespace of its own making. It has other steps against that.
        with contextlib.suppress(OSError):
            write("/proc/sys/user/max_user_namespaces", "0")

    def prepare(self):
        """Builds the root that all children see. After torch is imported: what it needed is known then."""
        self.readable = readable_paths(compiler_paths() if self.allow_compile else ())
        self.devices = tuple(path for path in DEVICES + gpu_devices() if os.path.exists(path))
        if "filesystem" in self.steps:
            with step("filesystem"):
                build_root(self.readable, self.devices)

    def fork(self):
        """As `os.fork`; the child is pid 1 of a namespace of its own: with it ends everything that it started."""
        if self.pid_namespace is None:
            return os.fork()
        call("unshare", CLONE_NEWPID)
        pid = None
        try:
            pid = os.fork()
            return pid
        finally:
            # For the next child; this one is where it is to be.
            if pid != 0:
                call("setns", self.pid_namespace, CLONE_NEWPID)

    # --- what every child does ---------------------------------------------------------------------------------

    def lock_up(self, request, descriptors):
        """Takes every step that is wanted; says what the judge must know. The candidate is not there yet."""
        pid = pid_outside()
        with step("descriptors"):
            place_descriptors(*descriptors)
        if "filesystem" in self.steps:
            os.environ.update(HOME=SCRATCH, TMPDIR=SCRATCH)
        if self.allow_compile:
            caches = {name: os.path.join(os.environ["HOME"], name.lower()) for name in COMPILERS_CACHES}
            # torch asks for a name of its user, and there is no list of users here.
            os.environ.update(caches, PATH=COMPILERS_PATH, USER="candidate")
        with step("resource-limits"):
            self.limit_resources(request)
        if "filesystem" in self.steps:
            with step("filesystem"):
                mount_own(request["scratch_bytes"], request["scratch_files"], self.allow_compile)
        if "privileges" in self.steps:
            with step("privileges"):
                drop_privileges()
        if "landlock" in self.steps:
            with step("landlock"):
                self.restrict_files()
        # What is dropped above forgets this.
        die_with_parent()
        if "seccomp" in self.steps:
            with step("seccomp"):
                filter_calls(bytes.fromhex(request["filter"]))
        if "processes" in self.steps:
            with step("processes"):
                supervise_calls(bytes.fromhex(request["supervised"]))
        return pid

    def limit_resources(self, request):
        """Backstops of the kernel; the judge watches what is really used beside them."""
        # Where cores go to a program, 0 still starts it, and 1 does not.
        limit(resource.RLIMIT_CORE, 1)
        limit(resource.RLIMIT_NOFILE, 256)
        limit(resource.RLIMIT_FSIZE, request["scratch_bytes"])
        limit(resource.RLIMIT_MSGQUEUE, 0)
        if request["memory_bytes"] is not None:
            limit(resource.RLIMIT_DATA, data_used() + request["memory_bytes"])
        # Counted for each user of a user namespace, and not at all for root; elsewhere it would count everything
        # that this user runs. The keeper, the nursery and the reference program are counted too.
        if self.own_user_namespace and os.getuid() != 0:
            limit(resource.RLIMIT_NPROC, request["threads"] + 4)

    def restrict_files(self):
        """Landlock: everything that this kernel's version of it knows is forbidden, but for the rules."""
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
                allow(ruleset, "/sys", FILE_READ | FILE_READ_FOLDER)
                allow(ruleset, SCRATCH, scratch_access(version) | run)
            call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            call("syscall", SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)


def write(path, text):
    """Writes to a file of the kernel's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def keep_child():
    """Goes on in a child, pid 1 of the new namespace. This process waits for it and ends as it did."""
    pid = os.fork()
    die_with_parent()
    if pid == 0:
        return
    os.closerange(0, 256)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def compiler_paths():
    """What compilers are and include, Python's headers among it."""
    return (*COMPILERS, *(sysconfig.get_path(name) for name in ("include", "platinclude")))


def readable_paths(more):
    """What a child must be able to read: folders and files, none inside another, under every name that they have.

    Not `sys.path`: there may be folders on it that hold more than packages, such as a checkout.
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
    """Whether `path` is seen through `above` as it is."""
    if not path.startswith(above + "/"):
        return False
    return os.path.realpath(path) == os.path.realpath(above) + path[len(above) :]


def module_files():
    """The files of the modules that are imported, torch and numpy among them."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return {file for file in files if isinstance(file, str) and os.path.isabs(file)}


def mapped_libraries():
    """The shared objects that this process runs with."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        names = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
    return {name for name in names if ".so" in name and os.path.exists(name)}


def gpu_devices():
    """The device files of the GPU driver."""
    return tuple(path for pattern in GPU_DEVICES for path in sorted(glob.glob(pattern)) if not os.path.isdir(path))


def build_root(readable, devices):
    """Makes a new root of `readable` and `devices` and leaves the old one for good.

    /tmp serves only as a place to mount on; the old root, with what lies in /tmp, is bound from inside it.
    """
    gpu = any(device not in DEVICES for device in devices)
    # The CPUs are counted there; a GPU's driver wants the buses too.
    sources = [*readable, "/sys" if gpu else "/sys/devices/system/cpu"]
    sources = [(path, os.path.realpath(path)) for path in sources if os.path.exists(path)]
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
    # Seen by children until they mount their own; what the kernel wants to see before it lets them.
    call("mount", b"/old/proc", b"/new/proc", None, MS_BIND | MS_REC, None)
    os.chdir("/new")
    call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def bind(source, target):
    """Shows `source` at `target` too."""
    make_place(target, os.path.isdir(source))
    call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)


def make_place(path, is_folder):
    """Something to mount on."""
    if is_folder:
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def protect(path, attributes):
    """Sets attributes on the mount at `path` and all below it; their values are those of the oldest mount flags."""
    request = struct.pack("=QQQQ", attributes, 0, 0, 0)
    call("syscall", SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE, request, len(request))


def place_descriptors(channel, memory, program, output, supervisor=None):
    """Leaves the child /dev/null, its output pipe and the descriptors of its own; nothing else stays open."""
    null = os.open(os.devnull, os.O_RDONLY)
    # First out of the way of the numbers they are to get.
    wanted = {0: null, 1: output, CHANNEL: channel, MEMORY: memory, PROGRAM: program}
    if supervisor is not None:
        wanted[SUPERVISOR] = supervisor
    held = {at: fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for at, fd in wanted.items()}
    for at, fd in held.items():
        os.dup2(fd, at, inheritable=False)
    # What it starts, where it may, prints to where it does itself.
    os.set_inheritable(1, True)
    os.dup2(1, 2)
    os.closerange(max(wanted) + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def limit(which, value):
    """A limit that cannot be raised again; never above the one in force."""
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def data_used():
    """Bytes of data that this process has mapped."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData:")) * 1024


def mount_own(scratch_bytes, scratch_files, may_run):
    """A /proc that shows the child itself, and a scratch folder that goes with it."""
    call("unshare", CLONE_NEWNS | CLONE_NEWIPC)
    # Read-only, because much of what lies under /proc/sys is root's to change whatever namespace root is in.
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    call("mount", b"proc", b"/proc", b"proc", flags | MS_RDONLY, None)
    # The folder itself takes one of the files.
    size = f"size={scratch_bytes},nr_inodes={scratch_files + 1},mode=0700".encode()
    flags = flags & ~MS_NOEXEC if may_run else flags
    call("mount", b"tmpfs", SCRATCH.encode(), b"tmpfs", flags, size)
    os.chdir(SCRATCH)


def drop_privileges():
    """No capability, in any of the sets, and no way to one by running a program."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as last:
        capabilities = int(last.read()) + 1
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(capabilities):
        # Without CAP_SETPCAP the set stays as it is, and no_new_privs makes it worthless.
        LIBC.prctl(PR_CAPBSET_DROP, word(capability), word(0), word(0), word(0))
    call("capset", struct.pack("=II", LINUX_CAPABILITY_VERSION_3, 0), bytes(24))


# --- Landlock: what a kernel knows of depends on its version of it (see landlock(7)) -------------------------------

FILE_EXECUTE, FILE_WRITE, FILE_READ, FILE_READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHARACTER_DEVICE, MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
FILE_ALL = (1 << 13) - 1
FILE_REFER, FILE_TRUNCATE, DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15
OF_A_FILE = FILE_EXECUTE | FILE_WRITE | FILE_READ | FILE_TRUNCATE | DEVICE_CONTROL
NET_ALL, SCOPE_ALL = 0b11, 0b11


def file_access(version):
    """Every right to files that can be withheld."""
    known = FILE_ALL
    known |= FILE_REFER if version >= 2 else 0
    known |= FILE_TRUNCATE if version >= 3 else 0
    return known | device_access(version)


def device_access(version):
    """The right to control devices, where it can be withheld."""
    return DEVICE_CONTROL if version >= 5 else 0


def scratch_access(version):
    """Everything but running programs and making or controlling devices."""
    return file_access(version) & ~(FILE_EXECUTE | MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE | DEVICE_CONTROL)


def create_ruleset(version):
    """A ruleset that withholds all rights."""
    request = struct.pack("=Q", file_access(version))
    request += struct.pack("=Q", NET_ALL) if version >= 4 else b""
    request += struct.pack("=Q", SCOPE_ALL) if version >= 6 else b""
    return call("syscall", SYS_LANDLOCK_CREATE_RULESET, request, len(request), 0)


def allow(ruleset, path, rights):
    """Gives rights to what lies at or below `path`; nothing if there is nothing."""
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
    """seccomp: from now on the kernel asks this filter about every system call, of every thread."""
    install(program, lambda header: call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0))


def install(program, how):
    """Hands a filter to the kernel. Its header points to the instructions, which live until that is done."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    instructions = ctypes.create_string_buffer(program, len(program))
    return how(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))


def supervise_calls(program):
    """From now on the calls that this filter names wait for whoever holds the listener, and fail once nobody does.

    The nursery gets it, and the child keeps nothing of it: no code of the candidate can say what becomes of them.
    """
    how = (SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER)
    listener = install(program, lambda header: call("syscall", *how, header))
    with socket.socket(fileno=SUPERVISOR) as supervisor:
        socket.send_fds(supervisor, [b"!"], [listener])
    os.close(listener)


def allow_call(listener):
    """Lets the call go on that a supervised process waits with."""
    notification = bytearray(80)
    # It may have been killed meanwhile.
    with contextlib.suppress(OSError):
        fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification)
        (number,) = struct.unpack_from("=Q", notification)
        answer = struct.pack("=QqiI", number, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer)
