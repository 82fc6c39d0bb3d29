"""Search the slow way: one pair at a time, the whole sequence through the decoder for
every word, no cache.

The ending rules are those written in `sencap.search`. Without length normalisation
nothing is stopped early, since that makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sencap.models.decoders import Decoder
from sencap.structures import Hypothesis, Memory

Float32 = NDArray[np.float32]
NextWord = Callable[[tuple[int, ...]], Float32]
"""Log-probabilities (V,) of the word after a prefix that begins with <start>."""


def uncached(
    decoder: Decoder, memory: Memory, pair: int, forbidden: Sequence[int] = ()
) -> NextWord:
    """The next word by ``decoder``'s forward pass over the whole prefix, for one pair
    of a batch."""
    alone = Memory(memory.tokens[pair : pair + 1], memory.grid)

    def next_word(prefix: tuple[int, ...]) -> Float32:
        with torch.inference_mode():
            logits = decoder(alone, torch.tensor([[prefix]]))[0, 0, -1]
        log_p: Float32 = logits.log_softmax(-1).numpy().copy()
        log_p[list(forbidden)] = -np.inf
        return log_p

    return next_word


def exhaustive(
    next_word: NextWord,
    *,
    start: int,
    end: int,
    max_words: int,
    length_normalisation: float = 0.0,
) -> list[Hypothesis]:
    """Every caption there is, best first."""
    found: list[Hypothesis] = []

    def extend(words: tuple[int, ...], score: np.float32) -> None:
        log_p = next_word((start, *words))
        if len(words) == max_words:
            found.append(_at_the_limit(words, score, log_p, end))
            return
        for word, value in enumerate(log_p):
            if np.isfinite(value) and word == end:
                found.append(Hypothesis(words, float(score + value), finished=True))
            elif np.isfinite(value):
                extend((*words, word), score + value)

    extend((), np.float32(0))
    return _best_first(found, length_normalisation)


def _best_first(found: list[Hypothesis], alpha: float) -> list[Hypothesis]:
    """By log p / (L + 1)^α, where <end> is the word that makes L into L + 1."""
    return sorted(found, key=lambda h: -h.log_prob / (len(h.ids) + 1) ** alpha)


def greedy(next_word: NextWord, *, start: int, end: int, max_words: int) -> Hypothesis:
    words: tuple[int, ...] = ()
    score = np.float32(0)
    while len(words) < max_words:
        log_p = next_word((start, *words))
        best = int(log_p.argmax())
        score += log_p[best]
        if best == end:
            return Hypothesis(words, float(score), finished=True)
        words = (*words, best)
    return _at_the_limit(words, score, next_word((start, *words)), end)


def beam_search(
    next_word: NextWord,
    *,
    start: int,
    end: int,
    max_words: int,
    beam: int,
    length_normalisation: float = 0.0,
) -> list[Hypothesis]:
    """All that ended or was cut, best first: at each length the ``beam`` best
    continuations may end.

    With length normalisation it stops when as many have ended as the beam is wide, each
    of them as good as the best open one would be if it ended now.
    """
    ended: list[Hypothesis] = []
    still_open: list[tuple[tuple[int, ...], np.float32]] = [((), np.float32(0))]
    for _ in range(max_words):
        continuations = [
            (words, word, score + value)
            for words, score in still_open
            for word, value in enumerate(next_word((start, *words)))
            if np.isfinite(value)
        ]
        continuations.sort(key=lambda continuation: -continuation[2])
        for words, word, score in continuations[:beam]:
            if word == end:
                ended.append(Hypothesis(words, float(score), finished=True))
        still_open = [
            ((*words, word), score)
            for words, word, score in continuations
            if word != end
        ][:beam]
        if length_normalisation and still_open:
            words, score = still_open[0]
            now = score / (len(words) + 1) ** length_normalisation
            good = [
                h
                for h in ended
                if h.log_prob / (len(h.ids) + 1) ** length_normalisation >= now
            ]
            if len(good) >= beam:
                return _best_first(ended, length_normalisation)
    for words, score in still_open:
        ended.append(_at_the_limit(words, score, next_word((start, *words)), end))
    return _best_first(ended, length_normalisation)


def _at_the_limit(
    words: tuple[int, ...], score: np.float32, log_p: Float32, end: int
) -> Hypothesis:
    if int(log_p.argmax()) == end:
        return Hypothesis(words, float(score + log_p[end]), finished=True)
    return Hypothesis(words, float(score), finished=False)


@dataclass(frozen=True)
class ToyState:
    """The words so far of each hypothesis (B, K, t), and the key of each pair (B,)."""

    keys: Tensor
    prefixes: Tensor

    def select(self, parents: Tensor) -> ToyState:
        chosen = [
            [self.prefixes[b, int(parent)] for parent in row]
            for b, row in enumerate(parents)
        ]
        return ToyState(self.keys, torch.stack([torch.stack(row) for row in chosen]))

    def keep(self, pairs: Tensor) -> ToyState:
        return ToyState(self.keys[pairs], self.prefixes[pairs])


class ToyDecoder:
    """Logits of the next word are random numbers drawn anew for each (pair, prefix).

    A pair's key is the first number of its memory. ``offsets`` are added to the logits
    of some words.
    """

    def __init__(
        self, vocabulary_size: int, seed: int, offsets: dict[int, float] | None = None
    ) -> None:
        self.V, self.seed, self.offsets = vocabulary_size, seed, offsets or {}
        self.steps: list[tuple[int, ...]] = []
        """The shape of the tokens of each step."""

    def memory(self, keys: Sequence[int]) -> Memory:
        return Memory(torch.tensor(keys, dtype=torch.float32).view(-1, 1, 1), (1, 1))

    def logits(self, key: int, prefix: Sequence[int]) -> Tensor:
        random = np.random.default_rng([self.seed, key, len(prefix), *prefix])
        out = 2.0 * random.standard_normal(self.V)
        for word, offset in self.offsets.items():
            out[word] += offset
        return torch.from_numpy(out).float()

    def start(self, memory: Memory) -> ToyState:
        keys = memory.tokens[:, 0, 0].long()
        return ToyState(keys, torch.empty(len(keys), 1, 0, dtype=torch.long))

    def step(self, state: ToyState, tokens: Tensor) -> tuple[Tensor, ToyState]:
        self.steps.append(tuple(tokens.shape))
        state = ToyState(state.keys, torch.cat((state.prefixes, tokens[..., None]), 2))
        rows = [
            torch.stack([self.logits(key, prefix) for prefix in prefixes])
            for key, prefixes in zip(
                state.keys.tolist(), state.prefixes.tolist(), strict=True
            )
        ]
        return torch.stack(rows), state

    def __call__(self, memory: Memory, tokens: Tensor) -> Tensor:
        B, K, T = tokens.shape
        out = torch.empty(B, K, T, self.V)
        for b in range(B):
            for k in range(K):
                for t in range(T):
                    out[b, k, t] = self.logits(
                        int(memory.tokens[b, 0, 0]), tokens[b, k, : t + 1].tolist()
                    )
        return out


def log_probability(
    next_word: NextWord, found: Hypothesis, *, start: int, end: int
) -> float:
    """The log-probability of a caption, added up word by word."""
    words = [*found.ids, end] if found.finished else list(found.ids)
    total = 0.0
    for i, word in enumerate(words):
        total += float(next_word((start, *words[:i]))[word])
    return total if math.isfinite(total) else -math.inf
