"""The compared systems, one number at a time: tokens, MCCFormer, RSICCformer, PSNet,
and the LSTMs of Park et al."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reference.attention import layer_norm, linear, multi_head_attention, softmax
from reference.difference import cross_att, sequence
from reference.extractor import projection
from reference.weights import Array, Weights, part


def date_tokens(weights: Weights, features: Array) -> tuple[Array, Array]:
    """Features (2, C, g, g) → tokens (N, D) of both dates, with the positions [R_i;
    C_j] added."""
    g = features.shape[-1]
    out = []
    for date in range(2):
        tokens = sequence(projection(part(weights, "conv"), features[date]))
        for i in range(g):
            for j in range(g):
                row, column = weights["rows.weight"][i], weights["columns.weight"][j]
                tokens[i * g + j] += np.concatenate([row, column])
        out.append(tokens)
    return out[0], out[1]


def side_by_side(x: Array, y: Array) -> Array:
    return np.stack([np.concatenate([a, b]) for a, b in zip(x, y, strict=True)])


def mccformer_s(weights: Weights, features: Array, *, layers: int, heads: int) -> Array:
    x_bef, x_aft = date_tokens(part(weights, "tokens"), features)
    N = len(x_bef)
    z = np.concatenate(
        [x_bef + weights["dates.weight"][0], x_aft + weights["dates.weight"][1]]
    )
    for number in range(layers):
        z = cross_att(part(weights, f"layers.{number}"), z, z, heads=heads)
    return side_by_side(z[:N], z[N:])


def mccformer_d(weights: Weights, features: Array, *, layers: int, heads: int) -> Array:
    x_bef, x_aft = date_tokens(part(weights, "tokens"), features)
    for number in range(layers):
        w = part(weights, f"layers.{number}")
        next_bef = cross_att(w, x_bef, x_aft, heads=heads)
        next_aft = cross_att(w, x_aft, x_bef, heads=heads)
        x_bef, x_aft = next_bef, next_aft
    return side_by_side(x_bef, x_aft)


def rsiccformer(
    weights: Weights, features: Array, *, layers: int, heads: int, fusion: bool
) -> Array:
    x_bef, x_aft = date_tokens(part(weights, "tokens"), features)
    z = np.zeros((len(x_bef), 2 * x_bef.shape[1]))
    for number in range(layers):
        w = part(weights, f"layers.{number}")
        d = x_aft - x_bef
        x_bef, x_aft = (
            cross_att(w, x_bef, d, heads=heads),
            cross_att(w, x_aft, d, heads=heads),
        )
        if fusion:
            g = features.shape[-1]
            summed = (z + side_by_side(x_bef, x_aft)).T.reshape(-1, g, g)
            block = residual_block(part(weights, f"fusion.blocks.{number}"), summed)
            z = layer_norm(weights, f"fusion.norms.{number}", sequence(block))
    return z if fusion else side_by_side(x_bef, x_aft)


def residual_block(weights: Weights, x: Array) -> Array:
    """(C, h, w) → the same shape; batch norms with their running statistics."""
    y = relu(batch_norm(weights, "bn1", convolution(weights["conv1.weight"], x)))
    y = relu(batch_norm(weights, "bn2", convolution(weights["conv2.weight"], y)))
    return relu(x + batch_norm(weights, "bn3", convolution(weights["conv3.weight"], y)))


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def convolution(kernel: Array, x: Array) -> Array:
    """Stride 1, zeros around, the same grid: kernel (D, C, k, k), x (C, h, w) → (D, h,
    w)."""
    D, _, k, _ = kernel.shape
    _, h, w = x.shape
    out = np.zeros((D, h, w))
    for d in range(D):
        for i in range(h):
            for j in range(w):
                for a in range(k):
                    for b in range(k):
                        row, column = i + a - k // 2, j + b - k // 2
                        if 0 <= row < h and 0 <= column < w:
                            out[d, i, j] += np.dot(
                                kernel[d, :, a, b], x[:, row, column]
                            )
    return out


def batch_norm(weights: Weights, name: str, x: Array) -> Array:
    w = part(weights, name)
    out = np.empty_like(x)
    for c in range(len(x)):
        scale = w["weight"][c] / math.sqrt(w["running_var"][c] + 1e-5)
        out[c] = (x[c] - w["running_mean"][c]) * scale + w["bias"][c]
    return out


def psnet(weights: Weights, features: Array, *, layers: int, heads: int) -> Array:
    bef, aft = date_tokens(part(weights, "tokens"), features)
    scales = []
    for number in range(layers):
        w = part(weights, f"progressive.{number}")
        y = side_by_side(bef, aft - bef)
        bef = linear(w, "linear", cross_att(part(w, "layer"), y, y, heads=heads))
        y = side_by_side(aft, aft - bef)  # bef is the new one
        aft = linear(w, "linear", cross_att(part(w, "layer"), y, y, heads=heads))
        scales.append(side_by_side(bef, aft))
    out = []
    for number in range(layers):
        w = part(weights, f"scale_aware.{number}")
        others = [scale for i, scale in enumerate(scales) if i != number]
        asked = layer_norm(w, "norm1", scales[number])
        answers = layer_norm(w, "norm1", np.concatenate(others))
        a = multi_head_attention(part(w, "attention"), asked, answers, heads=heads)
        hidden = relu(linear(w, "feed_forward.linear1", layer_norm(w, "norm2", a)))
        out.append(a + linear(w, "feed_forward.linear2", hidden))
    return np.concatenate(out[::-1], 1)


# The recurrent ones


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def group_norm(weights: Weights, name: str, x: Array, *, groups: int) -> Array:
    """(C, h, w) → the same shape: each group of channels has mean 0 and deviation 1."""
    w = part(weights, name)
    out = np.empty_like(x)
    size = len(x) // groups
    for group in range(groups):
        channels = slice(group * size, (group + 1) * size)
        held = x[channels]
        out[channels] = (held - held.mean()) / math.sqrt(held.var() + 1e-5)
    for c in range(len(x)):
        out[c] = out[c] * w["weight"][c] + w["bias"][c]
    return out


def with_coordinates(X: Array) -> Array:
    """(C, h, w) → (C + 2, h, w): column and row, from −1 to 1."""
    _, h, w = X.shape
    places = np.empty((2, h, w))
    for i in range(h):
        for j in range(w):
            places[:, i, j] = (2 * j / (w - 1) - 1, 2 * i / (h - 1) - 1)
    return np.concatenate([X, places])


def spatial_attention(weights: Weights, X: Array, Y: Array, groups: int = 0) -> Array:
    """The map (h, w) of X and Y, each (C, h, w)."""
    hidden = projection(part(weights, "conv1"), np.concatenate([X, Y]))
    if groups:
        hidden = group_norm(weights, "norm", hidden, groups=groups)
    hidden = relu(hidden)
    a: Array = sigmoid(projection(part(weights, "conv2"), hidden))[0]
    return a


def pooled(a: Array, X: Array) -> Array:
    """Σ a × X over the cells: (C,)."""
    return np.array([sum((a * channel).flat) for channel in X])


def vectors(
    weights: Weights, features: Array, *, kind: str, groups: int = 0
) -> tuple[list[Array], dict[str, Array]]:
    """What a speaker sees of one pair, [l_bef, l_diff, l_aft] or [l_diff], and the maps
    (h, w)."""
    X_bef, X_aft = features
    if groups:  # as DUDA is published
        X_bef, X_aft = with_coordinates(X_bef), with_coordinates(X_aft)
    if kind == "difference":
        return [
            np.array(
                [(aft - bef).mean() for bef, aft in zip(X_bef, X_aft, strict=True)]
            )
        ], {}
    w = part(weights, "attention")
    if kind == "single":
        a_bef = a_aft = spatial_attention(w, X_bef, X_aft)
        maps = {"attention": a_bef}
    else:
        a_bef = spatial_attention(w, X_bef, X_aft - X_bef, groups)
        a_aft = spatial_attention(w, X_aft, X_aft - X_bef, groups)
        maps = {"attention_bef": a_bef, "attention_aft": a_aft}
    l_bef, l_aft = pooled(a_bef, X_bef), pooled(a_aft, X_aft)
    return [l_bef, l_aft - l_bef, l_aft], maps


def lstm(weights: Weights, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One step of an LSTM: input, forget, candidate and output gates, in this order of
    the rows."""
    D = len(h)
    gates = (
        weights["weight_ih"] @ x
        + weights["bias_ih"]
        + weights["weight_hh"] @ h
        + weights["bias_hh"]
    )
    i, f, g, o = (gates[k * D : (k + 1) * D] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def speaker_logits(
    weights: Weights,
    tokens: Sequence[int],
    seen: list[Array],
    *,
    dynamic: bool,
    word_relu: bool = False,
) -> Array:
    """Words (T,) → logits (T, V) of the word after each."""
    v = relu(linear(weights, "embed", np.concatenate(seen)[None])[0])
    D = len(v)
    h, c, d, d_cell = (np.zeros(D) for _ in range(4))
    out = []
    for token in tokens:
        x = weights["embedding.weight"][token]
        if word_relu:
            x = relu(x)
        if dynamic:
            d, d_cell = lstm(part(weights, "lstm_d"), np.concatenate([v, h]), d, d_cell)
            alpha = softmax([float(a) for a in linear(weights, "weigh", d[None])[0]])
            l_t = sum(a * one for a, one in zip(alpha, seen, strict=True))
            h, c = lstm(part(weights, "lstm_c"), np.concatenate([x, l_t]), h, c)
        else:
            h, c = lstm(part(weights, "lstm"), np.concatenate([x, v]), h, c)
        out.append(linear(weights, "output", h[None])[0])
    return np.stack(out)
