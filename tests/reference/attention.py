"""Multi-head attention, feed-forward network, layer normalisation and positions, one
number at a time."""

from __future__ import annotations

import math

import numpy as np

from reference.weights import Array, Weights


def linear(weights: Weights, name: str, x: Array) -> Array:
    """W·x + b for each row x (L, D_in) → (L, D_out)."""
    W, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
    out = np.empty((len(x), len(W)))
    for i in range(len(x)):
        for o in range(len(W)):
            out[i, o] = np.dot(W[o], x[i]) + b[o]
    return out


def softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def multi_head_attention(
    weights: Weights, query: Array, source: Array, *, heads: int, causal: bool = False
) -> Array:
    """MHA(query (L_q, D), source (L_s, D)) = Concat(head_1 … head_h)·W_o, head =
    softmax(q·k / √d)·v."""
    Q, K, V = (
        linear(weights, "query", query),
        linear(weights, "key", source),
        linear(weights, "value", source),
    )
    D = query.shape[1]
    d = D // heads
    concatenated = np.zeros((len(query), D))
    for head in range(heads):
        columns = slice(head * d, (head + 1) * d)
        for i in range(len(query)):
            visible = [j for j in range(len(source)) if not causal or j <= i]
            share = softmax(
                [
                    float(np.dot(Q[i, columns], K[j, columns])) / math.sqrt(d)
                    for j in visible
                ]
            )
            for p, j in zip(share, visible, strict=True):
                concatenated[i, columns] += p * V[j, columns]
    return linear(weights, "out", concatenated)


def feed_forward(weights: Weights, x: Array) -> Array:
    """W_2·ReLU(W_1·x + b_1) + b_2."""
    hidden = linear(weights, "linear1", x)
    hidden[hidden < 0] = 0.0
    return linear(weights, "linear2", hidden)


def layer_norm(weights: Weights, name: str, x: Array) -> Array:
    """(x − mean) / √(variance + 1e-5) · γ + β for each row of x (L, D)."""
    out = np.empty_like(x)
    for i, row in enumerate(x):
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        out[i] = (row - mean) / math.sqrt(variance + 1e-5) * weights[
            f"{name}.weight"
        ] + weights[f"{name}.bias"]
    return out


def sinusoid(position: int, D: int) -> Array:
    """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(p / 10000^(2i/D))."""
    out = np.empty(D)
    for i in range(D // 2):
        angle = position / 10_000 ** (2 * i / D)
        out[2 * i], out[2 * i + 1] = math.sin(angle), math.cos(angle)
    return out


def with_positions(x: Array, start: int = 0) -> Array:
    return np.stack([row + sinusoid(start + i, len(row)) for i, row in enumerate(x)])
