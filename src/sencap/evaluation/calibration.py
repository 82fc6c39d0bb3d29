"""Whether probabilities of change are right as often as they say.

The pairs are put into bins by their probability. In a bin of calibrated probabilities
the share of pairs that did change is the mean probability; the expected calibration
error (ECE; Naeini et al. 2015, Guo et al. 2017) is how far the two lie apart, each bin
weighed by its pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10


def calibration(
    probabilities: Sequence[float | None], changed: Sequence[bool | None]
) -> dict[str, Any] | None:
    """ECE and its bins, over the pairs whose probability and change are both known;
    None of none.

    Returns ``ece`` (0 to 1), ``pairs``, and ``bins``: of each that has pairs its bounds
    ``from`` and ``to``, its number of ``pairs``, their mean ``probability``, and the
    share that ``changed``.

    >>> calibration([0.95, 0.85, 0.05], [True, False, None])["ece"]
    0.45
    """
    both = [
        (p, flag)
        for p, flag in zip(probabilities, changed, strict=True)
        if p is not None and flag is not None
    ]
    if not both:
        return None
    values = np.array([p for p, _ in both])
    flags = np.array([flag for _, flag in both], bool)
    # A probability of 1.0 would open a bin of its own; it belongs to the last one.
    numbers = (values * BINS).astype(int).clip(max=BINS - 1)
    bins = []
    error = 0.0
    for number in np.unique(numbers):
        inside = numbers == number
        mean, share = float(values[inside].mean()), float(flags[inside].mean())
        count = int(inside.sum())
        # ECE = Σ (pairs of the bin / all pairs) · |mean probability − share that
        # changed|.
        error += count / len(values) * abs(mean - share)
        bins.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "pairs": count,
                "probability": mean,
                "changed": share,
            }
        )
    return {"ece": round(error, 6), "pairs": len(values), "bins": bins}
