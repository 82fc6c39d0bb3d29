"""The part of a scene that is to be looked at, from a GeoJSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import DataError, SettingsError
from sencap.images.windows import Window
from sencap.json_files import read_json
from sencap.rasters import Box, Grid
from sencap.rasters.grid import moved_by, reprojected
from sencap.scenes.ground import WGS84, Ring


class Area:
    """Polygons of a GeoJSON file (longitude and latitude, WGS 84) on the grid of a
    scene.

    Raises:
        DataError: no GeoJSON, or no polygon in it.
        SettingsError: the scene does not say where it lies, or the area lies elsewhere.
    """

    def __init__(self, path: str | Path, grid: Grid) -> None:
        if not grid.is_placed or grid.crs is None:
            raise SettingsError(
                f"roi={path}: the before image does not say where it lies"
            )
        self._grid = grid
        content = read_json(path, error=DataError)
        try:
            polygons = _polygons(content)
            self._polygons = [found for found in map(self._here, polygons) if found]
            self._boxes = [_box(polygon[0]) for polygon in self._polygons]
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(
                f"{path}: a polygon in it cannot be read; write it again"
            ) from error
        if not polygons:
            raise DataError(
                f"{path} holds no polygon: give a GeoJSON file of one or more"
            )
        if not self.meets(Window(0, 0, grid.height, grid.width)):
            where = grid.extent((0, 0, grid.width, grid.height))
            raise SettingsError(
                f"roi={path} lies outside of the scene, which covers {where} in "
                f"{grid.crs.to_string()}; GeoJSON counts in degrees, longitude first"
            )

    def meets(self, window: Window) -> bool:
        """Whether any pixel of a window lies in the area."""
        # In pixels of the scene, as the boxes are.
        right, bottom = window.column + window.width, window.row + window.height
        # The boxes first: most windows of a large scene are far from the area.
        near = any(
            box[0] < right
            and box[2] > window.column
            and box[1] < bottom
            and box[3] > window.row
            for box in self._boxes
        )
        if not near:
            return False
        # The mask of more than 4096 × 4096 pixels, of a whole scene, would take too much
        # memory; there the boxes tell enough.
        is_whole_scene = window.height * window.width > 1 << 24
        return is_whole_scene or bool(self.mask(window).any())

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """The pixels (H, W) of a window that lie in the area, by their middles."""
        inside = np.zeros((window.height, window.width), np.bool_)
        for rings in self._polygons:
            within = np.zeros_like(inside)
            # A hole turns back what the ring around it turned.
            for ring in rings:
                _turn_right_of(ring, window, within)
            inside |= within
        return inside

    def _here(self, rings: Any) -> list[Ring] | None:
        """A polygon in pixels of the scene; None if its projection has no place for all
        of it."""
        back = ~self._grid.transform
        moved = []
        for ring in rings:
            # A corner may have a height as its third number, which does not matter here.
            points = [(float(x), float(y)) for x, y, *_ in ring]
            there = reprojected(points, WGS84, self._grid.crs)
            if len(there) < 3 or not np.isfinite(there).all():
                return None
            moved.append([moved_by(back, x, y) for x, y in there])
        return moved


def _box(outer: Ring) -> Box:
    """The pixels around a polygon."""
    columns, rows = zip(*outer, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def _turn_right_of(ring: Ring, window: Window, pixels: NDArray[np.bool_]) -> None:
    """Turn the pixels of a window to the right of each edge of a ring: those that were
    turned an odd number of times lie in it."""
    # The middle of each pixel decides, so that a pixel on a common border of two areas
    # lies in one of them.
    rows = window.row + 0.5 + np.arange(window.height)
    columns = window.column + 0.5 + np.arange(window.width)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        low, high = min(y0, y1), max(y0, y1)
        # Half open, so that a corner between two edges counts once.
        beside = (rows >= low) & (rows < high)
        if beside.any():
            edge = x0 + (rows[beside] - y0) * (x1 - x0) / (y1 - y0)
            pixels[beside] ^= columns[None, :] > edge[:, None]


def _polygons(found: Any) -> list[Any]:
    """All polygons of a GeoJSON object, wherever they are in it."""
    if not isinstance(found, dict):
        return []
    if found.get("type") == "Polygon":
        return [found.get("coordinates")]
    if found.get("type") == "MultiPolygon":
        return list(found["coordinates"])
    # A collection of features or of geometries, or one feature.
    inner = found.get("features") or found.get("geometries") or [found.get("geometry")]
    several = inner if isinstance(inner, list) else []
    polygons: list[Any] = []
    for one in several:
        polygons += _polygons(one)
    return polygons
