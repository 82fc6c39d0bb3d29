"""Rows that put a score in its place, computed on the very data that is evaluated.

- ``constant``: the first of the fixed sentences for every pair.
- ``perfect_flag``: told which pairs changed, and saying one sentence for the changed and one for the
  others: the best two. The one for unchanged pairs is one of the five fixed sentences, the one for changed
  pairs a reference caption of some changed pair. Best by S*m, or without METEOR by the mean of the three
  others, under each protocol by itself.
- ``perfect_flag_fixed``: told which pairs changed, and saying ``TYPICAL_CHANGE`` for those: two sentences
  that no data chose, so that the row is the same one on every data set (74.4 under ``ids`` on LEVIR-CC's test).
- ``human``: one of a pair's captions, drawn at random (seeded), against its others. For an unchanged pair,
  whose captions are all fixed sentences, against all of them: every one of them is right.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sencap.data.vocabulary import NO_CHANGE_SENTENCES
from sencap.evaluation.meteor import add_statistics, meteor_from_statistics
from sencap.evaluation.metrics import (
    BleuReferences,
    Caption,
    CiderReferences,
    Floats,
    References,
    bleu_from_statistics,
    length_penalty,
    rouge_l,
)
from sencap.evaluation.scoring import METRICS, Scores, Scoring, scores

HUMAN_SEED = 0
"""Seed of the draw of one caption per pair; with it the figures in SPEC are met."""
TYPICAL_CHANGE = "many houses are built along the road"
SHORTLIST, FINALISTS = 64, 10
"""How many candidate sentences are scored without METEOR, and how many of these with it."""

Sentences: TypeAlias = dict[str, str | None]
_Set: TypeAlias = tuple[list[Caption], References]


@dataclass(frozen=True)
class ReferenceRow:
    """A reference row: protocol → scores, and protocol → what is said of "changed" and "unchanged" pairs."""

    scores: dict[str, Scores]
    sentences: dict[str, Sentences]


@dataclass(frozen=True)
class _Part:
    """What one sentence collects on the pairs it is said of; parts of two sentences add up."""

    bleu: Floats
    rouge: float
    cider: float
    meteor: Floats | None

    def with_(self, other: _Part, pairs: int) -> Scores:
        """The scores of the two parts together, over this many pairs."""
        meteor = None
        if self.meteor is not None and other.meteor is not None:
            meteor = float(meteor_from_statistics(self.meteor + other.meteor))
        return scores(
            bleu_from_statistics(self.bleu + other.bleu),
            meteor,
            (self.rouge + other.rouge) / pairs,
            (self.cider + other.cider) / pairs,
        )


def _value(result: Scores) -> float:
    """What "best" means: S*m, or the mean of its terms that there are."""
    terms = [result[name] for name in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr")]
    return math.fsum(term for term in terms if term is not None) / sum(term is not None for term in terms)


class Plan:
    """The reference rows of one protocol: what has to be scored, ``sets``, and what follows, ``finish``.

    captions: the words of each pair's references. references: their tokens under the protocol. changed: the
    pairs' change flags. encode: makes the tokens of a caption.
    """

    def __init__(
        self,
        captions: References,
        references: References,
        changed: Sequence[bool],
        encode: Callable[[Sequence[str]], tuple[str, ...]],
    ) -> None:
        self._references = references
        self._where = {
            flag: [index for index, is_changed in enumerate(changed) if is_changed is flag]
            for flag in (True, False)
        }
        self._bleu, self._cider = BleuReferences(references), CiderReferences(references)
        fixed = {sentence: encode(sentence.split()) for sentence in NO_CHANGE_SENTENCES}
        self._options = {False: fixed, True: self._finalists(captions, fixed)}
        constant = encode(NO_CHANGE_SENTENCES[0].split())
        typical = encode(TYPICAL_CHANGE.split())
        self.sets: list[_Set] = [
            ([constant] * len(references), references),
            ([typical if flag else constant for flag in changed], references),
        ]
        self._human = human_set(references, changed)
        if self._human is not None:
            self.sets.append(self._human)
        self._parts_from = len(self.sets)
        for flag, options in self._options.items():
            subset = [references[index] for index in self._where[flag]]
            self.sets += [([tokens] * len(subset), subset) for tokens in options.values() if subset]

    def _finalists(
        self,
        captions: References,
        fixed: dict[str, tuple[str, ...]],
    ) -> dict[str, tuple[str, ...]]:
        """The candidates for the changed pairs that are best without METEOR, as sentence → tokens."""
        candidates: dict[tuple[str, ...], str] = {}
        for index in self._where[True]:
            for words, tokens in zip(captions[index], self._references[index], strict=True):
                candidates.setdefault(tuple(tokens), " ".join(words))
        central = self._most_central(list(candidates))[:SHORTLIST]
        other = self._part(next(iter(fixed.values())), False)
        pairs = len(self._references)
        ranked = sorted(central, key=lambda tokens: -_value(self._part(tokens, True).with_(other, pairs)))
        return {candidates[tokens]: tokens for tokens in ranked[:FINALISTS]}

    def _most_central(self, candidates: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Candidates by their mean likeness to all references of changed pairs, the likeliest first.

        The likeness is CIDEr-D's without clipping, so that the references of one length can be added up
        beforehand.
        """
        sums: dict[int, dict[tuple[str, ...], float]] = {}
        for index in self._where[True]:
            for caption in self._references[index]:
                vector, norms = self._cider.vector(caption)
                total = sums.setdefault(len(caption), {})
                for ngram, value in vector.items():
                    if value:
                        share = value / norms[len(ngram) - 1] / len(self._references[index])
                        total[ngram] = total.get(ngram, 0.0) + share
        likeness = {}
        for tokens in candidates:
            vector, norms = self._cider.vector(tokens)
            unit = {ngram: value / norms[len(ngram) - 1] for ngram, value in vector.items() if value}
            likeness[tokens] = math.fsum(
                length_penalty(len(tokens), length)
                * sum(value * total.get(ngram, 0.0) for ngram, value in unit.items())
                for length, total in sums.items()
            )
        return sorted(candidates, key=lambda tokens: -likeness[tokens])

    def _part(self, tokens: tuple[str, ...], flag: bool, scoring: Scoring | None = None) -> _Part:
        """What saying this of the pairs with this flag collects; without a scoring, all but METEOR."""
        where = self._where[flag]
        said = [tokens] * len(where)
        if not where:
            return _Part(np.zeros(10), 0.0, 0.0, np.zeros(23))
        cider = float(self._cider.score(said, where).sum())
        if scoring is None:
            bleu = self._bleu.statistics(said, where).sum(axis=0)
            return _Part(
                bleu, float(rouge_l(said, [self._references[row] for row in where]).sum()), cider, None
            )
        meteor = None if scoring.meteor is None else add_statistics(scoring.meteor)
        return _Part(scoring.bleu.sum(axis=0), float(scoring.rouge.sum()), cider, meteor)

    def finish(self, scorings: Sequence[Scoring]) -> dict[str, tuple[Scores, Sentences]]:
        """The rows by name, from the scorings of ``sets`` in their order.

        ``human`` is all None where a changed pair has one reference only.
        """
        first = NO_CHANGE_SENTENCES[0]
        rest = iter(scorings[self._parts_from :])
        best: dict[bool, list[tuple[str | None, _Part]]] = {}
        for flag, options in self._options.items():
            if not self._where[flag]:
                best[flag] = [(None, self._part((), flag))]
                continue
            best[flag] = [
                (sentence, self._part(tokens, flag, next(rest))) for sentence, tokens in options.items()
            ]
        _, row, said = max(
            (
                (_value(result), result, (change, no_change))
                for change, part in best[True]
                for no_change, other in best[False]
                for result in [part.with_(other, len(self._references))]
            ),
            key=lambda found: found[0],
        )
        human = dict.fromkeys(METRICS) if self._human is None else scorings[2].total()
        return {
            "constant": (scorings[0].total(), {"changed": first, "unchanged": first}),
            "perfect_flag": (row, {"changed": said[0], "unchanged": said[1]}),
            "perfect_flag_fixed": (scorings[1].total(), {"changed": TYPICAL_CHANGE, "unchanged": first}),
            "human": (human, {"changed": None, "unchanged": None}),
        }


def human_set(references: References, changed: Sequence[bool]) -> _Set | None:
    """The human row's hypotheses and what each is scored against; None if a changed pair has one caption only.

    Draws with HUMAN_SEED, in the order of the pairs. references: tokens under a protocol.
    """
    if any(flag and len(captions) < 2 for captions, flag in zip(references, changed, strict=True)):
        return None
    draw = random.Random(HUMAN_SEED)
    said, against = [], []
    for captions, flag in zip(references, changed, strict=True):
        drawn = draw.randrange(len(captions))
        said.append(captions[drawn])
        against.append([*captions[:drawn], *captions[drawn + 1 :]] if flag else captions)
    return said, against
