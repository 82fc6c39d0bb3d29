"""Rows that put a score in its place, computed on the very data that is evaluated.

- ``constant``: one sentence of no change for every pair: the first of the five fixed ones, or the
  most frequent of the data set's own where its unchanged pairs use none of the five.
- ``perfect_flag``: told which pairs changed, and saying one sentence for the changed and one for
  the others: the best two. The one for unchanged pairs is a sentence of no change, the one for
  changed pairs a reference caption of some changed pair. Best by S*m, or without METEOR by the mean
  of the three others, under each protocol by itself.
- ``perfect_flag_fixed``: told which pairs changed, and saying ``TYPICAL_CHANGE`` for those: two
  sentences that no data chose, so that the row is the same one on every data set (74.4 under
  ``ids`` on LEVIR-CC's test). Only where the five are in use: elsewhere the two are of another
  language or wording.
- ``human``: one of a pair's captions, drawn at random (seeded), against its others. For an
  unchanged pair, whose captions are all fixed sentences, against all of them: every one of them is
  right.

A row that cannot be had has no scores (each is None) and no sentences: without change flags there
is only ``human``.
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
from sencap.evaluation.statistics import Flags, members

HUMAN_SEED = 0
"""Seed of the draw of one caption per pair; with it the figures in SPEC are met."""
TYPICAL_CHANGE = "many houses are built along the road"
SHORTLIST, FINALISTS = 64, 10
"""How many candidate sentences are scored without METEOR, and how many of these with it."""

Sentences: TypeAlias = dict[str, str | None]
_Set: TypeAlias = tuple[list[Caption], References]


@dataclass(frozen=True)
class ReferenceRow:
    """A reference row: protocol → scores, and protocol → what is said of "changed" and "unchanged"
    pairs."""

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
    return math.fsum(term for term in terms if term is not None) / sum(
        term is not None for term in terms
    )


class Plan:
    """The reference rows of one protocol: what has to be scored, ``sets``, and what follows,
    ``finish``.

    captions: the words of each pair's references. references: their tokens under the protocol.
    changed: (P,), the pairs' change flags. encode: makes the tokens of a caption. own: the data
    set's own sentences of no change, the most frequent first.
    """

    def __init__(
        self,
        captions: References,
        references: References,
        changed: Flags,
        encode: Callable[[Sequence[str]], tuple[str, ...]],
        own: Sequence[str] = (),
    ) -> None:
        self._references = references
        self._where = {
            True: members(changed, "changed").tolist(),
            False: members(changed, "unchanged").tolist(),
        }
        self._bleu, self._cider = BleuReferences(references), CiderReferences(references)
        five = _five_in_use([captions[index] for index in self._where[False]])
        known = not np.isnan(changed).any()
        no_change = dict.fromkeys([*five, *own[:FINALISTS]]) if known else {}
        fixed = {sentence: encode(sentence.split()) for sentence in no_change}
        self._constant = next(iter(fixed), None)
        self._named: dict[str, _Set] = {}
        self._options: dict[bool, dict[str, tuple[str, ...]]] = {}
        if self._constant is not None:
            constant = fixed[self._constant]
            everywhere: list[Caption] = [constant] * len(references)
            self._named["constant"] = (everywhere, references)
            self._options = {False: fixed, True: self._finalists(captions, fixed)}
            if five:
                typical = encode(TYPICAL_CHANGE.split())
                said: list[Caption] = [typical if flag else constant for flag in changed]
                self._named["perfect_flag_fixed"] = (said, references)
        human = human_set(references, changed)
        if human is not None:
            self._named["human"] = human
        self.sets: list[_Set] = list(self._named.values())
        for flag, options in self._options.items():
            subset = [references[index] for index in self._where[flag]]
            self.sets += [([tokens] * len(subset), subset) for tokens in options.values() if subset]

    def _finalists(
        self,
        captions: References,
        fixed: dict[str, tuple[str, ...]],
    ) -> dict[str, tuple[str, ...]]:
        """The candidates for the changed pairs that are best without METEOR, as sentence →
        tokens."""
        candidates: dict[tuple[str, ...], str] = {}
        for index in self._where[True]:
            for words, tokens in zip(captions[index], self._references[index], strict=True):
                candidates.setdefault(tuple(tokens), " ".join(words))
        central = self._most_central(list(candidates))[:SHORTLIST]
        other = self._part(next(iter(fixed.values())), False)
        pairs = len(self._references)
        ranked = sorted(
            central, key=lambda tokens: -_value(self._part(tokens, True).with_(other, pairs))
        )
        return {candidates[tokens]: tokens for tokens in ranked[:FINALISTS]}

    def _most_central(self, candidates: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Candidates by their mean likeness to all references of changed pairs, the likeliest
        first.

        The likeness is CIDEr-D's without clipping, so that the references of one length can be
        added up beforehand.
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
            unit = {
                ngram: value / norms[len(ngram) - 1] for ngram, value in vector.items() if value
            }
            likeness[tokens] = math.fsum(
                length_penalty(len(tokens), length)
                * sum(value * total.get(ngram, 0.0) for ngram, value in unit.items())
                for length, total in sums.items()
            )
        return sorted(candidates, key=lambda tokens: -likeness[tokens])

    def _part(self, tokens: tuple[str, ...], flag: bool, scoring: Scoring | None = None) -> _Part:
        """What saying this of the pairs with this flag collects; without a scoring, all but
        METEOR."""
        where = self._where[flag]
        said = [tokens] * len(where)
        if not where:
            return _Part(np.zeros(10), 0.0, 0.0, np.zeros(23))
        cider = float(self._cider.score(said, where).sum())
        if scoring is None:
            bleu = self._bleu.statistics(said, where).sum(axis=0)
            return _Part(
                bleu,
                float(rouge_l(said, [self._references[row] for row in where]).sum()),
                cider,
                None,
            )
        meteor = None if scoring.meteor is None else add_statistics(scoring.meteor)
        return _Part(scoring.bleu.sum(axis=0), float(scoring.rouge.sum()), cider, meteor)

    def finish(self, scorings: Sequence[Scoring]) -> dict[str, tuple[Scores, Sentences]]:
        """The rows by name, from the scorings of ``sets`` in their order; what cannot be had is all
        None."""
        rows: dict[str, tuple[Scores, Sentences]] = {
            name: (dict.fromkeys(METRICS), {"changed": None, "unchanged": None})
            for name in ("constant", "perfect_flag", "perfect_flag_fixed", "human")
        }
        sentences: dict[str, tuple[str | None, str | None]] = {
            "constant": (self._constant, self._constant),
            "perfect_flag_fixed": (TYPICAL_CHANGE, self._constant),
            "human": (None, None),
        }
        for name, scoring in zip(self._named, scorings, strict=False):
            change, no_change = sentences[name]
            rows[name] = (scoring.total(), {"changed": change, "unchanged": no_change})
        if self._options:
            rows["perfect_flag"] = self._perfect_flag(scorings[len(self._named) :])
        return rows

    def _perfect_flag(self, scorings: Sequence[Scoring]) -> tuple[Scores, Sentences]:
        """The best two of the sentences in question, from their scorings."""
        rest = iter(scorings)
        best: dict[bool, list[tuple[str | None, _Part]]] = {}
        for flag, options in self._options.items():
            if not self._where[flag]:
                best[flag] = [(None, self._part((), flag))]
                continue
            best[flag] = [
                (sentence, self._part(tokens, flag, next(rest)))
                for sentence, tokens in options.items()
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
        return row, {"changed": said[0], "unchanged": said[1]}


def _five_in_use(unchanged: References) -> Sequence[str]:
    """The five fixed sentences, or none of them where the references of the unchanged pairs hold
    none."""
    said = {" ".join(words).lower() for captions in unchanged for words in captions}
    if unchanged and said.isdisjoint(NO_CHANGE_SENTENCES):
        return ()
    return NO_CHANGE_SENTENCES


def human_set(references: References, changed: Flags) -> _Set | None:
    """The human row's hypotheses and what each is scored against; None if a changed pair has one
    caption only.

    Draws with HUMAN_SEED, in the order of the pairs. references: tokens under a protocol. A pair
    that is not known to be unchanged counts as changed.
    """
    unchanged = changed == 0
    if any(
        not flag and len(captions) < 2 for captions, flag in zip(references, unchanged, strict=True)
    ):
        return None
    draw = random.Random(HUMAN_SEED)
    said, against = [], []
    for captions, flag in zip(references, unchanged, strict=True):
        drawn = draw.randrange(len(captions))
        said.append(captions[drawn])
        against.append(captions if flag else [*captions[:drawn], *captions[drawn + 1 :]])
    return said, against
