"""Windows of expert loads: float64 [windows, layers, experts]."""

import sys
from pathlib import Path

import numpy as np

MADE_UP = (6, 58, 256)


def windows_of(path):
    """Those of a CSV file (one window), an array (`.npy`), or a folder of these, in the order of their names."""
    path = Path(path)
    if not path.exists():
        sys.exit(f"error: there are no loads at {path}")
    files = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".npy")) if path.is_dir() else [path]
    if not files:
        sys.exit(f"error: {path} holds no .csv and no .npy\nhint: `packevolve loads` shows what other formats hold")
    windows = [window for file in files for window in _windows_of_file(file)]
    shapes = {window.shape for window in windows}
    if len(shapes) > 1:
        sys.exit(f"error: the windows in {path} differ in shape: {', '.join(map(str, sorted(shapes)))}")
    if len(windows) < 2:
        sys.exit(f"error: {path} holds one window, and a plan is judged on the next one")
    return np.stack(windows)


def _windows_of_file(file):
    try:
        read = np.load(file) if file.suffix == ".npy" else np.loadtxt(file, delimiter=",", ndmin=2)
        read = read.astype(np.float64)
    except ValueError as error:
        sys.exit(f"error: {file} is not read: {error}\nhint: .csv has a line for each layer, .npy two or three axes")
    if read.ndim not in (2, 3) or read.size == 0:
        sys.exit(f"error: {file} holds an array of shape {read.shape}, not of layers x experts")
    return read if read.ndim == 3 else read[None]


def made_up():
    """Skewed as those of real models, drifting from window to window; the same at every call."""
    windows, layers, experts = MADE_UP
    random = np.random.default_rng(1)
    taste = random.normal(size=(layers, experts))
    drift = random.normal(size=(windows, layers, experts))
    return np.round(np.exp(0.8 * taste + 0.25 * drift) * 2**15)
