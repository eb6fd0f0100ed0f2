# block: forecast_shrunk
# kind: forecast
# needs: shares
# says: the loads of the next window as those of this one, drawn by {pull} toward the share of all windows
# pull: 0.02 0.05 0.1 0.2
def _forecast_shrunk(weight, history, pull):
    """The loads of the next window: those of this one, drawn toward the long run, because counts are noisy."""
    shares = _shares(weight, history)
    return (1 - pull) * shares[-1] + pull * shares.mean(0)
