"""Cut the example pairs that ship with sencap: synthetic ones, and Sentinel-2 crops of
OSCD.

    python scripts/make_examples.py OSCD src/sencap/examples

OSCD is the folder of the Onera Satellite Change Detection images, one folder a city
(https://rcdaudt.github.io/oscd). The Sentinel-2 crops contain modified Copernicus
Sentinel data 2015-2018 (Onera Satellite Change Detection imagery) and may be shipped
with that line.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.warp import reproject

from sencap.images import stretch
from sencap.synthetic import render_pair

CROP = 128  # pixels of 10 m
# city: (row, column) of the crop's upper left pixel in the earlier image
CITIES = {"dubai": (32, 416), "lasvegas": (32, 0), "abudhabi": (352, 640)}
SYNTHETIC = {
    "synthetic-houses": 2,
    "synthetic-parking": 8,
    "synthetic-unchanged": 3,
    "synthetic-road": 6,
}


def sentinel_pair(folder: Path, top: int, left: int) -> np.ndarray:
    """Both dates (2, 3, CROP, CROP) uint8, the later one resampled to the earlier one's
    grid."""
    with (
        rasterio.open(folder / "1.tif") as first,
        rasterio.open(folder / "2.tif") as second,
    ):
        before = first.read([1, 2, 3])
        after = np.zeros_like(before)
        reproject(
            second.read([1, 2, 3]),
            after,
            src_transform=second.transform,
            src_crs=second.crs,
            dst_transform=first.transform,
            dst_crs=first.crs,
            resampling=Resampling.bilinear,
        )
    crop = np.stack([before, after])[..., top : top + CROP, left : left + CROP]
    return stretch(crop)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("oscd", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pairs = {
        f"sentinel2-{c}": sentinel_pair(arguments.oscd / c, *at)
        for c, at in CITIES.items()
    }
    for name, index in SYNTHETIC.items():
        drawn = render_pair(5, index)
        pairs[name] = np.stack([drawn.before, drawn.after]).transpose(0, 3, 1, 2)
    for name, images in pairs.items():
        for date, image in zip(("before", "after"), images, strict=True):
            Image.fromarray(image.transpose(1, 2, 0)).save(
                arguments.out / f"{name}_{date}.png", optimize=True
            )
        print(name, images.shape)


if __name__ == "__main__":
    main()
