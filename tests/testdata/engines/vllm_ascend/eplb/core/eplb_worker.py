"""A double of vllm-ascend's worker: it throws the plan of a layer away that it cannot carry out, and says so."""

import logging

import torch
from vllm_ascend.eplb.core.policy.policy_factory import PolicyFactory


class EplbWorker:
    def __init__(self, shared_dict, policy_type):
        self.shared_dict = shared_dict
        self.policy = PolicyFactory.generate_policy(policy_type)

    def local2global(self, table):
        return table

    def global2local(self, maps, slots):
        return maps

    def do_update(self):
        old = self.shared_dict["expert_maps"]
        _, _, new = self.policy.rebalance_experts(old, self.shared_dict["moe_load"])
        self.old_expert_maps = torch.tensor(new)
        self.check_expert_placement(old, self.old_expert_maps)
        return list(self.old_expert_maps)

    def check_expert_placement(self, old_placement, new_placement):
        for layer, (old, new) in enumerate(zip(old_placement, new_placement)):
            is_lost = len(new.unique()) < len(old.unique())
            is_double = any(len(rank.unique()) < len(rank) for rank in new)
            stays = [torch.isin(rank, before) for rank, before in zip(new, old)]
            is_shifted = any((rank[stay] != before[stay]).any() for rank, before, stay in zip(new, old, stays))
            if is_lost or is_double or is_shifted:
                logging.error("layer %s is invalid: %s", layer, (is_lost, is_double, is_shifted))
                new_placement[layer] = old
