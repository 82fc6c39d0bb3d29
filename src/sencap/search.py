"""Greedy and beam search over any engine, in batches, through its ``start`` and
``step``; on NumPy arrays.

A caption's log-probability is the sum over its words. Every word makes it smaller, so a
beam that ranks by it prefers short captions. With length normalisation it ranks by the
log-probability over a power of the length, and longer captions have their chance. A
caption that never ends is cut at ``max_words`` words and kept, ``finished=False``;
every pair yields a caption.

Why by hand: libraries of text generation search over models of their own making, and do
not give the probabilities of whole captions, on which the decision "changed or not"
rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sencap.engines.contract import Decoding, Float32s, Ids, PairMemory
from sencap.errors import SettingsError
from sencap.structures import Hypothesis


@dataclass(frozen=True)
class Markers:
    """The ids of <start> and <end>, and the ids that are never chosen (padding,
    say)."""

    start: int
    end: int
    forbidden: tuple[int, ...] = ()


def search(
    decoding: Decoding,
    memory: PairMemory,
    markers: Markers,
    *,
    beam: int = 1,
    max_words: int = 50,
    n_best: int | None = None,
    length_normalisation: float = 0.0,
) -> list[list[Hypothesis]]:
    """The best captions of each pair, best first.

    ``beam`` 1 is greedy search. ``n_best`` captions per pair are returned (all of the
    beam if not given); a tiny vocabulary may have fewer. ``length_normalisation`` is
    the power α of `score`; 0, as in the paper, ranks by the log-probability.

    Raises:
        SettingsError: a beam or a length below 1, or more captions asked for than the
            beam is wide.
    """
    n_best = beam if n_best is None else n_best
    if beam < 1 or max_words < 1:
        raise SettingsError(
            f"beam={beam} and max_words={max_words} must both be at least 1"
        )
    if not 1 <= n_best <= beam:
        raise SettingsError(
            f"n_best={n_best} captions cannot come out of beam={beam}; raise beam"
        )
    if beam == 1:
        best = _greedy(decoding, memory, markers, max_words)
        return [[hypothesis] for hypothesis in best]
    return _Beam(
        decoding,
        memory,
        markers,
        beam=beam,
        n_best=n_best,
        length_normalisation=length_normalisation,
    ).run(max_words)


def score(log_prob: float, words: int, length_normalisation: float) -> float:
    """What a beam ranks a caption by: log p / (L + 1)^α, with L words and <end>.

    With α = 0 it is the log-probability, with α = 1 the mean of its words' (Wu et al.
    2016, arXiv 1609.08144, equation 14, with 0 in place of their 5).
    """
    return log_prob / float((words + 1) ** length_normalisation)


def score_sentences(
    decoding: Decoding,
    memory: PairMemory,
    markers: Markers,
    captions: Sequence[Sequence[int]],
) -> Float32s:
    """The log-probability of each of K captions, given as word ids without markers, for
    each pair: (B, K)."""
    B, K = len(memory.tokens), len(captions)
    longest = max(len(ids) for ids in captions)
    # Captions are padded to one length: <start> w1 … wn <end> <end> …. What follows
    # the first <end> is fed, and not counted. The step that is fed word t is judged by
    # word t + 1, so ``expected`` is ``fed`` moved by one place.
    fed = np.full((K, longest + 1), markers.end, np.int64)
    fed[:, 0] = markers.start
    expected = np.full((K, longest + 1), markers.end, np.int64)
    counts = np.zeros((K, longest + 1), np.float32)
    for k, ids in enumerate(captions):
        fed[k, 1 : len(ids) + 1] = ids
        expected[k, : len(ids)] = ids
        counts[k, : len(ids) + 1] = 1.0
    # The decoder starts with one hypothesis per pair; choosing number 0 K times makes K
    # copies, one for each caption.
    state = decoding.start(memory).select(np.zeros((B, K), np.int64))
    total = np.zeros((B, K), np.float32)
    for t in range(longest + 1):
        words = np.broadcast_to(fed[:, t], (B, K))
        step = decoding.step(state, words)
        state = step.state
        log_p = log_probabilities(step.logits)  # (B, K, V)
        said = np.broadcast_to(expected[:, t], (B, K))[..., None]
        # (B, K, V) → (B, K): of each word's distribution the entry of the word that is
        # said. The log of a product of probabilities is the sum of their logs.
        total += np.take_along_axis(log_p, said, 2)[..., 0] * counts[:, t]
    return total


def log_probabilities(logits: Float32s, forbidden: Sequence[int] = ()) -> Float32s:
    """log softmax(logits) over the last axis, in float32; −∞ for what is forbidden.

    They are the model's own: forbidden words are left out of the choice, not out of the
    distribution.
    """
    # The softmax does not change if a constant is taken off all logits. Without the
    # largest one, exp cannot overflow.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p: Float32s = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    if forbidden:
        log_p[..., list(forbidden)] = -np.inf
    return log_p


def _greedy(
    decoding: Decoding, memory: PairMemory, markers: Markers, max_words: int
) -> list[Hypothesis]:
    B = len(memory.tokens)
    state = decoding.start(memory)
    words = np.full((B, 1), markers.start, np.int64)
    pair = np.arange(B)  # which pair each row of the shrinking batch is
    said: list[list[int]] = [[] for _ in range(B)]
    log_prob = np.zeros(B, np.float32)
    finished = np.zeros(B, np.bool_)
    # One step more than words: the last asks whether a caption of the full length ends.
    for length in range(max_words + 1):
        step = decoding.step(state, words)
        state = step.state
        log_p = log_probabilities(step.logits, markers.forbidden)[:, 0]  # (B', V)
        # Greedy: the likeliest next word, whatever it makes likely after it.
        chosen = log_p.argmax(-1)  # (B',)
        value = log_p[np.arange(len(chosen)), chosen]
        ends = chosen == markers.end
        finished[pair[ends]] = True
        log_prob[pair[ends]] += value[ends]
        # At the length limit a caption that does not end is cut: the word that would
        # come next is not counted.
        goes_on = ~ends if length < max_words else np.zeros_like(ends)
        for row in np.flatnonzero(goes_on):
            said[pair[row]].append(int(chosen[row]))
        log_prob[pair[goes_on]] += value[goes_on]
        if not goes_on.any():
            break
        words = chosen[:, None]
        # Captions that ended leave the batch, so that later steps cost less. ``pair``
        # still tells where their results belong.
        if not goes_on.all():
            rows = np.flatnonzero(goes_on)
            pair, words, state = pair[rows], words[rows], state.keep(rows)
    return [
        Hypothesis(tuple(ids), float(log_prob[b]), bool(finished[b]))
        for b, ids in enumerate(said)
    ]


@dataclass
class _Open:
    """The hypotheses that go on: of each pair that is left (B' of them), K each.

    ``pair`` (B',) says which pair a row is; ``said`` (B', K, length) its words;
    ``scores`` (B', K).
    """

    pair: Ids
    said: Ids
    scores: Float32s
    # Fed next, (B', K).
    words: Ids = field(default_factory=lambda: np.empty((0, 0), np.int64))

    def keep(self, rows: Ids) -> _Open:
        return _Open(
            self.pair[rows], self.said[rows], self.scores[rows], self.words[rows]
        )


class _Beam:
    """Beam search. A hypothesis ends when <end> is among the ``beam`` best
    continuations of its pair.

    A pair is done when its ``n_best``-th ended caption scores at least as high as its
    best open one would if it ended now. Log-probabilities only fall, so without length
    normalisation nothing open can overtake it. With it an open one could, if its other
    words were far likelier than those it has; it is not waited for.
    """

    def __init__(
        self,
        decoding: Decoding,
        memory: PairMemory,
        markers: Markers,
        *,
        beam: int,
        n_best: int,
        length_normalisation: float,
    ) -> None:
        self.decoding, self.memory, self.markers = decoding, memory, markers
        self.beam, self.n_best = beam, n_best
        self.length_normalisation = length_normalisation
        self.ended: list[list[Hypothesis]] = [[] for _ in memory.tokens]

    def run(self, max_words: int) -> list[list[Hypothesis]]:
        B = len(self.memory.tokens)
        state = self.decoding.start(self.memory)
        # All pairs begin with a single hypothesis, the empty caption. The first step
        # makes a beam of it.
        now = _Open(
            pair=np.arange(B),
            said=np.empty((B, 1, 0), np.int64),
            scores=np.zeros((B, 1), np.float32),
            words=np.full((B, 1), self.markers.start, np.int64),
        )
        for _ in range(max_words):
            step = self.decoding.step(state, now.words)
            log_p = log_probabilities(step.logits, self.markers.forbidden)  # (B', K, V)
            now, parents = self._advance(now, log_p)
            # The decoder's state has to follow: each new hypothesis goes on from its
            # parent's.
            state = step.state.select(parents)
            rows = self._unfinished(now)
            if not len(rows):
                break
            if len(rows) < len(now.pair):
                now, state = now.keep(rows), state.keep(rows)
        else:
            # The loop was not left, so some captions are still open at the length
            # limit. One more step tells which of them end here.
            step = self.decoding.step(state, now.words)
            self._cut(now, log_probabilities(step.logits, self.markers.forbidden))
        return [
            sorted(ended, key=self._score, reverse=True)[: self.n_best]
            for ended in self.ended
        ]

    def _score(self, hypothesis: Hypothesis) -> float:
        return score(
            hypothesis.log_prob, len(hypothesis.ids), self.length_normalisation
        )

    def _advance(self, now: _Open, log_p: Float32s) -> tuple[_Open, Ids]:
        """End what ends among the best ``beam``; go on with the best others. Returns
        their parents (B', K') too."""
        B, K, V = log_p.shape
        # (B', K, 1) + (B', K, V) → (B', K·V): every continuation of every hypothesis of
        # a pair competes in one row. Number n is word n % V after hypothesis n // V.
        total = (now.scores[..., None] + log_p).reshape(B, K * V)
        # Each hypothesis can end in one way only, so that twice the beam holds a whole
        # beam of open ones.
        best = _highest(total, min(2 * self.beam, K * V))  # (B', 2·beam), best first
        values = np.take_along_axis(total, best, 1)
        parents, chosen = best // V, best % V
        ends = chosen == self.markers.end
        for row, rank in np.argwhere(
            ends[:, : self.beam] & np.isfinite(values[:, : self.beam])
        ):
            ids = tuple(now.said[row, parents[row, rank]].tolist())
            hypothesis = Hypothesis(ids, float(values[row, rank]), finished=True)
            self.ended[now.pair[row]].append(hypothesis)
        # With a tiny vocabulary there are fewer continuations than the beam is wide:
        # K·V in all, of which K are <end>.
        width = min(self.beam, K * V - K)
        # A stable sort by "ends" moves the open ones to the front and keeps their
        # order, best first.
        open_first = np.argsort(ends, axis=1, kind="stable")[:, :width]
        # Where too few are open, ended ones fill the row; −∞ keeps them from ever
        # winning.
        values = np.where(ends, -np.inf, values).astype(np.float32)
        parents, chosen, values = (
            np.take_along_axis(array, open_first, 1)
            for array in (parents, chosen, values)
        )
        before = np.take_along_axis(now.said, parents[..., None], 1)  # (B', K', length)
        said = np.concatenate((before, chosen[..., None]), 2)
        return _Open(now.pair, said, values, chosen), parents

    def _unfinished(self, now: _Open) -> Ids:
        rows = []
        words = now.said.shape[-1]
        for row, log_prob in enumerate(now.scores.max(1)):
            best_open = score(log_prob, words, self.length_normalisation)
            ended = sorted(map(self._score, self.ended[now.pair[row]]), reverse=True)
            done = len(ended) >= self.n_best and ended[self.n_best - 1] >= best_open
            # A best score of −∞ means that nothing open is left to go on with.
            if not done and best_open > -np.inf:
                rows.append(row)
        return np.array(rows, np.int64)

    def _cut(self, now: _Open, log_p: Float32s) -> None:
        """At the length limit a hypothesis ends if <end> is its best next word, and is
        cut otherwise."""
        best, choice = log_p.max(-1), log_p.argmax(-1)  # (B', K)
        for row, k in np.argwhere(now.scores > -np.inf):
            finished = bool(choice[row, k] == self.markers.end)
            log_prob = float(now.scores[row, k])
            if finished:
                log_prob += float(best[row, k])
            ids = tuple(now.said[row, k].tolist())
            self.ended[now.pair[row]].append(Hypothesis(ids, log_prob, finished))


def _highest(values: NDArray[np.float32], count: int) -> Ids:
    """Indices (B, count) of the highest values of each row (B, L), highest first and
    equal ones by index. Where several equal the lowest that is in, any of them may be
    in."""
    if count < values.shape[1]:
        # A partition finds the highest without sorting thousands of words. It gives
        # them in no order, so they are put back by index, for equal values to keep it.
        some = np.argpartition(-values, count - 1, axis=1)[:, :count]
        some.sort(axis=1)
    else:
        some = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
