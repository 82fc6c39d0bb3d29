"""Why a caption says what it says, as far as a model's own numbers tell: maps over the
grid, one per word and part.

    from sencap.explain import explain, save
    explanation = explain("before.png", "after.png", load())
    save(explanation, "why.html")

Three kinds of maps and one of numbers, none of which asks what system made them:

- **words**: the decoder's cross attention in the pass that chose each word, mean over
  heads and layers. Each sums to 1. A decoder that does not attend to the grid has none.
- **parts**: for every named part of the `Memory`, and for its tokens (``memory``), the
  mean of the absolute values over the channels of each cell (the activation map of
  Zagoruyko and Komodakis 2017, with p = 1). A part one channel wide is a map already,
  and is shown as it is; so is the share of each cell that the mask head holds for
  changed building (``change``).
- **attention**: for every `Attention` of the encoder, how much each cell received: mean
  over heads and over the cells that ask. Each sums to 1. Where a system attends to both
  dates at once (2·N sources), there is one map per date.
- **dates**: of a speaker that weighs l_bef, l_diff and l_aft at each word (DUDA's),
  those three weights.

Of a caption that tells what is gone (`sencap.removals`) they are those of the pair in
reverse order, of which it was told, in a pass that is fed the turned words.

They are what the network computed. They are no explanation in the sense of a cause:
docs/explain.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.data.vocabulary import Vocabulary
from sencap.engines.contract import Decoding, Float32s, PairMemory
from sencap.errors import ShapeError
from sencap.figures.explanation import explanation_page
from sencap.figures.files import PAGE, check_path
from sencap.figures.sheet import LONGEST
from sencap.figures.words import draw_words
from sencap.files import write_whole
from sencap.images import Reading, as_pair, resize, shrink
from sencap.images.options import USUAL
from sencap.predictor import Image, Predictor, told_if_one_file
from sencap.structures import Caption, ImagePair

CHANGE = "change"

Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Explanation:
    """A caption and the maps behind it; all maps are (h, w) of one grid, row 0 at the
    top of the images.

    ``pair`` is what was given, reduced to at most `LONGEST` pixels a side: the grid
    covers all of it. ``word_maps`` (words, h, w), each summing to 1, or None; ``parts``
    and ``attention`` by name, as the head of this module says; ``dates`` (words, 3),
    the weights of before, difference and after, each row summing to 1, or None.

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
        if self.word_maps is not None and self.word_maps.shape != (
            len(self.words),
            *self.grid,
        ):
            raise ShapeError(
                f"{len(self.words)} words on a grid {self.grid} have maps "
                f"{(len(self.words), *self.grid)}; got {self.word_maps.shape}"
            )
        if self.dates is not None and self.dates.shape != (len(self.words), 3):
            raise ShapeError(
                f"{len(self.words)} words have dates ({len(self.words)}, 3); got "
                f"{self.dates.shape}"
            )
        for name, values in {**self.parts, **self.attention}.items():
            if values.shape != self.grid:
                raise ShapeError(
                    f"map {name!r} must be {self.grid} as the grid is; got "
                    f"{values.shape}"
                )


def explain(
    before: Image,
    after: Image,
    predictor: Predictor,
    *,
    beam: int | None = None,
    reading: Reading = USUAL,
) -> Explanation:
    """The predictor's caption of one pair, with its maps.

    The caption is the one that ``predictor(before, after)`` gives. It is then fed to
    the decoder once more, which says where it looks: the map of a word is that of the
    step which chose it. ``reading`` says how files are read, as in
    `sencap.images.Reading`.

    Raises:
        ImageError, ShapeError, SettingsError: as `Predictor`.
    """
    shown, sized = shown_and_sized(before, after, predictor.size, reading)
    found = explain_pair(shown, sized, predictor, beam=beam)
    caption = told_if_one_file(found.caption, before, after)
    return dataclasses.replace(found, caption=caption)


def shown_and_sized(
    before: Image, after: Image, size: int, reading: Reading = USUAL
) -> tuple[ImagePair, ImagePair]:
    """A pair twice: at most `LONGEST` pixels a side, for showing, and at the model's
    ``size``; errors as `explain`."""
    # Large images are let go here, before the model needs memory.
    pair = as_pair(before, after, reading=reading)
    return shrink(pair, LONGEST), resize(pair, size)


def explain_pair(
    shown: ImagePair, sized: ImagePair, predictor: Predictor, *, beam: int | None = None
) -> Explanation:
    """As `explain`, of the pair that `shown_and_sized` read."""
    (caption,) = predictor.caption_pairs([sized], beam=beam)
    words = tuple(caption.text.split())
    # What is gone was told of the dates in reverse order.
    dates_seen = sized.images[::-1].copy() if caption.reverse else sized.images
    # (2, 3, H, W) → (1, 2, 3, H, W): encoded once more, as captioning keeps no maps.
    memory = predictor.engine.encode(dates_seen[None], explain=True)
    word_maps, dates = _of_words(
        predictor.engine, memory, predictor.checkpoint.vocabulary, words
    )
    # The memory itself is shown beside the parts it was made of.
    parts = {**memory.parts, "memory": memory.tokens}
    if memory.mask is not None:
        # The mask head gives logits (1, N); their sigmoid is the share of changed
        # building in each cell. With one channel, (1, N, 1), it is shown as it is.
        shares = 1.0 / (1.0 + np.exp(-memory.mask))
        parts[CHANGE] = shares[..., None].astype(np.float32)
    return Explanation(
        shown,
        caption,
        words,
        memory.grid,
        word_maps,
        {name: _activation(part, memory.grid) for name, part in parts.items()},
        _received(memory),
        dates,
    )


def save(explanation: Explanation, path: str | Path) -> Path:
    """Write an explanation as one page (.html) or one picture (.png, .pdf, .svg);
    returns the path.

    Raises:
        SettingsError: another ending, or a folder that is not there.
        OutputError: it cannot be written; why, and what to do.
        MissingDependencyError: a picture, and matplotlib is not installed. Pages do not
            need it.
    """
    path = check_path(path)
    e = explanation
    shown: dict[str, Any] = {
        "words": e.words,
        "word_maps": e.word_maps,
        "parts": e.parts,
        "dates": e.dates,
        "note": _note(e),
    }
    if path.suffix.lower() == PAGE:
        page = explanation_page(e.pair, e.caption.text, attention=e.attention, **shown)
        return write_whole(path, page)
    return draw_words(e.pair, e.caption.text, path, **shown)


def _note(explanation: Explanation) -> str:
    """The small print: how sure the model is, what has to be known of the pair, how
    fine the maps are."""
    caption, (rows, columns) = explanation.caption, explanation.grid
    parts = []
    if caption.change_probability is not None:
        parts.append(f"Probability of change {caption.change_probability:.2f}.")
    if caption.note:
        parts.append(f"Note: {caption.note}.")
    parts.append(f"Grid of {rows} × {columns} cells: nothing finer can be told.")
    return " ".join(parts)


def _of_words(
    decoding: Decoding, memory: PairMemory, vocabulary: Vocabulary, words: Sequence[str]
) -> tuple[Maps | None, Maps | None]:
    """Maps (words, h, w) of where the decoder looked as it chose each word, and weights
    (words, 3) of the dates.

    Each None where the decoder has nothing of the kind.
    """
    state = decoding.start(memory, explain=True)
    cells: list[Float32s] = []
    dates: list[Float32s] = []
    # The step that is fed the word before chooses the word. An empty caption still
    # makes one step, which tells whether there would be maps.
    for fed in [vocabulary.start, *vocabulary.encode(words)[:-1]]:
        step = decoding.step(state, np.array([[fed]], np.int64))
        state = step.state
        if step.cells is not None:
            cells.append(step.cells[0, 0].reshape(memory.grid))
        if step.dates is not None:
            dates.append(step.dates[0, 0])
    # An empty caption made one step too many for its words; ``[:count]`` drops it.
    count = len(words)
    return (
        np.stack(cells)[:count] if cells else None,
        np.stack(dates)[:count] if dates else None,
    )


def _activation(part: Float32s, grid: tuple[int, int]) -> Maps:
    # (1, N, D) → (h, w): the first and only pair, the mean over channels, the cells
    # back in rows.
    maps: Maps = np.abs(part[0]).mean(-1).reshape(grid)
    return maps


def _received(memory: PairMemory) -> dict[str, Maps]:
    """The mean attention that each cell received, by the name of the attention, and of
    its date where it has one."""
    # N cells where one stream was asked, 2·N where both dates were.
    cells = memory.grid[0] * memory.grid[1]
    maps: dict[str, Maps] = {}
    for name, received in memory.received.items():
        if received.shape[1] == cells:
            maps[name] = received[0].reshape(memory.grid)
            continue
        # (2·N,) → two maps (h, w): both dates' cells, before first as everywhere.
        before, after = received[0].reshape(2, *memory.grid)
        maps[f"{name}, before"] = before
        maps[f"{name}, after"] = after
    return maps
