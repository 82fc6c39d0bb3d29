"""Our own system beside the paper's: a frozen siamese extractor, and attention over
what differs.

One network looks at each date by itself, so that equal images have equal features and
their difference is zero; a single stream has to be taught that. Little is trained,
which suits few pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sencap.models.baselines.tokens import check_features
from sencap.models.difference import CrossAttention
from sencap.structures import Memory


class SiameseDifference(nn.Module):
    """Features (B, 2, C, h, w) → memory (B, N, D), h = w = ``grid``.

    x_m = LN(f_m) for both dates, over the channels of a cell;
    z = W [x_bef; x_aft; x_aft − x_bef] + positions; z ← Layer_l(z, z).

    The positions are learned, [R_i; C_j] for the cell of row i and column j, with
    tables R and C (grid, D/2). A layer is post-norm (`CrossAttention`), its
    feed-forward network ``expansion`` times as wide as D. The memory's part
    ``difference`` is x_aft − x_bef.
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
        position_dropout: float,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.channels, self.grid = channels, grid
        self.norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(3 * channels, dimension)
        self.rows = nn.Embedding(grid, dimension // 2)
        self.columns = nn.Embedding(grid, dimension // 2)
        self.dropout = nn.Dropout(position_dropout)
        self.layers = nn.ModuleList(
            CrossAttention(dimension, heads=heads, dropout=dropout, expansion=expansion)
            for _ in range(layers)
        )
        for table in (self.rows, self.columns):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """See the class."""
        f_bef, f_aft = check_features(features, self.channels, grid=self.grid)
        x_bef, x_aft = self.norm(_cells(f_bef)), self.norm(_cells(f_aft))
        difference = x_aft - x_bef
        z = self.projection(torch.cat((x_bef, x_aft, difference), 2))
        z = self.dropout(z + self.positions())
        for layer in self.layers:
            z = layer(z, z)
        return Memory(z, (self.grid, self.grid), {"difference": difference})

    def positions(self) -> Tensor:
        """The positions (N, D), row by row."""
        g = self.grid
        rows = self.rows.weight[:, None].expand(g, g, -1)
        columns = self.columns.weight[None].expand(g, g, -1)
        return torch.cat((rows, columns), 2).flatten(0, 1)


def _cells(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)  # (B, C, h, w) → (B, h·w, C)
