"""Tiny georeferenced files, drawn here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an image (bands, H, W) as a GeoTIFF of half-metre pixels in UTM zone 14;
    ``left`` and ``top`` in pixels from its usual place."""
    rasterio = pytest.importorskip(
        "rasterio", reason="rasters need the extra geo (rasterio)"
    )
    affine = pytest.importorskip("affine")

    def written(
        name: str, values: NDArray[Any], left: float = 0, top: float = 0, **more: Any
    ) -> Path:
        pixel = more.pop("pixel", 0.5)
        transform = affine.Affine(
            pixel, 0, 620_000 + left / 2, 0, -pixel, 3_350_000 - top / 2
        )
        profile = {"driver": "GTiff", "count": len(values), "dtype": values.dtype}
        profile |= {"height": values.shape[1], "width": values.shape[2]}
        profile |= {"crs": "EPSG:32614", "transform": transform}
        after = {
            key: more.pop(key) for key in ("names", "colours", "mask") if key in more
        }
        path = tmp_path / name
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            # some are to say nothing of their ground
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            file = rasterio.open(path, "w", **(profile | more))
        with file, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            file.write(values)
            if "names" in after:
                file.descriptions = after["names"]
            if "colours" in after:
                file.colorinterp = [
                    rasterio.enums.ColorInterp[name] for name in after["colours"]
                ]
            if "mask" in after:
                file.write_mask(after["mask"])
        return path

    return written


def ramp(
    height: int = 100, width: int = 100, left: int = 0, top: int = 0
) -> NDArray[np.uint8]:
    """Bands that tell where on the ground a pixel is: its column, its row, 200."""
    rows, columns = np.mgrid[top : top + height, left : left + width]
    return np.stack([columns, rows, np.full_like(rows, 200)]).astype(np.uint8)
