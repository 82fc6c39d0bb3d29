"""SFE (4)(5) and CAGD (6)–(14) for one pair, with the variants that Tables V and VI
switch off."""

from __future__ import annotations

import math

import numpy as np

from reference.attention import (
    feed_forward,
    layer_norm,
    multi_head_attention,
    with_positions,
)
from reference.weights import Array, Weights, part


def embedded_image(
    weights: Weights, image: Array, grid: tuple[int, int], *, stride: int
) -> Array:
    """Eq. (4): I_c = conv(I), (3, H, W) → (D, h, w); a cell looks at the k×k pixels
    around its first one."""
    kernel, bias = weights["weight"], weights["bias"]
    D, _, k, _ = kernel.shape
    _, H, W = image.shape
    border = (k - 1) // 2
    out = np.empty((D, *grid))
    for d in range(D):
        for y in range(grid[0]):
            for x in range(grid[1]):
                total = bias[d]
                for i in range(k):
                    for j in range(k):
                        row, column = y * stride + i - border, x * stride + j - border
                        if 0 <= row < H and 0 <= column < W:
                            total += sum(
                                kernel[d, c, i, j] * image[c, row, column]
                                for c in range(3)
                            )
                out[d, y, x] = total
    return out


def channel_attention(weights: Weights, x: Array) -> Array:
    """Eq. (5): sigmoid(MLP(avgpool(x)) + MLP(maxpool(x))), (D, h, w) → (D,); one MLP
    for both pools."""
    down, up = weights["mlp.0.weight"][:, :, 0, 0], weights["mlp.2.weight"][:, :, 0, 0]
    assert set(weights) == {"mlp.0.weight", "mlp.2.weight"}, "the MLP has no biases"

    def mlp(v: Array) -> Array:
        hidden = [max(0.0, float(np.dot(row, v))) for row in down]
        return np.array([np.dot(row, hidden) for row in up])

    D = len(x)
    average = np.array([x[d].sum() / x[d].size for d in range(D)])
    maximum = np.array([max(x[d].flat) for d in range(D)])
    return np.array([1.0 / (1.0 + math.exp(-z)) for z in mlp(average) + mlp(maximum)])


def shallow_feature_embedding(
    weights: Weights,
    F: Array,
    image: Array,
    date: str,
    *,
    stride: int,
    shared_convolution: bool,
    channel_attention_on: bool,
) -> Array:
    """F_m of one date: F (D, h, w) and its image (3, H, W) → (D, h, w)."""
    grid = (F.shape[1], F.shape[2])
    seen = (
        embedded_image(part(weights, "conv"), image, grid, stride=stride)
        if shared_convolution
        else F
    )
    if channel_attention_on:
        weight = channel_attention(part(weights, f"attention.{date}"), seen)
        return np.stack([weight[d] * F[d] for d in range(len(F))])
    return seen + F if shared_convolution else F


def cross_att(weights: Weights, F_m: Array, F_diff: Array, *, heads: int) -> Array:
    """CrossAtt_m, Eq. (7)–(10): query is the date's feature, key and value the
    bi-temporal one; post-norm."""
    attended = multi_head_attention(
        part(weights, "attention"), F_m, F_diff, heads=heads
    )
    x = layer_norm(weights, "norm1", F_m + attended)
    return layer_norm(
        weights, "norm2", x + feed_forward(part(weights, "feed_forward"), x)
    )


def cagd_layer(
    weights: Weights,
    F_bef: Array,
    F_aft: Array,
    F_diff: Array,
    *,
    heads: int,
    cross: bool,
    self_: bool,
) -> tuple[Array, Array, Array]:
    """One layer: F̂_bef, F̂_aft and the next F_diff."""
    if cross:
        F_bef_hat = cross_att(part(weights, "cross.bef"), F_bef, F_diff, heads=heads)
        F_aft_hat = cross_att(part(weights, "cross.aft"), F_aft, F_diff, heads=heads)
    else:
        F_bef_hat, F_aft_hat = F_bef, F_aft
    F_diff_hat = F_aft_hat - F_bef_hat
    if self_:
        attended = multi_head_attention(
            part(weights, "attention"), F_diff_hat, F_diff_hat, heads=heads
        )
        F_diff_hat = layer_norm(weights, "norm", attended + F_diff_hat)
    return F_bef_hat, F_aft_hat, F_diff_hat + F_diff


def sequence(F: Array) -> Array:
    """(D, h, w) → (N, D), row by row."""
    D, h, w = F.shape
    return np.array(
        [[F[d, y, x] for d in range(D)] for y in range(h) for x in range(w)]
    )


def sen_difference(
    weights: Weights,
    features: Array,
    images: Array,
    *,
    stride: int,
    layers: int,
    heads: int,
    shared_convolution: bool = True,
    channel_attention_on: bool = True,
    cross: bool = True,
    self_: bool = True,
) -> dict[str, Array]:
    """The whole encoder for one pair: features (S, D, h, w), images (2, 3, H, W) →
    memory and its parts."""
    streams = [features[0], features[-1]]  # of two streams each date has its own
    dates = {}
    for i, m in enumerate(("bef", "aft")):
        dates[m] = sequence(
            shallow_feature_embedding(
                part(weights, "sfe")
                if shared_convolution or channel_attention_on
                else {},
                streams[i],
                images[i],
                m,
                stride=stride,
                shared_convolution=shared_convolution,
                channel_attention_on=channel_attention_on,
            )
        )
    F_bef, F_aft = with_positions(dates["bef"]), with_positions(dates["aft"])
    F_diff = with_positions(
        sequence(features[0] if len(features) == 1 else features[1] - features[0])
    )
    for number in range(layers):
        layer = part(weights, f"layers.{number}") if cross or self_ else {}
        F_bef, F_aft, F_diff = cagd_layer(
            layer, F_bef, F_aft, F_diff, heads=heads, cross=cross, self_=self_
        )
    return {
        "tokens": F_diff,
        "sfe_bef": dates["bef"],
        "sfe_aft": dates["aft"],
        "cagd_bef": F_bef,
        "cagd_aft": F_aft,
    }
