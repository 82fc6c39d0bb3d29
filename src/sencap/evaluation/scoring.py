"""All metrics of a list of hypotheses at once, for all pairs, for subsets and for
single pairs, times 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sencap.errors import SencapError
from sencap.evaluation.meteor import (
    add_statistics,
    meteor_from_statistics,
    meteor_statistics,
)
from sencap.evaluation.metrics import (
    CiderReferences,
    Floats,
    References,
    Tokens,
    bleu_from_statistics,
    bleu_statistics,
    rouge_l,
    s_star_m,
)
from sencap.evaluation.names import METRICS

Scores: TypeAlias = dict[str, float | None]


def scores(bleu: Floats, meteor: float | None, rouge: float, cider: float) -> Scores:
    """Name raw figures (bleu: BLEU-1..4 in 0..1) and multiply by 100; without METEOR
    there is no ``S*m``."""
    # S*m takes BLEU-4 alone, and the mean is taken before the × 100.
    *shorter, bleu_4 = bleu.tolist()
    mean = None
    if meteor is not None:
        mean = s_star_m(bleu_4, meteor, rouge, cider)
    raw = (*shorter, bleu_4, meteor, rouge, cider, mean)
    # What is not known stays None, and every name is there in its order.
    named: Scores = dict.fromkeys(METRICS)
    for name, value in zip(METRICS, raw, strict=True):
        if value is not None:
            named[name] = 100 * value
    return named


@dataclass(frozen=True)
class Scoring:
    """What a list of hypotheses scored, pair by pair, kept so that any subset of it
    costs next to nothing.

    bleu: (pairs, 10), meteor: (pairs, 23) or None where METEOR could not be had, rouge:
    (pairs,). See ``metrics`` and ``meteor`` for the columns.
    """

    hypotheses: Sequence[Tokens]
    references: References
    bleu: Floats
    rouge: Floats
    meteor: Floats | None

    def total(self, chosen: Sequence[int] | None = None) -> Scores:
        """The scores of all pairs, or of the chosen ones by index, as if these were the
        whole data set.

        CIDEr weighs by the chosen pairs alone, as the authority does when it is handed
        a subset. An empty choice has no scores: each is None.
        """
        rows = range(len(self.hypotheses)) if chosen is None else chosen
        rows = list(rows)
        if not rows:
            return dict.fromkeys(METRICS)
        weighed = CiderReferences([self.references[row] for row in rows])
        cider = weighed.score([self.hypotheses[row] for row in rows])
        # BLEU and METEOR of a corpus: counts are added over its pairs first, then the
        # formula is applied. ROUGE-L and CIDEr are means over pairs.
        bleu = bleu_from_statistics(self.bleu[rows].sum(axis=0))
        meteor = None
        if self.meteor is not None:
            meteor = float(meteor_from_statistics(add_statistics(self.meteor[rows])))
        return scores(bleu, meteor, float(self.rouge[rows].mean()), float(cider.mean()))

    def each(self) -> list[Scores]:
        """The scores of every pair by itself; CIDEr weighs by all pairs. Sentence
        BLEU-4 is not smoothed."""
        cider = CiderReferences(self.references).score(self.hypotheses)
        bleu = bleu_from_statistics(self.bleu)
        meteor: Sequence[float | None] = [None] * len(self.hypotheses)
        if self.meteor is not None:
            meteor = meteor_from_statistics(self.meteor).tolist()
        values = zip(bleu, meteor, self.rouge.tolist(), cider.tolist(), strict=True)
        return [scores(*one) for one in values]


def score_all(
    sets: Sequence[tuple[Sequence[Tokens], References]], *, time_limit: float = 600.0
) -> tuple[list[Scoring], str | None]:
    """Score several lists of hypotheses with one start of Java.

    sets: lists of hypotheses, each with the references of its pairs. time_limit:
    seconds for METEOR, all in all.
    Returns a Scoring per list, and None, or why there is no METEOR (Java missing, out
    of time). Raises ShapeError and DataError as ``metrics.check_scorable`` does.
    """
    # What needs no Java first: it is there whatever becomes of METEOR.
    bleu = [bleu_statistics(*one) for one in sets]
    rouge = [rouge_l(*one) for one in sets]
    note = None
    # Without Java the other metrics still have to come, so its error becomes a note.
    meteor: Sequence[Floats | None] = [None] * len(sets)
    try:
        meteor = meteor_statistics(sets, time_limit=time_limit)
    except SencapError as error:
        note = str(error)
    scorings = []
    for one, counts, shares, matches in zip(sets, bleu, rouge, meteor, strict=True):
        scorings.append(Scoring(*one, counts, shares, matches))
    return scorings, note
