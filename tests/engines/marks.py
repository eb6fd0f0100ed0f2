"""What starting from the plan in force is worth: a plan for one window, corrected on the next, and scored on that.

    python marks.py --loads FOLDER [PROGRAM...]

FOLDER has the loads of several models in folders of their own: `dsv3_sglang` (CSV, a window a file), and, for the table of
what moves, `olmoe` and `dsv2lite_esft`, if they are there. PROGRAM is a file with a policy; without one, policies are put
together of the building blocks, which move the less the higher their price. Prints tables in Markdown. Exit status: 1 if a
policy is less balanced than the marks of a planner without a time limit at the share that it moves, plans longer than
`--limit`, or fails.
"""

import argparse
import csv
import json
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

import composed
import numpy as np
import placements
import torch
from engines import Topology

#: DeepSeek-V3: the plan is made for the first, corrected on the second.
PAIRS = (
    ("prefill_in1024", "prefill_in2048"),
    ("prefill_in1000out1000", "prefill_in1800out100"),
    ("prefill_in1800out100", "prefill_in2000out100"),
    ("prefill_in500out1500", "prefill_in1024"),
    ("prefill_in2048", "prefill_in500out1500"),
    ("decode_in1000out1000", "decode_in1800out100"),
    ("decode_in1800out100", "decode_in1000out1000"),
    ("prefill_in1024", "decode_in1000out1000"),
    ("decode_in1800out100", "prefill_in2000out100"),
)
#: The replicas moved in percent, and the balancedness reached, by a planner that takes 2.6 s; the first keeps the plan.
MARKS = {
    "global": ((0, .8473), (1.7, .9228), (3.7, .9522), (8.4, .9797), (17.8, .9972), (28.7, .9998), (95.5, .9997)),
    "hierarchical": ((0, .7237), (2.0, .7890), (4.2, .8033), (6.7, .8086), (7.3, .8091), (87.3, .8174)),
}
DEEPSEEK = {"global": Topology(288, 1, 1, 32), "hierarchical": Topology(288, 8, 4, 32)}
#: For 64 experts.
SMALL = Topology(72, 1, 1, 8)
#: A smaller difference in balancedness does not count.
CLOSE = 0.0005
#: If a fresh plan serves better by more than this, a correction does not help.
WORSE = 0.01
HEAD = ("policy", "program", "moved %", "balancedness", "the mark there", "above it", "ms")
HEAD_OF_MOVES = ("model", "program", "moved %", "kept", "corrected", "fresh", "does it help?")


def by_hand():
    """Policies by what an operation has to gain, of a GPU's load, for each replica that it moves; by name. The last one works
    until nothing gains."""
    single = "move_heaviest steps=256 price={} among=4 goal=0.0003"
    prices = ("0.05", "0.02", "0.005", "0.001", "0.0003", "0.0001")
    named = {f"price {price}": composed.program([single.format(price)]) for price in prices}
    pairs = [single.format("0.0003"), "move_pairs steps=4 price=0.0002 among=4"]
    return named | {
        "price 0.0003, pairs too": composed.program(pairs),
        "until done": composed.program([single.format("0.0")]),
    }


def loaded(name, text):
    space = {}
    exec(compile(text, name, "exec"), space)
    return space["rebalance_experts"]


def planned(plan, window, topology, old=None, before=None):
    """The placement, and the seconds of CPU time of the call."""
    in_force = {} if old is None else {"old_phy2log": torch.from_numpy(old.copy())}
    if before is not None:
        in_force["history"] = torch.from_numpy(before).float()[None]
    load = torch.from_numpy(window).float()
    begin = time.process_time()
    placement = plan(load, *topology, **in_force)[0]
    return placement.numpy(), time.process_time() - begin


def moved(new, old, gpus):
    """The share of the replicas that a GPU receives."""
    return placements.moved(placements.with_kept_slots(new, old, gpus), old)


def stays_on_its_node(new, topology, experts):
    """Whether each group of experts is on one node."""
    held = np.zeros((len(new), topology.groups, topology.nodes), bool)
    groups = (new // (experts // topology.groups)).reshape(len(new), topology.nodes, -1)
    rows, nodes = np.arange(len(new))[:, None, None], np.arange(topology.nodes)[None, :, None]
    held[rows, groups, nodes] = True
    return held.sum(2).max() == 1


def measured(plan, windows, topology):
    """The means over the pairs: share moved in percent, balancedness; and the median of the milliseconds."""
    shares, balances, times = [], [], []
    for first, second in PAIRS:
        old, _ = planned(plan, windows[first], topology)
        planned(plan, windows[second], topology, old, windows[first])  # What is compiled or read at first is not timed.
        new, seconds = planned(plan, windows[second], topology, old, windows[first])
        assert stays_on_its_node(new, topology, windows[second].shape[1]), "a group is on two nodes"
        shares.append(moved(new, old, topology.gpus))
        balances.append(placements.balancedness(new, windows[second], topology.gpus))
        times.append(seconds)
    return 100 * np.mean(shares), np.mean(balances), 1000 * np.median(times)


def mark_at(policy, share):
    """The balancedness of the marks at this share moved: between two of them on the line from one to the other."""
    return np.interp(share, *np.array(MARKS[policy]).T)


def tried(measure, named, missed):
    """What `measure` returns. What it raises is the program's own: it goes to `missed`, and the others are measured."""
    try:
        return measure()
    except Exception as error:
        missed.append(f"{named}: {error!r}")
        return None


def marks_rows(programs, windows, limit):
    """The lines of the table, and what misses."""
    rows, missed = [], []
    for policy, topology in DEEPSEEK.items():
        for name, plan in programs.items():
            found = tried(lambda: measured(plan, windows, topology), f"{name}, {policy}", missed)
            if found is None:
                continue
            share, balance, ms = found
            above = balance - mark_at(policy, share)
            rows.append([policy, name, f"{share:.1f}", f"{balance:.4f}", f"{balance - above:.4f}", f"{above:+.4f}", f"{ms:.1f}"])
            if above < -CLOSE:
                missed.append(f"{name}, {policy}: {-above:.4f} below the mark at {share:.1f} % moved")
            if ms > limit:
                missed.append(f"{name}, {policy}: {ms:.1f} ms, more than {limit}")
    return rows, missed


def of_csv(folder):
    return {path.stem: np.loadtxt(path, delimiter=",", ndmin=2) for path in sorted(folder.glob("*.csv"))}


def of_samples(folder):
    """Windows in order: each domain in three parts, of every third sample."""
    windows = []
    for path in sorted(folder.glob("*.csv")):
        parts = [defaultdict(lambda: 0) for _ in range(3)]
        with path.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                loads = np.array([float(value) for name, value in row.items() if name.startswith("e")])
                parts[int(row["sample"]) % 3][int(row["layer"])] += loads
        windows += [np.stack([part[layer] for layer in sorted(part)]) for part in parts]
    return windows


def of_domains(file, model):
    counts = json.loads(file.read_text(encoding="utf-8"))[model]
    return [np.array(counts[domain], float) for domain in sorted(counts)]


def others(folder):
    """The windows of other models, in order, by what they are called."""
    found = {}
    if (folder / "dsv2lite_esft").is_dir():
        found["DeepSeek-V2-Lite, domains in thirds"] = of_samples(folder / "dsv2lite_esft")
    if (folder / "olmoe").is_dir():
        found["OLMoE, domain by domain"] = of_domains(folder / "olmoe/olmoe_expert_counts.json", "olmoe")
    return found


def moves_row(model, name, plan, windows):
    """Judged on a third window: the plan of the first, kept; corrected on the second; and a fresh one for the second."""
    shares, served = [], []
    for first, second, third in zip(windows, windows[1:], windows[2:]):
        old, _ = planned(plan, first, SMALL)
        corrected, _ = planned(plan, second, SMALL, old, first)
        fresh, _ = planned(plan, second, SMALL)
        shares.append(moved(corrected, old, SMALL.gpus))
        served.append([placements.balancedness(each, third, SMALL.gpus) for each in (old, corrected, fresh)])
    kept, corrected, fresh = np.mean(served, 0)
    cells = [f"{100 * np.mean(shares):.1f}", *(f"{each:.4f}" for each in (kept, corrected, fresh))]
    return [model, name, *cells, verdict(np.array(served))]


def verdict(served):
    """Whether correcting helps, of balancedness [cases, 3] with the plan kept, corrected, and fresh: not if the plan in force
    serves as well, nor if a fresh plan serves better. A mean difference is given with two standard errors."""
    kept, corrected, fresh = served.T

    def gain(of, over):
        gains = of - over
        error = 2 * gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
        return gains.mean(), f"{gains.mean():.3f} ± {error:.3f}"

    (over_kept, over_kept_text), (over_corrected, over_corrected_text) = gain(corrected, kept), gain(fresh, corrected)
    if over_corrected > WORSE:
        return f"no: a fresh plan serves better, by {over_corrected_text}"
    if over_kept <= CLOSE:
        return "no: the plan in force serves as well"
    return f"yes: better than the plan in force by {over_kept_text}"


def markdown(head, rows):
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in (head, *rows)]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def write_chains(loads, folder):
    """The pairs as windows in order, the second of each twice: a search on chains of three windows measures what this table
    does, a plan that is made from a window and serves it again."""
    folder.mkdir(parents=True)
    for number, (first, second) in enumerate(PAIRS):
        for place, name in enumerate((first, second, second)):
            shutil.copy(loads / f"{name}.csv", folder / f"{number}-{place}-{name}.csv")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loads", required=True, type=Path, help="the folder with the models' loads")
    parser.add_argument("--limit", type=float, default=10, help="milliseconds of a rebalance, at most")
    parser.add_argument("programs", nargs="*", type=Path, metavar="PROGRAM")
    parser.add_argument("--chains", type=Path, metavar="FOLDER", help="only write the pairs there, for a search with "
                        "`evaluation: {chain_windows: 3, windows: 9, held_out_windows: 0}`")
    arguments = parser.parse_args()
    if arguments.chains:
        return write_chains(arguments.loads / "dsv3_sglang", arguments.chains)
    torch.set_num_threads(1)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in arguments.programs} or by_hand()
    programs = {name: loaded(name, text) for name, text in texts.items()}
    rows, missed = marks_rows(programs, of_csv(arguments.loads / "dsv3_sglang"), arguments.limit)
    print("A plan for one window of DeepSeek-V3, corrected on the next and scored on it; means of nine pairs\n")
    print(markdown(HEAD, rows))
    rows = [tried(lambda: moves_row(model, name, plan, windows), f"{name}, {model}", missed)
            for model, windows in others(arguments.loads).items() for name, plan in programs.items()]
    rows = [row for row in rows if row is not None]
    if rows:
        print("\nWhat moves: 64 experts on 8 GPUs with 72 replicas; a plan for one window, kept, corrected on the second or "
              "made afresh for it, scored on the third\n")
        print(markdown(HEAD_OF_MOVES, rows))
    sys.exit("\n".join(["", *missed]) if missed else 0)


if __name__ == "__main__":
    main()
