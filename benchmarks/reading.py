"""How much faster packed places are read than SSL4EO-S12's own layouts, on this
machine, with the same pixels.

    python benchmarks/reading.py [--places 48] [--rounds 5] [--compression zlib]

Draws synthetic places of four seasons, 264×264 pixels, and writes them three times: a
GeoTIFF of 16 bits per band (v1.0), a zarr archive of 8 bits (v1.1, if zarr is
installed), and packed. Each round reads every place of each once, in the same random
order, all pixels, in one process; the ways are interleaved and a ratio is that of the
medians. "warm" rounds find the files in the system's cache; before a "cold" one they
are put out of it (Linux; the disk's own cache stays).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from sencap.environment import environment
from sencap.places import (
    PackedPlaces,
    Places,
    SceneFolderPlaces,
    ShardPlaces,
    SyntheticPlaces,
    pack,
)

SIZE = 264
BANDS = ("B4", "B3", "B2")
Way = tuple[Path, Callable[[Path], Places]]


def write_scenes(root: Path, places: Places, compression: str | None) -> None:
    """v1.0: each 8-bit level v as the reflectance that becomes v again."""
    for place in places:
        for date, image in zip(place.dates, place.images, strict=True):
            folder = root / "s2c" / place.name / f"{date:%Y%m%d}T100031_x"
            folder.mkdir(parents=True)
            for band, values in zip(BANDS, image, strict=True):
                levels = np.round(values * (10_000 / 255)).astype(np.uint16)
                tifffile.imwrite(
                    folder / f"{band}.tif", levels, compression=compression
                )


def write_shards(root: Path, places: Places) -> bool:
    """v1.1: archives of 64 places, a chunk per place and date; False without zarr."""
    try:
        import zarr  # noqa: PLC0415  (an extra)
        from zarr.storage import ZipStore  # noqa: PLC0415
    except ImportError:
        return False
    folder = root / "train" / "S2RGB"
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(places), 64)):
        some = [places.read(i) for i in range(start, min(start + 64, len(places)))]
        store = ZipStore(
            folder / f"ssl4eos12_train_seasonal_data_{number:06d}.zarr.zip", mode="w"
        )
        group = zarr.create_group(store, zarr_format=2)
        days = [
            [np.datetime64(date, "D").astype(np.int64) for date in place.dates]
            for place in some
        ]
        arrays = {
            "bands": np.stack([place.images for place in some]),
            "sample": np.array([place.name for place in some]),
            "band": np.array(["B04", "B03", "B02"]),
            "time_": np.array(days),
        }
        for name, values in arrays.items():
            chunks = (1, 1, *values.shape[2:]) if name == "bands" else values.shape
            attributes: dict[str, Any] = (
                {"units": "days since 1970-01-01"} if name == "time_" else {}
            )
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=chunks,
                dtype=values.dtype,
                attributes=attributes,
            )
            array[:] = values
        store.close()
    return True


def read_all(places: Places, order: NDArray[np.int64]) -> int:
    """Read every place, every pixel; a checksum, so that the ways can be compared."""
    return sum(
        int(np.array(places.read(int(index)).images).sum(dtype=np.int64))
        for index in order
    )


def forget(folder: Path) -> None:
    """Put the files of a folder out of the system's cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def measure(
    ways: dict[str, Way], places: int, rounds: int
) -> tuple[dict[str, dict[str, list[float]]], bool]:
    """The seconds of each round by cache and way, and whether all read the same
    pixels."""
    caches = ["warm"] + (["cold"] if hasattr(os, "posix_fadvise") else [])
    seconds: dict[str, dict[str, list[float]]] = {
        cache: {way: [] for way in ways} for cache in caches
    }
    sums = set()
    for turn in range(rounds):
        order = np.random.default_rng(turn).permutation(places)
        for cache in caches:
            for way, (folder, reader) in ways.items():
                source = reader(folder)
                if cache == "cold":
                    forget(folder)
                else:
                    read_all(source, order)
                begin = time.perf_counter()
                sums.add(read_all(source, order))
                seconds[cache][way].append(time.perf_counter() - begin)
    return seconds, len(sums) == 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--places", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--compression", help="of the GeoTIFFs: none by default, or zlib"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the temporary files go (default: the system's)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        root = Path(name)
        drawn = root / "packed"
        pack(
            SyntheticPlaces(arguments.places, size=SIZE),
            drawn,
            size=SIZE,
            progress=True,
        )
        write_scenes(root / "scenes", PackedPlaces(drawn), arguments.compression)
        ways: dict[str, Way] = {
            "geotiff": (root / "scenes", SceneFolderPlaces),
            "packed": (drawn, PackedPlaces),
        }
        if write_shards(root / "shards", PackedPlaces(drawn)):
            ways["zarr"] = (root / "shards", ShardPlaces)
        seconds, same = measure(ways, arguments.places, arguments.rounds)
    medians = {
        cache: {way: statistics.median(took) for way, took in found.items()}
        for cache, found in seconds.items()
    }
    result = {
        "benchmark": "reading places of four dates, 264×264: packed against GeoTIFF per band and zarr",  # noqa: E501
        "places": arguments.places,
        "compression": arguments.compression or "none",
        "same_pixels": same,
        "seconds": seconds,
        "places_per_second": {
            cache: {
                way: round(arguments.places / took, 1) for way, took in found.items()
            }
            for cache, found in medians.items()
        },
        "ratio_geotiff_to_packed": {
            cache: round(found["geotiff"] / found["packed"], 1)
            for cache, found in medians.items()
        },
        "environment": environment(),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
