"""How MCCFormer, RSICCformer and PSNet begin: each date's features as tokens with
learned positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sencap.errors import ShapeError
from sencap.models.attention import Attention


class DateTokens(nn.Module):
    """Features (B, 2, C, h, w) → tokens of before and of after, each (B, N, D), N =
    h·w, h = w = ``grid``.

    A 1×1 convolution shared by the dates, C → D, and learned positions: to the token of
    row i and column j [R_i; C_j] is added, R and C tables (grid, D/2).
    """

    def __init__(self, channels: int, dimension: int, *, grid: int) -> None:
        super().__init__()
        self.channels, self.grid = channels, grid
        self.conv = nn.Conv2d(channels, dimension, 1)
        self.rows = nn.Embedding(grid, dimension // 2)
        self.columns = nn.Embedding(grid, dimension // 2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        check_features(features, self.channels, grid=self.grid)
        # (2·B, N, D), before and after in turn.
        x = self.conv(features.flatten(0, 1)).flatten(2).transpose(1, 2)
        x = (x + self.positions()).view(features.shape[0], 2, *x.shape[1:])
        return x[:, 0], x[:, 1]

    def positions(self) -> Tensor:
        """The positions (N, D), row by row."""
        g = self.grid
        rows, columns = self.rows.weight, self.columns.weight  # (g, D/2)
        grid = torch.cat(
            (rows[:, None].expand(g, g, -1), columns[None].expand(g, g, -1)), 2
        )
        return grid.flatten(0, 1)


def check_features(
    features: Tensor, channels: int, *, grid: int | None = None
) -> tuple[Tensor, Tensor]:
    """The two dates of features (B, 2, C, h, w), each (B, C, h, w).

    Raises:
        ShapeError: not two dates, not C = ``channels``, or another grid than ``grid`` ×
            ``grid``.
    """
    h, w = features.shape[-2:] if grid is None else (grid, grid)
    if features.shape[1:] != (2, channels, h, w):
        raise ShapeError(
            f"features are (B, 2, {channels}, {h}, {w}), a map per date; got "
            f"{tuple(features.shape)}"
        )
    return features[:, 0], features[:, 1]


def xavier_uniform(module: nn.Module) -> None:
    """Draw every matrix anew, Xavier-uniform, as these systems do.

    The input projections of an `Attention` are left: they start so already, as one
    matrix.
    """
    held: set[int] = set()
    for part in module.modules():
        if isinstance(part, Attention):
            held |= {
                id(projection.weight)
                for projection in (part.query, part.key, part.value)
            }
    for parameter in module.parameters():
        if parameter.ndim > 1 and id(parameter) not in held:
            nn.init.xavier_uniform_(parameter)
