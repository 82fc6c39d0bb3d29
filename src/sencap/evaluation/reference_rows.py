"""Rows that put a score in its place, computed on the very data that is evaluated.

- ``constant``: one sentence of no change for every pair: the first of the five fixed
  ones, or the most frequent of the data set's own where its unchanged pairs use none of
  the five.
- ``perfect_flag``: told which pairs changed, and saying one sentence for the changed
  and one for the others: the best two. The one for unchanged pairs is a sentence of no
  change, the one for changed pairs a reference caption of some changed pair. Best by
  S*m, or without METEOR by the mean of the three others, under each protocol by itself.
- ``perfect_flag_fixed``: told which pairs changed, and saying ``TYPICAL_CHANGE`` for
  those: two sentences that no data chose, so that the row is the same one on every data
  set (74.4 under ``ids`` on LEVIR-CC's test). Only where the five are in use: elsewhere
  the two are of another language or wording.
- ``human``: one of a pair's captions, drawn at random (seeded), against its others. For
  an unchanged pair, whose captions are all fixed sentences, against all of them: every
  one of them is right.

A row that cannot be had has no scores (each is None) and no sentences: without change
flags there is only ``human``.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sencap.data.vocabulary import NO_CHANGE_SENTENCES
from sencap.evaluation.meteor import COLUMNS, add_statistics, meteor_from_statistics
from sencap.evaluation.metrics import (
    ORDERS,
    BleuReferences,
    CiderReferences,
    Floats,
    References,
    Tokens,
    bleu_from_statistics,
    length_penalty,
    rouge_l,
)
from sencap.evaluation.names import METRICS
from sencap.evaluation.scoring import Scores, Scoring, scores
from sencap.evaluation.statistics import Flags, members

HUMAN_SEED = 0
"""Seed of the draw of one caption per pair."""
TYPICAL_CHANGE = "many houses are built along the road"
SHORTLIST, FINALISTS = 64, 10
"""How many candidate sentences are scored without METEOR, and how many of these with
it."""
ROWS = ("constant", "perfect_flag", "perfect_flag_fixed", "human")

Sentences: TypeAlias = dict[str, str | None]
"""What a row says: of "changed" and of "unchanged" pairs."""
ScoredSentences: TypeAlias = tuple[Scores, Sentences]
_Words: TypeAlias = tuple[str, ...]
# Hypotheses, and what they are scored against.
_Set: TypeAlias = tuple[list[Tokens], References]


@dataclass(frozen=True)
class ReferenceRow:
    """A reference row: protocol → scores, and protocol → what is said of "changed" and
    "unchanged" pairs."""

    scores: dict[str, Scores]
    sentences: dict[str, Sentences]


@dataclass(frozen=True)
class _Part:
    """What one sentence collects on the pairs it is said of; parts of two sentences add
    up."""

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
    """What "best" means: S*m, or without METEOR the mean of its other terms."""
    terms = [result[name] for name in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr")]
    known = [term for term in terms if term is not None]
    return math.fsum(known) / len(known)


# What a sentence collects that is said of no pair.
_NOTHING = _Part(np.zeros(2 + 2 * ORDERS), 0.0, 0.0, np.zeros(COLUMNS))


class ProtocolRows:
    """The reference rows of one protocol: what has to be scored, ``sets``, and what
    follows, ``finish``.

    captions: the words of each pair's references. references: their tokens under the
    protocol. changed: (P,), the pairs' change flags. encode: makes the tokens of a
    caption. own: the data set's own sentences of no change, the most frequent first.
    """

    def __init__(
        self,
        captions: References,
        references: References,
        changed: Flags,
        encode: Callable[[Sequence[str]], _Words],
        own: Sequence[str] = (),
    ) -> None:
        self._references = references
        self._where = {
            True: members(changed, "changed").tolist(),
            False: members(changed, "unchanged").tolist(),
        }
        self._bleu = BleuReferences(references)
        self._cider = CiderReferences(references)
        self._constant: str | None = None
        self._named: dict[str, _Set] = {}  # rows that need one scoring
        # The sentences among which the perfect flag's two are sought, for changed
        # (True) and unchanged pairs: sentence → tokens.
        self._options: dict[bool, dict[str, _Words]] = {}

        # The sentences of no change in question: the five fixed ones if the data use
        # them, and the data set's own, the most frequent first. The first is the
        # constant row's.
        five = _five_in_use([captions[index] for index in self._where[False]])
        no_change = dict.fromkeys([*five, *own[:FINALISTS]])
        # These rows need change flags; without them there is only the human one.
        if no_change and not np.isnan(changed).any():
            fixed = {sentence: encode(sentence.split()) for sentence in no_change}
            self._constant, constant = next(iter(fixed.items()))
            self._named["constant"] = ([constant] * len(references), references)
            self._options = {False: fixed, True: self._finalists(captions, constant)}
            if five:
                typical = encode(TYPICAL_CHANGE.split())
                by_flag = {1.0: typical, 0.0: constant}
                said: list[Tokens] = [by_flag[flag] for flag in changed.tolist()]
                self._named["perfect_flag_fixed"] = (said, references)
        human = human_set(references, changed)
        if human is not None:
            self._named["human"] = human
        self.sets = [*self._named.values(), *self._sets_of_options()]

    def _sets_of_options(self) -> list[_Set]:
        """Each sentence in question, said of all the pairs with its flag."""
        sets: list[_Set] = []
        for flag, options in self._options.items():
            subset = [self._references[index] for index in self._where[flag]]
            if subset:
                sets += [
                    ([tokens] * len(subset), subset) for tokens in options.values()
                ]
        return sets

    def _finalists(self, captions: References, constant: _Words) -> dict[str, _Words]:
        """The candidates for the changed pairs that are best without METEOR, beside a
        constant sentence for the others: sentence → tokens."""
        # Captions with equal tokens score alike, so one of them is enough. Under
        # ``ids`` captions that differ in rare words only are equal too.
        candidates: dict[_Words, str] = {}
        for index in self._where[True]:
            for words, tokens in zip(
                captions[index], self._references[index], strict=True
            ):
                candidates.setdefault(tuple(tokens), " ".join(words))
        # Three sieves, each dearer than the one before: likeness to all references, all
        # metrics but METEOR, and METEOR for the finalists.
        central = self._most_central(list(candidates))[:SHORTLIST]
        unchanged = self._counted(constant, False)
        pairs = len(self._references)

        def worth(tokens: _Words) -> float:
            return _value(self._counted(tokens, True).with_(unchanged, pairs))

        ranked = sorted(central, key=worth, reverse=True)
        return {candidates[tokens]: tokens for tokens in ranked[:FINALISTS]}

    def _most_central(self, candidates: list[_Words]) -> list[_Words]:
        """Candidates by their mean likeness to all references of changed pairs, the
        likeliest first.

        The likeness is CIDEr-D's without clipping, so that the references of one length
        can be added up beforehand.
        """
        sums: dict[int, dict[_Words, float]] = {}  # length → n-gram → sum of its shares
        for index in self._where[True]:
            captions = self._references[index]
            for caption in captions:
                total = sums.setdefault(len(caption), {})
                for ngram, value in self._unit(caption).items():
                    total[ngram] = total.get(ngram, 0.0) + value / len(captions)

        def likeness(tokens: _Words) -> float:
            unit = self._unit(tokens)
            return math.fsum(
                length_penalty(len(tokens), length) * _product(unit, total)
                for length, total in sums.items()
            )

        return sorted(candidates, key=likeness, reverse=True)

    def _unit(self, caption: Tokens) -> dict[_Words, float]:
        """A caption's weighted n-grams, those of each order divided by their norm."""
        vector, norms = self._cider.vector(caption)
        # An n-gram that every pair has weighs 0. If all of an order do, their norm is
        # 0 too, and nothing must be divided by it.
        return {
            ngram: value / norms[len(ngram) - 1]
            for ngram, value in vector.items()
            if value
        }

    def _counted(self, tokens: _Words, flag: bool) -> _Part:
        """What saying this of the pairs with this flag collects, METEOR left out."""
        where = self._where[flag]
        if not where:
            return _NOTHING
        said = [tokens] * len(where)
        bleu = self._bleu.statistics(said, where).sum(axis=0)
        rouge = rouge_l(said, [self._references[row] for row in where]).sum()
        cider = self._cider.score(said, where).sum()
        return _Part(bleu, float(rouge), float(cider), None)

    def _scored(self, tokens: _Words, flag: bool, scoring: Scoring) -> _Part:
        """What saying this of the pairs with this flag collects, from its scoring."""
        where = self._where[flag]
        # Weighed by all pairs, as the row is, and not by those with this flag.
        cider = self._cider.score([tokens] * len(where), where).sum()
        meteor = None
        if scoring.meteor is not None:
            meteor = add_statistics(scoring.meteor)
        return _Part(
            scoring.bleu.sum(axis=0), float(scoring.rouge.sum()), float(cider), meteor
        )

    def finish(self, scorings: Sequence[Scoring]) -> dict[str, ScoredSentences]:
        """The rows by name, from the scorings of ``sets`` in their order; what cannot
        be had is all None."""
        rows: dict[str, ScoredSentences] = {}
        for name in ROWS:
            rows[name] = (dict.fromkeys(METRICS), {"changed": None, "unchanged": None})
        sentences: dict[str, Sentences] = {
            "constant": {"changed": self._constant, "unchanged": self._constant},
            "perfect_flag_fixed": {
                "changed": TYPICAL_CHANGE,
                "unchanged": self._constant,
            },
            "human": {"changed": None, "unchanged": None},
        }
        # The scorings of the perfect flag's sentences come after the named ones.
        for name, scoring in zip(self._named, scorings, strict=False):
            rows[name] = (scoring.total(), sentences[name])
        if self._options:
            rows["perfect_flag"] = self._perfect_flag(scorings[len(self._named) :])
        return rows

    def _perfect_flag(self, scorings: Sequence[Scoring]) -> ScoredSentences:
        """The best two of the sentences in question, from their scorings."""
        rest = iter(scorings)
        parts: dict[bool, list[tuple[str | None, _Part]]] = {}
        for flag, options in self._options.items():
            parts[flag] = []
            if not self._where[flag]:
                parts[flag].append((None, _NOTHING))
                continue
            for sentence, tokens in options.items():
                parts[flag].append((sentence, self._scored(tokens, flag, next(rest))))
        found: list[ScoredSentences] = []
        for (change, part), (no_change, other) in itertools.product(
            parts[True], parts[False]
        ):
            # Corpus BLEU and METEOR do not split into two means, so every pair of
            # sentences is scored as a whole.
            result = part.with_(other, len(self._references))
            found.append((result, {"changed": change, "unchanged": no_change}))
        return max(found, key=lambda row: _value(row[0]))


def _product(one: dict[_Words, float], other: dict[_Words, float]) -> float:
    return sum(value * other.get(ngram, 0.0) for ngram, value in one.items())


def _five_in_use(unchanged: References) -> Sequence[str]:
    """The five fixed sentences, or none of them where the references of the unchanged
    pairs hold none."""
    said = {
        " ".join(words).lower() for words in itertools.chain.from_iterable(unchanged)
    }
    if unchanged and said.isdisjoint(NO_CHANGE_SENTENCES):
        return ()
    return NO_CHANGE_SENTENCES


def human_set(references: References, changed: Flags) -> _Set | None:
    """The human row's hypotheses and what each is scored against; None if a changed
    pair has one caption only.

    Draws with HUMAN_SEED, in the order of the pairs. references: tokens under a
    protocol. A pair that is not known to be unchanged counts as changed.
    """
    draw = random.Random(HUMAN_SEED)
    said: list[Tokens] = []
    against: list[Sequence[Tokens]] = []
    for captions, unchanged in zip(references, changed == 0, strict=True):
        # A number is drawn for every pair, used or not, so that each pair's draw
        # depends on its place and its number of captions, and not on flags.
        drawn = draw.randrange(len(captions))
        others = [*captions[:drawn], *captions[drawn + 1 :]]
        if unchanged:
            others = list(captions)  # every one of them is right
        if not others:
            return None
        said.append(captions[drawn])
        against.append(others)
    return said, against
