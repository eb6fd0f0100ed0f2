"""What a policy starts from, where the engine keeps it not: the loads of earlier windows, and the last plan.

Each rank keeps its own memory. All ranks see the same loads, so all remember the same. A call of another shape forgets
everything: a rank that joined in a scale-up has seen nothing, and must plan as the others do.
"""

import torch

#: Windows that are kept: as many as the chains have on which policies are measured by default.
MOST_WINDOWS = 8


class Memory:
    """The windows and the last plan of one deployment."""

    def __init__(self):
        self._shape = None
        self._windows = []
        self.plan = None

    def recall(self, weight, *deployment):
        """The earlier windows, [S, L, E], or None, and the last plan, or None; remembers this window, [L, E]."""
        shape = (tuple(weight.shape), deployment)
        if shape != self._shape:
            self._shape, self._windows, self.plan = shape, [], None
        history = torch.stack(self._windows) if self._windows else None
        self._windows = [*self._windows, weight.clone()][-MOST_WINDOWS:]
        return history, self.plan
