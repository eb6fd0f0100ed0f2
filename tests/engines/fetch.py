"""The sources of the engines: wheels from the package registry, without their dependencies, of which only the Python
files are kept."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

#: By distribution; `make engines ARGS="--version vllm=0.32.0"` takes others.
VERSIONS = {"vllm": "0.33.0", "sglang": "0.5.23", "vllm-ascend": "0.23.0"}
# What the wheels are built for does not matter: their compiled halves are left out.
BUILT_FOR = ["--python-version", "3.11"] + [
    word for tag in ("manylinux_2_35", "manylinux_2_34", "manylinux_2_28", "manylinux2014")
    for word in ("--platform", f"{tag}_x86_64")
]
KEPT = (".py", "METADATA", "entry_points.txt")


def tree(cache, distribution, version):
    """The folder of an engine's sources. Downloads them if the cache lacks them."""
    folder = Path(cache) / f"{distribution}-{version}"
    if folder.is_dir():
        return folder
    print(f"fetching {distribution} {version}", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        wheels, part = Path(made) / "wheels", Path(made) / "tree"
        _download(f"{distribution}=={version}", wheels)
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(part, [name for name in archive.namelist() if name.endswith(KEPT)])
        part.rename(folder)
    return folder


def _download(requirement, folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *BUILT_FOR,
               "--dest", str(folder), requirement]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"error: pip cannot download {requirement}, for the reason above\n"
                 "hint: `make engines` needs the package registry, once: can pip reach it, with this version in it?")


def install(package, folder):
    """Installs an exported package into a folder of its own, as pip does for a user."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
               "--target", str(folder), str(package)]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"error: pip cannot install {package}, for the reason above")
