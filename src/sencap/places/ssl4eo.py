"""SSL4EO-S12 v1.0: a folder per place, a folder per scene, a GeoTIFF per band, of which
three are read.

    ROOT/s2c/0000000/20200604T054639_20200604T054831_T43RCP/B4.tif, B3.tif, B2.tif, …

``s2c`` is Sentinel-2 level 1C (13 bands), ``s2a`` level 2A (12), ``rgb`` the 8-bit
copies of B4, B3, B2; ``s1`` is radar, which has no RGB. Any subset of places will do.
Scenes are ordered by the date that begins their id.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.dates import find_date
from sencap.errors import DataError, ImageError, SettingsError, nearest
from sencap.images import read_pixels
from sencap.places.contract import ListedPlaces
from sencap.places.reading import Scaling

PRODUCTS = ("s2c", "s2a", "rgb")
_RGB = ("B4", "B3", "B2")
# How a band may be spelt: B4 is also B04.
_SPELT = {name: name for name in _RGB} | {f"B0{name[1]}": name for name in _RGB}
# A scene's folder below the product's, and the names of its B4, B3, B2.
_Scene = tuple[str, tuple[str, str, str]]


class SceneFolderPlaces(ListedPlaces[_Scene]):
    """The places of SSL4EO-S12 v1.0 (see the head of this module).

    ``root`` is the data set's folder, or that of a product; ``product`` one of
    `PRODUCTS`, by default the first that is there. Files are listed at birth and read
    when asked for; of each scene only B4, B3 and B2.

    Raises:
        DataError: no such folder or product, or no place with two scenes.
        SettingsError: an unknown product, or s1, which has no RGB.
    """

    kind = "ssl4eo-v1.0"

    def __init__(
        self,
        root: str | Path,
        *,
        product: str | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        self.folder = folder = find_product(Path(root), product)
        self.scaling = scaling or Scaling()
        listed: dict[str, list[tuple[datetime.date, _Scene]]] = {}
        problems: dict[str, list[str]] = {}
        for place in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            listed[place.name], problems[place.name] = _scenes(place)
        super().__init__(str(folder), listed, problems)

    def read_source(self, source: _Scene) -> NDArray[np.uint8]:
        """One scene's three bands."""
        scene, names = self.folder / source[0], source[1]
        # Each band is a file of its own: three arrays (H, W) → (3, H, W).
        bands = [read_pixels(scene / name)[0] for name in names]
        if len({(band.shape, band.dtype.name) for band in bands}) != 1:
            each = ", ".join(
                f"{name} {band.dtype} {band.shape}"
                for name, band in zip(names, bands, strict=True)
            )
            raise ImageError(f"{scene}: its three bands differ in size or type: {each}")
        return self.scaling.to_uint8(np.stack(bands))

    def settings(self) -> Mapping[str, Any]:
        """Product, bands and scaling."""
        return {
            "product": self.folder.name,
            "bands": list(_RGB),
            **self.scaling.settings(),
        }


def find_product(root: Path, product: str | None = None) -> Path:
    """The folder of a product below ``root``, or ``root`` itself if it holds places.

    Raises:
        DataError: neither.
        SettingsError: an unknown product, or s1.
    """
    # Radar is a part of the same data set.
    if product == "s1" or (product is None and root.name == "s1"):
        raise SettingsError("product s1 is radar and has no RGB; take s2c, s2a or rgb")
    if product is not None and product not in PRODUCTS:
        raise SettingsError(
            f"product {product!r} is unknown in SSL4EO-S12 v1.0; "
            f"{nearest(product, PRODUCTS)}"
        )
    for name in PRODUCTS if product is None else (product,):
        if (root / name).is_dir():
            return root / name
    # Some copies have no folder of a product: places lie right below the root.
    if (product is None or root.name == product) and holds_scenes(root):
        return root
    wanted = product or ", ".join(PRODUCTS)
    raise DataError(
        f"{root} is not SSL4EO-S12 v1.0: looked for {wanted} below it, and for "
        "<place>/<scene id>/B4.tif"
    )


def holds_scenes(folder: Path, tries: int = 20) -> bool:
    """Whether one of the first folders in ``folder`` holds scenes with their bands."""
    if not folder.is_dir():
        return False
    places = sorted(entry for entry in folder.iterdir() if entry.is_dir())[:tries]
    return any(map(_holds_bands, places))


def _holds_bands(place: Path) -> bool:
    """Whether a scene of a place has one of the bands."""
    return any(_bands(scene) for scene in place.iterdir() if scene.is_dir())


def _scenes(place: Path) -> tuple[list[tuple[datetime.date, _Scene]], list[str]]:
    """The scenes of a place that have a date and the three bands, and a line for each
    that has not."""
    scenes: list[tuple[datetime.date, _Scene]] = []
    problems = []
    for folder in sorted(entry for entry in place.iterdir() if entry.is_dir()):
        # The id begins with the time the image was taken; another time and the tile
        # follow.
        date, bands = find_date(folder.name, at_start=True), _bands(folder)
        missing = [name for name in _RGB if name not in bands]
        if date is None:
            problems.append(f"scene {folder.name} does not begin with a date")
        elif missing:
            problems.append(
                f"{date}: scene {folder.name} has no band {', '.join(missing)}"
            )
        else:
            # Kept as names, not paths: a million paths would take hundreds of
            # megabytes.
            names = _shared(bands["B4"], bands["B3"], bands["B2"])
            scenes.append((date, (f"{place.name}/{folder.name}", names)))
    return scenes, problems


@lru_cache(maxsize=64)
def _shared(*names: str) -> tuple[str, str, str]:
    """One tuple for all scenes that spell their bands alike: there are a million
    scenes."""
    red, green, blue = names
    return red, green, blue


def _bands(scene: Path) -> dict[str, str]:
    """The files of B4, B3 and B2 that a scene's folder holds; B04 is B4."""
    found = {}
    # One look at the folder, instead of one for each spelling of each band.
    with os.scandir(scene) as entries:
        for entry in entries:
            stem, dot, suffix = entry.name.partition(".")
            band = _SPELT.get(stem.upper())
            if band and dot and suffix.lower() in ("tif", "tiff"):
                found[band] = entry.name
    return found
