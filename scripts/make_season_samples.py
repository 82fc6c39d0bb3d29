"""Cut tiny SSL4EO-S12 samples of both layouts from real Sentinel-2 images, for the tests.

    python scripts/make_season_samples.py SERIES tests/samples

writes three places with four seasons of 40×40 pixels as tests/samples/ssl4eo_v1_0 (a GeoTIFF per
band) and tests/samples/ssl4eo_v1_1 (zarr archives). The pixels of B4, B3 and B2 are Sentinel-2's;
the other bands are constant, the scene ids, tile names and positions are made up after the pattern.
SERIES holds a GeoTIFF for each of `DATES`, of one Sentinel-2 scene's B4, B3 and B2
(https://dataspace.copernicus.eu). Needs the extras geo and seasons. The images contain modified
Copernicus Sentinel data 2018 and may be shipped with that line.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zarr
from affine import Affine
from zarr.storage import ZipStore

SIDE = 40  # pixels of 10 m
# Clear days of four seasons.
DATES = ("2018-02-10", "2018-05-31", "2018-08-24", "2018-11-12")
# place: (row, column) of its upper left pixel in the series
PLACES = {"0000000": (20, 20), "0000001": (150, 60), "0000017": (100, 190)}
BANDS = (
    "B1",
    "B2",
    "B3",
    "B4",
    "B5",
    "B6",
    "B7",
    "B8",
    "B8A",
    "B9",
    "B10",
    "B11",
    "B12",
)
CONSTANT = 1234
# In one corner pixel: brighter than the scale's end.
BRIGHT = {"B4": 10_400, "B3": 16_000, "B2": 65_535}
README = """\
# Tiny samples of SSL4EO-S12's two layouts

Contains modified Copernicus Sentinel data 2018.

`scripts/make_season_samples.py` cut them from Sentinel-2 images of one area near Rome: three places, four seasons,
40×40 pixels of 10 m. They follow the layouts of SSL4EO-S12 v1.0 (`ssl4eo_v1_0`) and v1.1 (`ssl4eo_v1_1`), but no file
of that data set is part of them. B4, B3 and B2 are Sentinel-2's; the pixel in the upper left corner was made brighter
than 10,000, and the other bands are constant. Scene ids, tile names and
positions are made up after the pattern.
"""  # noqa: E501


def cut(series: Path) -> dict[str, np.ndarray[Any, np.dtype[np.uint16]]]:
    """The places (4, 3, SIDE, SIDE), bands B4, B3, B2."""
    dates = []
    for date in DATES:
        with rasterio.open(series / f"{date}.tif") as file:
            dates.append(file.read([1, 2, 3]))
    whole = np.stack(dates)
    places = {}
    for name, (top, left) in PLACES.items():
        place = whole[..., top : top + SIDE, left : left + SIDE].copy()
        place[..., 0, 0] = list(BRIGHT.values())
        places[name] = place
    return places


def scene_id(date: str) -> str:
    day = date.replace("-", "")
    return f"{day}T100031_{day}T100028_T33TTG"


def write_scenes(out: Path, places: dict[str, Any]) -> None:
    """v1.0: a GeoTIFF per band."""
    profile = {
        "driver": "GTiff",
        "width": SIDE,
        "height": SIDE,
        "count": 1,
        "dtype": "uint16",
        "compress": "deflate",
    }
    profile |= {"crs": "EPSG:32633", "predictor": 2}
    for number, (name, images) in enumerate(places.items()):
        profile["transform"] = Affine(
            10, 0, 290_000 + 1_000 * number, 0, -10, 4_650_000
        )
        for date, image in zip(DATES, images, strict=True):
            folder = out / "s2c" / name / scene_id(date)
            folder.mkdir(parents=True)
            for band in BANDS:
                values = np.full((SIDE, SIDE), CONSTANT, np.uint16)
                if band in BRIGHT:
                    values = image[list(BRIGHT).index(band)]
                with rasterio.open(folder / f"{band}.tif", "w", **profile) as file:
                    file.write(values, 1)


def write_shard(
    path: Path, places: dict[str, Any], bands: list[str], images: np.ndarray[Any, Any]
) -> None:
    """v1.1: one archive of samples (sample, time, band, y, x), a chunk per sample and date."""
    path.parent.mkdir(parents=True)
    store = ZipStore(path, mode="w")
    group = zarr.create_group(store, zarr_format=2)
    dates = [datetime.datetime.fromisoformat(f"{date}T10:00:31") for date in DATES]
    seconds = np.array(
        [[int((date - dates[0]).total_seconds()) for date in dates]] * len(places),
        np.int64,
    )

    def add(
        name: str,
        values: np.ndarray[Any, Any],
        dims: list[str],
        chunks: Any = None,
        **attributes: str,
    ) -> None:
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=chunks or values.shape,
            dtype=values.dtype,
            attributes={"_ARRAY_DIMENSIONS": dims, **attributes},
        )
        array[:] = values

    add(
        "bands", images, ["sample", "time", "band", "y", "x"], (1, 1, *images.shape[2:])
    )
    add("band", np.array(bands), ["band"])
    add("sample", np.array(list(places)), ["sample"])
    add("time", np.arange(len(DATES)), ["time"])
    since = f"seconds since {dates[0].isoformat(sep=' ')}"
    add(
        "time_",
        seconds,
        ["sample", "time"],
        units=since,
        calendar="proleptic_gregorian",
    )
    add(
        "file_id",
        np.array([[scene_id(date) for date in DATES]] * len(places)),
        ["sample", "time"],
    )
    store.close()


def write_shards(out: Path, places: dict[str, Any]) -> None:
    """v1.1: S2RGB (uint8) and S2L1C (int16, all bands, those besides RGB constant), in train and val."""  # noqa: E501
    for split, names in (("train", list(places)[:2]), ("val", list(places)[2:])):
        chosen = {name: places[name] for name in names}
        images = np.stack(list(chosen.values()))
        file = f"ssl4eos12_{split}_seasonal_data_000001.zarr.zip"
        rgb = (np.clip(images, 0, 3_000) * (255 / 3_000)).astype(np.uint8)
        write_shard(out / split / "S2RGB" / file, chosen, ["B04", "B03", "B02"], rgb)
        every = np.full((*images.shape[:2], len(BANDS), SIDE, SIDE), CONSTANT, np.int16)
        for index, band in enumerate(BRIGHT):
            every[:, :, BANDS.index(band)] = images[:, :, index].clip(
                0, np.iinfo(np.int16).max
            )
        spelt = [band if len(band) > 2 else f"B0{band[1]}" for band in BANDS]
        write_shard(out / split / "S2L1C" / file, chosen, spelt, every)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("series", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    places = cut(arguments.series)
    for name, write in (("ssl4eo_v1_0", write_scenes), ("ssl4eo_v1_1", write_shards)):
        folder = arguments.out / name
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, places)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{folder}: {size / 1000:.0f} kB")
    (arguments.out / "README.md").write_text(README, encoding="utf-8")


if __name__ == "__main__":
    main()
