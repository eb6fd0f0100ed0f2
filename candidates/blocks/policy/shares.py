# block: shares
# kind: helper
def _shares(weight, history):
    """The loads of all windows, the oldest first, as shares of their layer: float64 [S, L, E]."""
    now = weight.detach().cpu().double().numpy()[None]
    if history is not None:
        now = np.concatenate([history.detach().cpu().double().numpy(), now])
    totals = now.sum(2, keepdims=True)
    return np.divide(now, totals, out=np.zeros_like(now), where=totals > 0)
