"""Arrays to arrays: more than 8 bits to 8, and images to other sizes, in blocks and bands that need
little memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import SettingsError, ShapeError
from sencap.structures import ImagePair

Levels = NDArray[np.uint8] | NDArray[np.uint16]
_Table = NDArray[np.uint8]  # what each of the 65,536 levels of a band becomes

_BLOCK = 1 << 20  # pixels that are worked on at once
_LEVELS = 1 << 16


def stretch(images: Levels) -> NDArray[np.uint8]:
    """Images (…, 3, H, W) of one place as uint8; uint8 stays as it is.

    uint16 is mapped linearly, band by band, so that the 2nd percentile becomes 0 and the 98th 255.
    The percentiles are those of all images together, so what is unchanged stays unchanged. Pixels
    that are 0 in all three bands (no data) do not count.

    Raises:
        ShapeError: another shape or type.
    """
    _check_bands(images, "uint8", "uint16")
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    flat = images.reshape(-1, *images.shape[-3:])
    counts = LevelCounts()
    for image in flat:
        counts.add(image)
    tables = counts.tables()
    return np.stack([stretched(image, tables) for image in flat]).reshape(images.shape)


class LevelCounts:
    """How often each of the 65,536 levels occurs in images (3, H, W) of 16 bits, by band: what
    `stretch` goes by."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, _LEVELS), np.int64)
        self._pixels = self._empty = 0

    def add(self, image: NDArray[Any]) -> None:
        """Count the pixels of one more image."""
        self._pixels += image[0].size
        for rows in row_blocks(*image.shape[1:]):
            block = image[:, rows]
            self._empty += int(np.count_nonzero(~block.any(axis=0)))
            for band in range(3):
                self._counts[band] += np.bincount(block[band].ravel(), minlength=_LEVELS)

    def tables(self) -> list[_Table]:
        """The common stretch of all that was counted, a table for each band."""
        counts = self._counts.copy()
        if self._empty < self._pixels:
            counts[:, 0] -= self._empty  # a pixel without data is one of the zeros of every band
        return [_table(band) for band in counts]


def _table(counts: NDArray[np.int64]) -> _Table:
    """The table of one band from how often it has each level."""
    share = counts.cumsum()
    low, high = np.searchsorted(share, [0.02 * share[-1], 0.98 * share[-1]])
    levels = np.arange(_LEVELS)
    steps = (levels - low) * (255 / max(high - low, 1))  # an image of one level has no range
    table: _Table = steps.clip(0, 255).round().astype(np.uint8)
    return table


def _look_up(table: _Table, band: NDArray[Any]) -> NDArray[np.uint8]:
    """``table[band]`` in blocks: NumPy makes eight bytes of every index."""
    result = np.empty(band.shape, np.uint8)
    for rows in row_blocks(*band.shape):
        result[rows] = table[band[rows]]
    return result


@overload
def resize(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]: ...
@overload
def resize(images: ImagePair, size: int) -> ImagePair: ...
def resize(images: NDArray[np.uint8] | ImagePair, size: int) -> NDArray[np.uint8] | ImagePair:
    """Images uint8 (…, 3, H, W), or an `ImagePair`, at ``size`` × ``size`` pixels: bilinear,
    antialiased.

    Images of that size already are returned as they are. What is not square is squeezed.

    Raises:
        SettingsError: a size below 1.
        ShapeError: another shape or type.
    """
    if not isinstance(images, np.ndarray):
        return dataclasses.replace(images, images=resize(images.images, size))
    _check_bands(images, "uint8")
    check_size(size)
    return _resampled(images, size, size)


@overload
def shrink(images: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]: ...
@overload
def shrink(images: ImagePair, longest: int) -> ImagePair: ...
def shrink(images: NDArray[np.uint8] | ImagePair, longest: int) -> NDArray[np.uint8] | ImagePair:
    """Images uint8 (…, 3, H, W), or an `ImagePair`, whose longer side has at most ``longest``
    pixels; for showing.

    Proportions stay, except that a side has at least one pixel. Small images are returned as they
    are.

    Raises:
        SettingsError: ``longest`` below 1.
        ShapeError: another shape or type.
    """
    if not isinstance(images, np.ndarray):
        return dataclasses.replace(images, images=shrink(images.images, longest))
    _check_bands(images, "uint8")
    check_size(longest)
    height, width = images.shape[-2:]
    share = min(1.0, longest / max(height, width))
    return _resampled(images, max(1, round(height * share)), max(1, round(width * share)))


def stretched(
    image: NDArray[Any], tables: list[_Table], size: int | None = None
) -> NDArray[np.uint8]:
    """An image (3, H, W) of 16 bits with its bands' tables applied; with ``size`` each band is
    resized at once."""
    height, width = image.shape[1:] if size is None else (size, size)
    result = np.empty((3, height, width), np.uint8)
    for band in range(3):
        result[band] = _resample_band(_look_up(tables[band], image[band]), height, width)
    return result


def check_size(size: int) -> None:
    """Refuse a side below one pixel.

    Raises:
        SettingsError: it is.
    """
    if size < 1:
        raise SettingsError(f"size is {size} pixels, but must be at least 1")


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover an image, each of some million pixels at most (or of one row)."""
    step = max(1, _BLOCK // max(1, width))
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def _resampled(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if images.shape[-2:] == (height, width):
        return images
    result = np.empty((*images.shape[:-2], height, width), np.uint8)
    for place in np.ndindex(images.shape[:-2]):
        result[place] = _resample_band(images[place], height, width)
    return result


def _resample_band(band: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """One band (H, W): Pillow works on each band alone, so that three bands need not be there at
    once."""
    if band.shape == (height, width):
        return band
    return np.asarray(Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR))


def _check_bands(images: NDArray[Any], *types: str) -> None:
    is_image = images.ndim >= 3 and images.shape[-3] == 3 and 0 not in images.shape
    if not is_image or images.dtype.name not in types:
        raise ShapeError(
            f"expected {' or '.join(types)} (…, 3, H, W); got {images.dtype} {images.shape}"
        )
