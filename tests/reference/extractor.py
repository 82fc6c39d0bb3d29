"""What of the extractor is SEN's own: Eq. (2), the order of the channels, and P of Eq.
(3)."""

from __future__ import annotations

import numpy as np

from reference.weights import Array, Weights


def concatenated(before: Array, after: Array) -> Array:
    """Eq. (2) in the order that SPEC fixes: (3, H, W) twice → (6, H, W), before in
    channels 0–2."""
    _, H, W = before.shape
    out = np.empty((6, H, W))
    for channel in range(3):
        out[channel] = before[channel]
        out[3 + channel] = after[channel]
    return out


def projection(weights: Weights, x: Array) -> Array:
    """P, a 1×1 convolution: (C, h, w) → (D, h, w)."""
    W, b = weights["weight"][:, :, 0, 0], weights["bias"]
    _, h, w = x.shape
    out = np.empty((len(W), h, w))
    for y in range(h):
        for column in range(w):
            for d in range(len(W)):
                out[d, y, column] = np.dot(W[d], x[:, y, column]) + b[d]
    return out
