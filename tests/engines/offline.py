"""Checks an exported package without its engine, in whose place stands a double from `tests/testdata/engines`.

    python offline.py ENGINE PACKAGE FOLDER [VERSION]

Installs PACKAGE into FOLDER without pip or the network. VERSION is that of the engine; without it, one that the package
was tried with. Prints a line for each check. Exit status: 0 if all hold, 1 if one does not, 3 if the package refused
the version; then what it logged is printed.
"""

import ast
import json
import shutil
import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

DOUBLES = Path(__file__).parents[1] / "testdata/engines"


def described(folder, distribution, version, groups):
    """What pip leaves of an installed distribution, as far as anything here reads it."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
             for group, points in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


def install(package, folder):
    project = tomllib.loads((package / "pyproject.toml").read_text())
    for module in project["tool"]["setuptools"]["packages"]:
        shutil.copytree(package / module, folder / module)
    version = (package / project["tool"]["setuptools"]["dynamic"]["version"]["file"]).read_text().strip()
    described(folder, project["project"]["name"], version, project["project"].get("entry-points", {}))


def tried(package, engine):
    """The first version in the package's TRIED."""
    tree = ast.parse((package / f"packevolve_{engine}/__init__.py").read_text())
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "TRIED"]
    return ast.literal_eval(values[0])[0] if values else None


def main(engine, package, folder, version=None):
    package, folder = Path(package), Path(folder)
    install(package, folder)
    sys.path.insert(0, str(folder))
    import child
    import conformance
    import engines

    distribution = engines.ENGINES[engine].distribution
    if distribution:
        described(folder, distribution, version or tried(package, engine), {})
    engines.prepare(engine, [DOUBLES])
    log = engines.heard()
    if distribution:
        engines.load_plugins(engine)
    if log.says("NOT in place"):
        print("\n".join(line for _, line in log.lines))
        return 3
    _, checks = conformance.of_engine(engine, log)
    failed = child.run_checks(checks)
    print(json.dumps({"checks": len(checks), "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
