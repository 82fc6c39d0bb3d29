"""RSICCformer (Liu et al. 2022): each date asks the difference of the dates; with or
without multistage fusion.

x_m, m ∈ {bef, aft}, are the tokens of a date, (B, N, D), with learned positions
(`DateTokens`). A layer is post-norm: Layer(x, y) = LN(a + FFN(a)), a = LN(x + MHA(x,
y)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F_

from sencap.config import MatrixStart
from sencap.models.baselines.mccformer import joined
from sencap.models.baselines.tokens import DateTokens, xavier_uniform
from sencap.models.difference import CrossAttention
from sencap.structures import Memory


class RSICCformerDifference(nn.Module):
    """In each layer d = x_aft − x_bef, then x_m ← Layer_l(x_m, d) for both dates with
    the same weights.

    The memory (B, N, 2D) is [x_bef; x_aft] of the last layer (RSICCformer_c) or, with
    ``fusion``, what `MultistageFusion` makes of all layers' (the full RSICCformer).
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
        fusion: bool,
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
        self.fusion = MultistageFusion(2 * dimension, stages=layers) if fusion else None

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 2D)."""
        x_bef, x_aft = self.tokens(features)
        stages = []
        for layer in self.layers:
            difference = x_aft - x_bef
            x_bef, x_aft = layer(x_bef, difference), layer(x_aft, difference)
            stages.append(torch.cat((x_bef, x_aft), 2))
        memory = joined(x_bef, x_aft, grid=self.tokens.grid)
        if self.fusion is None:
            return memory
        return Memory(self.fusion(stages, memory.grid), memory.grid, memory.parts)


class MultistageFusion(nn.Module):
    """z ← LN_l(Res_l(z + s_l)) over all layers' outputs s_1 … s_L, each (B, N, 2D); z
    is 0 at first."""

    def __init__(self, width: int, *, stages: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(stages))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(stages))

    def forward(self, stages: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """L tensors (B, N, width) on a grid → (B, N, width)."""
        z = torch.zeros_like(stages[0])
        for s, block, norm in zip(stages, self.blocks, self.norms, strict=True):
            # (B, N, width) → (B, width, h, w).
            x = (z + s).transpose(1, 2).reshape(s.shape[0], -1, *grid)
            z = norm(block(x).flatten(2).transpose(1, 2))
        return z


class ResidualBlock(nn.Module):
    """ReLU(x + BN(conv1×1(ReLU(BN(conv3×3(ReLU(BN(conv1×1(x))))))))), width → width/2 →
    width/2 → width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = (
            nn.Conv2d(width, half, 1, bias=False),
            nn.BatchNorm2d(half),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
        )
        self.conv3, self.bn3 = (
            nn.Conv2d(half, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) → the same shape."""
        y = F_.relu(self.bn1(self.conv1(x)))
        y = F_.relu(self.bn2(self.conv2(y)))
        return F_.relu(x + self.bn3(self.conv3(y)))
