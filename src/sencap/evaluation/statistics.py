"""What a report keeps of every pair, so that scores of any sample of the pairs can be
added up from it.

Per pair and protocol: BLEU's counts, METEOR's counts, ROUGE-L's value and CIDEr-D's
value, once with the n-gram weights of all pairs and once with those of the pairs of its
own kind (changed or unchanged). From these a corpus score is a weighted sum and a
formula, for BLEU and METEOR too, whose corpus score is not the mean of their pairs'
scores. The one approximation is that CIDEr-D's n-gram weights stay those of the set
evaluated, whatever the sample: counting them anew would need the references.

Shapes: P pairs, R resamples.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sencap.errors import DataError, ShapeError
from sencap.evaluation.meteor import COLUMNS, meteor_from_statistics, summable
from sencap.evaluation.metrics import (
    ORDERS,
    CiderReferences,
    Floats,
    bleu_from_statistics,
    s_star_m,
)
from sencap.evaluation.names import ACCURACY, METRICS, SUBSETS
from sencap.evaluation.scoring import Scoring

_LARGEST = 10**9
"""No count of a pair's n-grams or words is larger."""

Flags: TypeAlias = Floats
"""Per pair 1 for yes, 0 for no, NaN for not known: a pair that is neither changed nor
unchanged."""
Indices: TypeAlias = npt.NDArray[np.intp]


def as_flags(values: Sequence[bool | None]) -> Flags:
    """Yes, no or None (not known) per pair as an array; one that is not known makes all
    of them so.

    Scores of some changed pairs and not of others would say nothing of either.
    """
    flags = np.array(values, dtype=np.float64)  # None becomes NaN
    if np.isnan(flags).any():
        flags[:] = np.nan
    return flags


def agree(one: Flags, other: Flags) -> Flags:
    """Per pair whether two flags are equal, as 1 or 0; NaN where one of them is not
    known."""
    known = ~np.isnan(one) & ~np.isnan(other)
    return np.where(known, one == other, np.nan)


def members(changed: Flags, subset: str) -> Indices:
    """The indices of the pairs of a subset of SUBSETS, in their order; with flags not
    known only "all" has any."""
    if subset == "all":
        return np.arange(len(changed))
    return np.flatnonzero(changed == (subset == "changed"))


@dataclass(frozen=True)
class PairStatistics:
    """One protocol's statistics of every pair.

    bleu: (P, 10) and meteor: (P, 23), or None where METEOR could not be had, as in
    ``metrics`` and ``meteor``. rouge: (P,) in 0..1. cider: (P, 2) in 0..10, weighed by
    all pairs and by the pairs of its own kind. Raises ShapeError when an array has
    another shape.
    """

    bleu: Floats
    rouge: Floats
    cider: Floats
    meteor: Floats | None

    def __post_init__(self) -> None:
        pairs = len(self.rouge)
        wanted = {
            "bleu": (pairs, 2 + 2 * ORDERS),
            "rouge": (pairs,),
            "cider": (pairs, 2),
        }
        if self.meteor is not None:
            wanted["meteor"] = (pairs, COLUMNS)
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ShapeError(
                    f"{name} has the shape {found}; {pairs} pairs need {shape}"
                )

    @classmethod
    def of(cls, scoring: Scoring, changed: Flags) -> PairStatistics:
        """The statistics of a scoring; changed: (P,), the pairs' change flags."""
        cider = np.zeros((len(changed), 2))
        for subset in SUBSETS:
            # Column 0 has the weights of all pairs, column 1 those of the pair's own
            # kind.
            column = int(subset != "all")
            rows = members(changed, subset)
            if rows.size:
                weighed = CiderReferences([scoring.references[row] for row in rows])
                cider[rows, column] = weighed.score(
                    [scoring.hypotheses[row] for row in rows]
                )
        return cls(scoring.bleu, scoring.rouge, cider, scoring.meteor)

    def rows(self) -> list[dict[str, Any]]:
        """Per pair what JSON holds: name → number or list of numbers, METEOR's None
        where it is missing."""
        found = []
        for pair, rouge in enumerate(self.rouge):
            row: dict[str, Any] = {
                "bleu": _short(self.bleu[pair]),
                "rouge": float(rouge),
                "cider": self.cider[pair].tolist(),
                "meteor": None,
            }
            if self.meteor is not None:
                row["meteor"] = _short(self.meteor[pair])
            found.append(row)
        return found

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> PairStatistics:
        """The inverse of ``rows``.

        Raises:
            DataError, ShapeError: anything else: what is missing, or no number from 0
                to a billion.
        """
        meteor = None
        if all(row.get("meteor") is not None for row in rows):
            meteor = _numbers(rows, "meteor")
        bleu, rouge, cider = (
            _numbers(rows, name) for name in ("bleu", "rouge", "cider")
        )
        return cls(bleu, rouge, cider, meteor)

    def scores(self, chosen: Indices, weights: Floats, *, own_kind: bool) -> Floats:
        """METRICS × 100 of weighted samples of the chosen pairs: (R, chosen) → (R,
        METRICS); missing: NaN.

        weights: how often each chosen pair is in a sample. own_kind: take CIDEr-D as
        weighed by the pairs of one kind.
        """
        # An empty subset has no scores, but the columns have to line up with other
        # subsets'.
        if not chosen.size:
            return np.full((len(weights), len(METRICS)), np.nan)
        # Each row of weights is a resample, so one product of matrices adds the counts
        # of all resamples: (R, chosen) @ (chosen, columns) → (R, columns).
        pairs = weights.sum(axis=1)
        meteor = np.full(len(weights), np.nan)
        if self.meteor is not None:
            meteor = meteor_from_statistics(weights @ summable(self.meteor[chosen]))
        bleu = bleu_from_statistics(weights @ self.bleu[chosen])
        rouge = weights @ self.rouge[chosen] / pairs
        cider = weights @ self.cider[chosen, int(own_kind)] / pairs
        mean = s_star_m(bleu[:, -1], meteor, rouge, cider)
        result: Floats = 100 * np.column_stack((bleu, meteor, rouge, cider, mean))
        return result


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> Floats:
    """What each row has under a name, a number or a list of them, as one array;
    DataError if it is anything else."""
    for index, row in enumerate(rows):
        if name not in row:
            raise DataError(f"the statistics of pair {index} have no {name!r}")
    try:
        found = np.array([row[name] for row in rows])
    except ValueError as error:  # lists of unequal lengths
        raise DataError(f"the statistics {name!r} are not of one length") from error
    # Texts, nulls and whole numbers without end have other kinds; NaN is not within the
    # bounds.
    if found.dtype.kind not in "iuf" or not ((found >= 0) & (found <= _LARGEST)).all():
        raise DataError(
            f"the statistics {name!r} are not all numbers from 0 to {_LARGEST:,}"
        )
    return found.astype(np.float64)


def _short(numbers: Floats) -> list[float | int]:
    """Counts as integers: shorter in a file, and the same when read again."""
    return [
        int(number) if number.is_integer() else number for number in numbers.tolist()
    ]


@dataclass(frozen=True)
class System:
    """What one report knows of a system, pair by pair.

    protocols: protocol → statistics. changed: (P,), the pairs' change flags. right:
    (P,), whether the caption tells change from no change rightly. Both are NaN where
    that is not known.
    """

    protocols: Mapping[str, PairStatistics]
    changed: Flags
    right: Flags

    def columns(self) -> list[tuple[str, str]]:
        """What the columns of ``scores`` are: (protocol, metric); the change accuracy
        has no protocol, ""."""
        return [*itertools.product(self.protocols, METRICS), ("", ACCURACY)]

    def scores(self, subset: str, weights: Floats | None = None) -> Floats:
        """All scores × 100 of weighted samples of a subset: (R, pairs of the subset) →
        (R, columns).

        Without weights those of the subset itself: (1, columns). What cannot be had is
        NaN.
        """
        chosen = members(self.changed, subset)
        if weights is None:
            weights = np.ones((1, chosen.size))
        parts = [
            statistics.scores(chosen, weights, own_kind=subset != "all")
            for statistics in self.protocols.values()
        ]
        # The accuracy is one more column, NaN where it is not known or no pair is
        # chosen.
        accuracy = np.full((len(weights), 1), np.nan)
        if chosen.size:
            accuracy[:, 0] = 100 * (weights @ self.right[chosen]) / weights.sum(axis=1)
        return np.concatenate((*parts, accuracy), axis=1)
