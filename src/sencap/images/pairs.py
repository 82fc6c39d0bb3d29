"""Two images of one place as an `ImagePair`, at their own size or reduced as they are
read."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.images.common import check_sides
from sencap.images.ground import as_rasters, has_rasterio, is_path, is_raster
from sencap.images.join import put_together
from sencap.images.levels import Levels, to_levels
from sencap.images.options import USUAL, Read, Reading
from sencap.images.scale import check_size
from sencap.images.sources import ImageSource, read_file, read_source
from sencap.rasters import AlignedRasters, Grid, Mask, Raster, share_lost
from sencap.structures import ImagePair

_log = logging.getLogger(__name__)

# Pixels: a larger pair of rasters is reduced to so many by means of blocks, as it is
# read.
_MOST_READ = 16_000_000


def read_image(
    path: str | Path, *, like: str | Path | None = None, reading: Reading = USUAL
) -> Levels:
    """One image file as (3, H, W), bands R, G, B: uint8 0–255, or uint16 where the file
    has more bits. Pixels without data are 0.

    A file that says where it lies or which of its pixels hold data is read as a raster,
    if the extra ``geo`` is installed; otherwise the log says what is ignored. It is
    then put on the grid of the file ``like``, if one is given and says where it lies
    too.

    Raises:
        ImageError: the file is missing, unreadable, damaged, of a kind that the head of
            `sencap.images` refuses, narrower than `MIN_SIDE`, above `MAX_PIXELS` (told
            from its header, before it is decoded), or holds too little data on the grid
            of ``like``.
    """
    path = Path(path)
    # Without rasterio a raster's pixels are read as those of a plain picture, and the
    # notes say what is ignored.
    if not (has_rasterio() and is_raster(path)):
        read = read_file(path, reading)
        for note in read.notes:
            _log.warning(f"warning: {note}")
        return _blackened(read)
    with Raster(path, bands=reading.bands) as raster:
        grid = raster.grid if like is None else _grid_of(Path(like))
        # Only files that both say where they lie can be laid over each other.
        if like is not None and raster.grid.is_placed and grid.is_placed:
            raster.put_on(grid)
        check_file_sides(path, raster.grid.width, raster.grid.height)
        values, valid = raster.read()
    lost = share_lost(valid)
    if like is not None and lost > reading.empty:
        raise ImageError(
            f"{path}: {lost:.0%} of the ground of {like} holds no data in it"
        )
    return _blackened(_levels(path, values, valid, reading))


def _grid_of(path: Path) -> Grid:
    with Raster(path) as raster:
        return raster.grid


def read_pixels(path: str | Path) -> Levels:
    """One image file as `read_image`, whatever it says of its ground and of pixels
    without data: for layouts whose files are known to lie on one grid."""
    return _contiguous(read_file(Path(path)).image)


def read_pair(
    before: str | Path,
    after: str | Path,
    name: str = "",
    *,
    size: int | None = None,
    reading: Reading = USUAL,
) -> ImagePair:
    """Two image files of one place as an `ImagePair`; ``name`` is the file name of
    ``before`` if not given. Else as `as_pair`."""
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
    """Two images of one place as an `ImagePair`: files or anything that the head of
    `sencap.images` names.

    Files that say where they lie are put on the grid of ``before``, over the ground
    that both show (the extra ``geo``). Others must have one size. Two images of 16 bits
    are brought to 8 as `stretch` says, by the same scale. Where a date holds no data
    both show the same. What was chosen, and what a user has to know, is in the pair's
    ``details`` and ``notes``.

    With ``size`` the pair is that of `resize`, ``size`` × ``size`` pixels, pixel for
    pixel; but each image is reduced as soon as it is read, so that the whole pair is
    never in memory. ``name`` is the file name of ``before``, if it is a path and no
    other is given.

    Raises:
        ImageError: one cannot be read or is refused, they have no ground in common or
            their sizes differ, one has 8 bits and the other 16 that are no picture of
            8, there is no picture in their values, or too little of the pair holds
            data.
        ShapeError: something that is no image, or an array of another shape or type.
        SettingsError: a size below 1.
    """
    if size is not None:
        check_size(size)
    name = name or _file_name(before)
    if rasters := as_rasters(before, after):
        return _pair_of_rasters(*rasters, name, size, reading)
    sources = (before, after)
    labels = (_label(before, "before"), _label(after, "after"))

    def read(date: int) -> Read:
        return read_source(sources[date], labels[date], reading)

    # A file can be read again, a stream cannot. Where the image is wanted at its own
    # size nothing is saved by letting it go.
    twice = is_path(before) and size is not None
    return put_together(read, labels, name, size, reading, may_read_twice=twice)


def _pair_of_rasters(
    before: Path, after: Path, name: str, size: int | None, reading: Reading
) -> ImagePair:
    """Two georeferenced files on the grid of the first."""
    with AlignedRasters(before, after, bands=reading.bands) as rasters:
        grid = rasters.grid
        shape = None
        # At the images' own size they must be within bounds; for the model they are
        # reduced as they are read, and may have any size.
        if size is None:
            check_file_sides(before, grid.width, grid.height)
        elif grid.width * grid.height > _MOST_READ:
            # The model sees some hundred pixels a side, so a raster of any size may be
            # read coarsely. The share holds for each side, and its square for the
            # pixels.
            share = math.sqrt(_MOST_READ / (grid.width * grid.height))
            shape = (
                max(1, round(grid.height * share)),
                max(1, round(grid.width * share)),
            )

        def read(date: int) -> Read:
            values, valid = rasters.read(date, shape=shape)
            return _levels((before, after)[date], values, valid, reading)

        labels = str(before), str(after)
        twice = size is not None
        pair = put_together(read, labels, name, size, reading, may_read_twice=twice)
        # "pixels" is the size of the ground that was compared, and not that of the
        # coarser reading.
        details = {
            **pair.details,
            **rasters.details(),
            "pixels": [grid.width, grid.height],
        }
    return ImagePair(pair.images, pair.name, (*rasters.notes, *pair.notes), details)


def _levels(
    path: Path, values: NDArray[Any], valid: Mask | None, reading: Reading
) -> Read:
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


def check_file_sides(path: Path, width: int, height: int) -> None:
    """`check_sides` of a file that the message names."""
    try:
        check_sides(width, height)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _label(source: ImageSource, date: str) -> str:
    """How messages call an image: by its path, or by its date."""
    return str(source) if is_path(source) else date


def _file_name(source: ImageSource) -> str:
    return Path(source).name if is_path(source) else ""
