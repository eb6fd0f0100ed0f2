# block: forecast_mean
# kind: forecast
# needs: shares
# says: the loads of the next window as the mean of the last {windows}
# windows: 2 3 4
def _forecast_mean(weight, history, windows):
    """The loads of the next window: the mean share of the last ones."""
    return _shares(weight, history)[-windows:].mean(0)
