"""Momentum contrast in loops: the queue a list, the loss term by term, one view pushed
after the other.

Sources: Eq. (1) of SPEC §6; MoCo's algorithm 1 (the queue first in, first out); for
SeCo's sub-spaces, section 3.2 of its paper: what a sub-space does not ignore is a
negative in it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def slow_info_nce(
    q: Array, positive: Array, negatives: list[Array], temperature: float
) -> float:
    """One query: −log of the positive's share."""
    similar = math.exp(
        sum(a * b for a, b in zip(q, positive, strict=True)) / temperature
    )
    total = similar
    for negative in negatives:
        total += math.exp(
            sum(a * b for a, b in zip(q, negative, strict=True)) / temperature
        )
    return -math.log(similar / total)


def slow_unit(x: Array) -> Array:
    return x / math.sqrt(sum(float(value) ** 2 for value in x))


class SlowQueue:
    """A list of at most K (key, place), newest last."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.items: list[tuple[Array, int]] = []

    def push(self, key: Array, place: int) -> None:
        self.items.append((key, place))
        if len(self.items) > self.length:
            self.items.pop(0)

    def negatives(self, place: int, *, mask_own: bool) -> list[Array]:
        return [key for key, owner in self.items if not (mask_own and owner == place)]


def slow_step(
    z_q: list[Array], z_k: list[list[Array]], places: list[int], queues: list[SlowQueue], temperature: float,  # noqa: E501
    *, mask_own: bool,
) -> float:  # fmt: skip
    """z_q[s] (B, d); z_k[v][s] (B, d): the embedding of key view v in sub-space s.
    Pushes the keys; the loss."""
    S, B = len(queues), len(places)
    total = 0.0
    for s in range(S):
        for b in range(B):
            negatives = queues[s].negatives(places[b], mask_own=mask_own)
            if s > 0:
                for v in range(S):
                    if v != s:
                        negatives = negatives + [z_k[v][s][other] for other in range(B)]
            total += slow_info_nce(z_q[s][b], z_k[s][s][b], negatives, temperature) / B
    for s in range(S):
        for b in range(B):
            queues[s].push(z_k[s][s][b], places[b])
    return total
