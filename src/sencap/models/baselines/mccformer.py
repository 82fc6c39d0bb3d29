"""MCCFormer-S and MCCFormer-D (Qiu et al. 2021): attention between all cells of the two
dates.

x_m, m ∈ {bef, aft}, are the tokens of a date, (B, N, D), with learned positions
(`DateTokens`). A layer is post-norm: Layer(x, y) = LN(a + FFN(a)), a = LN(x + MHA(x,
y)). The memory is [x_bef; x_aft], (B, N, 2D).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sencap.config import MatrixStart
from sencap.models.baselines.tokens import DateTokens, xavier_uniform
from sencap.models.difference import CrossAttention
from sencap.structures import Memory


class MCCFormerS(nn.Module):
    """One encoder for the tokens of both dates, 2·N of them.

    z = [x_bef + e_bef, x_aft + e_aft] along the tokens, e_m a learned vector per date;
    z ← Layer_l(z, z).
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
        start: MatrixStart = "xavier",
    ) -> None:
        super().__init__()
        self.start = start
        self.tokens = DateTokens(channels, dimension, grid=grid)
        self.dates = nn.Embedding(2, dimension)
        self.layers = nn.ModuleList(
            CrossAttention(dimension, heads=heads, dropout=dropout, expansion=expansion)
            for _ in range(layers)
        )
        if start == "xavier":
            xavier_uniform(self)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 2D)."""
        x_bef, x_aft = self.tokens(features)
        e_bef, e_aft = self.dates.weight
        z = torch.cat((x_bef + e_bef, x_aft + e_aft), 1)  # (B, 2·N, D)
        for layer in self.layers:
            z = layer(z, z)
        return joined(*z.chunk(2, 1), grid=self.tokens.grid)


class MCCFormerD(nn.Module):
    """Co-attention: each date asks the other one, with the same weights for both.

    x_bef, x_aft ← Layer_l(x_bef, x_aft), Layer_l(x_aft, x_bef), at once.
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
        start: MatrixStart = "xavier",
    ) -> None:
        super().__init__()
        self.start = start
        self.tokens = DateTokens(channels, dimension, grid=grid)
        self.layers = nn.ModuleList(
            CrossAttention(dimension, heads=heads, dropout=dropout, expansion=expansion)
            for _ in range(layers)
        )
        if start == "xavier":
            xavier_uniform(self)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 2D)."""
        x_bef, x_aft = self.tokens(features)
        for layer in self.layers:
            x_bef, x_aft = layer(x_bef, x_aft), layer(x_aft, x_bef)
        return joined(x_bef, x_aft, grid=self.tokens.grid)


def joined(x_bef: Tensor, x_aft: Tensor, *, grid: int) -> Memory:
    """The dates side by side in the channels, as memory; its parts are ``encoded_bef``
    and ``encoded_aft``."""
    return Memory(
        torch.cat((x_bef, x_aft), 2),
        (grid, grid),
        {"encoded_bef": x_bef, "encoded_aft": x_aft},
    )
