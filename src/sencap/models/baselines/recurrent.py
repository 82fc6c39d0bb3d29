"""Capt-Rep-Diff, Capt-Att, Capt-Dual-Att and DUDA (Park et al. 2019): where to look,
and LSTMs that say it.

X_bef, X_aft are the features of the dates, (B, C, h, w), X_diff = X_aft − X_bef. A
speaker sees three vectors, l_bef, l_diff and l_aft (Capt-Rep-Diff: l_diff alone): sums
over the N cells of what the difference encoder weighs. The memory's tokens are those
summands, side by side in the channels, so that it keeps its grid and its maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F_

from sencap.config import WordStart
from sencap.errors import SettingsError
from sencap.models.baselines.tokens import check_features
from sencap.structures import Memory


class RepresentationDifference(nn.Module):
    """Capt-Rep-Diff's: l_diff = mean of X_diff over the cells; the memory is (B, N, C).
    It has no parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, C)."""
        X_bef, X_aft = check_features(features, self.channels)
        h, w = features.shape[-2:]
        return Memory(_cells(X_aft - X_bef) / (h * w), (h, w))


class SpatialAttention(nn.Module):
    """a = sigmoid(conv(ReLU(conv([X; Y])))), 1×1 convolutions 2C → hidden → 1: (B, C,
    h, w) twice → (B, 1, h, w).

    With ``norm_groups`` a GroupNorm of so many groups stands before the ReLU; ``dropout``
    is behind it.

    Raises:
        SettingsError: groups that do not divide the hidden channels.
    """

    def __init__(
        self, channels: int, *, hidden: int, norm_groups: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if norm_groups and hidden % norm_groups:
            raise SettingsError(
                f"difference.norm_groups={norm_groups} does not divide the {hidden} "
                "channels of the attention; say 32, or 0 for no norm"
            )
        self.conv1 = nn.Conv2d(2 * channels, hidden, 1)
        self.norm = nn.GroupNorm(norm_groups, hidden) if norm_groups else None
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(hidden, 1, 1)

    def forward(self, X: Tensor, Y: Tensor) -> Tensor:
        """See the class."""
        hidden = self.conv1(torch.cat((X, Y), 1))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return torch.sigmoid(self.conv2(self.dropout(F_.relu(hidden))))


class SingleAttention(nn.Module):
    """Capt-Att's: one map from the pair, a = att(X_bef, X_aft), and l_m = Σ a × X_m
    over the cells of both dates.

    The map is the memory's part ``attention``, (B, N, 1).
    """

    def __init__(self, channels: int, *, hidden: int) -> None:
        super().__init__()
        self.channels = channels
        self.attention = SpatialAttention(channels, hidden=hidden)

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 3C)."""
        X_bef, X_aft = check_features(features, self.channels)
        a = self.attention(X_bef, X_aft)
        return _weighed(a * X_bef, a * X_aft, {"attention": a})


class DualAttention(nn.Module):
    """Capt-Dual-Att's and DUDA's: a map per date, a_m = att(X_m, X_diff), shared
    weights; l_m = Σ a_m × X_m.

    The maps are the memory's parts ``attention_bef`` and ``attention_aft``, (B, N, 1).
    With ``coordinates`` two channels are appended to the features of both dates: the
    column and the row of each cell, from −1 to 1. ``width`` is C with them. What
    ``map_penalty`` is for stands in `sencap.training.losses.map_loss`.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        dropout: float = 0.0,
        norm_groups: int = 0,
        coordinates: bool = False,
        map_penalty: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels, self.coordinates = channels, coordinates
        self.map_penalty = map_penalty
        self.width = channels + 2 if coordinates else channels
        self.attention = SpatialAttention(
            self.width, hidden=hidden, norm_groups=norm_groups, dropout=dropout
        )

    def forward(self, features: Tensor, _: Tensor) -> Memory:
        """Features (B, 2, C, h, w) → memory (B, N, 3C)."""
        X_bef, X_aft = check_features(features, self.channels)
        if self.coordinates:
            places = _coordinates(features)
            X_bef, X_aft = (torch.cat((X, places), 1) for X in (X_bef, X_aft))
        X_diff = X_aft - X_bef
        a_bef, a_aft = self.attention(X_bef, X_diff), self.attention(X_aft, X_diff)
        return _weighed(
            a_bef * X_bef,
            a_aft * X_aft,
            {"attention_bef": a_bef, "attention_aft": a_aft},
        )


def _coordinates(features: Tensor) -> Tensor:
    """Features (B, 2, C, h, w) → the column and the row of each cell, (B, 2, h, w)."""
    B, _, _, h, w = features.shape
    column = torch.linspace(-1, 1, w).to(features)
    row = torch.linspace(-1, 1, h).to(features)
    column, row = column[None].expand(h, w), row[:, None].expand(h, w)
    return torch.stack((column, row)).expand(B, 2, h, w)


def _weighed(seen_bef: Tensor, seen_aft: Tensor, maps: dict[str, Tensor]) -> Memory:
    """Summands of [l_bef; l_diff; l_aft], l_diff = l_aft − l_bef, and the maps."""
    tokens = torch.cat((seen_bef, seen_aft - seen_bef, seen_aft), 1)
    h, w = tokens.shape[-2:]
    return Memory(_cells(tokens), (h, w), {name: _cells(a) for name, a in maps.items()})


def _cells(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)  # (B, C, h, w) → (B, N, C)


@dataclass(frozen=True)
class SpeakerState:
    """``seen`` (B, S, C), the vectors l; ``v`` (B, D), their embedding; ``cells``
    hidden and cell values (B, K, D)."""

    seen: Tensor
    v: Tensor
    cells: tuple[tuple[Tensor, Tensor], ...]

    def select(self, parents: Tensor) -> SpeakerState:
        """See `DecoderState.select`."""
        pair = torch.arange(len(parents), device=parents.device)[:, None]
        return self._map(lambda x: x[pair, parents])

    def keep(self, pairs: Tensor) -> SpeakerState:
        """See `DecoderState.keep`."""
        return replace(
            self._map(lambda x: x[pairs]), seen=self.seen[pairs], v=self.v[pairs]
        )

    def named(self) -> dict[str, Tensor]:
        """See `NamedState.named`."""
        tensors = {"pair.seen": self.seen, "pair.v": self.v}
        for number, (hidden, cell) in enumerate(self.cells):
            tensors[f"hypothesis.hidden.{number}"] = hidden
            tensors[f"hypothesis.cell.{number}"] = cell
        return tensors

    def _map(self, change: Callable[[Tensor], Tensor]) -> SpeakerState:
        return replace(self, cells=tuple((change(h), change(c)) for h, c in self.cells))


class Speaker(nn.Module):
    """What the two speakers share: words (``embedding``), v = ReLU(W·[l …] + b), the
    output layer.

    ``vectors`` is the number S of vectors l, ``channels`` the C of each, ``dimension``
    the D of the LSTMs. Dropout on the word vectors and before the output layer.

    DUDA's published code has three things more: word vectors start N(0, 1)
    (``words_start`` "normal"), a ReLU is on them (``word_relu``), and dropout is on v
    (``seen_dropout``).
    """

    lstms = 1

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        vocabulary_size: int,
        vectors: int,
        words: int,
        dropout: float,
        words_start: WordStart = "uniform",
        word_relu: bool = False,
        seen_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.vectors, self.dimension = vectors, dimension
        self.words_start, self.word_relu = words_start, word_relu
        self.embedding = nn.Embedding(vocabulary_size, words)
        self.embed = nn.Linear(vectors * channels, dimension)
        self.dropout, self.seen_dropout = nn.Dropout(dropout), nn.Dropout(seen_dropout)
        self.output = nn.Linear(dimension, vocabulary_size)
        if words_start == "uniform":
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        else:
            nn.init.normal_(self.embedding.weight)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def forward(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Tokens (B, K, T), <start> first → logits (B, K, T, V) of the word after
        each."""
        # K hypotheses of each pair.
        state = self.start(memory).select(torch.zeros_like(tokens[..., 0]))
        said = []
        for t in range(tokens.shape[2]):
            h, state = self.advance(state, self.word_vectors(tokens[..., t]))
            said.append(h)
        logits: Tensor = self.output(self.dropout(torch.stack(said, 2)))
        return logits

    def word_vectors(self, tokens: Tensor) -> Tensor:
        """Words (B, K) → what the LSTMs see of them, (B, K, words)."""
        x = self.embedding(tokens)
        if self.word_relu:
            x = F_.relu(x)
        out: Tensor = self.dropout(x)
        return out

    def start(self, memory: Memory) -> SpeakerState:
        """See `Decoder.start`."""
        # (B, cells, S·C) → (B, S, C).
        seen = memory.tokens.sum(1).view(memory.tokens.shape[0], self.vectors, -1)
        v = self.seen_dropout(F_.relu(self.embed(seen.flatten(1))))
        zeros = self.output.weight.new_zeros(seen.shape[0], 1, self.dimension)
        return SpeakerState(seen, v, ((zeros, zeros),) * self.lstms)

    def state_of(self, named: Mapping[str, Tensor]) -> SpeakerState:
        """See `ExportableDecoder.state_of`."""
        cells = tuple(
            (named[f"hypothesis.hidden.{number}"], named[f"hypothesis.cell.{number}"])
            for number in range(self.lstms)
        )
        return SpeakerState(named["pair.seen"], named["pair.v"], cells)

    def step(self, state: SpeakerState, tokens: Tensor) -> tuple[Tensor, SpeakerState]:
        """See `Decoder.step`."""
        h, state = self.advance(state, self.word_vectors(tokens))
        logits: Tensor = self.output(self.dropout(h))
        return logits, state

    def advance(self, state: SpeakerState, x: Tensor) -> tuple[Tensor, SpeakerState]:
        """One more word vector x (B, K, words) → the hidden value (B, K, D) that the
        next word is read from."""
        raise NotImplementedError


class PlainSpeaker(Speaker):
    """h_t = LSTM([x_t; v], h_{t−1}): the same vectors at every word."""

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        vocabulary_size: int,
        vectors: int,
        words: int,
        dropout: float,
    ) -> None:
        super().__init__(
            channels,
            dimension,
            vocabulary_size=vocabulary_size,
            vectors=vectors,
            words=words,
            dropout=dropout,
        )
        self.lstm = nn.LSTMCell(words + dimension, dimension)

    def advance(self, state: SpeakerState, x: Tensor) -> tuple[Tensor, SpeakerState]:
        """See `Speaker.advance`."""
        h, c = _lstm(
            self.lstm, torch.cat((x, _for_each(state.v, x)), 2), state.cells[0]
        )
        return h, replace(state, cells=((h, c),))


class DynamicSpeaker(Speaker):
    """DUDA's: at each word an LSTM weighs l_bef, l_diff and l_aft, and a second one
    speaks.

    d_t = LSTM_d([v; h_{t−1}], d_{t−1}); α_t = softmax(W·d_t + b), one weight per
    vector; l_t = Σ α_t,i × l_i; h_t = LSTM_c([x_t; l_t], h_{t−1}).
    `sencap.models.attention.recording` records α_t, (B, K, S) a word.
    """

    lstms = 2

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        vocabulary_size: int,
        vectors: int,
        words: int,
        dropout: float,
        words_start: WordStart = "uniform",
        word_relu: bool = False,
        seen_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            channels,
            dimension,
            vocabulary_size=vocabulary_size,
            vectors=vectors,
            words=words,
            dropout=dropout,
            words_start=words_start,
            word_relu=word_relu,
            seen_dropout=seen_dropout,
        )
        # Set by `recording` alone
        self.recorder: Callable[[Tensor], None] | None = None
        self.lstm_d = nn.LSTMCell(2 * dimension, dimension)
        self.weigh = nn.Linear(dimension, vectors)
        self.lstm_c = nn.LSTMCell(words + channels, dimension)

    def advance(self, state: SpeakerState, x: Tensor) -> tuple[Tensor, SpeakerState]:
        """See `Speaker.advance`."""
        weighing, speaking = state.cells
        d, d_cell = _lstm(
            self.lstm_d, torch.cat((_for_each(state.v, x), speaking[0]), 2), weighing
        )
        alpha = self.weigh(d).softmax(2)  # (B, K, S)
        if self.recorder is not None:
            self.recorder(alpha.detach().float().cpu())
        l_t = alpha @ state.seen.to(alpha.dtype)  # (B, K, C)
        h, h_cell = _lstm(self.lstm_c, torch.cat((x, l_t), 2), speaking)
        return h, replace(state, cells=((d, d_cell), (h, h_cell)))


def _for_each(v: Tensor, x: Tensor) -> Tensor:
    # (B, D) → (B, K, D): the pair's, for each hypothesis.
    return v[:, None].expand(-1, x.shape[1], -1)


def _lstm(
    cell: nn.LSTMCell, x: Tensor, before: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step of K hypotheses of B pairs: x (B, K, …), hidden and cell values (B, K,
    D) → the next two."""
    B, K = x.shape[:2]
    h, c = cell(x.flatten(0, 1), (before[0].flatten(0, 1), before[1].flatten(0, 1)))
    return h.view(B, K, -1), c.view(B, K, -1)
