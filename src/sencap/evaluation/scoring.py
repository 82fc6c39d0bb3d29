"""All metrics of a list of hypotheses at once, for all pairs, for subsets and for single pairs,
times 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sencap.errors import SencapError
from sencap.evaluation.meteor import add_statistics, meteor_from_statistics, meteor_statistics
from sencap.evaluation.metrics import (
    Caption,
    CiderReferences,
    Floats,
    References,
    bleu_from_statistics,
    bleu_statistics,
    rouge_l,
)

Scores: TypeAlias = dict[str, float | None]

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m")
"""The names of the scores, in the order in which they are shown. ``S*m`` is the mean of the four
before it, with BLEU-4 for BLEU."""


def scores(bleu: Floats, meteor: float | None, rouge: float, cider: float) -> Scores:
    """Name raw figures (bleu: BLEU-1..4 in 0..1) and multiply by 100; without METEOR there is no
    ``S*m``."""
    mean = None if meteor is None else (float(bleu[3]) + meteor + rouge + cider) / 4
    values = (*(float(value) for value in bleu), meteor, rouge, cider, mean)
    return {
        name: None if value is None else 100 * value
        for name, value in zip(METRICS, values, strict=True)
    }


@dataclass(frozen=True)
class Scoring:
    """What a list of hypotheses scored, pair by pair, kept so that any subset of it costs next to
    nothing.

    bleu: (pairs, 10), meteor: (pairs, 23) or None where METEOR could not be had, rouge: (pairs,).
    See ``metrics`` and ``meteor`` for the columns.
    """

    hypotheses: Sequence[Caption]
    references: References
    bleu: Floats
    rouge: Floats
    meteor: Floats | None

    def total(self, chosen: Sequence[int] | None = None) -> Scores:
        """The scores of all pairs, or of the chosen ones by index, as if these were the whole data
        set.

        CIDEr weighs by the chosen pairs alone, as the authority does when it is handed a subset. An
        empty choice has no scores: each is None.
        """
        rows = list(range(len(self.hypotheses))) if chosen is None else list(chosen)
        if not rows:
            return dict.fromkeys(METRICS)
        cider = CiderReferences([self.references[row] for row in rows]).score(
            [self.hypotheses[row] for row in rows]
        )
        meteor = self.meteor
        return scores(
            bleu_from_statistics(self.bleu[rows].sum(axis=0)),
            None if meteor is None else float(meteor_from_statistics(add_statistics(meteor[rows]))),
            float(self.rouge[rows].mean()),
            float(cider.mean()),
        )

    def each(self) -> list[Scores]:
        """The scores of every pair by itself; CIDEr weighs by all pairs. Sentence BLEU-4 is not
        smoothed."""
        cider = CiderReferences(self.references).score(self.hypotheses)
        bleu = bleu_from_statistics(self.bleu)
        meteor = None if self.meteor is None else meteor_from_statistics(self.meteor)
        return [
            scores(
                bleu[row],
                None if meteor is None else float(meteor[row]),
                float(self.rouge[row]),
                float(cider[row]),
            )
            for row in range(len(self.hypotheses))
        ]


def score_all(
    sets: Sequence[tuple[Sequence[Caption], References]], *, time_limit: float = 600.0
) -> tuple[list[Scoring], str | None]:
    """Score several lists of hypotheses with one start of Java.

    sets: lists of hypotheses, each with the references of its pairs. time_limit: seconds for
    METEOR, all in all.
    Returns a Scoring per list, and None, or why there is no METEOR (Java missing, out of time).
    Raises ShapeError and DataError as ``metrics.check`` does.
    """
    counted = [(bleu_statistics(*one), rouge_l(*one)) for one in sets]
    aligned: Sequence[Floats | None]
    try:
        aligned, note = meteor_statistics(sets, time_limit=time_limit), None
    except SencapError as error:
        aligned, note = [None] * len(sets), str(error)
    return [
        Scoring(hypotheses, references, bleu, rouge, meteor)
        for (hypotheses, references), (bleu, rouge), meteor in zip(
            sets, counted, aligned, strict=True
        )
    ], note
