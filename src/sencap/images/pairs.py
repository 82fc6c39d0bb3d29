"""Two images of one place as an `ImagePair`, at their own size or reduced as they are read."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.files import not_a_file
from sencap.images.common import check_sides
from sencap.images.holes import fill_alike
from sencap.images.levels import (
    Levels,
    Scale,
    check_seen,
    count_levels,
    scale_of,
    to_levels,
)
from sencap.images.options import USUAL, Read, Reading
from sencap.images.scale import check_size, resample_band, resize
from sencap.images.sources import ImageSource, read_file, read_source
from sencap.images.tiff import georeference
from sencap.rasters import AlignedRasters, Grid, Mask, Raster, both, share_lost
from sencap.structures import ImagePair

log = logging.getLogger(__name__)

# Bytes of an image that is rather read twice than kept while the other is read
_LARGE = 32 << 20
# pixels: a larger pair of rasters is reduced to so many by means of blocks, as it is read
_MOST_READ = 16_000_000


def read_image(
    path: str | Path, *, like: str | Path | None = None, reading: Reading = USUAL
) -> Levels:
    """One image file as (3, H, W), bands R, G, B: uint8 0–255, or uint16 where the file has more
    bits. Pixels without data are 0.

    A file that says where it lies or which of its pixels hold data is read as a raster, if the
    extra ``geo`` is installed; otherwise the log says what is ignored. It is then put on the grid
    of the file ``like``, if one is given and says where it lies too.

    Raises:
        ImageError: the file is missing, unreadable, damaged, of a kind that the head of
            `sencap.images` refuses, narrower than `MIN_SIDE`, above `MAX_PIXELS` (told from its
            header, before it is decoded), or holds too little data on the grid of ``like``.
    """
    path = Path(path)
    if not (_has_rasterio() and is_raster(path)):
        read = read_file(path, reading)
        for note in read.notes:
            log.warning(f"warning: {note}")
        return _blackened(read)
    with Raster(path, bands=reading.bands) as raster:
        grid = raster.grid if like is None else _grid_of(Path(like))
        if like is not None and raster.grid.is_placed and grid.is_placed:
            raster.put_on(grid)
        check_file_sides(path, raster.grid.width, raster.grid.height)
        values, valid = raster.read()
    lost = share_lost(valid)
    if like is not None and lost > reading.empty:
        raise ImageError(f"{path}: {lost:.0%} of the ground of {like} holds no data in it")
    return _blackened(_levels(path, values, valid, reading))


def _grid_of(path: Path) -> Grid:
    with Raster(path) as raster:
        return raster.grid


def read_pixels(path: str | Path) -> Levels:
    """One image file as `read_image`, whatever it says of its ground and of pixels without data:
    for layouts whose files are known to lie on one grid."""
    return _contiguous(read_file(Path(path)).image)


def read_pair(
    before: str | Path,
    after: str | Path,
    name: str = "",
    *,
    size: int | None = None,
    reading: Reading = USUAL,
) -> ImagePair:
    """Two image files of one place as an `ImagePair`; ``name`` is the file name of ``before`` if
    not given. Else as `as_pair`."""
    label = name or Path(before).name
    return as_pair(before, after, name=label, size=size, reading=reading)


def as_pair(
    before: ImageSource,
    after: ImageSource,
    *,
    name: str = "",
    size: int | None = None,
    reading: Reading = USUAL,
) -> ImagePair:
    """Two images of one place as an `ImagePair`: files or anything that the head of `sencap.images`
    names.

    Files that say where they lie are put on the grid of ``before``, over the ground that both show
    (the extra ``geo``). Others must have one size. Two images of 16 bits are brought to 8 as
    `stretch` says, by the same scale. Where a date holds no data both
    show the same. What
    was chosen, and what a user has to know, is in the pair's ``details`` and ``notes``.

    With ``size`` the pair is that of `resize`, ``size`` × ``size`` pixels, pixel for pixel; but
    each image is reduced as soon as it is read, so that the whole pair is never in memory. ``name``
    is the file name of ``before``, if it is a path and no other is given.

    Raises:
        ImageError: one cannot be read or is refused, they have no ground in common or their sizes
            differ, one has 8 and the other 16 bits, there is no picture in their values, or too
            little of the pair holds data.
        ShapeError: something that is no image, or an array of another shape or type.
        SettingsError: a size below 1.
    """
    if size is not None:
        check_size(size)
    name = name or _file_name(before)
    if rasters := as_rasters(before, after):
        return _pair_of_rasters(*rasters, name, size, reading)
    sources, labels = (before, after), (_label(before, "before"), _label(after, "after"))

    def read(date: int) -> Read:
        return read_source(sources[date], labels[date], reading)

    twice = _is_path(before) and size is not None
    return _put_together(read, labels, name, size, reading, may_read_twice=twice)


def _pair_of_rasters(
    before: Path, after: Path, name: str, size: int | None, reading: Reading
) -> ImagePair:
    """Two georeferenced files on the grid of the first."""
    with AlignedRasters(before, after, bands=reading.bands) as rasters:
        grid = rasters.grid
        shape = None
        if size is None:
            check_file_sides(before, grid.width, grid.height)
        elif grid.width * grid.height > _MOST_READ:
            share = math.sqrt(_MOST_READ / (grid.width * grid.height))
            shape = max(1, round(grid.height * share)), max(1, round(grid.width * share))

        def read(date: int) -> Read:
            values, valid = rasters.read(date, shape=shape)
            return _levels((before, after)[date], values, valid, reading)

        labels = str(before), str(after)
        twice = size is not None
        pair = _put_together(read, labels, name, size, reading, may_read_twice=twice)
        details = {**pair.details, **rasters.details(), "pixels": [grid.width, grid.height]}
    return ImagePair(pair.images, pair.name, (*rasters.notes, *pair.notes), details)


def _put_together(
    read: Callable[[int], Read],
    labels: tuple[str, str],
    name: str,
    size: int | None,
    reading: Reading,
    *,
    may_read_twice: bool,
) -> ImagePair:
    """Read both dates, bring them to one scale, and make what has no data alike at both."""
    given = reading.given_scale()
    one = _Date(labels[0], lambda: read(0), size, given, may_read_twice=may_read_twice)
    other = _Date(labels[1], lambda: read(1), size, given)
    _check_alike(one, other)
    masks = one.valid, other.valid
    lost = [share_lost(mask) for mask in (*masks, both(*masks))]
    _check_data(lost, labels, reading)
    scale = given or _common_scale(one, other)
    if scale is not None:
        for date in (one, other):
            date.check_seen(scale)
    if lost[2] > 0:
        sides = one.shape[1:] if size is None else (size, size)
        images = np.empty((2, 3, *sides), np.uint8)
        for number in range(3):
            filled = fill_alike(one.band(number, scale), other.band(number, scale), *masks)
            for place, band in enumerate(filled):
                images[place, number] = resample_band(band, *sides)
    else:
        after = other.reduced(scale)  # first: it can be let go then, and the other be read again
        images = np.stack([one.reduced(scale), after])
    notes = [*one.notes, *other.notes]
    if lost[2] > 0:
        notes.append(
            f"{lost[2]:.1%} of the pair holds no data (before {lost[0]:.1%}, after {lost[1]:.1%}): "
            "both dates show the same there"
        )
    details = {
        "pixels": [one.shape[2], one.shape[1]],
        "scale": None if scale is None else scale.details(),
        "no_data": [round(share, 4) for share in lost],
    }
    return ImagePair(images, name, tuple(notes), details)


class _Date:
    """One date of a pair while the other is read: what is known of it, and no more of its pixels
    than needed.

    8 bits are reduced at once; but where the other date decides what becomes of the pixels, they
    are kept, or read again if they are many.
    """

    def __init__(
        self,
        label: str,
        read: Callable[[], Read],
        size: int | None,
        given: Scale | None,
        *,
        may_read_twice: bool = False,
    ) -> None:
        image, self.valid, self.notes = read()
        self.label, self.shape, self.dtype = label, image.shape, image.dtype
        self._read, self._size, self._is_scaled = read, size, given is not None
        self.counts: NDArray[np.int64] | None = None
        if self._is_scaled or self.dtype != np.uint8:
            self.counts = count_levels(image)
        self._reduced: NDArray[np.uint8] | None = None
        self._kept: NDArray[Any] | None = image
        if self.dtype == np.uint8 and self.valid is None:
            self._reduced = _reduced(image, size)
            self._kept = None if may_read_twice or size is None else image
        elif may_read_twice and image.nbytes > _LARGE:
            self._kept = None

    def check_seen(self, scale: Scale) -> None:
        """Refuse what shows nothing by the scale."""
        if self.counts is not None:
            check_seen(self.counts, scale, self.label, is_scaled=self._is_scaled)

    def reduced(self, scale: Scale | None) -> NDArray[np.uint8]:
        """The 8-bit image at the wanted size; the date keeps no pixels then."""
        image, self._kept = self._kept, None
        if self._reduced is not None:
            return self._reduced
        if image is None:
            image = self._read().image
        height, width = self.shape[1:] if self._size is None else (self._size, self._size)
        result = np.empty((3, height, width), np.uint8)
        for number, band in enumerate(image):  # one at a time: a whole image would be a copy more
            result[number] = resample_band(self._to_uint8(band, scale), height, width)
        return result

    def band(self, number: int, scale: Scale | None) -> NDArray[np.uint8]:
        """One band of 8 bits at its own size."""
        if self._kept is None:
            self._kept = self._read().image
        return self._to_uint8(self._kept[number], scale)

    def _to_uint8(self, levels: NDArray[Any], scale: Scale | None) -> NDArray[np.uint8]:
        if levels.dtype == np.uint8 or scale is None:
            return levels
        return scale.to_uint8(levels)


def _reduced(image: NDArray[Any], size: int | None) -> NDArray[np.uint8]:
    return image if size is None else resize(image, size)


def _common_scale(one: _Date, other: _Date) -> Scale | None:
    """The scale of two dates of 16 bits; None for 8 bits."""
    if one.counts is None or other.counts is None:
        return None
    return scale_of(one.counts + other.counts)


def _levels(path: Path, values: NDArray[Any], valid: Mask | None, reading: Reading) -> Read:
    """A raster's values as levels; the error names the file."""
    try:
        return Read(*to_levels(values, valid, reading.given_scale()))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _blackened(read: Read) -> Levels:
    """The image of one date, 0 where it holds no data."""
    image: NDArray[Any] = read.image
    if read.valid is not None:
        image = np.where(read.valid, image, image.dtype.type(0))
    return _contiguous(image)


def _contiguous(image: NDArray[Any]) -> Levels:
    return np.ascontiguousarray(image)


def _check_alike(one: _Date, other: _Date) -> None:
    """Refuse two images of different sizes, or of 8 and 16 bits."""
    if one.shape != other.shape:
        sizes = [f"{known.label} is {known.shape[2]}×{known.shape[1]}" for known in (one, other)]
        what = f"the two images differ in size: {', '.join(sizes)} pixels"
        raise ImageError(f"{what}. Cut or resample them to the same ground.")
    if one.dtype != other.dtype:
        types = f"{one.label} is {one.dtype} and {other.label} {other.dtype}"
        raise ImageError(
            f"{types}: there is no common scale. Export both with the same number of bits."
        )


def _check_data(lost: list[float], labels: tuple[str, str], reading: Reading) -> None:
    """Refuse a pair of which too little holds data at both dates."""
    if lost[2] > reading.empty or lost[2] == 1:
        raise ImageError(
            f"{lost[2]:.0%} of the pair holds no data ({labels[0]}: {lost[0]:.0%}, {labels[1]}: "
            f"{lost[1]:.0%}), above {reading.empty:.0%}: there is too little to compare. Give "
            "images of more common ground, or another share by --empty (from Python empty=…)"
        )


def is_raster(path: Path) -> bool:
    """Whether a file says more than its colours: where it lies, which of its pixels hold data, what
    its bands are called; in itself or in a file beside it.

    A file that cannot be read is none: whoever reads it says why.
    """
    if not_a_file(path):
        return False
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
            if is_tiff and georeference(file):
                return True
    except Exception:  # damaged files raise anything
        return False
    beside = [path.with_name(path.name + more) for more in ("w", ".aux.xml", ".msk")]
    beside.append(path.with_suffix(".wld"))
    if len(path.suffix) > 2:  # of x.tif x.tfw says where it lies
        beside.append(path.with_suffix(f"{path.suffix[:2]}{path.suffix[-1]}w"))
    return any(file.is_file() for file in beside)


def check_file_sides(path: Path, width: int, height: int) -> None:
    """`check_sides` of a file that the message names."""
    try:
        check_sides(width, height)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def as_rasters(before: ImageSource, after: ImageSource) -> tuple[Path, Path] | None:
    """The paths of two files of which one says more than its colours, if rasterio is there to heed
    it; None for any other images."""
    if not (_is_path(before) and _is_path(after) and _has_rasterio()):
        return None
    paths = Path(before), Path(after)
    return paths if any(is_raster(path) for path in paths) else None


@cache
def _has_rasterio() -> bool:
    return importlib.util.find_spec("rasterio") is not None


def _is_path(source: ImageSource) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(source, str | os.PathLike)


def _label(source: ImageSource, date: str) -> str:
    """How messages call an image: by its path, or by its date."""
    return str(source) if _is_path(source) else date


def _file_name(source: ImageSource) -> str:
    return Path(source).name if _is_path(source) else ""
