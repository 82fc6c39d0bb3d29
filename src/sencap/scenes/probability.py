"""The probability of change as a raster: for maps that want colours, not polygons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sencap.errors import OutputError, SettingsError
from sencap.files import whole_file
from sencap.rasters import import_rasterio
from sencap.scenes.rows import Row
from sencap.scenes.scene import Scene

# Pixels of the raster for each step from a window to the next.
_FINER = 4


def check_probability(path: str | Path | None) -> None:
    """Refuse a name that is no GeoTIFF's.

    Raises:
        SettingsError: it is.
    """
    if path is not None and Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise SettingsError(
            f"probability={path}: it is a GeoTIFF; give a name that ends in .tif"
        )


def write_probability(path: str | Path, rows: Sequence[Row], scene: Scene) -> Path:
    """Write the mean probability of the windows over each place as a cloud-optimised
    GeoTIFF.

    Its pixels are a quarter of the step from one window to the next, since nothing
    finer is known. Where no window was captioned it holds no data (NaN).

    Raises:
        OutputError: it cannot be written.
    """
    rasterio = import_rasterio("a scene")
    cell = max(1, scene.tiling.step // _FINER)
    # Rounded up: the last cell may reach over the border.
    height, width = -(-scene.grid.height // cell), -(-scene.grid.width // cell)
    # Windows overlap, so a place has several probabilities: their sum and number per
    # cell.
    total = np.zeros((height, width), np.float64)
    count = np.zeros((height, width), np.int64)
    for row in rows:
        if row.change_probability is not None:
            rows_there = _cells(row.row, row.height, cell, scene.grid.height)
            there = rows_there, _cells(row.column, row.width, cell, scene.grid.width)
            total[there] += row.change_probability
            count[there] += 1
    nothing = np.full_like(total, np.nan)
    mean = np.divide(total, count, out=nothing, where=count > 0).astype(np.float32)
    # The same place and direction, with pixels ``cell`` times as large.
    own = scene.grid.transform
    larger = type(own)(
        own.a * cell, own.b * cell, own.c, own.d * cell, own.e * cell, own.f
    )
    profile = {"driver": "COG", "count": 1, "dtype": "float32", "nodata": np.nan}
    profile |= {"height": height, "width": width, "compress": "deflate"}
    if scene.grid.is_placed:
        profile |= {"crs": scene.grid.crs, "transform": larger}
    with whole_file(path) as draft:
        try:
            with rasterio.open(draft, "w", **profile) as file:
                file.write(mean, 1)
                file.set_band_description(1, "probability of change")
        except rasterio.errors.RasterioError as error:
            raise OutputError(
                f"{path} cannot be written: is the disk full? Make room, and give "
                "the same command again"
            ) from error
    return Path(path)


def _cells(start: int, length: int, cell: int, whole: int) -> slice:
    """The cells whose middles lie in a stretch of pixels, up to the border of the
    whole."""
    end = start + length
    last = -(-whole // cell) if end >= whole else round(end / cell)
    return slice(round(start / cell), last)
