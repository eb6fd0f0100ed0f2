"""The table of planners: each on the same windows, one thread."""

import time

import numpy as np
import placements
import torch
from engines import Topology

#: As many windows as a package keeps.
REMEMBERED = 8
HEAD = ("policy", "planner", "ms", "balancedness", "next window", "moved %", "kept %", "doubles")


def topologies(experts, arguments):
    """The hierarchical one and the global one, by name."""
    replicas = arguments.replicas or experts + arguments.gpus
    grouped = Topology(replicas, arguments.groups, arguments.nodes, arguments.gpus)
    return {"hierarchical": grouped, "global": Topology(replicas, 1, 1, arguments.gpus)}


def row(policy, planner, plan, windows, topology, rounds, starts=False):
    """One line. A planner that starts from the plan in force is given it, and the windows before. Times are medians of whole
    rebalances without what an engine does about slots, in CPU time, which other work on the machine disturbs less. Moves
    are parts of all slots: as planned, and after experts that stay on their GPU keep their slots, in the same way for every
    planner."""
    times, own, following, moved, kept, doubles = [], [], [], [], [], []
    old = None
    for number, window in enumerate(windows):
        loads = torch.from_numpy(window).float()
        in_force = (old, [torch.from_numpy(before).float() for before in windows[:number]][-REMEMBERED:]) if starts else ()
        for _ in range(rounds):
            begin = time.process_time()
            placement = plan(loads, topology, *in_force)
            times.append(time.process_time() - begin)
        if old is not None:
            moved.append(placements.moved(placement, old))
            placement = placements.with_kept_slots(placement, old, topology.gpus)
            kept.append(placements.moved(placement, old))
        old = placement
        own.append(placements.balancedness(placement, window, topology.gpus))
        doubles.append(placements.doubles(placement, topology.gpus))
        if number + 1 < len(windows):
            following.append(placements.balancedness(placement, windows[number + 1], topology.gpus))
    percent = [100 * np.mean(part) for part in (moved, kept)]
    return [policy, planner, f"{1000 * np.median(times):.1f}", f"{np.mean(own):.4f}", f"{np.mean(following):.4f}",
            *(f"{part:.0f}" for part in percent), f"{np.mean(doubles):.0f}"]


def identity(loads, topology):
    return placements.identity(*loads.shape, topology.replicas)


def markdown(rows):
    widths = [max(len(line[column]) for line in (HEAD, *rows)) for column in range(len(HEAD))]
    is_figure = [column > 1 for column in range(len(HEAD))]

    def line(cells):
        aligned = [cell.rjust(width) if right else cell.ljust(width)
                   for cell, width, right in zip(cells, widths, is_figure)]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * (width - 1) + ":") if right else "-" * width for width, right in zip(widths, is_figure)]
    return "\n".join([line(HEAD), line(rule), *map(line, rows)])
