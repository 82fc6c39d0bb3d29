"""How many pairs, and how many seeds, it takes to show a gain; see docs/statistics.md
for the formulas.

The power is 80 % at a two-sided test on the 5 % level: of experiments on systems that
truly differ by the gain, so many find a difference significantly different from 0.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from sencap.errors import SettingsError

SIGNIFICANCE, POWER = 0.05, 0.80
Z_SIGNIFICANCE = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
Z_BOTH = Z_SIGNIFICANCE + NormalDist().inv_cdf(POWER)
"""1.96 + 0.84: by how many standard errors a gain has to exceed 0 to be found with the
power."""


def pairs_needed(error: float, pairs: int, gain: float = 1.0) -> int:
    """Pairs that show a gain, where this many pairs gave this standard error of the
    difference, seeds apart.

    error and gain in the same unit, such as points of S*m. The error falls with the
    root of the number. Raises SettingsError unless the gain is positive.
    """
    _check(gain)
    # From error·√(pairs / n) = gain / Z_BOTH, solved for n.
    return max(2, math.ceil(pairs * (Z_BOTH * error / gain) ** 2))


def seeds_needed(seed_sd: float, gain: float = 1.0, error: float = 0.0) -> int | None:
    """Seeds of each of two systems that show a gain; None where no number does and more
    pairs are needed.

    seed_sd: standard deviation of a system's score between seeds. error: standard error
    of the difference that the pairs cause, 0 for as many pairs as one likes. A quarter
    of Z_SIGNIFICANCE² is added because the standard deviation has to be estimated from
    the seeds themselves (Guenther 1981). Raises SettingsError unless the gain is
    positive.
    """
    _check(gain)
    # The gain has to be Z_BOTH standard errors. What the pairs leave of that variance
    # may come from the seeds.
    room = (gain / Z_BOTH) ** 2 - error**2
    if room <= 0:
        return None
    # 2·sd²/S is the variance of the difference of two means over S seeds each. At least
    # two seeds are needed to estimate sd at all.
    return max(2, math.ceil(2 * seed_sd**2 / room + Z_SIGNIFICANCE**2 / 4))


def smallest_gain(error: float, seed_sd: float = 0.0, seeds: int = 1) -> float:
    """The gain found with the power, from the error that the pairs cause and this many
    seeds of each system."""
    return Z_BOTH * math.sqrt(error**2 + 2 * seed_sd**2 / seeds)


def _check(gain: float) -> None:
    if not gain > 0:
        raise SettingsError(
            f"gain={gain} has to be positive: a gain of nothing needs no end of pairs"
        )
