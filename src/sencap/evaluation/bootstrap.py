"""Bootstrap over pairs, and over seeds: how far a score, or a difference of two, would
move on other data.

A resample draws as many pairs as there are, with replacement (Efron 1979). Two systems
are compared on the same draws (Koehn 2004), so that what makes a pair hard for both
cancels out. An interval is the percentile interval: the middle 95 % of the resampled
values.

Why by hand: scipy's bootstrap resamples values, while a corpus score is no mean of
values: here a resample is a weight for each pair, and scores of all metrics follow from
one product of matrices.

Shapes: P pairs, R resamples, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sencap.bounds import check_numbers
from sencap.evaluation.metrics import Floats
from sencap.evaluation.names import ACCURACY, SUBSETS
from sencap.evaluation.statistics import System, members

LEVEL = 0.95
"""Share of the resampled values that an interval covers."""
RESAMPLES = 10_000
FEWEST_PAIRS = 10
"""Of fewer pairs no interval is given: one hard pair more or less would move it out of
all bounds."""
DECIMALS = 2
"""Of a score × 100, as it is shown: what is equal there is equal. (BLEU-4 of captions
without a single match is not 0 but some thousandths, by the guards of its formula, and
differs with their length.)"""
_BLOCK = 2_000_000  # numbers of a block of weights: 16 MB
_SEEDS_STREAM = len(SUBSETS)  # the subsets draw from streams 0, 1, 2 of the seed


@dataclass(frozen=True)
class Spread:
    """How resampled values lie: the percentile interval and their standard deviation,
    the standard error."""

    low: float
    high: float
    error: float

    @classmethod
    def of(cls, values: Floats) -> Spread | None:
        """The spread of values (R,), or None where they are not numbers."""
        if not np.isfinite(values).all():
            return None
        # The percentile interval: 2.5 % of the resampled values lie below it, 2.5 %
        # above.
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high), float(values.std(ddof=1)))


def why_no_interval(pairs: int, values: Floats) -> str | None:
    """Why resampled scores × 100, or differences (R,), of so many pairs say nothing of
    other pairs; None if they do."""
    if not np.isfinite(values).all():
        return "not to be had"
    if pairs < FEWEST_PAIRS:
        return f"too few pairs ({pairs}) for an interval"
    shown = np.round(values, DECIMALS)
    if (shown == shown[0]).all():
        return "the same in every resample"
    return None


def draws(
    pairs: int, resamples: int, generator: np.random.Generator
) -> Iterator[Floats]:
    """How often each pair is drawn, in blocks of resamples: (R', P), each row adding up
    to P."""
    # All resamples at once would be 10,000 × 1,929 numbers for LEVIR-CC's test split.
    size = max(1, _BLOCK // pairs)
    for begin in range(0, resamples, size):
        rows = min(size, resamples - begin)
        drawn = generator.integers(0, pairs, (rows, pairs))
        # Each resample counts in cells of its own, so that one count does for the whole
        # block.
        cells = drawn + pairs * np.arange(rows)[:, None]
        counts = np.bincount(cells.ravel(), minlength=rows * pairs)
        yield counts.reshape(rows, pairs).astype(np.float64)


def resample(
    score: Callable[[Floats], Floats],
    pairs: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    stream: int = 0,
) -> Floats:
    """The scores of resamples of the pairs: (R, …).

    score: takes how often each pair is drawn (R', P), gives (R', …). pairs: P, at least
    1. stream: another one gives independent draws with the same seed.

    Raises:
        SettingsError: numbers out of bounds.
    """
    check_numbers(resamples=resamples, seed=seed)
    # A generator of its own for each stream: how much one subset draws cannot change
    # what another one gets.
    generator = np.random.default_rng([seed, stream])
    return np.concatenate(
        [score(weights) for weights in draws(pairs, resamples, generator)]
    )


def resample_subset(
    system: System, subset: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """All scores × 100 of resamples of a subset: (R, columns), NaN for what cannot be
    had.

    The same seed draws the same pairs for every system with these change flags: this
    makes differences paired. Changed and unchanged pairs are resampled by themselves,
    with their number kept.
    """
    pairs = members(system.changed, subset).size
    if not pairs:
        return np.full((resamples, len(system.columns())), np.nan)
    return resample(
        lambda weights: system.scores(subset, weights),
        pairs,
        resamples=resamples,
        seed=seed,
        stream=SUBSETS.index(subset),
    )


def seed_weights(seeds: int, resamples: int, seed: int = 0, side: int = 0) -> Floats:
    """Weights of the seeds of one system in each resample: (R, S), each row adding up
    to 1.

    Seeds are drawn with replacement, and the deviation from equal weights is stretched
    by √(S / (S − 1)): drawing from S seeds would otherwise give a variance too small by
    (S − 1) / S, a third for three seeds. One seed has the weight 1. side: systems of
    another side draw independently.
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    generator = np.random.default_rng([seed, _SEEDS_STREAM + side])
    drawn = np.concatenate(list(draws(seeds, resamples, generator))) / seeds
    # The stretched deviations still add up to 0, so each row still adds up to 1; single
    # weights can be negative.
    weights: Floats = 1 / seeds + np.sqrt(seeds / (seeds - 1)) * (drawn - 1 / seeds)
    return weights


def p_value(differences: Floats) -> float:
    """Two-sided p-value of "no difference" from resampled differences (R,), in 1 / (R +
    1)..1.

    Twice the share of resamples on the rarer side of 0; a difference of exactly 0
    counts on both sides, and one is added to the count and to R, so that it is never 0.
    """
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def intervals(
    system: System, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """The intervals of a report: protocol → subset → metric → [low, high], None for
    what cannot be had.

    There is none of fewer than FEWEST_PAIRS pairs, nor of a score that is the same in
    every resample. Scores are × 100. ``change_accuracy`` → subset → [low, high] is in
    0..1, as in the report. ``method`` says how they were made.
    """
    found: dict[str, Any] = {}
    for protocol in system.protocols:
        found[protocol] = {subset: {} for subset in SUBSETS}
    found["change_accuracy"] = {}
    for subset in SUBSETS:
        pairs = members(system.changed, subset).size
        # (R, columns): a column for each metric of each protocol, and one for the
        # accuracy.
        values = resample_subset(system, subset, resamples=resamples, seed=seed)
        for (protocol, metric), column in zip(system.columns(), values.T, strict=True):
            bounds = _interval(pairs, column)
            if metric != ACCURACY:
                found[protocol][subset][metric] = bounds
            elif bounds is None:
                found["change_accuracy"][subset] = None
            else:
                # Resampled scores are × 100, and a report's accuracy is a share.
                found["change_accuracy"][subset] = [bound / 100 for bound in bounds]
    found["method"] = {
        "name": "percentile bootstrap over pairs",
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
    }
    return found


def _interval(pairs: int, values: Floats) -> list[float] | None:
    """Low and high of resampled scores (R,) of so many pairs, None where they say
    nothing."""
    if why_no_interval(pairs, values) is not None:
        return None
    spread = Spread.of(values)
    return None if spread is None else [spread.low, spread.high]
