"""Values to 8 bits: what a raster stores as whole levels, and levels by one scale as
uint8.

Three steps, each a function of its own: `to_levels` (any type → uint8 or uint16, holes
0), `scale_of` (the levels of both dates → one `Scale`), and `Scale.to_uint8`. A scale
that the user names takes the place of the first two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.images.scale import check_three_bands, row_blocks
from sencap.rasters import Mask, both

Levels = NDArray[np.uint8] | NDArray[np.uint16]
_LEVELS = 1 << 16
_BRIGHTEST = 6.5535  # reflectance that becomes 65535
_FACTORS = ((_BRIGHTEST, 10_000.0), (100 * _BRIGHTEST, 100.0))
_LOW, _HIGH = 0.02, 0.98
# Of the range from the 2nd to the 98th percentile, this much more to either side:
# measured on photographs stored at 16 bits, whose captions then agree best with those
# of their 8-bit selves.
_MARGIN = 0.5
# Values fill their range, as a photograph's do, if the largest is less than so many
# times the 98th percentile: those of 98 of 100 photographs, and of 11 of 100 small
# pairs of Sentinel-2
_FILLED = 1.9
# Of the largest value: photographs begin below it, usual offsets are above
_NEAR_BLACK = 0.11
_FEWEST_STEPS = 64  # of a picture of 256 levels, spread over more
_FEWEST_LEVELS = 16  # fewer may lie on even steps by chance
_DARK, _BRIGHT = 16, 239  # a date that lies wholly beyond one of them shows nothing
_ADVICE = "say which values are black and white by --scale LOW,HIGH (from Python scale=(low, high))"


@dataclass(frozen=True)
class Scale:
    """How values become 8 bits: linearly, ``low`` to 0 and ``high`` to 255; what lies
    outside is clipped.

    ``told_by`` says what the two bounds are: given, stored (8 bits in a wider type),
    range (all values), or percentiles.

    Raises:
        SettingsError: they are not finite, or low is not below high.
    """

    low: float
    high: float
    told_by: str = "given"

    def __post_init__(self) -> None:
        if not (
            math.isfinite(self.low)
            and math.isfinite(self.high)
            and self.low < self.high
        ):
            raise SettingsError(
                f"scale={self.low:g},{self.high:g}: two numbers LOW,HIGH with LOW "
                "below HIGH"
            )

    def to_uint8(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Values of any real type and shape as uint8; what is not a number becomes
        0."""
        result = np.empty(values.shape, np.uint8)
        # Levels of 16 bits are looked up: there are only 65,536.
        table = self.table() if values.dtype == np.uint16 else None
        for place in np.ndindex(values.shape[:-2]):
            band, out = values[place], result[place]
            # In blocks: the copies of a whole image would take GBs.
            for rows in row_blocks(*band.shape):
                if table is not None:
                    out[rows] = table[band[rows]]
                else:
                    out[rows] = self._scaled(band[rows].astype(np.float64))
        return result

    def table(self) -> NDArray[np.uint8]:
        """What each of the 65,536 levels of 16 bits becomes."""
        return self._scaled(np.arange(_LEVELS, dtype=np.float64))

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        steps = (np.nan_to_num(values, nan=self.low) - self.low) * (
            255 / (self.high - self.low)
        )
        scaled: NDArray[np.uint8] = steps.clip(0, 255).round().astype(np.uint8)
        return scaled

    def details(self) -> dict[str, Any]:
        """As JSON values."""
        return {"low": self.low, "high": self.high, "told_by": self.told_by}


def to_levels(
    values: NDArray[Any], valid: Mask | None = None, scale: Scale | None = None
) -> tuple[Levels, Mask | None]:
    """Values (3, H, W) of any real type as uint8 or uint16, and the pixels with data
    (None: all).

    uint8 and uint16 stay as they are. Floats are reflectance, whose 1.0 becomes 10000,
    or the same in per cent, whose 100 does, or above that levels; floats that are the
    levels of an 8-bit picture, as they are or divided by 255, become those levels.
    Other whole numbers are levels if they fit into 16 bits. With ``scale`` anything is
    uint8 by it. What is not a number, or below 0 in all three bands, is no data. Pixels
    without data become 0.

    Raises:
        ImageError: a range that holds no picture, without ``scale``; the message names
            no file.
    """
    if scale is None:
        levels, valid, _ = fit_levels(values, valid)
        return levels, valid
    if values.dtype.kind == "f":
        valid = both(valid, _or_none(np.isfinite(values), 3))
    # Whoever gives a scale may mean negative values, such as decibels.
    if scale.told_by != "given" and values.dtype.kind in "if":
        valid = both(valid, _or_none(values >= 0, 1))
    return _without(scale.to_uint8(values), valid)


class Fitted(NamedTuple):
    """Levels, which pixels hold data (None: all), and the factor that made levels of
    the values."""

    levels: Levels
    valid: Mask | None
    factor: float


def fit_levels(values: NDArray[Any], valid: Mask | None = None) -> Fitted:
    """`to_levels` without a scale, and the factor: parts of a raster have to be read as
    the whole is, and not by what they hold themselves.

    >>> fit_levels(np.linspace(0, 0.9, 12, dtype=np.float32).reshape(3, 2, 2)).factor
    10000.0

    Raises:
        ImageError: as `to_levels`.
    """
    # A pixel of floats holds data only if all three bands are finite. Further below, one
    # that is negative in all three holds none either: -9999 is a usual mark of that.
    if values.dtype.kind == "f":
        valid = both(valid, _or_none(np.isfinite(values), 3))
    levels: Levels
    factor = 1.0
    if values.dtype.name in ("uint8", "uint16"):
        levels = values.astype(values.dtype.newbyteorder("="), copy=False)
    elif values.dtype.kind in "iuf":
        valid = both(valid, _or_none(values >= 0, 1))
        levels, factor = _fitted(values, valid)
    else:
        raise ImageError(
            f"its values are {values.dtype}: store them as uint8 or uint16"
        )
    return Fitted(*_without(levels, valid), factor)


def _without(levels: Levels, valid: Mask | None) -> tuple[Levels, Mask | None]:
    """The levels, 0 where there are no data."""
    if valid is None:
        return levels, None
    return np.where(valid, levels, levels.dtype.type(0)), valid


def _or_none(good: NDArray[np.bool_], bands: int) -> Mask | None:
    """The pixels of which at least so many bands are good; None if all are."""
    mask: Mask = np.count_nonzero(good, axis=0) >= bands
    return None if mask.all() else mask


def _fitted(values: NDArray[Any], valid: Mask | None) -> tuple[Levels, float]:
    """Floats and signed or wide whole numbers as levels, and what they were multiplied
    with."""
    if 2 * np.count_nonzero(values < 0) > values.size:
        low, high = (float(end) for end in (np.nanmin(values), np.nanmax(values)))
        raise ImageError(
            f"most of its values are below 0 (they go from {low:g} to {high:g}), as "
            f"decibels and differences do; {_ADVICE}"
        )
    shown = values if valid is None else values[:, valid]
    most = float(shown.max(initial=0))
    if values.dtype.kind != "f":
        if most >= _LEVELS:
            raise ImageError(
                f"its values reach {most:g}, more than 16 bits hold; {_ADVICE}"
            )
        return values.clip(0, _LEVELS - 1).astype(np.uint16), 1.0
    if most >= _LEVELS:
        raise ImageError(f"its values reach {most:g}, which no light has; {_ADVICE}")
    # An 8-bit picture stored as floats, 0–1 or 0–255. Where the largest value is from 1
    # to 6.55 reflectance is meant.
    factor = 255.0 if most <= 1 else 1.0
    if (most <= 1 or _BRIGHTEST < most <= 255) and _are_whole(shown, factor):
        return _rounded(values, factor).astype(np.uint8), factor
    # Reflectance up to 6.55, the same in per cent up to 655, or levels above that.
    factor = next((by for top, by in _FACTORS if most <= top), 1.0)
    return _rounded(values, factor), factor


def reflectance_levels(values: NDArray[Any]) -> NDArray[Any]:
    """Floats of reflectance as uint16, 1.0 as 10000 and what is not a number as 0;
    whole numbers as they are. Unlike `to_levels` it does not look at the values, and so
    is the same for all cells of a raster."""
    return _rounded(values, 10_000.0) if values.dtype.kind == "f" else values


def _are_whole(shown: NDArray[Any], factor: float) -> bool:
    """Whether values times a factor are whole numbers, more than two of them."""
    some = (
        shown.reshape(-1)[:: max(1, shown.size // 100_000)].astype(np.float64) * factor
    )
    # Some 100,000 values are enough to tell. More than two levels are asked for, as a
    # mask of 0 and 1 is whole too.
    off = np.abs(some - some.round()).max(initial=0)
    return bool(off < 1e-3 and np.ptp(some) > 2)


def _rounded(values: NDArray[Any], factor: float) -> NDArray[np.uint16]:
    """Values times a factor as uint16, in blocks: the copies would take several GB."""
    result = np.empty(values.shape, np.uint16)
    for rows in row_blocks(*values.shape[-2:]):
        exact = np.nan_to_num(
            values[..., rows, :].astype(np.float64), posinf=0, neginf=0
        )
        result[..., rows, :] = (exact * factor).clip(0, _LEVELS - 1).round()
    return result


def count_levels(image: NDArray[Any]) -> NDArray[np.int64]:
    """How often each of the 65,536 levels occurs in an image (3, H, W) of 8 or 16 bits.

    Pixels that are 0 in all three bands hold no data and do not count.
    """
    counts = counts_of_none()
    empty = 0
    for rows in row_blocks(*image.shape[1:]):
        block = image[:, rows]
        empty += int(np.count_nonzero(~block.any(axis=0)))
        for band in block:
            counts += np.bincount(band.ravel(), minlength=_LEVELS)
    # Such a pixel was counted once in each of its three bands, at level 0.
    counts[0] -= 3 * empty
    return counts


def scale_of(counts: NDArray[np.int64]) -> Scale:
    """The scale of levels, from how often each occurs at both dates together: that of
    an 8-bit picture in a wider type, else all values if they fill their range, else by
    percentiles. It is one for all bands, so that colours stay as they are."""
    if not counts.any():
        return Scale(0, 1, "percentiles")  # no data at all
    return _of_picture(counts) or _of_range(counts) or _of_percentiles(counts)


def common_scale(
    counts: Sequence[NDArray[np.int64] | None], labels: Sequence[str]
) -> Scale | None:
    """The one scale of both dates, from how often each level occurs at either; None if
    both have 8 bits, for which ``counts`` are None.

    Beside a date of 8 bits only a picture of 8 bits stored at 16 has a scale: it
    becomes itself.

    Raises:
        ImageError: one date has 8 bits, and the other values of which nobody knows what
            they are.
    """
    deep = [number for number, count in enumerate(counts) if count is not None]
    if not deep:
        return None
    scale = scale_of(
        sum((count for count in counts if count is not None), counts_of_none())
    )
    if len(deep) < len(counts) and (scale.told_by != "stored" or scale.low != 0):
        shallow = labels[1 - deep[0]]
        raise ImageError(
            f"{shallow} has 8 bits and {labels[deep[0]]} 16, which are no picture of "
            "8 bits stored at 16: there is no common scale. Export both with the "
            "same number of bits."
        )
    return scale


def counts_of_none() -> NDArray[np.int64]:
    """The counts of no image: 0 for each of the 65,536 levels."""
    return np.zeros(_LEVELS, np.int64)


def _of_picture(counts: NDArray[np.int64]) -> Scale | None:
    """The scale that gives back the levels of an 8-bit picture; None if it is none.

    Pictures are widened by any step: from 0 on, or from any level on. Then nobody knows
    what black was, and the picture is put in the middle of 256 levels.
    """
    used = np.flatnonzero(counts)
    low, high = int(used[0]), int(used[-1])
    # An 8-bit picture stored wider uses at most 256 levels at even distances, such as
    # multiples of 257: the greatest common divisor of the distances is the step.
    step = int(np.gcd.reduce(used - low))
    if not _FEWEST_LEVELS <= len(used) <= 256 or high - low > 255 * step:
        return None
    if (high - low) // step < _FEWEST_STEPS:
        return None
    if low % step == 0 and high <= 255 * step:
        return Scale(0, 255 * step, "stored")
    # The unused levels are shared out evenly below and above.
    start = low - step * ((255 - (high - low) // step) // 2)
    return Scale(start, start + 255 * step, "stored")


def _of_range(counts: NDArray[np.int64]) -> Scale | None:
    """From black to the largest value, if the values fill that range as a photograph's
    do; None if they do not. Black is 0, unless they begin well above it."""
    share = counts.cumsum()
    # The cumulative counts give percentiles: the first level at which 98 % of all
    # values are reached.
    high = int(np.searchsorted(share, share[-1] * _HIGH))
    used = np.flatnonzero(counts)
    low, most = int(used[0]), int(used[-1])
    if most > _FILLED * high or most == low:
        return None
    return Scale(0 if low <= _NEAR_BLACK * most else low, most, "range")


def _of_percentiles(counts: NDArray[np.int64]) -> Scale:
    """From the 2nd to the 98th percentile and half as much more to either side, but no
    further than the values go."""
    share = counts.cumsum()
    low, high = (
        int(end) for end in np.searchsorted(share, share[-1] * np.array([_LOW, _HIGH]))
    )
    used = np.flatnonzero(counts)
    more = _MARGIN * (high - low)
    start, end = max(float(used[0]), low - more), min(float(used[-1]), high + more)
    # One level alone has no range.
    return Scale(start, max(end, start + 1), "percentiles")


def check_seen(
    counts: NDArray[np.int64], scale: Scale, label: str, *, is_scaled: bool = False
) -> None:
    """Refuse a date that the scale makes all black or all white, or that has one level
    only.

    ``counts`` are those of its levels, which are 8 bits by the scale if it
    ``is_scaled`` already.

    Raises:
        ImageError: it does; the message names the date.
    """
    share = counts.cumsum()
    low, high = np.searchsorted(share, share[-1] * np.array([_LOW, _HIGH]))
    used = np.flatnonzero(counts)
    if len(used) <= 1 and not is_scaled:
        value = int(used[0]) if len(used) else 0
        raise ImageError(f"{label}: all its values are {value}: it holds no picture")
    # The 2nd and 98th percentiles, as they are shown: if even the brighter one is
    # nearly black, or the darker one nearly white, nothing can be seen.
    seen = np.array([low, high]) if is_scaled else scale.table()[[low, high]]
    if seen[1] >= _DARK and seen[0] <= _BRIGHT:
        return
    look = "black" if seen[1] < _DARK else "white"
    where = "" if is_scaled else f", since most of its values lie from {low} to {high}"
    raise ImageError(
        f"{label}: on the scale from {scale.low:g} (black) to {scale.high:g} (white) "
        f"it is all {look}{where}: are both dates stored in one unit? Or {_ADVICE}"
    )


def stretch(images: Levels) -> NDArray[np.uint8]:
    """Images (…, 3, H, W) of one place as uint8; uint8 stays as it is.

    uint16 is mapped linearly, by one scale for all images and bands, so that what is
    unchanged stays unchanged. A picture of 8 bits that was stored at 16 becomes itself
    again. Other values that fill their range, as a photograph's do, go to 0–255 from 0,
    or from the least of them if that is far from 0, to the largest. Of what is left the
    range from the 2nd to the 98th percentile, and half as much more to either side,
    goes to 0–255. Pixels that are 0 in all three bands (no data) do not count.

    Raises:
        ShapeError: another shape or type.
    """
    check_three_bands(images, "uint8", "uint16")
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    flat = images.reshape(-1, *images.shape[-3:])
    # One scale for all images: what is unchanged has to look unchanged.
    counts = sum((count_levels(image) for image in flat), counts_of_none())
    return scale_of(counts).to_uint8(images)
