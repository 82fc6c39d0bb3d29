"""Heads on a memory that see change without words: for the pair, and for each cell of
the grid.

They learn from what is cheaper than a caption: a flag, changed or not, and a mask of
the buildings that came or went. Decoders do not need them; the predictor decides by the
flag head where there is one.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from sencap.structures import Memory


class FlagHead(nn.Module):
    """Tokens (B, N, D) → the logit (B,) of "the pair changed".

    The mean over the cells tells of wide changes, the maximum of small ones.
    """

    def __init__(self, dimension: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * dimension)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * dimension, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        summary = torch.cat((tokens.mean(1), tokens.amax(1)), 1)
        logit: Tensor = self.output(self.dropout(self.norm(summary)))
        return logit[:, 0]


class MaskHead(nn.Module):
    """Tokens (B, N, D) → for each cell the logit (B, N) of the share that is changed
    building."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.output = nn.Linear(dimension, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.output(tokens)
        return logits[..., 0]


class ChangeHeads(nn.Module):
    """The heads that a captioner has; a memory goes through and gets what they say."""

    def __init__(
        self, dimension: int, *, flag: bool, mask: bool, dropout: float
    ) -> None:
        super().__init__()
        self.flag = FlagHead(dimension, dropout=dropout) if flag else None
        self.mask = MaskHead(dimension) if mask else None

    def forward(self, memory: Memory) -> Memory:
        """The memory with ``flag`` and ``mask``, of the heads that there are."""
        flag = mask = None
        if self.flag is not None:
            flag = self.flag(memory.tokens)
        if self.mask is not None:
            mask = self.mask(memory.tokens)
        return dataclasses.replace(memory, flag=flag, mask=mask)
