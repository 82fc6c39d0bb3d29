"""Caption decoders, and the contract by which training and search use any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from sencap.models.attention import Attention, FeedForward
from sencap.models.positions import SinusoidalPositions
from sencap.structures import Memory


class DecoderState(Protocol):
    """Where a decoder stands with the K hypotheses of each of B pairs."""

    def select(self, parents: Tensor) -> Self:
        """Go on with hypotheses ``parents`` (B, K') of each pair (for beam search)."""
        ...

    def keep(self, pairs: Tensor) -> Self:
        """Go on with the pairs whose indices are given (finished ones are left
        behind)."""
        ...


class Decoder(Protocol):
    """What search and training ask of a decoder."""

    def __call__(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Teacher forcing: tokens (B, K, T) of K captions per pair → logits (B, K, T,
        V)."""
        ...

    def start(self, memory: Memory) -> Any:
        """The state before the first word, with K = 1."""
        ...

    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        """One more word for each hypothesis: tokens (B, K) → logits (B, K, V) of the
        next, and the new state."""
        ...


class NamedState(DecoderState, Protocol):
    """A state that can be written out as tensors, and with that as a graph."""

    def named(self) -> dict[str, Tensor]:
        """Its tensors by name: ``hypothesis.*`` are (B, K, …), ``pair.*`` (B, …).

        Before the first word all of ``hypothesis.*`` are zero, or have no element.
        """
        ...


class ExportableDecoder(Decoder, Protocol):
    """What exporting graphs asks beside."""

    def state_of(self, named: Mapping[str, Tensor]) -> NamedState:
        """The state whose ``named()`` these tensors are."""
        ...


class DecoderLayer(nn.Module):
    """Post-norm transformer decoder layer: causal self-attention, cross-attention, FFN;
    Eq. (16)."""

    def __init__(
        self, dimension: int, *, heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = Attention(dimension, heads=heads, dropout=dropout)
        self.cross_attention = Attention(dimension, heads=heads, dropout=dropout)
        self.feed_forward = FeedForward(dimension, hidden=hidden, dropout=dropout)
        self.norm1 = nn.LayerNorm(dimension)
        self.norm2 = nn.LayerNorm(dimension)
        self.norm3 = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Words x (B, K, T, D) and memory (B, N, D) → (B, K, T, D); captions of a pair
        share its memory."""
        B, K, T, D = x.shape
        rows = x.reshape(B * K, T, D)
        x = self._after_self_attention(
            rows, self.self_attention(rows, rows, causal=True)
        ).view(B, K * T, D)
        return self._after_cross_attention(x, self.cross_attention(x, memory)).view(
            B, K, T, D
        )

    def _after_self_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        out: Tensor = self.norm1(x + self.dropout(attended))
        return out

    def _after_cross_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.norm2(x + self.dropout(attended))
        out: Tensor = self.norm3(x + self.dropout(self.feed_forward(x)))
        return out

    def step(self, x: Tensor, cache: LayerCache) -> tuple[Tensor, LayerCache]:
        """One more word per hypothesis: x (B, K, D) → (B, K, D), and the longer
        cache."""
        B, K, D = x.shape
        row = x.reshape(B * K, 1, D)
        key, value = (_rows(new, B, K) for new in self.self_attention.project(row))
        cache = replace(
            cache,
            key=torch.cat((cache.key, key), 3),
            value=torch.cat((cache.value, value), 3),
        )
        attended = self.self_attention.attend(
            row, cache.key.flatten(0, 1), cache.value.flatten(0, 1)
        )
        x = self._after_self_attention(row, attended).view(B, K, D)
        attended = self.cross_attention.attend(x, cache.memory_key, cache.memory_value)
        return self._after_cross_attention(x, attended), cache


def _rows(x: Tensor, B: int, K: int) -> Tensor:
    return x.view(B, K, *x.shape[1:])  # (B·K, heads, t, d) → (B, K, heads, t, d)


@dataclass(frozen=True)
class LayerCache:
    """Projected keys and values of the words so far (B, K, heads, t, d) and of the
    memory (B, heads, N, d)."""

    key: Tensor
    value: Tensor
    memory_key: Tensor
    memory_value: Tensor


@dataclass(frozen=True)
class TransformerState:
    """The caches of all layers; ``length`` words have been fed."""

    layers: tuple[LayerCache, ...]
    length: int

    def select(self, parents: Tensor) -> TransformerState:
        """See `DecoderState.select`; a pair's memory serves all its hypotheses, so it
        stays."""
        pair = torch.arange(len(parents), device=parents.device)[:, None]
        return self._map(
            lambda c: replace(c, key=c.key[pair, parents], value=c.value[pair, parents])
        )

    def keep(self, pairs: Tensor) -> TransformerState:
        """See `DecoderState.keep`."""
        return self._map(
            lambda c: LayerCache(
                c.key[pairs], c.value[pairs], c.memory_key[pairs], c.memory_value[pairs]
            )
        )

    def named(self) -> dict[str, Tensor]:
        """See `NamedState.named`."""
        tensors = {}
        for number, cache in enumerate(self.layers):
            tensors[f"hypothesis.key.{number}"] = cache.key
            tensors[f"hypothesis.value.{number}"] = cache.value
            tensors[f"pair.memory_key.{number}"] = cache.memory_key
            tensors[f"pair.memory_value.{number}"] = cache.memory_value
        return tensors

    def _map(self, change: Callable[[LayerCache], LayerCache]) -> TransformerState:
        return replace(self, layers=tuple(change(cache) for cache in self.layers))


class TransformerDecoder(nn.Module):
    """SEN's caption decoder, Eq. (15)–(17): word embedding, positions, N_d decoder
    layers, output layer.

    4,204,032 + 1,025·V parameters at D = 512, one layer. The cross-attention's source
    must be D wide.
    """

    def __init__(
        self,
        dimension: int = 512,
        *,
        vocabulary_size: int,
        layers: int = 1,
        heads: int = 8,
        expansion: int = 4,
        dropout: float = 0.5,
        position_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dimension)
        self.positions = SinusoidalPositions(dimension, dropout=position_dropout)
        self.layers = nn.ModuleList(
            DecoderLayer(
                dimension, heads=heads, hidden=expansion * dimension, dropout=dropout
            )
            for _ in range(layers)
        )
        # Typed; registered above
        self._layers = cast("list[DecoderLayer]", list(self.layers))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dimension, vocabulary_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Tokens (B, K, T), <start> first → logits (B, K, T, V) of the word after
        each."""
        x = self.positions(self.embedding(tokens))  # Eq. (15)
        for layer, source in zip(self.layers, self.sources(memory), strict=True):
            x = layer(x, source)
        logits: Tensor = self.output(self.dropout(x))  # Eq. (17), without its softmax
        return logits

    def sources(self, memory: Memory) -> Sequence[Tensor]:
        """What each layer looks at, (B, N, D): all at the memory's tokens."""
        return [memory.tokens] * len(self._layers)

    def start(self, memory: Memory) -> TransformerState:
        """See `Decoder.start`."""
        caches = []
        for layer, source in zip(self._layers, self.sources(memory), strict=True):
            memory_key, memory_value = layer.cross_attention.project(source)
            B, heads, _, d = memory_key.shape
            empty = memory_key.new_empty(B, 1, heads, 0, d)
            caches.append(LayerCache(empty, empty, memory_key, memory_value))
        return TransformerState(tuple(caches), 0)

    def state_of(self, named: Mapping[str, Tensor]) -> TransformerState:
        """See `ExportableDecoder.state_of`."""
        caches = [
            LayerCache(
                named[f"hypothesis.key.{number}"],
                named[f"hypothesis.value.{number}"],
                named[f"pair.memory_key.{number}"],
                named[f"pair.memory_value.{number}"],
            )
            for number in range(len(self._layers))
        ]
        return TransformerState(tuple(caches), caches[0].key.shape[3])

    def step(
        self, state: TransformerState, tokens: Tensor
    ) -> tuple[Tensor, TransformerState]:
        """See `Decoder.step`."""
        x = self.positions(self.embedding(tokens)[..., None, :], start=state.length)[
            ..., 0, :
        ]
        caches = []
        for layer, cache in zip(self._layers, state.layers, strict=True):
            x, longer = layer.step(x, cache)
            caches.append(longer)
        logits: Tensor = self.output(self.dropout(x))
        return logits, TransformerState(tuple(caches), state.length + 1)


class ScaleDecoder(TransformerDecoder):
    """PSNet's: each layer looks at another scale.

    The memory's tokens are the scales side by side in the channels, (B, N, L·D) for L
    layers, the first of them for the first layer.
    """

    def sources(self, memory: Memory) -> Sequence[Tensor]:
        """One scale (B, N, D) for each layer."""
        return memory.tokens.chunk(len(self._layers), 2)
