"""Sinusoidal positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, dimension: int) -> Tensor:
    """The table (length, dimension) of Vaswani et al.: sine in even columns, cosine in
    odd ones."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dimension, 2) * (-math.log(10_000.0) / dimension))
    table = torch.empty(length, dimension)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


class SinusoidalPositions(nn.Module):
    """Adds sinusoidal positions to a sequence (…, L, D), then drops out; it has no
    parameters.

    The table grows when a longer sequence comes, so that any image size works.
    """

    table: Tensor

    def __init__(self, dimension: int, *, dropout: float, length: int = 64) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("table", sinusoids(length, dimension), persistent=False)

    def forward(self, sequence: Tensor, start: int = 0) -> Tensor:
        """(…, L, D) → the same shape; ``start`` is the position of its first
        element."""
        end = start + sequence.shape[-2]
        if end > self.table.shape[0]:
            self.reserve(2 * end)
        out: Tensor = self.dropout(sequence + self.table[start:end])
        return out

    def reserve(self, length: int) -> None:
        """Let the table hold at least so many positions."""
        if length <= self.table.shape[0]:
            return
        # DDP writes into buffers, which tensors of inference mode forbid.
        with torch.inference_mode(False):
            self.table = sinusoids(length, self.table.shape[1]).to(self.table)
