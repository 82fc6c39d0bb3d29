"""PSNet (Liu et al. 2023): differences perceived layer by layer, each layer a scale,
and attention over the scales.

x_m, m ∈ {bef, aft}, are the tokens of a date, (B, N, D), with learned positions
(`DateTokens`). A layer is post-norm: Layer(x, y) = LN(a + FFN(a)), a = LN(x + MHA(x,
y)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sencap.models.baselines.mccformer import joined
from sencap.models.baselines.tokens import DateTokens, xavier_uniform
from sencap.models.difference import CrossAttention
from sencap.structures import Memory


class ProgressiveDifference(nn.Module):
    """y_m = [x_m; x_aft − x_bef], 2D wide; x_m ← W·Layer(y_m, y_m) + b, D wide; the
    same weights for both dates."""

    def __init__(
        self, dimension: int, *, heads: int, expansion: int, dropout: float
    ) -> None:
        super().__init__()
        self.layer = CrossAttention(
            2 * dimension, heads=heads, dropout=dropout, expansion=expansion
        )
        self.linear = nn.Linear(2 * dimension, dimension)

    def forward(self, x_bef: Tensor, x_aft: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D) and (B, N, D) → the next of both."""
        difference = x_aft - x_bef
        y_bef, y_aft = (torch.cat((x, difference), 2) for x in (x_bef, x_aft))
        return self.linear(self.layer(y_bef, y_bef)), self.linear(
            self.layer(y_aft, y_aft)
        )


class PSNetDifference(nn.Module):
    """L progressive difference layers, then L scale-aware layers.

    The outputs of the first are the scales. At each cell of each date they are a
    sequence of L tokens, s ← Layer_l(s, s); their mean is that cell's token. The memory
    (B, N, 2D) is [x_bef; x_aft] of these.
    """

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        grid: int,
        layers: int,
        heads: int,
        expansion: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.tokens = DateTokens(channels, dimension, grid=grid)
        self.progressive = nn.ModuleList(
            ProgressiveDifference(
                dimension, heads=heads, expansion=expansion, dropout=dropout
            )
            for _ in range(layers)
        )
        self.scale_aware = nn.ModuleList(
            CrossAttention(dimension, heads=heads, dropout=dropout, expansion=expansion)
            for _ in range(layers)
        )
        xavier_uniform(self)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 2D)."""
        x_bef, x_aft = self.tokens(features)
        scales = []
        for layer in self.progressive:
            x_bef, x_aft = layer(x_bef, x_aft)
            scales.append(torch.stack((x_bef, x_aft), 1))
        s = torch.stack(scales, 3)  # (B, 2, N, L, D)
        shape, s = s.shape, s.flatten(0, 2)  # each cell of each date a row of L tokens
        for layer in self.scale_aware:
            s = layer(s, s)
        x = s.view(shape).mean(3)
        return joined(x[:, 0], x[:, 1], grid=self.tokens.grid)
