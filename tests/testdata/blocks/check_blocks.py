"""Checks the building blocks of a catalogue one by one against what candidates/blocks/README.md says of their kind.

    python check_blocks.py FOLDER

Prints one line per block, parameters and input. Exit status: 0 if all hold, 1 if one does not.
"""

import importlib.util
import itertools
import re
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

LEAST = np.float32(1e-30)  # what a weight of zero is taken for
NUMBER = 2**29 - 1  # the bits of a tagged weight that hold the number of its item, counted from the last


def read_blocks(folder):
    """All functions in one namespace, and the header of each."""
    namespace, headers, texts = {"np": np, "torch": torch}, {}, {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        header = dict(re.findall(r"^# (\w+): (.*)$", text[:text.index("\ndef ")], re.M))
        if "import" in header:
            exec(header.pop("import"), namespace)
        assert header.pop("block") == path.stem, f"{path} is called otherwise in its header"
        headers[path.stem] = header
        texts[path] = text
    # An attempt is what one assignment makes, for the blocks that make further ones.
    name, header = next((name, header) for name, header in headers.items() if header["kind"] == "assign")
    chosen = "".join(f", {key}={value}" for key, value in next(values(header)).items())
    pack = folder / "pack.py"
    texts[pack] = texts[pack].replace("    ...\n", f"    packs, loads = _{name}(items, num_packs{chosen})\n")
    for path, text in texts.items():
        exec(compile(text, str(path), "exec"), namespace)
    return namespace, headers


def inputs():
    """(name, weight, num_packs): at least two packs, two items a pack and one row, as blocks are promised."""
    def loads(rows, items):
        generator = torch.Generator().manual_seed(items)
        return torch.randn(rows, items, generator=generator).mul(0.8).exp().mul(2**18).round()

    for items, packs in [(4, 2), (6, 3), (8, 4), (9, 3), (15, 5), (12, 2), (72, 8), (256, 64), (320, 64), (40, 2)]:
        yield f"{items}->{packs}", loads(3, items), packs
    yield "one row", loads(1, 72), 8
    yield "many rows", loads(40, 24), 8
    yield "equal weights", torch.full((2, 72), 7.0), 8
    yield "zeros", torch.zeros(2, 72), 8
    yield "one row of zeros", torch.cat([loads(2, 72), torch.zeros(1, 72)]), 8
    giant = torch.ones(2, 72)
    giant[:, 40] = 2.0**26
    yield "one giant", giant, 8
    yield "fractions", loads(2, 72) / 3, 8


def values(header):
    """The lowest values of all parameters together, the highest, and those in the middle."""
    ranges = {key: [float(v) if "." in v else int(v) for v in text.split()]
              for key, text in header.items() if key not in ("kind", "needs", "says", "weight")}
    low = {key: some[0] for key, some in ranges.items()}
    yield low
    if ranges:
        yield {key: some[-1] for key, some in ranges.items()}
        yield {key: some[len(some) // 2] for key, some in ranges.items()}


class Layout:
    """How a catalogue holds packs: compiled blocks [rows, packs, items a pack], the others [items a pack, rows * packs]."""

    def __init__(self, is_compiled):
        self.is_compiled = is_compiled

    def packs(self, items, order, num_packs):
        """The packs that hold the items at these places, [rows, packs, items a pack], and their loads."""
        rows, count = items.shape
        packs = np.take_along_axis(items, order.reshape(rows, count), 1).reshape(rows, num_packs, -1)
        loads = (packs.view(np.int64) & ~NUMBER).view(np.float64).sum(2)
        return (packs if self.is_compiled else np.ascontiguousarray(self.by_place(packs))), loads

    def by_place(self, packs):
        return packs.transpose(2, 0, 1).reshape(packs.shape[2], -1)

    def shape(self, rows, num_packs, size):
        return (rows, num_packs, size) if self.is_compiled else (size, rows * num_packs)

    def dealt(self, items, num_packs):
        """Item by item to one pack after the other, heaviest items first."""
        rows, count = items.shape
        order = np.arange(count).reshape(-1, num_packs).T
        return self.packs(items, np.broadcast_to(order, (rows, *order.shape)).copy(), num_packs)

    def heaped(self, items, num_packs):
        """The heaviest items together."""
        rows, count = items.shape
        order = np.arange(count).reshape(num_packs, -1)
        return self.packs(items, np.broadcast_to(order, (rows, *order.shape)).copy(), num_packs)


def weights_of(packs, weight, layout):
    """The weights that the tags of `packs` name, after a check that each item of a row is there once."""
    rows, items = weight.shape
    packs = layout.by_place(packs) if layout.is_compiled else packs
    numbers = (items - 1 - (packs.view(np.int64) & NUMBER)).reshape(packs.shape[0], rows, -1).transpose(1, 0, 2)
    assert (np.sort(numbers.reshape(rows, items), 1) == np.arange(items)).all(), "an item is lost, or there twice"
    true = np.maximum(weight.numpy(), LEAST).astype(np.float64)
    return np.take_along_axis(true, numbers.reshape(rows, items), 1).reshape(numbers.shape)


def check_packing(packs, loads, weight, num_packs, layout):
    rows, items = weight.shape
    assert packs.shape == layout.shape(rows, num_packs, items // num_packs) and loads.shape == (rows, num_packs)
    assert packs.dtype == loads.dtype == np.float64 and packs.flags.c_contiguous and loads.flags.c_contiguous
    sums = weights_of(packs, weight, layout).sum(1)
    assert np.allclose(sums, loads, rtol=1e-6, atol=1e-20), "loads are not those of the packs"
    return sums.max(1)


def optimum(weight, num_packs):
    """The lightest heaviest pack of a row, by trying everything."""
    size = len(weight) // num_packs
    if num_packs == 1:
        return weight.sum()
    first, rest = weight[0], weight[1:]
    best = np.inf
    for others in itertools.combinations(range(len(rest)), size - 1):
        left = np.delete(rest, others)
        best = min(best, max(first + rest[list(others)].sum(), optimum(left, num_packs - 1)))
    return best


def check(kind, function, chosen, weight, num_packs, blocks, layout):
    before = weight.clone()
    items = blocks["_sorted"](weight)
    deal = lambda: layout.dealt(items, num_packs)
    bound = items.sum(1) / num_packs
    if kind == "order":
        ordered = function(items, num_packs, **chosen)
        assert ordered.shape == items.shape and (np.sort(ordered, 1) == np.sort(items, 1)).all()
    elif kind == "assign":
        check_packing(*function(items, num_packs, **chosen), weight, num_packs, layout)
    elif kind == "bound":
        found = function(items, num_packs, **chosen)
        assert found.shape == bound.shape and (found >= bound * (1 - 1e-6)).all()
        if items.shape[1] <= 9:
            best = np.array([optimum(row, num_packs) for row in items])
            assert (found <= best * (1 + 1e-6)).all(), f"{found} is above {best}"
    elif kind == "refine":
        packs, loads = deal()
        heaviest = before_all = check_packing(packs, loads, weight, num_packs, layout)
        for _ in range(4):  # The better a packing is, the easier it gets worse.
            function(packs, loads, bound, **chosen)
            after = check_packing(packs, loads, weight, num_packs, layout)
            assert (after <= heaviest * (1 + 1e-6)).all(), "a row got worse"
            heaviest = after
        if weight.unique().numel() > 40 and num_packs > 2:
            assert heaviest.sum() < before_all.sum(), "nothing got better"
    elif kind == "select":
        (packs, loads), other = deal(), layout.heaped(items, num_packs)
        both = [check_packing(*each, weight, num_packs, layout) for each in ((packs, loads), other)]
        function(packs, loads, *other, **chosen)
        assert np.allclose(check_packing(packs, loads, weight, num_packs, layout), np.minimum(*both))
    elif kind == "restart":
        packs, loads = deal()
        heaviest = check_packing(packs, loads, weight, num_packs, layout)
        function(items, packs, loads, bound, num_packs, **chosen)
        assert (check_packing(packs, loads, weight, num_packs, layout) <= heaviest * (1 + 1e-6)).all(), "a row got worse"
    assert torch.equal(weight, before), "the weights were changed"


def check_frame(weight, num_packs, blocks, layout):
    rows, count = weight.shape
    items = blocks["_sorted"](weight)
    assert (np.diff(items, axis=1) <= 0).all(), "not in order"
    packs, _ = layout.dealt(items, num_packs)
    held = weights_of(packs, weight, layout)
    pack_index, rank = blocks["_placement"](packs, weight, num_packs)
    assert pack_index.dtype == rank.dtype == torch.int64 and pack_index.shape == rank.shape == weight.shape
    place = pack_index * (count // num_packs) + rank
    assert torch.equal(place.sort(1).values, torch.arange(count).expand(rows, count))
    true = torch.from_numpy(held).gather(1, rank.view(rows, -1)[:, :, None].expand(-1, -1, num_packs))
    true = true.gather(2, pack_index[:, :, None])[:, :, 0]
    assert torch.equal(true, weight.clamp(min=float(LEAST)).double()), "an item is said to be where another is"


def check_best_swap(weight, num_packs, blocks):
    """Against a search of all swaps, for the first pack of each row and the second."""
    items = blocks["_sorted"](weight)
    packs, loads = blocks["_assign_dealt"](items, num_packs)
    size, rows = len(packs), len(loads)
    each = np.arange(rows) * num_packs
    heavy, light = packs[:, each], packs[:, each + 1]
    half = (loads[:, 0] - loads[:, 1]) / 2
    rank, other_rank, distance = blocks["_best_swap"](heavy, light, half)
    all_swaps = np.abs(heavy[:, None] - light[None] - half)
    best = all_swaps.reshape(size * size, rows).min(0)
    chosen = np.abs(heavy[rank, np.arange(rows)] - light[other_rank, np.arange(rows)] - half)
    # What the number of the swap takes of the lowest bits, and what a float32 cannot tell.
    close = 1e-6 * packs.max() + best * 2.0**-10
    assert (chosen <= best + close).all() and (np.abs(distance - best) <= close).all()


def check_rising(weight, blocks):
    """Against a stable sort, with few ties and with many."""
    for values in (weight, weight.sqrt().round(), weight % 5):
        values = np.maximum(values.numpy(), LEAST).astype(np.float64)
        assert (blocks["_rising"](values) == values.argsort(1, kind="stable")).all(), values


def check_untagged(weight, blocks):
    true = np.sort(np.maximum(weight.numpy(), LEAST), 1)[:, ::-1]
    assert (blocks["_untagged"](blocks["_sorted"](weight)) == true).all(), "a weight is not itself without its tag"


def greedy(weight, num_packs):
    """The pack of each item of a row: the heaviest first, to the lightest pack with room; of equals the first first."""
    packs, loads, room = [0] * len(weight), [0.0] * num_packs, [len(weight) // num_packs] * num_packs
    for item in sorted(range(len(weight)), key=lambda item: -weight[item]):
        pack = min((pack for pack in range(num_packs) if room[pack]), key=loads.__getitem__)
        packs[item] = pack
        loads[pack] += weight[item]
        room[pack] -= 1
    return packs


# Assignments that give one item after the other to the least loaded pack.
ONE_BY_ONE = ["assign_sequential", "assign_lockstep", "assign_scan", "assign_heap"]
PUBLISHED = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
             [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]
PUBLISHED_PLAN = [[5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
                  [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1]]


def check_ties(name, function, chosen, blocks):
    """Packing without refinement is the greedy one to the item, whichever items and packs are equally heavy."""
    def packing(weight, num_packs):
        packs, _ = function(blocks["_sorted"](weight), num_packs, **chosen)
        return blocks["_placement"](packs, weight, num_packs)

    generator = torch.Generator().manual_seed(3)
    # With two items a pack, rounds and chunks are greedy too.
    for items, num_packs in [(16, 8), (64, 32)] + [(72, 8), (96, 16)] * (name in ONE_BY_ONE):
        weight = torch.randint(0, 5, (20, items), generator=generator).float().clamp(min=float(LEAST))
        wanted = [greedy(row, num_packs) for row in weight.double().tolist()]
        assert packing(weight, num_packs)[0].tolist() == wanted, f"{items}->{num_packs} differs from the greedy packing"
    spec = importlib.util.spec_from_file_location("eplb", Path(__file__).parents[3] / "candidates/eplb.py")
    eplb = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(eplb)
    eplb.balanced_packing = packing
    plan = eplb.rebalance_experts(torch.tensor(PUBLISHED), 16, 4, 2, 8)[0].tolist()
    assert plan == PUBLISHED_PLAN, f"DeepSeek's example becomes {plan}"


def main():
    blocks, headers = read_blocks(Path(sys.argv[1]))
    layout = Layout("njit" in blocks)
    failed = False
    for name, header in headers.items():
        kind = header["kind"]
        for chosen in values(header) if kind == "assign" and not name.endswith("dealt") else []:
            failed |= not holds(f"{name} {chosen} on equal weights and loads",
                                lambda: check_ties(name, blocks[f"_{name}"], chosen, blocks))
        for about, weight, num_packs in inputs():
            for chosen in values(header):
                failed |= not holds(f"{name} {chosen} on {about}",
                                    lambda: check_block(name, kind, chosen, weight, num_packs, blocks, layout))
    sys.exit(failed)


def check_block(name, kind, chosen, weight, num_packs, blocks, layout):
    if kind == "frame":
        check_frame(weight, num_packs, blocks, layout)
    elif name == "best_swap":
        check_best_swap(weight, num_packs, blocks)
    elif name == "rising":
        check_rising(weight, blocks)
    elif name == "untagged":
        check_untagged(weight, blocks)
    elif kind != "helper":  # The other helpers are checked by what needs them.
        check(kind, blocks[f"_{name}"], chosen, weight, num_packs, blocks, layout)


def holds(about, check):
    """Runs one check, prints its line."""
    try:
        check()
    except Exception:
        print("FAILED", about, traceback.format_exc(), sep="\n")
        return False
    print("ok", about)
    return True


if __name__ == "__main__":
    main()
