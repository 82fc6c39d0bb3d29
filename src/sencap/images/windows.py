"""A pair of any size, read window by window: by rasterio where the files are rasters,
so that little of them is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sencap.bounds import check_numbers
from sencap.errors import ImageError
from sencap.files import Closing
from sencap.images.ground import as_rasters
from sencap.images.holes import fill_alike
from sencap.images.levels import Scale, common_scale, count_levels, to_levels
from sencap.images.options import USUAL, Reading
from sencap.images.pairs import read_pair
from sencap.rasters import AlignedRasters, both, share_lost
from sencap.structures import ImagePair

_SAMPLE = 2048  # pixels a side, of which the scale of a large raster is told


class Window(NamedTuple):
    """A part of a pair, in pixels from its upper left corner."""

    row: int
    column: int
    height: int
    width: int

    def __str__(self) -> str:
        rows = f"rows {self.row}–{self.row + self.height - 1}"
        return f"{rows}, columns {self.column}–{self.column + self.width - 1}"


def windows_of(height: int, width: int, side: int) -> Iterator[Window]:
    """Windows of ``side`` × ``side`` pixels that cover an image, row by row; the last
    of a row or column reach back from the border. An image smaller than that is one
    window, as far as it goes.
    """
    check_numbers(windows=side)
    for row in _starts(height, side):
        for column in _starts(width, side):
            yield Window(row, column, min(side, height), min(side, width))


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along a side."""
    # The last window ends at the border and so overlaps the one before it, unless the
    # side divides the length.
    starts = list(range(0, max(length - side, 0), side))
    return [*starts, max(length - side, 0)]


class PairWindows(Closing):
    """Two image files of one place, of which windows are read as `ImagePair`, all on
    one scale.

    ``height`` and ``width`` are those of the ground that both show, in pixels of the
    first. Use it with ``with``.

    Raises:
        ImageError, MissingDependencyError, SettingsError: as `sencap.images.read_pair`.
    """

    def __init__(
        self, before: str | Path, after: str | Path, *, reading: Reading = USUAL
    ) -> None:
        self.reading = reading
        self._labels = str(before), str(after)
        self._rasters: AlignedRasters | None = None
        self._whole: ImagePair | None = None
        if as_rasters(before, after):
            self._rasters = AlignedRasters(before, after, bands=reading.bands)
            self.height = self._rasters.grid.height
            self.width = self._rasters.grid.width
            self.notes = tuple(self._rasters.notes)
            self.details: Mapping[str, Any] = self._rasters.details()
            # All windows share one scale: with scales of their own a dark window and a
            # bright one would look alike.
            self._scale = reading.given_scale() or self._sampled_scale(self._rasters)
        else:
            self._whole = read_pair(before, after, reading=reading)
            self.height, self.width = self._whole.images.shape[-2:]
            self.notes, self.details = self._whole.notes, self._whole.details

    def read(self, window: Window) -> ImagePair | None:
        """A window of both dates; None if too little of it holds data.

        Raises:
            ImageError: a file is damaged there.
        """
        row, column, height, width = window
        if self._whole is not None:
            part = self._whole.images[..., row : row + height, column : column + width]
            return ImagePair(part, str(window))
        images, masks = [], []
        for date in (0, 1):
            levels, valid = self._levels(date, window)
            if levels.dtype != np.uint8 and self._scale is not None:
                levels = self._scale.to_uint8(levels)
            images.append(levels)
            masks.append(valid)
        if share_lost(both(*masks)) > self.reading.empty:
            return None
        # Two images (3, H, W) → three pairs of bands, each filled alike → (2, 3, H, W).
        bands = [fill_alike(*pair, *masks) for pair in zip(*images, strict=True)]
        return ImagePair(np.stack(bands, axis=1), str(window))

    def _levels(
        self, date: int, window: Window, shape: tuple[int, int] | None = None
    ) -> Any:
        assert self._rasters is not None
        values, valid = self._rasters.read(date, *window, shape=shape, nearest=True)
        try:
            return to_levels(values, valid, self.reading.given_scale())
        except ImageError as error:
            raise ImageError(f"{self._labels[date]}: {error}") from error

    def _sampled_scale(self, rasters: AlignedRasters) -> Scale | None:
        """The one scale of all windows, from pixels of the whole ground; None for 8
        bits."""
        whole = Window(0, 0, self.height, self.width)
        # At most so many pixels a side tell the scale. They are picked (`_levels` reads
        # the nearest) and no means of blocks, which would narrow the range of values.
        shape = min(self.height, _SAMPLE), min(self.width, _SAMPLE)
        counts = []
        for date in range(len(rasters.rasters)):
            levels, _ = self._levels(date, whole, shape)
            counts.append(None if levels.dtype == np.uint8 else count_levels(levels))
        return common_scale(counts, self._labels)

    def close(self) -> None:
        """Close the rasters, if the files are such."""
        if self._rasters is not None:
            self._rasters.close()
