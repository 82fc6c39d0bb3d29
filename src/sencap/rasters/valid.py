"""Which pixels of a raster hold data. Pure: arrays in, a mask out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W), True where there are data

_FULL = 128  # of 255: what a resampled mask must reach
_TOLERANCE = 2  # JPEG makes 254 of 255
# Of an alpha band's pixels are nothing or full; infrared is in between
_ALPHA_SHARE = 0.9


def valid_pixels(
    values: NDArray[Any],
    *,
    nodata: float | None = None,
    mask: NDArray[Any] | None = None,
) -> Mask | None:
    """The pixels (H, W) of values (bands, H, W) that hold data; None if all of them do.

    ``nodata`` is the value that the file declares. One band is enough to have it, but
    with 8 bits, or where it is 0, all must: black and white are colours too. ``mask``
    (H, W) is the file's mask or alpha, 0–255, data where it is at least half. Numbers
    that are not finite are no data.
    """
    holes = np.zeros(values.shape[1:], np.bool_)
    if nodata is not None and _holds(values.dtype, nodata):
        # A pixel that is 0 in one band alone may be a pure colour, such as blue; only 0
        # in all bands is taken for no data.
        is_colour = nodata == 0 or values.dtype.itemsize == 1
        same = values == np.asarray(nodata, values.dtype)
        holes |= same.all(axis=0) if is_colour else same.any(axis=0)
    if values.dtype.kind == "f":
        holes |= ~np.isfinite(values).all(axis=0)
    if mask is not None:
        holes |= mask < _FULL
    return ~holes if holes.any() else None


def _holds(kind: np.dtype[Any], value: float) -> bool:
    """Whether numbers of a type can be a value at all; files declare -9999 for bytes
    too."""
    if not np.isfinite(value):
        return False  # found as what is not finite
    if kind.kind == "f":
        return abs(value) <= float(np.finfo(kind).max)
    bounds = np.iinfo(kind)
    return bool(bounds.min <= value <= bounds.max and value == int(value))


def looks_like_alpha(band: NDArray[Any]) -> bool:
    """Whether a band that a file calls alpha is one: nearly all of it is nothing or
    full.

    Writers of four bands often call the last one alpha, whatever it is; infrared is
    neither.
    """
    if not band.any():
        return True  # nothing at all is shown
    full = np.iinfo(band.dtype).max if band.dtype.kind in "iu" else 1
    ends = (band <= _TOLERANCE) | (band >= full - _TOLERANCE)
    return bool(band.max() >= full - _TOLERANCE and ends.mean() >= _ALPHA_SHARE)


def both(one: Mask | None, other: Mask | None) -> Mask | None:
    """The pixels that hold data at both dates; None if all do."""
    if one is None:
        return other
    return one if other is None else one & other


def share_lost(mask: Mask | None) -> float:
    """The share of the pixels that hold no data, 0–1."""
    return 0.0 if mask is None else 1.0 - float(mask.mean())
