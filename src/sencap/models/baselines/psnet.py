"""PSNet as it was published (Liu et al. 2023): differences perceived layer by layer, each
layer a scale; each scale looks at the others; the decoder reads one after the other.

x_m, m ∈ {bef, aft}, are the tokens of a date, (B, N, D), with learned positions
(`DateTokens`). What the paper leaves open is as in the published code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sencap.config import MatrixStart
from sencap.models.attention import Attention, FeedForward
from sencap.models.baselines.tokens import DateTokens, xavier_uniform
from sencap.models.difference import CrossAttention
from sencap.structures import Memory


class ProgressiveDifference(nn.Module):
    """x_m ← W·Layer(y_m, y_m) + b with y_m = [x_m; x_aft − x_bef], 2D wide; the same
    weights for both dates.

    Before comes first, and the difference of after's y is taken from the new x_bef.
    Layer is post-norm, its feed-forward network 2D → 4D → 2D.
    """

    def __init__(self, dimension: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.layer = CrossAttention(2 * dimension, heads=heads, dropout=dropout)
        self.linear = nn.Linear(2 * dimension, dimension)

    def forward(self, x_bef: Tensor, x_aft: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D) and (B, N, D) → the next of both."""
        x_bef = self._next(x_bef, x_aft - x_bef)
        x_aft = self._next(x_aft, x_aft - x_bef)
        return x_bef, x_aft

    def _next(self, x: Tensor, difference: Tensor) -> Tensor:
        y = torch.cat((x, difference), 2)
        out: Tensor = self.linear(self.layer(y, y))
        return out


class ScaleAware(nn.Module):
    """One scale looks at all tokens of the others: a = MHA(LN(s), LN(o)), and
    a + FFN(LN'(a)); 2D wide, FFN 2D → 8D → 2D.

    There is no residual around the attention: of the scale itself only the questions
    are left.
    """

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.feed_forward = FeedForward(width, hidden=4 * width, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, s: Tensor, others: Tensor) -> Tensor:
        """A scale (B, N, 2D) and the tokens of the others (B, M, 2D) → (B, N, 2D)."""
        a = self.dropout(self.attention(self.norm1(s), self.norm1(others)))
        out: Tensor = a + self.dropout(self.feed_forward(self.norm2(a)))
        return out


class PSNetDifference(nn.Module):
    """L progressive difference layers, whose outputs [x_bef; x_aft] are the scales, and
    a scale-aware layer for each.

    The memory (B, N, L·2D) has the scales side by side in the channels, the deepest
    first, as `sencap.models.decoders.ScaleDecoder` takes them. Its parts are
    ``encoded_bef`` and ``encoded_aft``, the dates of the deepest scale before it looked
    at the others.
    """

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        grid: int,
        layers: int,
        heads: int,
        dropout: float,
        start: MatrixStart = "xavier",
    ) -> None:
        super().__init__()
        self.start = start
        self.tokens = DateTokens(channels, dimension, grid=grid)
        self.progressive = nn.ModuleList(
            ProgressiveDifference(dimension, heads=heads, dropout=dropout)
            for _ in range(layers)
        )
        self.scale_aware = nn.ModuleList(
            ScaleAware(2 * dimension, heads=heads, dropout=dropout)
            for _ in range(layers)
        )
        if start == "xavier":
            xavier_uniform(self)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, L·2D)."""
        x_bef, x_aft = self.tokens(features)
        scales = []
        for layer in self.progressive:
            x_bef, x_aft = layer(x_bef, x_aft)
            scales.append(torch.cat((x_bef, x_aft), 2))
        aware = []
        for number, layer in enumerate(self.scale_aware):
            others = scales[:number] + scales[number + 1 :]
            aware.append(layer(scales[number], torch.cat(others, 1)))
        deepest_first = aware[::-1]
        return Memory(
            torch.cat(deepest_first, 2),
            (self.tokens.grid, self.tokens.grid),
            {"encoded_bef": x_bef, "encoded_aft": x_aft},
        )
