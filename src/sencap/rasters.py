"""Georeferenced rasters on one grid, by rasterio: where they overlap, and squares of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sencap.errors import DataError, MissingDependencyError

_NEAR = 1e-3  # pixels: rasters this near to a grid lie on it
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Grid:
    """Pixels of a common ground: its projection (None: rasters without one), affine transform and
    size."""

    crs: Any
    transform: Any
    width: int
    height: int


def import_rasterio(path: object) -> Any:
    """The package rasterio with what is used of it; ``path`` is what it is wanted for.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import rasterio  # noqa: PLC0415  (an extra)
        import rasterio.errors  # noqa: PLC0415
        import rasterio.vrt  # noqa: PLC0415
        import rasterio.warp  # noqa: PLC0415
        import rasterio.windows  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"cutting {path} into places needs the package rasterio: pip install 'sencap[geo]'"
        ) from error
    return rasterio


def pixel_box(raster: Any, grid: Grid) -> Box:
    """The ground of a raster in pixels of a grid.

    Raises:
        DataError: only one of them has a projection, they have none and differ in size, or the grid
            is turned.
    """
    own = grid.transform
    if grid.crs is not None and (own.b or own.d or own.a <= 0 or own.e >= 0):
        raise DataError(
            f"{raster.name}: the first raster's grid is turned; warp it to a north-up one first"
        )
    if (raster.crs is None) != (grid.crs is None):
        raise DataError(
            f"{raster.name} or the first raster has no projection: there is no common ground"
        )
    if raster.crs is None:
        if raster.shape != (grid.height, grid.width):
            raise DataError(
                f"{raster.name} has no projection and another size than the first raster"
            )
        return 0, 0, raster.width, raster.height
    left, bottom, right, top = raster.bounds
    if raster.crs != grid.crs:
        warp = import_rasterio(raster.name).warp
        left, bottom, right, top = warp.transform_bounds(
            raster.crs, grid.crs, left, bottom, right, top
        )
    return (
        (left - own.c) / own.a,
        (top - own.f) / own.e,
        (right - own.c) / own.a,
        (bottom - own.f) / own.e,
    )


def shared_box(one: Box, other: Box) -> Box:
    """What two boxes have in common; if nothing, right is left of left or bottom above top."""
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def cut_grid(grid: Grid, box: Box) -> Grid:
    """The whole pixels of a grid that lie in a box (in its pixels)."""
    left, top = math.ceil(box[0] - _NEAR), math.ceil(box[1] - _NEAR)
    right, bottom = math.floor(box[2] + _NEAR), math.floor(box[3] + _NEAR)
    own = grid.transform
    moved = type(own)(own.a, own.b, own.c + left * own.a, own.d, own.e, own.f + top * own.e)
    return Grid(grid.crs, moved, max(right - left, 0), max(bottom - top, 0))


@dataclass(frozen=True)
class OnGrid:
    """A raster as its grid sees it: its own pixels, moved, or resampled ones."""

    dataset: Any
    right: int = 0
    down: int = 0

    def read(self, bands: list[int], *, row: int, column: int, size: int) -> NDArray[Any]:
        """A square of the grid, (bands, size, size); what is not shown is no-data, or 0 without
        such a value."""
        windows = import_rasterio(self.dataset.name).windows
        window = windows.Window(column + self.right, row + self.down, size, size)
        found: NDArray[Any] = self.dataset.read(bands, window=window)
        return found


def put_on_grid(raster: Any, grid: Grid) -> OnGrid:
    """A raster on a grid: as it is if its pixels lie on the grid's, else resampled bilinearly when
    read."""
    if raster.crs is None:
        return OnGrid(raster)
    rasterio, own, wanted = import_rasterio(raster.name), raster.transform, grid.transform
    right, down = (wanted.c - own.c) / wanted.a, (wanted.f - own.f) / wanted.e
    drift = max(abs(own.a / wanted.a - 1) * grid.width, abs(own.e / wanted.e - 1) * grid.height)
    shift = max(abs(place - round(place)) for place in (right, down))
    if raster.crs == grid.crs and own.b == own.d == 0 and max(drift, shift) < _NEAR:
        return OnGrid(raster, round(right), round(down))
    warped = rasterio.vrt.WarpedVRT(
        raster,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=rasterio.warp.Resampling.bilinear,
    )
    return OnGrid(warped)
