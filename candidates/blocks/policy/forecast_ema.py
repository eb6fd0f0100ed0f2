# block: forecast_ema
# kind: forecast
# needs: shares
# says: the loads of the next window as an average that keeps {kept} of what it was before each window
# kept: 0.02 0.05 0.1 0.2 0.4
def _forecast_ema(weight, history, kept):
    """The loads of the next window: an average in which older windows weigh less."""
    shares = _shares(weight, history)
    forecast = shares[0]
    # One after the other: a product of matrices adds up in an order that depends on the processor.
    for share in shares[1:]:
        forecast = kept * forecast + (1 - kept) * share
    return forecast
