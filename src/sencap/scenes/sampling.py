"""The scale that a user names by percentiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sencap.images.levels import Scale


def percentile_scale(
    counts: NDArray[np.int64], percentiles: tuple[float, float]
) -> Scale:
    """The scale that makes two percentiles (0–100) black and white, from how often each
    level occurs.

    >>> percentile_scale(np.array([0, 10, 80, 10]), (10, 90))
    Scale(low=1.0, high=2.0, told_by='percentiles')
    """
    # No data at all.
    if not counts.any():
        return Scale(0, 1, "percentiles")
    share = counts.cumsum()
    # At least one value: the percentile 0 is the least that occurs.
    wanted = np.maximum(share[-1] * np.array(percentiles) / 100, 1)
    low, high = (float(level) for level in np.searchsorted(share, wanted))
    # One level alone has no range.
    return Scale(low, max(high, low + 1), "percentiles")
