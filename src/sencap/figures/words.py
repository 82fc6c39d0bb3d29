"""One explained caption as a picture: where the decoder looked at each word, then the
maps of the parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sencap.figures.files import DRAWN, check_path
from sencap.figures.maps import MapBlock, MapRow, limits_of, part_title, relative
from sencap.figures.sheet import (
    INK,
    LINE,
    MAP,
    PALE,
    TWO_COLUMNS,
    Map,
    Sheet,
    ratio,
    wrap,
)
from sencap.structures import ImagePair

NO_WORD_MAPS = (
    "This system's decoder does not attend to the grid word by word; "
    "there are no maps of words."
)
_WORDS = "Where the decoder looked as it chose each word (image after)"
_PARTS = "How strongly each part of the memory responds"
DATES_TITLE = (
    "How much the speaker drew on each date's features, and on their difference, as "
    "it chose each word"
)
DATE_NAMES = ("before", "difference", "after")
_CAPTION = 12.0  # points
# inches
_EDGE, _GAP = 0.22, 0.06  # at the paper's edge, between cells
_RIGHT = 0.62  # for the colour bar
_SIDE = 1.9  # the width of an image beside the caption
_HEADING = LINE * 1.6  # a section's first line, with the space below it
# Of the table of dates: names at the left, height of a row.
_LABEL, _TABLE_ROW = 0.75, LINE * 1.5
_COLUMNS, _TABLE_WORDS = 6, 9  # words of a row of maps, and of a row of the table


def draw_words(
    pair: ImagePair,
    caption: str,
    path: str | Path,
    *,
    words: Sequence[str],
    word_maps: Sequence[Map] | None,
    parts: Mapping[str, Map],
    dates: Map | None = None,
    note: str = "",
) -> Path:
    """Draw before and after, the caption, a map per word on one common scale, and the
    parts on both scales.

    word_maps: one (h, w) per word, each summing to 1, or None for a decoder without;
    parts: name → (h, w). The common scale of the words is in multiples of an even
    share, 1 / (h·w). dates: (words, 3), shares of before, difference and after at each
    word. ``note`` is small print below the caption.

    Raises:
        SettingsError: a path that cannot be, or none of .png, .pdf, .svg.
        MissingDependencyError: matplotlib is not installed.
    """
    path = check_path(path, endings=DRAWN)
    top = _Top.of(pair, caption, note)
    titles = {name: part_title(name) for name in parts}
    block = MapBlock(titles, list(parts.values()), ("own", "common"))
    # Heights are added up first, since a sheet cannot grow; then the same parts are
    # drawn from the top.
    cell = (TWO_COLUMNS - _EDGE - _RIGHT) / _COLUMNS - _GAP
    step = cell * ratio(pair.images[0]) + LINE + 0.1
    rows = math.ceil(len(words) / _COLUMNS) if word_maps is not None else 0

    height = 0.1 + LINE + top.height + 0.2 + _HEADING + rows * step + 0.1
    if dates is not None and words:
        height += _dates_height(len(words))
    if parts:
        height += _HEADING + block.height(pair)
    sheet = Sheet(TWO_COLUMNS, height)

    y = 0.1
    top.draw(sheet, y, pair)
    y += LINE + top.height + 0.2
    sheet.text(
        _EDGE, y, _WORDS if word_maps is not None else NO_WORD_MAPS, weight="bold"
    )
    y += _HEADING
    if word_maps is not None and words:
        _draw_maps(
            sheet,
            y,
            pair,
            words,
            [relative(m) for m in word_maps],
            cell=cell,
            step=step,
        )
        y += rows * step
    if dates is not None and words:
        _draw_dates(sheet, y, words, dates)
        y += _dates_height(len(words))
    y += 0.1
    if parts:
        sheet.text(_EDGE, y, _PARTS, weight="bold")
        block.draw(sheet, y + _HEADING, MapRow(pair, parts))
    return sheet.save(path)


@dataclass(frozen=True)
class _Top:
    """The head of the picture: both images, the caption in lines, and small print."""

    caption: Sequence[str]
    small: Sequence[str]
    height: float  # below the dates' names

    @classmethod
    def of(cls, pair: ImagePair, caption: str, note: str) -> _Top:
        width = TWO_COLUMNS - 2 * _EDGE - 2 * (_SIDE + _GAP) - 0.1
        lines = wrap(caption or "(empty caption)", width, size=_CAPTION, bold=True)
        small = wrap(note, width) if note else []
        text = len(lines) * LINE * 1.5 + 0.1 + len(small) * LINE
        return cls(lines, small, max(_SIDE * ratio(pair.images[0]), text))

    def draw(self, sheet: Sheet, y: float, pair: ImagePair) -> None:
        x = _EDGE
        for image, date in zip(pair.images, ("before", "after"), strict=True):
            sheet.text(x, y, date, color=PALE)
            sheet.image(x, y + LINE, _SIDE, image)
            x += _SIDE + _GAP
        x += 0.1
        y += LINE
        for line in self.caption:
            sheet.text(x, y, line, size=_CAPTION, weight="bold")
            y += LINE * 1.5
        for number, line in enumerate(self.small):
            sheet.text(x, y + 0.1 + number * LINE, line, color=PALE)


def _draw_maps(
    sheet: Sheet,
    y: float,
    pair: ImagePair,
    words: Sequence[str],
    maps: Sequence[Map],
    *,
    cell: float,
    step: float,
) -> None:
    limits = (0.0, limits_of(maps)[1])  # attention begins at none
    for number, (word, values) in enumerate(zip(words, maps, strict=True)):
        row, column = divmod(number, _COLUMNS)
        x, top = _EDGE + column * (cell + _GAP), y + row * step
        sheet.text(x + cell / 2, top, word, ha="center", weight="bold")
        sheet.map(x, top + LINE, cell, pair.images[1], values=values, limits=limits)
    right = _EDGE + min(len(words), _COLUMNS) * (cell + _GAP)
    sheet.bar(
        right, y + LINE, step - LINE - 0.1, limits=limits, label="× an even share"
    )


def _dates_height(words: int) -> float:
    blocks = math.ceil(words / _TABLE_WORDS)
    return _HEADING + blocks * (LINE * 1.3 + 3 * _TABLE_ROW + 0.12)


def _draw_dates(sheet: Sheet, y: float, words: Sequence[str], dates: Map) -> None:
    """A table in blocks of words: three rows of shares, each number on the colour of
    its value from 0 to 1."""
    sheet.text(_EDGE, y, DATES_TITLE, weight="bold")
    y += _HEADING
    cell = (TWO_COLUMNS - 2 * _EDGE - _LABEL) / _TABLE_WORDS
    for first in range(0, len(words), _TABLE_WORDS):
        block = dates[first : first + _TABLE_WORDS]
        for column, word in enumerate(words[first : first + _TABLE_WORDS]):
            sheet.text(
                _EDGE + _LABEL + (column + 0.5) * cell,
                y,
                word,
                ha="center",
                weight="bold",
            )
        y += LINE * 1.3
        axes = sheet.axes(_EDGE + _LABEL, y, cell * len(block), 3 * _TABLE_ROW)
        axes.imshow(
            block.T, cmap=MAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.set_axis_off()
        for row, name in enumerate(DATE_NAMES):
            middle = y + (row + 0.5) * _TABLE_ROW
            sheet.text(_EDGE, middle, name, va="center")
            for column, share in enumerate(block[:, row]):
                colour = "white" if share < 0.6 else INK  # readable on viridis
                x = _EDGE + _LABEL + (column + 0.5) * cell
                sheet.text(
                    x, middle, f"{share:.2f}", ha="center", va="center", color=colour
                )
        y += 3 * _TABLE_ROW + 0.12
