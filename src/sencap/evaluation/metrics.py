"""BLEU-1..4, ROUGE-L and CIDEr-D of captions, fast and without Java.

Why by hand: ``pycocoevalcap``, the authority, counts every list of pairs anew. Subsets,
thousands of resamples and the search for the best constant sentence need what each pair
adds to a score, counted once; then each of them costs a sum.

Written from the definitions (Papineni et al. 2002; Lin 2004; Vedantam et al. 2015) with
the choices that the authority makes where a definition leaves room; the tests compare
the two to 1e-6. All scores here are raw: BLEU and ROUGE-L in 0..1, CIDEr-D in 0..10;
``scoring`` multiplies by 100.

A caption is a sequence of tokens without white space, words or ids written as strings.
A pair has one hypothesis and one or more references. An empty hypothesis is one like
any other, and scores 0 against words.

CIDEr-D weighs n-grams by how many of the *scored* pairs use them, so it has to be
computed anew for every subset.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from sencap.errors import DataError, ShapeError

Tokens: TypeAlias = Sequence[str]
References: TypeAlias = Sequence[Sequence[Tokens]]
Floats: TypeAlias = npt.NDArray[np.float64]
_Words: TypeAlias = tuple[str, ...]
_Counts: TypeAlias = Counter[_Words]
Weighed: TypeAlias = tuple[dict[_Words, float], list[float]]
Number = TypeVar("Number", float, Floats)

ORDERS = 4
"""N-grams of 1 to this many tokens, in BLEU and in CIDEr-D."""
ROUGE_BETA = 1.2
"""How much more recall weighs than precision in ROUGE-L, as pycocoevalcap has it."""
CIDER_SIGMA = 6.0
"""Width, in tokens, of CIDEr-D's penalty for a length unlike the reference's."""

# Guards against 0/0, of the sizes the authority uses: a BLEU of nothing is then 0, not
# undefined
_NO_MATCH, _NO_GUESS = 1e-15, 1e-9


def check_scorable(hypotheses: Sequence[Tokens], references: References) -> None:
    """Refuse what cannot be scored.

    Raises:
        ShapeError: the two lengths differ.
        DataError: there is no pair, or a pair has no reference.
    """
    _check_lengths(len(hypotheses), len(references))
    if not references:
        raise DataError("there are no pairs to score; is the split empty?")
    for index, captions in enumerate(references):
        if not captions:
            raise DataError(
                f"pair {index} has no reference caption; every pair needs at least one"
            )


def _check_lengths(hypotheses: int, pairs: int) -> None:
    if hypotheses != pairs:
        raise ShapeError(
            f"{hypotheses} hypotheses for {pairs} pairs with references; give one "
            "per pair"
        )


def ngrams(caption: Tokens) -> _Counts:
    """Count the n-grams of 1 to ORDERS tokens of a caption, as tuples of tokens."""
    words = tuple(caption)
    counts: _Counts = Counter()
    for order in range(1, ORDERS + 1):
        starts = range(len(words) - order + 1)
        counts.update(words[start : start + order] for start in starts)
    return counts


def s_star_m(bleu_4: Number, meteor: Number, rouge: Number, cider: Number) -> Number:
    """S*m: the mean of the four, each raw. Of single numbers, or of arrays of one
    shape."""
    return (bleu_4 + meteor + rouge + cider) / 4


# BLEU


class BleuReferences:
    """The references of some pairs, counted once, to score any number of hypothesis
    lists against.

    Raises:
        DataError: there is no pair, or a pair without a reference.
    """

    def __init__(self, references: References) -> None:
        check_scorable([()] * len(references), references)
        self._lengths: list[list[int]] = []
        self._limits: list[dict[_Words, int]] = []
        known: dict[tuple[_Words, ...], dict[_Words, int]] = {}
        for captions in references:
            key = tuple(map(tuple, captions))
            if key not in known:  # most unchanged pairs have the same references
                known[key] = _most_counts(key)
            self._limits.append(known[key])
            self._lengths.append([len(caption) for caption in captions])

    def statistics(
        self, hypotheses: Sequence[Tokens], chosen: Sequence[int] | None = None
    ) -> Floats:
        """Per pair what BLEU adds up: (pairs, 2 + 2·ORDERS).

        Columns: hypothesis length, length of the reference closest to it (the shorter
        one of two equally close), then for n = 1..ORDERS the matched n-grams, then for
        n = 1..ORDERS the n-grams there are. chosen: the pairs that the hypotheses
        belong to, by index, where they are not all of them in order. Raises ShapeError
        when there is not one hypothesis per pair.
        """
        pairs = range(len(self._lengths)) if chosen is None else chosen
        _check_lengths(len(hypotheses), len(pairs))
        rows = np.zeros((len(hypotheses), 2 + 2 * ORDERS))
        counts: dict[_Words, _Counts] = {}
        for row, hypothesis, pair in zip(rows, hypotheses, pairs, strict=True):
            words = tuple(hypothesis)
            # Systems say the same sentence of many pairs; its n-grams are counted once.
            if words not in counts:
                counts[words] = ngrams(words)
            row[0] = len(words)
            row[1] = _closest(self._lengths[pair], len(words))
            row[2 : 2 + ORDERS] = _matched(counts[words], self._limits[pair])
            # A caption of L words has L − n + 1 n-grams of n words.
            row[2 + ORDERS :] = np.maximum(0, len(words) - np.arange(ORDERS))
        return rows


def _closest(lengths: Sequence[int], length: int) -> int:
    """The length closest to another, the shorter one of two equally close."""
    return min(lengths, key=lambda other: (abs(other - length), other))


def _matched(counts: _Counts, limits: dict[_Words, int]) -> list[int]:
    """How many n-grams of each order are in a reference, each at most as often as it is
    there."""
    matched = [0] * ORDERS
    for ngram, count in counts.items():
        matched[len(ngram) - 1] += min(count, limits.get(ngram, 0))
    return matched


def bleu_statistics(hypotheses: Sequence[Tokens], references: References) -> Floats:
    """As ``BleuReferences.statistics``. Raises as ``check_scorable`` does."""
    check_scorable(hypotheses, references)
    return BleuReferences(references).statistics(hypotheses)


def _most_counts(captions: Iterable[_Words]) -> dict[_Words, int]:
    """The largest count of each n-gram in any one caption: a match is clipped to it."""
    most: dict[_Words, int] = {}
    for caption in captions:
        for ngram, count in ngrams(caption).items():
            most[ngram] = max(count, most.get(ngram, 0))
    return most


def bleu_from_statistics(statistics: Floats) -> Floats:
    """BLEU-1..ORDERS, each in 0..1, of rows of statistics: (..., 2 + 2·ORDERS) → (...,
    ORDERS).

    Sum the rows of a corpus first: corpus BLEU is not the mean of its sentences' BLEU.
    """
    matched = statistics[..., 2 : 2 + ORDERS] + _NO_MATCH
    guessed = statistics[..., 2 + ORDERS :] + _NO_GUESS
    # The brevity penalty: exp(1 − r/c) if the hypotheses (c words) are shorter than the
    # closest references (r words), otherwise 1. It keeps short, safe captions from high
    # precision.
    ratio = (statistics[..., 0:1] + _NO_MATCH) / (statistics[..., 1:2] + _NO_GUESS)
    brevity = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    result: Floats = (
        np.cumprod(matched / guessed, axis=-1) ** (1.0 / np.arange(1, ORDERS + 1))
        * brevity
    )
    return result


def corpus_bleu4(hypotheses: Sequence[Tokens], references: References) -> float:
    """Corpus BLEU-4 in 0..1, for validation while training: milliseconds per hundred
    pairs.

    Raises as ``check_scorable`` does.
    """
    return float(
        bleu_from_statistics(bleu_statistics(hypotheses, references).sum(axis=0))[-1]
    )


# ROUGE-L


def _positions(caption: Tokens) -> dict[str, int]:
    """Where each word stands in a caption, as the bits of a number."""
    positions: dict[str, int] = {}
    for index, word in enumerate(caption):
        positions[word] = positions.get(word, 0) | 1 << index
    return positions


def _common_subsequence(positions: dict[str, int], length: int, other: Tokens) -> int:
    """Length of the longest common subsequence of a caption, given by its positions,
    and another.

    Bit-parallel (Hyyrö 2004): one integer holds a whole row of the usual table, with a
    0 where it steps up.
    """
    every = (1 << length) - 1
    row = every
    # Each run of 1s ends at a step, a 0. The addition's carry makes the lowest match of
    # a run the new step and the old step a 1, for all runs at once; the subtraction
    # keeps the 1s that did not match.
    for word in other:
        match = row & positions.get(word, 0)
        row = (row + match | row - match) & every
    return length - row.bit_count()


def rouge_l(hypotheses: Sequence[Tokens], references: References) -> Floats:
    """ROUGE-L of every pair, each in 0..1: (pairs,). The corpus score is their mean.

    Precision and recall are each the best over the references, as the authority has it;
    an empty caption counts as one empty token, so that an empty hypothesis matches an
    empty reference and nothing else.
    """
    check_scorable(hypotheses, references)
    scores = np.zeros(len(hypotheses))
    for index, (hypothesis, captions) in enumerate(
        zip(hypotheses, references, strict=True)
    ):
        words = hypothesis or ("",)
        positions = _positions(words)
        others = [caption or ("",) for caption in captions]
        common = [_common_subsequence(positions, len(words), other) for other in others]
        precision = max(common) / len(words)
        # The best precision and the best recall may come from two different references.
        recall = max(
            count / len(other) for count, other in zip(common, others, strict=True)
        )
        if precision and recall:
            # The F-measure with β = 1.2: (1 + β²)·P·R / (R + β²·P).
            scores[index] = (
                (1 + ROUGE_BETA**2)
                * precision
                * recall
                / (recall + ROUGE_BETA**2 * precision)
            )
    return scores


# CIDEr-D


def length_penalty(length: int, other: int) -> float:
    """CIDEr-D's factor for two captions of these lengths, in 0..1.

    The authority's length is the number of bigrams, so that captions of 0 and of 1
    token are alike.
    """
    difference = max(length - 1, 0) - max(other - 1, 0)
    return math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))


class CiderReferences:
    """The references of some pairs, weighed once, to score any number of hypothesis
    lists against.

    The weights depend on which pairs are in: make one object for each subset that is
    scored. Raises DataError when there is no pair, or a pair without a reference.
    """

    def __init__(self, references: References) -> None:
        check_scorable([()] * len(references), references)
        self._references = [list(map(tuple, captions)) for captions in references]
        counts: dict[_Words, _Counts] = {}
        used: Counter[_Words] = Counter()  # in how many pairs' references an n-gram is
        for captions in self._references:
            # An n-gram counts once for a pair, in however many of its references it is.
            of_pair: set[_Words] = set()
            for caption in captions:
                counts[caption] = counts.get(caption) or ngrams(caption)
                of_pair.update(counts[caption])
            used.update(of_pair)
        self._log_pairs = math.log(len(references))
        # The inverse document frequency, log(pairs / pairs that use it): what people
        # say of every pair tells little, and weighs 0.
        self._weights = {
            ngram: self._log_pairs - math.log(number) for ngram, number in used.items()
        }
        self._vectors = {
            caption: self._vector(count) for caption, count in counts.items()
        }

    def vector(self, caption: Tokens) -> Weighed:
        """The weighted n-gram counts of a caption, and their Euclidean norm for each
        n."""
        words = tuple(caption)
        return self._vectors.get(words) or self._vector(ngrams(words))

    def _vector(self, counts: _Counts) -> Weighed:
        vector = {
            # An n-gram that no reference uses counts as if one pair used it.
            ngram: count * self._weights.get(ngram, self._log_pairs)
            for ngram, count in counts.items()
        }
        squares = [0.0] * ORDERS
        for ngram, value in vector.items():
            squares[len(ngram) - 1] += value * value
        return vector, [math.sqrt(square) for square in squares]

    def score(
        self, hypotheses: Sequence[Tokens], chosen: Sequence[int] | None = None
    ) -> Floats:
        """CIDEr-D of every pair, each in 0..10: (pairs,). The corpus score is their
        mean.

        chosen: the pairs that the hypotheses belong to, by index, where they are not
        all of them in order; the weights remain those of all.

        Raises:
            ShapeError: there is not one hypothesis per pair.
        """
        references = self._references
        if chosen is not None:
            references = [references[index] for index in chosen]
        _check_lengths(len(hypotheses), len(references))
        known: dict[_Words, Weighed] = {}
        scores = np.zeros(len(hypotheses))
        for index, (hypothesis, captions) in enumerate(
            zip(hypotheses, references, strict=True)
        ):
            words = tuple(hypothesis)
            if words not in known:
                known[words] = self.vector(words)
            # The mean over the references of a pair; 10 is the factor of the
            # definition.
            likeness = sum(
                self._likeness(words, known[words], caption) for caption in captions
            )
            scores[index] = 10.0 * likeness / len(captions)
        return scores

    def _likeness(self, words: _Words, weighed: Weighed, caption: _Words) -> float:
        """Mean over n of the clipped cosine of two vectors, times the penalty of the
        lengths."""
        (vector, norms), (other, other_norms) = weighed, self._vectors[caption]
        products = [0.0] * ORDERS
        # In the caption's order: a set's order would change the last bits.
        for ngram, mine in vector.items():
            theirs = other.get(ngram, 0.0)
            # Clipping (the D of CIDEr-D): saying an n-gram more often than the
            # reference does gains nothing.
            products[len(ngram) - 1] += min(mine, theirs) * theirs
        # An order that one of the two captions lacks has no norm, and adds nothing.
        total = 0.0
        for product, norm, other_norm in zip(products, norms, other_norms, strict=True):
            if norm * other_norm > 0:
                total += product / (norm * other_norm)
        return total / ORDERS * length_penalty(len(words), len(caption))


def cider_d(hypotheses: Sequence[Tokens], references: References) -> Floats:
    """CIDEr-D of every pair, each in 0..10: (pairs,). Raises as ``check_scorable``
    does."""
    check_scorable(hypotheses, references)
    return CiderReferences(references).score(hypotheses)


def cider_is_zero(references: References) -> bool:
    """Whether CIDEr-D of these pairs is 0 whatever is said of them: it weighs an n-gram
    by how few pairs have it, and here every n-gram is one of all pairs.

    So it is for one pair, and where all pairs have the same references.

    >>> cider_is_zero([[["a", "road"], ["a", "house"]], [["a", "house"], ["a", "road"]]])
    True
    """
    first: set[_Words] | None = None
    seen: set[tuple[_Words, ...]] = set()
    for captions in references:
        key = tuple(map(tuple, captions))
        if key in seen:  # most unchanged pairs have the same references
            continue
        seen.add(key)
        held = set(itertools.chain.from_iterable(map(ngrams, key)))
        if first is None:
            first = held
        if held != first:
            return False
    return True
