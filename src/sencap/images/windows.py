"""A pair of any size, read window by window: by rasterio where the files are rasters,
so that little of them is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sencap.bounds import check_numbers
from sencap.errors import ImageError
from sencap.files import Closing
from sencap.images.ground import as_rasters
from sencap.images.holes import fill_alike
from sencap.images.levels import Scale, common_scale, to_levels
from sencap.images.options import USUAL, Reading
from sencap.images.pairs import read_pair
from sencap.images.sample import RasterSample
from sencap.rasters import AlignedRasters, Mask, both, share_lost
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
            given = reading.given_scale()
            self._scales = (
                self._sampled_scales(self._rasters) if given is None else [given, given]
            )
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
            values, valid = self._values(date, window)
            with self._named(date):
                levels, valid = to_levels(values, valid, self._scales[date])
            images.append(levels)
            masks.append(valid)
        if share_lost(both(*masks)) > self.reading.empty:
            return None
        # Two images (3, H, W) → three pairs of bands, each filled alike → (2, 3, H, W).
        bands = [fill_alike(*pair, *masks) for pair in zip(*images, strict=True)]
        return ImagePair(np.stack(bands, axis=1), str(window))

    def _values(
        self, date: int, window: Window, shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[Any], Mask | None]:
        """The values (3, H, W) of a window as they are in the file, and which hold
        data."""
        assert self._rasters is not None
        return self._rasters.read(date, *window, shape=shape, nearest=True)

    @contextmanager
    def _named(self, date: int) -> Iterator[None]:
        """Errors about values say whose they are."""
        try:
            yield
        except ImageError as error:
            raise ImageError(f"{self._labels[date]}: {error}") from error

    def _sampled_scales(self, rasters: AlignedRasters) -> list[Scale | None]:
        """How the values of each date become 8 bits in all windows, told from pixels of
        the whole ground; None for a date of 8 bits."""
        whole = Window(0, 0, self.height, self.width)
        # At most so many pixels a side tell the scale. They are picked (`_values` reads
        # the nearest) and no means of blocks, which would narrow the range of values.
        shape = min(self.height, _SAMPLE), min(self.width, _SAMPLE)
        samples = []
        for date in range(len(rasters.rasters)):
            values, valid = self._values(date, whole, shape)
            # What floats mean (reflectance, per cent, levels) is told from the whole
            # ground, too: a dark window would be taken for another kind.
            with self._named(date):
                samples.append(RasterSample.of(values, valid))
        counts = [sample.counts if sample.is_deep else None for sample in samples]
        common = common_scale(counts, self._labels)
        types = [raster.dtype for raster in rasters.rasters]
        return [
            None if dtype == np.uint8 else sample.scale_of_values(common)
            for sample, dtype in zip(samples, types, strict=True)
        ]

    def close(self) -> None:
        """Close the rasters, if the files are such."""
        if self._rasters is not None:
            self._rasters.close()
