"""Runs one step of a set-up quietly: its output goes to a log, and one line says what it does, how far it is, and in the
end its size and time. A step that fails shows the end of its log and names it.

    step.py --log FILE --name "Python packages" [--size PATH] [--only-if WORD] -- command ...
"""

import argparse
import os
import re
import subprocess
import sys
import time

# How much of the log of a failed step is shown.
LAST_LINES = 25
# How often a line that is not on a terminal says how far the step is, seconds.
SAY_EVERY = 30
CARGO = re.compile(r"Building \[[^\]]*\] (\d+)/(\d+)")
PIP = re.compile(r"Downloading (\S+)(?: .*)?\(([\d.]+) ([kMG]?B)\)")
BYTES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


class Line:
    """The line of a step, which is written over on a terminal."""

    def __init__(self, name, only_if):
        self.name = name
        self.only_if = only_if
        self.is_shown = not only_if
        self.is_terminal = sys.stderr.isatty()
        self.began = self.said = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def says(self, how_far):
        if not self.is_shown:
            return
        text = f"{self.name:<22}{how_far[:36]:<38}{duration(self.elapsed())}"
        if self.is_terminal:
            print(f"\r{text[:100]}\x1b[K", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.said > SAY_EVERY:
            self.said = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def ends(self, how):
        if not self.is_shown:
            return
        text = f"{self.name:<22}{how:<38}{duration(self.elapsed())}"
        print(f"\r{text}\x1b[K" if self.is_terminal else text, file=sys.stderr, flush=True)


class Progress:
    """How far a step is, from what cargo and pip write."""

    def __init__(self):
        self.text = ""
        self.downloaded = 0

    def hears(self, part):
        if found := CARGO.search(part):
            done, of = int(found[1]), int(found[2])
            self.text = f"{done} of {of} crates"
        elif found := PIP.search(part):
            self.downloaded += float(found[2]) * BYTES[found[3]]
            name = found[1].rsplit("/", 1)[-1].split("-")[0]
            self.text = f"{size(self.downloaded)}, now {name}"
        elif part.startswith("Installing collected packages"):
            self.text = f"{size(self.downloaded)}, unpacking"


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def size(count):
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def used(path):
    """The bytes on the disk below a path; a file with several names counts once."""
    seen, total = set(), 0
    paths = [path] if os.path.isfile(path) else (
        os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    for name in paths:
        try:
            found = os.lstat(name)
        except OSError:
            continue
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            total += found.st_blocks * 512
    return total


def parts(stream):
    """Lines, and what is written over on a terminal."""
    left = b""
    while chunk := stream.read1(1 << 16):
        *whole, left = re.split(rb"[\r\n]", left + chunk)
        yield from (part.decode(errors="replace") for part in whole if part.strip())
    if left.strip():
        yield left.decode(errors="replace")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--log", required=True)
    arguments.add_argument("--name", required=True)
    arguments.add_argument("--size", help="whose size is shown in the end")
    arguments.add_argument("--only-if", help="the step is shown only once its output holds this word")
    arguments.add_argument("command", nargs="+")
    asked = arguments.parse_args()
    os.makedirs(os.path.dirname(asked.log) or ".", exist_ok=True)
    line, progress = Line(asked.name, asked.only_if), Progress()
    environment = dict(os.environ, CARGO_TERM_PROGRESS_WHEN="always", CARGO_TERM_PROGRESS_WIDTH="80",
                       CARGO_TERM_COLOR="never", PYTHONUNBUFFERED="1")
    line.says("")
    with open(asked.log, "a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(asked.command)}\n")
        log.flush()
        begin = log.tell()
        process = subprocess.Popen(asked.command, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            for part in parts(process.stdout):
                progress.hears(part)
                if not CARGO.search(part):
                    log.write(part + "\n")
                    log.flush()
                line.is_shown |= bool(asked.only_if) and asked.only_if in part
                line.says(progress.text)
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()
            line.ends("interrupted")
            return 130
    if status == 0:
        line.ends(size(used(asked.size)) if asked.size else progress.text)
        return 0
    line.is_shown = True
    line.ends("failed")
    with open(asked.log, encoding="utf-8") as log:
        log.seek(begin)
        print("".join(log.readlines()[-LAST_LINES:]), end="", file=sys.stderr)
    print(f"packevolve: {asked.name} failed, for the reason above; all of its output is in {asked.log}", file=sys.stderr)
    return status if 0 < status < 126 else 1


if __name__ == "__main__":
    sys.exit(main())
