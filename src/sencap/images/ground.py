"""Which files say more than their colours, so that they are read as rasters."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TypeGuard

from sencap.files import not_a_file
from sencap.images.sources import ImageSource
from sencap.images.tiff import georeference


def as_rasters(before: ImageSource, after: ImageSource) -> tuple[Path, Path] | None:
    """The paths of two files of which one says more than its colours, if rasterio is
    there to heed it; None for any other images."""
    if not (is_path(before) and is_path(after) and has_rasterio()):
        return None
    paths = Path(before), Path(after)
    return paths if any(is_raster(path) for path in paths) else None


def is_raster(path: Path) -> bool:
    """Whether a file says more than its colours: where it lies, which of its pixels
    hold data, what its bands are called; in itself or in a file beside it.

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
    # World files (.tfw, .wld) tell the place, GDAL's .aux.xml almost anything, and .msk
    # which pixels hold data.
    beside = [path.with_name(path.name + more) for more in ("w", ".aux.xml", ".msk")]
    beside.append(path.with_suffix(".wld"))
    if len(path.suffix) > 2:  # of x.tif x.tfw says where it lies
        beside.append(path.with_suffix(f"{path.suffix[:2]}{path.suffix[-1]}w"))
    return any(file.is_file() for file in beside)


@cache
def has_rasterio() -> bool:
    """Whether the extra ``geo`` is installed."""
    return importlib.util.find_spec("rasterio") is not None


def is_path(source: ImageSource) -> TypeGuard[str | os.PathLike[str]]:
    """Whether an image is a file that is named."""
    return isinstance(source, str | os.PathLike)
