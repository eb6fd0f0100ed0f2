# block: forecast_last
# kind: forecast
# says: the loads of the next window as those of this one
def _forecast_last(weight, history):
    """The loads of the next window: those of this one."""
    return weight.detach().cpu().double().numpy()
