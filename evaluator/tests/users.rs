//! Users: runs the judge, or a test, as an ordinary user if the tests run as root.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::client::{judge_program, python};

/// Runs a program as an unprivileged user. Arguments: an empty folder, the folders that the program needs, `--`, the
/// program and what it takes. A mount namespace shows it those folders, because Python or the checkout is often in root's
/// home folder.
const SCRIPT: &str = r#"
set -e
aside=$1
shift
unprivileged='setpriv --reuid=65534 --regid=65534 --clear-groups'
number=0
for folder; do
    test "$folder" != -- || break
    number=$((number + 1))
    mkdir "$aside/$number"
    mount --rbind "$folder" "$aside/$number"
done
number=0
for folder; do
    test "$folder" != -- || break
    number=$((number + 1))
    $unprivileged test -x "$folder/." && continue
    closed=$folder
    while parent=$(dirname "$closed"); ! $unprivileged test -x "$parent"; do closed=$parent; done
    test ! -e "$folder" || mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$folder"
    mount --rbind "$aside/$number" "$folder"
done
while test "$1" != --; do shift; done
shift
exec $unprivileged "$@"
"#;

/// A command that runs a judge as an ordinary user, or the reason why that is impossible; `aside` is an empty folder.
pub fn ordinary_user(aside: &Path) -> Result<Command, String> {
    ordinary_user_with(aside, &judge_program(), &[])
}

/// The same for another program.
pub fn ordinary_user_with(aside: &Path, program: &Path, arguments: &[&str]) -> Result<Command, String> {
    if !geteuid().is_root() {
        return Err("only root can become another user".to_owned());
    }
    let probe = Command::new("unshare").args(["--mount", "setpriv", "--version"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return Err("this needs a mount namespace and setpriv".to_owned());
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(aside).args(needed_folders(program));
    command.arg("--").arg(program).args(arguments);
    Ok(command)
}

/// The folders of a program and of Python.
fn needed_folders(program: &Path) -> Vec<PathBuf> {
    let python = python();
    let output = Command::new(&python).args(["-c", "import sys; print(sys.base_prefix)"]).output().unwrap();
    let base = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let environment = python.ancestors().nth(2).unwrap();
    [base.as_path(), environment, program.parent().unwrap()].map(|folder| folder.canonicalize().unwrap()).to_vec()
}
