"""Images to other sizes, in bands that need little memory; and the blocks of large
ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.errors import SettingsError, ShapeError
from sencap.structures import ImagePair

_BLOCK = 1 << 20  # pixels that are worked on at once


@overload
def resize(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]: ...
@overload
def resize(images: ImagePair, size: int) -> ImagePair: ...
def resize(
    images: NDArray[np.uint8] | ImagePair, size: int
) -> NDArray[np.uint8] | ImagePair:
    """Images uint8 (…, 3, H, W), or an `ImagePair`, at ``size`` × ``size`` pixels:
    bilinear, antialiased.

    Images of that size already are returned as they are. What is not square is
    squeezed.

    Raises:
        SettingsError: a size below 1.
        ShapeError: another shape or type.
    """
    if not isinstance(images, np.ndarray):
        return dataclasses.replace(images, images=resize(images.images, size))
    check_three_bands(images, "uint8")
    check_size(size)
    return _resampled(images, size, size)


@overload
def shrink(images: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]: ...
@overload
def shrink(images: ImagePair, longest: int) -> ImagePair: ...
def shrink(
    images: NDArray[np.uint8] | ImagePair, longest: int
) -> NDArray[np.uint8] | ImagePair:
    """Images uint8 (…, 3, H, W), or an `ImagePair`, whose longer side has at most
    ``longest`` pixels; for showing.

    Proportions stay, except that a side has at least one pixel. Small images are
    returned as they are.

    Raises:
        SettingsError: ``longest`` below 1.
        ShapeError: another shape or type.
    """
    if not isinstance(images, np.ndarray):
        return dataclasses.replace(images, images=shrink(images.images, longest))
    check_three_bands(images, "uint8")
    check_size(longest)
    height, width = images.shape[-2:]
    # Never above 1: nothing is enlarged.
    share = min(1.0, longest / max(height, width))
    return _resampled(
        images, max(1, round(height * share)), max(1, round(width * share))
    )


def check_size(size: int) -> None:
    """Refuse a side below one pixel.

    Raises:
        SettingsError: it is.
    """
    if size < 1:
        raise SettingsError(f"size is {size} pixels, but must be at least 1")


def row_blocks(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover an image, each of some million pixels at most (or of
    one row)."""
    # Work in blocks of whole rows: copies in wider types exist for a block only.
    step = max(1, _BLOCK // max(1, width))
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def _resampled(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if images.shape[-2:] == (height, width):
        return images
    result = np.empty((*images.shape[:-2], height, width), np.uint8)
    for place in np.ndindex(images.shape[:-2]):
        # Each band is resampled by itself, which gives the same pixels as all together.
        result[place] = resample_band(images[place], height, width)
    return result


def resample_band(
    band: NDArray[np.uint8], height: int, width: int
) -> NDArray[np.uint8]:
    """One band (H, W): Pillow works on each band alone, so that three bands need not be
    there at once."""
    # Not even copied: callers must not write into the result.
    if band.shape == (height, width):
        return band
    return np.asarray(
        Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR)
    )


def check_three_bands(images: NDArray[Any], *types: str) -> None:
    """Refuse what are no images (…, 3, H, W) of one of the types.

    Raises:
        ShapeError: they are not.
    """
    is_image = images.ndim >= 3 and images.shape[-3] == 3 and 0 not in images.shape
    if not is_image or images.dtype.name not in types:
        raise ShapeError(
            f"expected {' or '.join(types)} (…, 3, H, W); got {images.dtype} "
            f"{images.shape}"
        )
