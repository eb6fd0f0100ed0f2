"""Checks building blocks one by one against what candidates/blocks/README.md says of their kind.

    python check_blocks.py FOLDER

Prints one line per block, parameters and input. Exit status: 0 if all hold, 1 if one does not.
"""

import itertools
import re
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

LEAST = np.float32(1e-30)  # what a weight of zero is taken for
NUMBER = 2**29 - 1  # the bits of a tagged weight that hold the number of its item


def read_blocks(folder):
    """All functions in one namespace, and the header of each."""
    namespace, headers = {"np": np, "torch": torch}, {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        header = dict(re.findall(r"^# (\w+): (.*)$", text[:text.index("def ")], re.M))
        assert header.pop("block") == path.stem, f"{path} is called otherwise in its header"
        headers[path.stem] = header
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
              for key, text in header.items() if key not in ("kind", "needs", "says")}
    low = {key: some[0] for key, some in ranges.items()}
    yield low
    if ranges:
        yield {key: some[-1] for key, some in ranges.items()}
        yield {key: some[len(some) // 2] for key, some in ranges.items()}


def weights_of(packs, weight):
    """The weights that the tags of `packs` name, after a check that each item of a row is there once."""
    rows, items = weight.shape
    numbers = (packs.view(np.int64) & NUMBER).reshape(packs.shape[0], rows, -1).transpose(1, 0, 2)
    assert (np.sort(numbers.reshape(rows, items), 1) == np.arange(items)).all(), "an item is lost, or there twice"
    true = np.maximum(weight.numpy(), LEAST).astype(np.float64)
    return np.take_along_axis(true, numbers.reshape(rows, items), 1).reshape(numbers.shape)


def check_packing(packs, loads, weight, num_packs):
    rows, items = weight.shape
    assert packs.shape == (items // num_packs, rows * num_packs) and loads.shape == (rows, num_packs)
    assert packs.dtype == loads.dtype == np.float64 and packs.flags.c_contiguous and loads.flags.c_contiguous
    sums = weights_of(packs, weight).sum(1)
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


def check(kind, function, chosen, weight, num_packs, blocks):
    before = weight.clone()
    items = blocks["_sorted"](weight)
    deal = lambda: blocks["_assign_dealt"](items, num_packs)
    bound = items.sum(1) / num_packs
    if kind == "order":
        ordered = function(items, num_packs, **chosen)
        assert ordered.shape == items.shape and (np.sort(ordered, 1) == np.sort(items, 1)).all()
    elif kind == "assign":
        check_packing(*function(items, num_packs, **chosen), weight, num_packs)
    elif kind == "bound":
        found = function(items, num_packs, **chosen)
        assert found.shape == bound.shape and (found >= bound * (1 - 1e-6)).all()
        if items.shape[1] <= 9:
            best = np.array([optimum(row, num_packs) for row in items])
            assert (found <= best * (1 + 1e-6)).all(), f"{found} is above {best}"
    elif kind == "refine":
        packs, loads = deal()
        heaviest = before_all = check_packing(packs, loads, weight, num_packs)
        for _ in range(4):  # The better a packing is, the easier it gets worse.
            function(packs, loads, bound, **chosen)
            after = check_packing(packs, loads, weight, num_packs)
            assert (after <= heaviest * (1 + 1e-6)).all(), "a row got worse"
            heaviest = after
        if weight.unique().numel() > 40 and num_packs > 2:
            assert heaviest.sum() < before_all.sum(), "nothing got better"
    elif kind == "select":
        (packs, loads), other = deal(), blocks["_assign_rounds"](items[:, ::-1], num_packs)
        both = [check_packing(*each, weight, num_packs) for each in ((packs, loads), other)]
        function(packs, loads, *other, **chosen)
        assert np.allclose(check_packing(packs, loads, weight, num_packs), np.minimum(*both))
    elif kind == "restart":
        packs, loads = deal()
        heaviest = check_packing(packs, loads, weight, num_packs)
        function(items, packs, loads, bound, num_packs, **chosen)
        assert (check_packing(packs, loads, weight, num_packs) <= heaviest * (1 + 1e-6)).all(), "a row got worse"
    assert torch.equal(weight, before), "the weights were changed"


def check_frame(weight, num_packs, blocks):
    rows, count = weight.shape
    items = blocks["_sorted"](weight)
    assert (np.diff(items, axis=1) <= 0).all(), "not in order"
    packs, _ = blocks["_assign_rounds"](items, num_packs)
    held = weights_of(packs, weight)
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


def main():
    blocks, headers = read_blocks(Path(sys.argv[1]))
    blocks["_pack"] = lambda items, bound, num_packs: blocks["_assign_rounds"](items, num_packs)
    failed = False
    for name, header in headers.items():
        kind = header["kind"]
        for about, weight, num_packs in inputs():
            for chosen in values(header):
                told = f"{name} {chosen} on {about}"
                try:
                    if kind == "frame":
                        check_frame(weight, num_packs, blocks)
                    elif name == "best_swap":
                        check_best_swap(weight, num_packs, blocks)
                    elif name == "rising":
                        check_rising(weight, blocks)
                    elif kind != "helper":  # The other helpers are checked by what needs them.
                        check(kind, blocks[f"_{name}"], chosen, weight, num_packs, blocks)
                    print("ok", told)
                except Exception:
                    failed = True
                    print("FAILED", told, traceback.format_exc(), sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
