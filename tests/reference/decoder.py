"""The caption decoder (15)–(17) for one caption, and the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reference.attention import (
    feed_forward,
    layer_norm,
    linear,
    multi_head_attention,
    softmax,
    with_positions,
)
from reference.weights import Array, Weights, part


def decoder_layer(weights: Weights, x: Array, memory: Array, *, heads: int) -> Array:
    """Eq. (16): masked self-attention, attention to the memory, FFN; a norm after each
    sum."""
    attended = multi_head_attention(
        part(weights, "self_attention"), x, x, heads=heads, causal=True
    )
    x = layer_norm(weights, "norm1", x + attended)
    attended = multi_head_attention(
        part(weights, "cross_attention"), x, memory, heads=heads
    )
    x = layer_norm(weights, "norm2", x + attended)
    return layer_norm(
        weights, "norm3", x + feed_forward(part(weights, "feed_forward"), x)
    )


def decoder_logits(
    weights: Weights, tokens: Sequence[int], memory: Array, *, layers: int, heads: int
) -> Array:
    """Words (T,) and memory (N, D) → logits (T, V) of the word after each; Eq. (17)
    before its softmax."""
    # Eq. (15)
    x = with_positions(
        np.stack([weights["embedding.weight"][token] for token in tokens])
    )
    for number in range(layers):
        x = decoder_layer(part(weights, f"layers.{number}"), x, memory, heads=heads)
    return linear(weights, "output", x)


def cross_entropy(
    logits: Array, targets: Sequence[int], *, pad: int, smoothing: float = 0.0
) -> float:
    """Mean of −log p(word) over the words that are not padding: logits (L, V), targets
    (L,).

    With ``smoothing`` ε the wanted distribution is (1 − ε) at the word plus ε / V
    everywhere.
    """
    losses = []
    for row, target in zip(logits, targets, strict=True):
        if target == pad:
            continue
        log_p = [math.log(p) for p in softmax([float(value) for value in row])]
        losses.append(
            -(1 - smoothing) * log_p[target] - smoothing * sum(log_p) / len(log_p)
        )
    return sum(losses) / len(losses)
