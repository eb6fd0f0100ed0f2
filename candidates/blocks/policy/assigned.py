# block: assigned
# kind: helper
@njit
def _assigned(shared):
    """Which part each part of a row is matched with, int64 [X, parts], so that all pairs together share the most: the
    Hungarian method, by shortest paths that add one part after the other."""
    rows, parts = shared.shape[:2]
    names = np.empty((rows, parts), np.int64)
    our_price, price = np.empty(parts + 1, np.int64), np.empty(parts + 1, np.int64)
    partner, before = np.empty(parts + 1, np.int64), np.empty(parts + 1, np.int64)
    least, seen = np.empty(parts + 1, np.int64), np.empty(parts + 1, np.bool_)
    for row in range(rows):
        our_price[:], price[:], partner[:], before[:] = 0, 0, 0, 0
        # Parts count from 1; of the others, 0 is the partner of the one that is added.
        for ours in range(1, parts + 1):
            partner[0], theirs = ours, 0
            least[:] = 2**40
            seen[:] = False
            while partner[theirs] != 0:
                seen[theirs] = True
                here, step, following = partner[theirs], 2**40, 0
                for other in range(1, parts + 1):
                    if seen[other]:
                        continue
                    cost = -shared[row, here - 1, other - 1] - our_price[here] - price[other]
                    if cost < least[other]:
                        least[other], before[other] = cost, theirs
                    if least[other] < step:
                        step, following = least[other], other
                for other in range(parts + 1):
                    if seen[other]:
                        our_price[partner[other]] += step
                        price[other] -= step
                    else:
                        least[other] -= step
                theirs = following
            while theirs != 0:
                partner[theirs] = partner[before[theirs]]
                theirs = before[theirs]
        for theirs in range(1, parts + 1):
            names[row, partner[theirs] - 1] = theirs - 1
    return names
