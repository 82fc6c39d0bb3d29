"""Why a caption says what it says, as far as a model's own numbers tell: maps over the grid, one per word and part.

    from sencap.explain import explain, save
    explanation = explain("before.png", "after.png", load())
    save(explanation, "why.html")

Three kinds of maps and one of numbers, none of which asks what system made them:

- **words**: the decoder's cross attention in the pass that chose each word, mean over heads and layers. Each sums
  to 1. A decoder that does not attend to the grid has none.
- **parts**: for every named part of the `Memory`, and for its tokens (``memory``), the mean of the absolute values
  over the channels of each cell (the activation map of Zagoruyko and Komodakis 2017, with p = 1). A part one
  channel wide is a map already, and is shown as it is.
- **attention**: for every `Attention` of the encoder, how much each cell received: mean over heads and over the
  cells that ask. Each sums to 1. Where a system attends to both dates at once (2·N sources), there is one map per
  date.
- **dates**: of a speaker that weighs l_bef, l_diff and l_aft at each word (DUDA's), those three weights.

They are what the network computed. They are no explanation in the sense of a cause: docs/explain.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sencap.data.vocabulary import Vocabulary
from sencap.errors import ShapeError
from sencap.figures.files import PAGE, check_path
from sencap.figures.page import explanation_page
from sencap.figures.sheet import LONGEST
from sencap.figures.words import draw_words
from sencap.files import write_whole
from sencap.images import as_pair, resize, shrink
from sencap.models.attention import Record, recording
from sencap.models.decoders import Decoder
from sencap.predictor import Image, Predictor, told_if_one_file
from sencap.structures import Caption, ImagePair, Memory

Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Explanation:
    """A caption and the maps behind it; all maps are (h, w) of one grid, row 0 at the top of the images.

    ``pair`` is what was given, reduced to at most `LONGEST` pixels a side: the grid covers all of it.
    ``word_maps`` (words, h, w), each summing to 1, or None; ``parts`` and ``attention`` by name, as the head of this
    module says; ``dates`` (words, 3), the weights of before, difference and after, each row summing to 1, or None.

    Raises:
        ShapeError: not one map per word, or maps of different grids.
    """

    pair: ImagePair
    caption: Caption
    words: tuple[str, ...]
    grid: tuple[int, int]
    word_maps: Maps | None = None
    parts: Mapping[str, Maps] = field(default_factory=dict)
    attention: Mapping[str, Maps] = field(default_factory=dict)
    dates: Maps | None = None

    def __post_init__(self) -> None:
        if self.word_maps is not None and self.word_maps.shape != (len(self.words), *self.grid):
            raise ShapeError(
                f"{len(self.words)} words on a grid {self.grid} have maps {(len(self.words), *self.grid)}; "
                f"got {self.word_maps.shape}"
            )
        if self.dates is not None and self.dates.shape != (len(self.words), 3):
            raise ShapeError(
                f"{len(self.words)} words have dates ({len(self.words)}, 3); got {self.dates.shape}"
            )
        for name, values in {**self.parts, **self.attention}.items():
            if values.shape != self.grid:
                raise ShapeError(f"map {name!r} must be {self.grid} as the grid is; got {values.shape}")


def explain(before: Image, after: Image, predictor: Predictor, *, beam: int | None = None) -> Explanation:
    """The predictor's caption of one pair, with its maps.

    The caption is the one that ``predictor(before, after)`` gives. It is then fed to the decoder once more, as in
    training, with the attention recorded: the map of a word is that of the position which chose it.

    Raises:
        ImageError, ShapeError, SettingsError: as `Predictor`.
    """
    pair = as_pair(before, after)
    sized = resize(pair, predictor.size)
    pair = shrink(pair, LONGEST)  # for showing; large images are let go before the model needs memory
    caption = told_if_one_file(predictor.caption_pairs([sized], beam=beam)[0], before, after)
    captioner, checkpoint = predictor.captioner, predictor.checkpoint
    images = torch.from_numpy(sized.images)[None].to(predictor.device)
    words = tuple(caption.text.split())
    with torch.inference_mode():
        with recording(captioner) as seen:
            memory = captioner.encode(images)
        word_maps, dates = _of_words(captioner.search_decoder, memory, checkpoint.vocabulary, words)
    return Explanation(
        pair,
        caption,
        words,
        memory.grid,
        word_maps,
        {
            name: _activation(part, memory.grid)
            for name, part in {**memory.parts, "memory": memory.tokens}.items()
        },
        _received(seen, memory.grid),
        dates,
    )


def save(explanation: Explanation, path: str | Path) -> Path:
    """Write an explanation as one page (.html) or one picture (.png, .pdf, .svg); returns the path.

    Raises:
        SettingsError: another ending, or a folder that is not there.
        OutputError: it cannot be written; why, and what to do.
        MissingDependencyError: a picture, and matplotlib is not installed. Pages do not need it.
    """
    path = check_path(path)
    e = explanation
    word_maps = None if e.word_maps is None else list(e.word_maps)
    p_change = e.caption.change_probability
    note = "" if p_change is None else f"Probability of change {p_change:.2f}. "
    if e.caption.note:
        note += f"The sentence is a fixed one and not the model's: {e.caption.note}. "
    note += f"Grid of {e.grid[0]} × {e.grid[1]} cells: nothing finer can be told."
    shown: dict[str, Any] = {"words": e.words, "word_maps": word_maps, "parts": e.parts, "note": note}
    shown["dates"] = e.dates
    if path.suffix.lower() == PAGE:
        page = explanation_page(e.pair, e.caption.text, attention=e.attention, **shown)
        return write_whole(path, page)
    return draw_words(e.pair, e.caption.text, path, **shown)


def _of_words(
    decoder: Decoder, memory: Memory, vocabulary: Vocabulary, words: Sequence[str]
) -> tuple[Maps | None, Maps | None]:
    """Maps (words, h, w) of the attention whose sources are the memory's N tokens, and weights (words, 3) of dates.

    Each None where nothing of the kind was recorded.
    """
    h, w = memory.grid
    ids = [vocabulary.start, *vocabulary.encode(words)]
    if len(ids) == h * w:  # no self attention may look like attention to the grid
        ids.append(vocabulary.end)  # decoders look back only: what follows changes nothing
    tokens = torch.tensor([[ids]], device=memory.tokens.device)
    module: Any = decoder
    with recording(module) as said:
        decoder(memory, tokens)
    found = [
        weights[0].mean(0)  # (heads, T, N) → (T, N)
        for calls in said.values()
        for weights in calls
        if weights.shape[0] == 1 and weights.shape[2:] == (len(ids), h * w)
    ]
    dates = [weights[0, 0] for calls in said.values() for weights in calls if weights.shape == (1, 1, 3)]
    return (
        torch.stack(found).mean(0)[: len(words)].view(-1, h, w).numpy() if found else None,
        torch.stack(dates)[: len(words)].numpy() if dates else None,
    )


def _activation(part: Tensor, grid: tuple[int, int]) -> Maps:
    maps: Maps = part[0].float().abs().mean(-1).view(grid).cpu().numpy()
    return maps


def _received(record: Record, grid: tuple[int, int]) -> dict[str, Maps]:
    """The mean attention that each cell received, by the name of the `Attention`, of its call and of its date."""
    N = grid[0] * grid[1]
    maps = {}
    for name, calls in record.items():
        for number, weights in enumerate(calls, 1):
            call = f"{name} #{number}" if len(calls) > 1 else name
            received = weights[0].mean((0, 1))  # (heads, L_q, L_s) → (L_s,)
            if received.shape == (N,):
                maps[call] = received.view(grid).numpy()
            elif received.shape == (2 * N,):  # both dates' tokens, before first as everywhere
                for date, half in zip(("before", "after"), received.view(2, *grid), strict=True):
                    maps[f"{call}, {date}"] = half.numpy()
    return maps
