"""Builds the wheel and the source distribution: a backend for pip (PEP 517), and a program for the Makefile.

    backend.py wheel FOLDER | sdist FOLDER | install PREFIX

A wheel holds `packevolve` and `packevolve-judge`, which lie beside each other in the environment's folder of programs and
find torch's libraries from there; man pages; and the licences of everything that is linked into them. Cargo builds; torch
comes from the environment of this Python, or from LIBTORCH. It needs nothing beside Python and the toolchain.
"""

import base64
import gzip
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAME = "packevolve"
PROGRAMS = ("packevolve", "packevolve-judge")
LICENCES = ("LICENSE-MIT", "LICENSE-APACHE", "LICENSE-THIRD-PARTY")
# Names of files with a licence in the source of a crate, or of a library that it brings along.
LICENCE_FILES = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)
# What a checkout has that a source distribution has not.
LEFT_OUT = {".git", ".venv", "target", "runs", "dist", "__pycache__", ".pytest_cache", "proptest-regressions"}
# The earliest time that a zip file can tell.
EPOCH = 315532800


# What pip calls.

def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_sdist(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    programs = built()
    binaries = [stripped(path) for path in programs]
    tag = f"py3-none-{platform_tag(binaries)}"
    files = {f"{data()}/scripts/{name}": (binary, 0o755) for name, binary in zip(PROGRAMS, binaries)}
    for path, text in man_pages(programs[0]).items():
        files[f"{data()}/data/share/man/{path}"] = (text, 0o644)
    files |= {f"{info()}/{path}": (text.encode(), 0o644) for path, text in dist_info(tag).items()}
    name = f"{NAME}-{version()}-{tag}.whl"
    write_wheel(pathlib.Path(wheel_directory) / name, files)
    return name


def build_sdist(sdist_directory, config_settings=None):
    base = f"{NAME}-{version()}"
    name = f"{base}.tar.gz"
    pathlib.Path(sdist_directory).mkdir(parents=True, exist_ok=True)
    with open(pathlib.Path(sdist_directory) / name, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=epoch()) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive:
            add_text(archive, f"{base}/PKG-INFO", metadata())
            for path in sources():
                member = archive.gettarinfo(ROOT / path, f"{base}/{path}")
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mtime = epoch()
                member.mode = 0o755 if member.mode & 0o100 else 0o644
                with open(ROOT / path, "rb") as file:
                    archive.addfile(member, file)
    return name


# What goes into them.

def data():
    return f"{NAME}-{version()}.data"


def info():
    return f"{NAME}-{version()}.dist-info"


def version():
    text = (ROOT / "Cargo.toml").read_text()
    return re.search(r'^\[workspace\.package\]\s*\nversion = "([^"]+)"', text, re.MULTILINE)[1]


def epoch():
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH)), EPOCH)


def requirements():
    lines = (ROOT / "evaluator/requirements.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def metadata():
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", NAME),
        ("Version", version()),
        ("Summary", "Evolves the expert packing of mixture-of-experts inference: edits, judge, archive, replay"),
        ("Keywords", "mixture-of-experts,expert-parallelism,eplb,load-balancing,evolutionary-search"),
        ("License-Expression", "MIT OR Apache-2.0"),
        *(("License-File", name) for name in (*LICENCES, "LICENSE-CRATES")),
        ("Classifier", "Development Status :: 4 - Beta"),
        ("Classifier", "Environment :: Console"),
        ("Classifier", "Intended Audience :: System Administrators"),
        ("Classifier", "Operating System :: POSIX :: Linux"),
        ("Classifier", "Programming Language :: Python :: 3"),
        ("Classifier", "Programming Language :: Rust"),
        ("Classifier", "Topic :: Scientific/Engineering :: Artificial Intelligence"),
        ("Requires-Python", ">=3.10,<3.15"),
        *(("Requires-Dist", requirement) for requirement in requirements()),
        ("Description-Content-Type", "text/markdown"),
    ]
    head = "".join(f"{key}: {value}\n" for key, value in fields)
    return head + "\n" + (ROOT / "README.md").read_text()


def dist_info(tag):
    wheel = f"Wheel-Version: 1.0\nGenerator: packevolve {version()}\nRoot-Is-Purelib: false\nTag: {tag}\n"
    licences = {f"licenses/{name}": (ROOT / name).read_text() for name in LICENCES}
    return {"METADATA": metadata(), "WHEEL": wheel, **licences, "licenses/LICENSE-CRATES": crate_licences()}


def sources():
    """The files of the checkout, sorted: those that git knows, or all where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, check=False) if (ROOT / ".git").exists() else None
    if listed and listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    names = [name for name in names if not LEFT_OUT & set(pathlib.PurePath(name).parts) and name != "PKG-INFO"]
    return sorted(names)


def crate_licences():
    """The licences of the crates that are linked into the programs, each text once."""
    asked = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host()]
    answer = json.loads(subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    nodes = {node["id"]: node for node in answer["resolve"]["nodes"]}
    left, linked = list(answer["workspace_members"]), set()
    while left:
        crate = left.pop()
        if crate not in linked:
            linked.add(crate)
            normal = [dep for dep in nodes[crate]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
            left += [dep["pkg"] for dep in normal]
    own = set(answer["workspace_members"])
    crates = sorted((crate for crate in answer["packages"] if crate["id"] in linked - own),
                    key=lambda crate: (crate["name"], crate["version"]))
    texts, lines = {}, []
    for crate in crates:
        numbers = []
        for path in licence_files(pathlib.Path(crate["manifest_path"]).parent):
            text = path.read_text(errors="replace").strip()
            numbers.append(texts.setdefault(text, len(texts) + 1))
        shown = ", ".join(str(number) for number in sorted(set(numbers))) or "none in its source"
        lines.append(f"{crate['name']} {crate['version']}: {crate['license'] or 'see its text'} (texts: {shown})")
    head = "The programs of PackEvolve contain these crates. Each comes under its licence; the texts follow by number.\n\n"
    body = "".join(f"\n{'=' * 79}\n{number}\n{'=' * 79}\n\n{text}\n" for text, number in texts.items())
    return head + "\n".join(lines) + "\n" + body


def licence_files(folder):
    """At the top of a crate, and of a library in it."""
    found = [path for place in (folder, *sorted(folder.iterdir())) if place.is_dir() and not place.is_symlink()
             for path in sorted(place.iterdir())]
    return [path for path in found if path.is_file() and LICENCE_FILES.match(path.name) and path.suffix not in (".rs", ".py")]


# Building.

def host():
    version = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.search(r"^host: (.*)$", version, re.MULTILINE)[1]


def target():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def built():
    """The programs, as cargo builds them, or those that were built into a folder before."""
    if ready := os.environ.get("PACKEVOLVE_PROGRAMS"):
        return [pathlib.Path(ready) / name for name in PROGRAMS]
    environment = dict(os.environ)
    if "LIBTORCH" not in environment and not (ROOT / ".venv/libtorch").exists():
        environment["LIBTORCH"] = str(torch())
    subprocess.run(["cargo", "build", "--release", "--locked", "--workspace", "--bins"], cwd=ROOT, env=environment, check=True)
    return [target() / "release" / name for name in PROGRAMS]


def torch():
    """Torch in the environment of this Python."""
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        sys.exit("packevolve: no torch to build with: `make setup` makes an environment, or set LIBTORCH")
    return pathlib.Path(found.submodule_search_locations[0])


def stripped(path):
    """The bytes of a program without what only a debugger reads, and without the place of torch on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / path.name
        shutil.copyfile(path, copy)
        if shutil.which("strip"):
            subprocess.run(["strip", str(copy)], check=True)
        program = copy.read_bytes()
    return without_places(program)


def without_places(program):
    """Cuts the search path for libraries after the places that are relative to the program."""
    begin = program.find(b"$ORIGIN/../lib/python3.")
    if begin < 0:
        return program
    end = program.index(b"\0", begin)
    kept = b":".join(place for place in program[begin:end].split(b":") if place.startswith(b"$ORIGIN"))
    return program[:begin] + kept.ljust(end - begin, b"\0") + program[end:]


def platform_tag(programs):
    """The tag of the oldest C library that all of them run with (PEP 600)."""
    found = {int(minor) for program in programs for minor in re.findall(rb"GLIBC_2\.(\d+)", program)}
    return f"manylinux_2_{max(found)}_{platform.machine()}"


def man_pages(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "--quiet", "man", folder], check=True)
        return {f"man{path.suffix[1:]}/{path.name}": path.read_bytes() for path in pathlib.Path(folder).iterdir()}


# Writing.

def write_wheel(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    record = f"{info()}/RECORD"
    lines = [f"{name},sha256={digest(content)},{len(content)}" for name, (content, _) in files.items()]
    files = {**files, record: ("\n".join([*lines, f"{record},,", ""]).encode(), 0o644)}
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
            for name, (content, mode) in files.items():
                member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                member.external_attr = (0o100000 | mode) << 16
                member.compress_type = zipfile.ZIP_DEFLATED
                wheel.writestr(member, content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def add_text(archive, name, text):
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(text.encode()), epoch(), 0o644
    archive.addfile(member, io.BytesIO(text.encode()))


def install(prefix):
    """Puts the programs, their man pages and completions below a prefix. They keep using the environment of this checkout."""
    below = pathlib.Path(os.environ.get("DESTDIR", "") + str(pathlib.Path(prefix).absolute()))
    rival = next(below.glob("lib/python3*/site-packages/torch"), None)
    if rival:
        sys.exit(f"packevolve: {rival} would be used in place of the torch that the judge is made for: choose another PREFIX")
    programs = built()
    (below / "bin").mkdir(parents=True, exist_ok=True)
    for path in programs:
        copy = below / "bin" / path.name
        partial = copy.with_suffix(".partial")
        shutil.copyfile(path, partial)
        if shutil.which("strip"):
            subprocess.run(["strip", str(partial)], check=True)
        partial.chmod(0o755)
        partial.replace(copy)
    files = {f"share/man/{path}": text for path, text in man_pages(programs[0]).items()}
    for shell, path in (("bash", "bash-completion/completions/packevolve"), ("zsh", "zsh/site-functions/_packevolve"),
                        ("fish", "fish/vendor_completions.d/packevolve.fish")):
        asked = [programs[0], "completions", shell]
        files[f"share/{path}"] = subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout
    files |= {f"share/doc/packevolve/{name}": (ROOT / name).read_bytes() for name in (*LICENCES, "README.md")}
    files["share/doc/packevolve/LICENSE-CRATES"] = crate_licences().encode()
    for name, content in files.items():
        path = below / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"packevolve and packevolve-judge are in {below / 'bin'}; they use the Python environment of {ROOT / '.venv'}")


def main():
    match sys.argv[1:]:
        case ["wheel", folder]:
            path = pathlib.Path(folder) / build_wheel(folder)
            print(f"{path} ({path.stat().st_size / 1e6:.0f} MB)")
        case ["sdist", folder]:
            path = pathlib.Path(folder) / build_sdist(folder)
            print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
        case ["install", prefix]:
            install(prefix)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
