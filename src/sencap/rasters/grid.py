"""Grids of pixels on the ground: what two of them share. No pixel is read here."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sencap.errors import DataError, MissingDependencyError

NEAR = 1e-3  # pixels: grids that lie this near to each other are one
_CACHE = "128"  # MB of decoded blocks, for all files; by itself GDAL takes 1/20 of the memory
_STEPS = 20  # pieces of an edge: in another projection it is a curve

Box = tuple[float, float, float, float]  # left, top, right, bottom


def import_rasterio(path: object) -> Any:
    """The package rasterio with what is used of it; ``path`` is what it is wanted for.

    Raises:
        MissingDependencyError: it is not installed.
    """
    # Told before GDAL starts: set for a while, it empties its cache, and decodes all
    # blocks again
    os.environ.setdefault("GDAL_CACHEMAX", _CACHE)
    try:
        import rasterio  # noqa: PLC0415  (an extra)
        import rasterio._err  # noqa: PLC0415
        import rasterio.crs  # noqa: PLC0415
        import rasterio.enums  # noqa: PLC0415
        import rasterio.errors  # noqa: PLC0415
        import rasterio.transform  # noqa: PLC0415
        import rasterio.vrt  # noqa: PLC0415
        import rasterio.warp  # noqa: PLC0415
        import rasterio.windows  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path} as a raster needs the package rasterio: pip install "
            "'sencap[geo]'"
        ) from error
    return rasterio


@dataclass(frozen=True)
class Grid:
    """Pixels of a ground: its projection (None if it is not known), affine transform
    and size.

    A transform that is the identity says that the ground is not known at all.
    """

    crs: Any
    transform: Any
    width: int
    height: int

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the pixels lie, be it in an unknown projection."""
        return not self.transform.is_identity

    def upright(self) -> Grid:
        """The same pixels with north above and west on the left; a turned grid stays
        turned."""
        own = self.transform
        if not self.is_placed or own.b or own.d:
            return self
        # An affine transform is x = a·column + b·row + c, y = d·column + e·row + f.
        # Where a is negative the columns run west, where e is positive the rows run
        # south to north.
        left = own.c if own.a > 0 else own.c + own.a * self.width
        top = own.f if own.e < 0 else own.f + own.e * self.height
        moved = type(own)(abs(own.a), 0.0, left, 0.0, -abs(own.e), top)
        return Grid(self.crs, moved, self.width, self.height)

    def cut(self, box: Box) -> Grid:
        """The whole pixels that lie in a box (in pixels of this grid)."""
        # Only pixels that lie in the box as a whole; NEAR keeps those whose edge misses
        # it by rounding alone.
        left, top = math.ceil(box[0] - NEAR), math.ceil(box[1] - NEAR)
        right, bottom = math.floor(box[2] + NEAR), math.floor(box[3] + NEAR)
        own = self.transform
        moved = own
        if self.is_placed:
            x, y = moved_by(own, left, top)
            moved = type(own)(own.a, own.b, x, own.d, own.e, y)
        return Grid(self.crs, moved, max(right - left, 0), max(bottom - top, 0))

    def extent(self, box: Box) -> str:
        """A box (in pixels of this grid) in its ground's coordinates, for messages."""
        corners = [
            moved_by(self.transform, *corner)
            for corner in (
                (box[0], box[1]),
                (box[2], box[1]),
                (box[2], box[3]),
                (box[0], box[3]),
            )
        ]
        xs, ys = zip(*corners, strict=True)
        # Small numbers are degrees, which need their decimals; others are metres.
        digits = 5 if max(map(abs, (*xs, *ys))) <= 400 else 0
        west, east = (f"{side(xs):.{digits}f}" for side in (min, max))
        south, north = (f"{side(ys):.{digits}f}" for side in (min, max))
        return f"x {west} to {east}, y {south} to {north}"


def moved_by(transform: Any, column: float, row: float) -> tuple[float, float]:
    """A point by an affine transform (whose own sign for it differs between
    versions)."""
    x = transform.a * column + transform.b * row + transform.c
    y = transform.d * column + transform.e * row + transform.f
    return float(x), float(y)


def pixel_box(own: Grid, grid: Grid) -> Box:
    """The ground of a grid in pixels of another: the box around its edges.

    Raises:
        DataError: one of them is placed and the other not; none is, and their sizes
            differ; or one projection cannot be told in the other.
    """
    if not (own.is_placed and grid.is_placed):
        if own.is_placed != grid.is_placed:
            raise DataError(
                "only one of them says where it lies: there is no common ground"
            )
        if (own.width, own.height) != (grid.width, grid.height):
            raise DataError(
                f"neither says where it lies, and they have other sizes: {grid.width}×"
                f"{grid.height} and {own.width}×{own.height} pixels"
            )
        return 0, 0, own.width, own.height
    there = _points_in(own, grid, _edges(own))
    if not there:
        return 0, 0, 0, 0
    # The upright box around an outline that may be turned or bent: at its corners it is
    # more than the ground.
    columns, rows = zip(*there, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def area_in(own: Grid, grid: Grid) -> float:
    """The ground of a grid in square pixels of another, by its corners."""
    corners = [(0.0, 0.0), (own.width, 0.0), (own.width, own.height), (0.0, own.height)]
    points = corners
    if own.is_placed and grid.is_placed:
        points = _points_in(own, grid, corners)
    # The shoelace formula: half the sum of the cross products of neighbouring corners
    # is the area, whatever the direction of the outline.
    following = [*points[1:], *points[:1]]
    crossed = [
        a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True)
    ]
    return abs(sum(crossed)) / 2


def _points_in(
    own: Grid, grid: Grid, points: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Points in pixels of a grid in those of another; without those that it has no
    place for."""
    moved = [moved_by(own.transform, *point) for point in points]
    back = ~grid.transform
    there = reprojected(moved, own.crs, grid.crs)
    return [moved_by(back, x, y) for x, y in there if math.isfinite(x + y)]


def reprojected(
    points: Sequence[tuple[float, float]], source: Any, target: Any
) -> list[tuple[float, float]]:
    """Points of one projection in another; infinite are those for which it has no
    place. As they are, if one projection is not known.

    Raises:
        DataError: nothing can be told of one in the other.
    """
    if source is None or target is None or source == target:
        return list(points)
    rasterio = import_rasterio("a raster")
    try:
        xs, ys = rasterio.warp.transform(source, target, *zip(*points, strict=True))
    except rasterio._err.CPLE_BaseError:
        # one point without a place spoils them all
        if len(points) == 1:
            return [(math.inf, math.inf)]
        one_by_one = (reprojected([one], source, target) for one in points)
        return list(chain.from_iterable(one_by_one))
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{source} cannot be told in {target} ({error})") from error
    return list(zip(xs, ys, strict=True))


def _edges(grid: Grid) -> list[tuple[float, float]]:
    """Points along the four edges of a grid, in its pixels."""
    points = []
    for step in range(_STEPS + 1):
        column, row = grid.width * step / _STEPS, grid.height * step / _STEPS
        points += [(column, 0.0), (column, float(grid.height))]
        points += [(0.0, row), (float(grid.width), row)]
    return points


def shared_box(one: Box, other: Box) -> Box:
    """What two boxes have in common; if nothing, right is left of left or bottom above
    top."""
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def share_of(part: Box, area: float) -> float:
    """The share of a ground of so many square pixels that a box takes, 0–1."""
    width, height = part[2] - part[0], part[3] - part[1]
    if width <= 0 or height <= 0 or area <= 0:
        return 0.0
    return min(1.0, width * height / area)


def offset(own: Grid, grid: Grid) -> tuple[int, int] | None:
    """Where a grid begins in the pixels of a raster's own, (column, row), if its pixels
    are the raster's; None if they would have to be resampled."""
    if not own.is_placed or not grid.is_placed:
        return 0, 0
    if own.crs is not None and grid.crs is not None and own.crs != grid.crs:
        return None
    back = ~own.transform
    column, row = moved_by(back, grid.transform.c, grid.transform.f)
    whole = round(column), round(row)
    off = 0.0
    # three corners tell of shift, size and turn
    for right, down in ((0, 0), (grid.width, 0), (0, grid.height)):
        x, y = moved_by(back, *moved_by(grid.transform, right, down))
        off = max(off, abs(x - whole[0] - right), abs(y - whole[1] - down))
    return whole if off < NEAR else None
