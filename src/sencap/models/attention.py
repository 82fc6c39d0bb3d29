"""Multi-head attention and the feed-forward network, shared by difference encoders and
decoders.

`recording` looks on while a model runs: who attended to what, without a change to what
comes out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017).

    Query, key, value and output projections with bias: 4·D² + 4·D parameters. They
    start as those of ``torch.nn.MultiheadAttention`` do: the three input projections as
    one Xavier-uniform matrix (3D, D).
    """

    def __init__(self, dimension: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        # Set by `recording` alone
        self.recorder: Callable[[Tensor], None] | None = None
        self.query = nn.Linear(dimension, dimension)
        self.key = nn.Linear(dimension, dimension)
        self.value = nn.Linear(dimension, dimension)
        self.out = nn.Linear(dimension, dimension)
        bound = math.sqrt(6.0 / (dimension + 3 * dimension))
        for projection in (self.query, self.key, self.value):
            nn.init.uniform_(projection.weight, -bound, bound)
            nn.init.zeros_(projection.bias)
        nn.init.zeros_(self.out.bias)

    def _split(self, x: Tensor) -> Tensor:
        B, L, D = x.shape
        # (B, L, D) → (B, heads, L, D/heads).
        return x.view(B, L, self.heads, D // self.heads).transpose(1, 2)

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, L, D/heads) of a source (B, L, D), to be attended
        to many times."""
        return self._split(self.key(source)), self._split(self.value(source))

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """(B, L_q, D) attends to projected keys and values; ``mask`` is True where it
        may look."""
        B, L, D = query.shape
        asked = self._split(self.query(query))
        if self.recorder is not None:
            self.recorder(attention_weights(asked, key, mask=mask, causal=causal))
        heads = F.scaled_dot_product_attention(
            asked,
            key,
            value,
            attn_mask=mask,
            is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out: Tensor = self.out(heads.transpose(1, 2).reshape(B, L, D))
        return out

    def forward(self, query: Tensor, source: Tensor, *, causal: bool = False) -> Tensor:
        """Query (B, L_q, D) attends to source (B, L_s, D); returns (B, L_q, D)."""
        return self.attend(query, *self.project(source), causal=causal)


@torch.no_grad()
def attention_weights(
    query: Tensor, key: Tensor, *, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """softmax(Q·Kᵀ/√d) of projected queries (B, heads, L_q, d) and keys (B, heads, L_s,
    d).

    Returns (B, heads, L_q, L_s) in float32 on the CPU; each row sums to 1. ``mask`` is
    True where a query may look; with ``causal`` query i sees keys 0…i. These are the
    weights before dropout.
    """
    scores = query.float() @ key.float().transpose(-2, -1) / math.sqrt(query.shape[-1])
    if causal:
        scores = scores.masked_fill(
            torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf
        )
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1).float().cpu()


Record = dict[str, list[Tensor]]


@contextmanager
def recording(module: nn.Module) -> Iterator[Record]:
    """Record the weights of every `Attention`, and of DUDA's speaker, inside ``module``
    while the block runs.

    Yields a dictionary that fills: the dotted name of an `Attention` within ``module``
    → the weights (B, heads, L_q, L_s) of each of its calls, in order, as
    `attention_weights` gives them; the name of another module with a ``recorder`` →
    what it hands over. Whole passes and decoding steps are recorded alike. The weights
    are computed beside the fused attention, which goes on as ever: outputs are the same
    bits with and without. Of two nested recordings the inner one gets the calls.
    """
    parts: dict[str, Any] = {
        name: part for name, part in module.named_modules() if hasattr(part, "recorder")
    }
    earlier = {name: part.recorder for name, part in parts.items()}
    record: Record = {}
    try:
        for name, part in parts.items():
            part.recorder = functools.partial(_note, record, name)
        yield record
    finally:
        for name, part in parts.items():
            part.recorder = earlier[name]


def _note(record: Record, name: str, weights: Tensor) -> None:
    record.setdefault(name, []).append(weights)


class FeedForward(nn.Module):
    """D → hidden → D with ReLU and dropout on the hidden layer."""

    def __init__(self, dimension: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dimension, hidden)
        self.linear2 = nn.Linear(hidden, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        out: Tensor = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return out
