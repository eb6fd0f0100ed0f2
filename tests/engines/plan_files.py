"""Plan files that `packevolve plan` writes, read by the loaders of the engines that start with them.

No released vLLM reads a plan yet, and TensorRT-LLM's wheel cannot be imported without its compiled half: their files are
checked by the tests of the command alone.
"""

import functools
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

#: The engines whose loaders read the files.
READ_BY = ("sglang", "ascend")


def made(packevolve, folder, windows, topology, program):
    """Writes a plan for each of these engines, and as PackEvolve's own file, which says what must be read."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--loads", str(windows), "--doubles", "part", *program, "--quiet", "--force"]
    for name, value in topology.items():
        options += [f"--{name}", str(value)] if value else []
    paths = {}
    for engine in (*READ_BY, "json"):
        paths[engine] = str(folder / f"{engine}.json")
        command = [packevolve, "plan", *options, "--engine", engine, "-o", paths[engine]]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit(f"error: there is no plan for {engine}, for the reason above")
    return paths


def checks(name, paths, trees):
    """The checks of an engine: functions without arguments."""
    check = {"sglang": sglang_starts_with_the_plan, "ascend": ascend_starts_with_the_plan}.get(name)
    return [functools.partial(check, paths, trees)] if check else []


def _own(paths):
    own = json.loads(Path(paths["json"]).read_text())
    return own["topology"], own["layer_ids"], torch.tensor(own["physical_to_logical_map"])


def sglang_starts_with_the_plan(paths, _):
    """By `--init-expert-location`, with the server's settings and the device of this machine."""
    from sglang.srt.eplb import expert_location

    topology, ids, plan = _own(paths)
    redundant = topology["replicas"] - topology["experts"]
    moe = SimpleNamespace(init_expert_location=paths["sglang"], ep_num_redundant_experts=redundant,
                          ep_dispatch_algorithm="static", ep_join_mode=None, moe_a2a_backend="none")
    parallel = SimpleNamespace(ep_size=topology["gpus"], elastic_ep_initial_size=None, nnodes=topology["nodes"],
                               tp_size=topology["gpus"])
    hidden = (ids[-1] + 1) if ids else len(plan)
    model = expert_location.ModelConfigForExpertLocation(
        num_layers=hidden, num_logical_experts=topology["experts"], num_groups=topology["groups"])
    expert_location.get_exec = lambda: SimpleNamespace(moe=moe)
    expert_location.get_parallel = lambda: parallel
    expert_location.get_device = lambda: SimpleNamespace(device="cpu")
    expert_location.get_server_args = lambda: SimpleNamespace(nnodes=topology["nodes"], ep_size=topology["gpus"])
    expert_location.ModelConfigForExpertLocation.from_model_config = staticmethod(lambda _: model)
    for rank in (0, topology["gpus"] - 1):
        loaded = expert_location.compute_initial_expert_location_metadata(None, rank)
        rows = loaded.physical_to_logical_map[ids] if ids else loaded.physical_to_logical_map
        assert len(loaded.physical_to_logical_map) == hidden and torch.equal(rows.cpu(), plan)
        assert int(loaded.logical_to_all_physical_map_num_valid.sum()) == hidden * topology["replicas"]


def ascend_starts_with_the_plan(paths, trees):
    """By `expert_map_path`, layer by layer."""
    source = next(Path(tree) for tree in trees if "ascend" in tree) / "vllm_ascend/eplb/core/eplb_utils.py"
    spec = importlib.util.spec_from_file_location("eplb_utils_of_ascend", source)
    utils = importlib.util.module_from_spec(spec)
    # What the loader of files does not use, and what needs a device.
    unused = "vllm.model_executor.layers.fused_moe.expert_map_manager"
    sys.modules.setdefault(unused, SimpleNamespace(determine_expert_map=None))
    spec.loader.exec_module(utils)
    topology, _, plan = _own(paths)
    for layer, wanted in enumerate(plan):
        placement, slots = utils.expert_file_to_tensor(paths["ascend"], layer)
        assert slots == topology["replicas"] and torch.equal(placement.flatten().long(), wanted)
