"""Multi-head attention and the feed-forward network, shared by difference encoders and decoders."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017).

    Query, key, value and output projections with bias: 4·D² + 4·D parameters. They start as those of
    ``torch.nn.MultiheadAttention`` do: the three input projections as one Xavier-uniform matrix (3D, D).
    """

    def __init__(self, dimension: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
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
        return x.view(B, L, self.heads, D // self.heads).transpose(1, 2)  # (B, heads, L, D/heads)

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, L, D/heads) of a source (B, L, D), to be attended to many times."""
        return self._split(self.key(source)), self._split(self.value(source))

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """(B, L_q, D) attends to projected keys and values; ``mask`` is True where it may look."""
        B, L, D = query.shape
        heads = F.scaled_dot_product_attention(
            self._split(self.query(query)),
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
