"""Ground in metres and in other projections: areas, sizes of pixels, corners of
windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.images.windows import Window
from sencap.rasters import Grid, import_rasterio
from sencap.rasters.grid import moved_by, reprojected

# Corners of a polygon, the first not repeated.
Ring = list[tuple[float, float]]

# The ellipsoid of WGS 84: its radius in metres at the equator, how much flatter it is at
# the poles, and the square of its eccentricity.
_RADIUS = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)
WGS84 = "EPSG:4326"


def corners(grid: Grid, window: Window) -> Ring:
    """The corners of a window of a grid, in the grid's coordinates."""
    left, top = window.column, window.row
    right, bottom = left + window.width, top + window.height
    # Down the left side first: against the clock on the map, as GeoJSON wants it.
    places = ((left, top), (left, bottom), (right, bottom), (right, top))
    # Without a place on Earth: in pixels, the row growing downwards.
    if not grid.is_placed:
        return [(float(x), float(y)) for x, y in places]
    return [moved_by(grid.transform, *place) for place in places]


def crs_of(text: str) -> Any:
    """A projection that the user names.

    Raises:
        SettingsError: it is none.
    """
    rasterio = import_rasterio("a scene")
    try:
        # In an Env PROJ does not print.
        with rasterio.Env():
            return rasterio.crs.CRS.from_user_input(text)
    except (rasterio.errors.RasterioError, ValueError) as error:
        raise SettingsError(
            f"crs={text!r} is no projection that is known; give a code such as "
            "EPSG:32633"
        ) from error


def area(grid: Grid, window: Window) -> float | None:
    """The ground of a window in m², on the ellipsoid; None if it is not known where it
    lies."""
    if not grid.is_placed or grid.crs is None:
        return None
    ring = reprojected(corners(grid, window), grid.crs, WGS84)
    if not all(map(math.isfinite, np.ravel(ring))):
        return None
    longitudes, latitudes = np.radians(np.array(ring)).T
    # The cylindrical projection of equal areas: longitude × q(latitude). In it the area
    # of a polygon is the sum over its edges of width × mean height.
    q = _q(latitudes)
    following = np.roll(longitudes, -1) - longitudes
    # The shorter way round, so that an edge may cross the date line.
    turns = (following + np.pi) % (2 * np.pi) - np.pi
    around = float((turns * (q + np.roll(q, -1)) / 2).sum())
    return abs(around) * _RADIUS**2 / 2


def _q(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """What grows with the area between the equator and a latitude, on the ellipsoid."""
    e, sine = math.sqrt(_E2), np.sin(latitude)
    found: NDArray[np.float64] = (1 - _E2) * (
        sine / (1 - _E2 * sine**2) + np.arctanh(e * sine) / e
    )
    return found


def metres_per_pixel(grid: Grid) -> float | None:
    """The side of a pixel in the middle of a grid; None if it is not known."""
    middle = Window(grid.height // 2, grid.width // 2, 1, 1)
    found = area(grid, middle)
    return math.sqrt(found) if found else None


def check_plausible(grid: Grid, path: object) -> None:
    """Refuse degrees that no place on Earth has.

    Raises:
        ImageError: it has such; usually metres were declared to be degrees.
    """
    if not grid.is_placed or grid.crs is None or not grid.crs.is_geographic:
        return
    xs, ys = zip(*corners(grid, Window(0, 0, grid.height, grid.width)), strict=True)
    if max(map(abs, ys)) > 90.01 or max(map(abs, xs)) > 540:
        reach = grid.extent((0, 0, grid.width, grid.height))
        raise ImageError(
            f"{path}: its projection ({grid.crs.to_string()}) counts in degrees, but "
            f"it covers {reach}, which no place on Earth does: give it the right "
            "projection, say by gdal_edit -a_srs"
        )
