"""What search, predictor and explain ask of an engine. Shapes by the legend in
`sencap.structures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ShapeError

Float32s = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PairMemory:
    """What a decoder looks at, for a batch of pairs, as arrays.

    ``tokens`` (B, N, D), N = h·w in row-major order of ``grid`` = (h, w). For those who
    explain, by name: ``parts`` (B, N, D'), intermediate results; ``received``, how much
    attention each cell got inside the encoder, (B, N), or (B, 2·N) where both dates'
    cells were asked, before first. They are empty unless they were asked for. ``flag``
    (B,) and ``mask`` (B, N) are the logits of the change heads, ``distance`` (B,) how
    far the images are from those trained on, as `sencap.structures.Memory` has them;
    None of a captioner without.

    Raises:
        ShapeError: tokens that do not fill the grid.
    """

    tokens: Float32s
    grid: tuple[int, int]
    parts: Mapping[str, Float32s]
    received: Mapping[str, Float32s]
    flag: Float32s | None = None
    mask: Float32s | None = None
    distance: Float32s | None = None

    def __post_init__(self) -> None:
        # Maps of attention are reshaped to this grid: tokens in another number would
        # show a cell at a wrong place.
        h, w = self.grid
        if self.tokens.ndim != 3 or self.tokens.shape[1] != h * w:
            raise ShapeError(
                f"a memory has tokens (B, {h}·{w}, D); got {self.tokens.shape}"
            )

    def keep(self, pairs: Sequence[int]) -> PairMemory:
        """The memory of some of the pairs, by index; without what is for explaining."""
        # The predictor searches some pairs of a batch alone, such as those that it
        # tells changed.
        rows = list(pairs)
        flag = None if self.flag is None else self.flag[rows]
        mask = None if self.mask is None else self.mask[rows]
        distance = None if self.distance is None else self.distance[rows]
        return PairMemory(self.tokens[rows], self.grid, {}, {}, flag, mask, distance)


class State(Protocol):
    """Where a decoder stands with the K hypotheses of each of B pairs."""

    def select(self, parents: Ids) -> Self:
        """Go on with hypotheses ``parents`` (B, K') of each pair, for beam search."""
        ...

    def keep(self, pairs: Ids) -> Self:
        """Go on with the pairs whose indices are given; finished ones are left
        behind."""
        ...


class Step(NamedTuple):
    """One more word: logits (B, K, V) of the next, and the new state.

    ``cells`` (B, K, N): how much the decoder attended to each cell as it chose the next
    word, mean over heads and layers, each row summing to 1; None of a decoder that does
    not attend to the grid. ``dates`` (B, K, 3): the weights of before, difference and
    after, of a speaker that has them (DUDA's).
    """

    logits: Float32s
    state: Any
    cells: Float32s | None = None
    dates: Float32s | None = None


class Decoding(Protocol):
    """The decoder's side of an engine: all that a search needs."""

    def start(self, memory: PairMemory, *, explain: bool = False) -> Any:
        """The `State` before the first word, with K = 1; with ``explain`` its steps
        tell where they looked."""
        ...

    def step(self, state: Any, words: Ids) -> Step:
        """Feed one word to each hypothesis: words (B, K)."""
        ...


class Engine(Decoding, Protocol):
    """A captioner's network, ready to run."""

    def encode(self, images: NDArray[np.uint8], *, explain: bool = False) -> PairMemory:
        """Pixels (B, 2, 3, H, W), before first, at the model's size → memory.

        ``explain`` asks for the memory's parts and for the attention received.
        """
        ...

    def parameters(self) -> dict[str, int]:
        """Parameter counts by part: ``extractor``, ``difference``, ``decoder``,
        ``total``."""
        ...
