"""How much memory and time the reading of a large scene takes: a scan with a captioner
that takes neither.

    python benchmarks/large_scene.py FOLDER [--pixels 10000]

Two deflated, tiled rasters are drawn into FOLDER, of which the second is off by a part
of a pixel and so has to be resampled. Printed: a row of the table of docs/scanning.md.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from sencap import ScanSettings, write_scan
from sencap.scenes import settings
from sencap.structures import Caption, ImagePair

BLOCK = 512  # pixels a side of a tile of the files
METRES = 0.5


class Nobody:
    """A captioner that says the same of all windows."""

    size = 256

    def caption_pairs(self, pairs: list[ImagePair]) -> list[Caption]:
        """As `sencap.Predictor`."""
        caption = Caption("a building is built", -1.0, True, change_probability=0.5)
        return [caption for _ in pairs]


def draw(path: Path, pixels: int, *, shift: float) -> None:
    """Noise of one block again and again, so that the file is read and decoded."""
    if path.exists():
        return
    transform = rasterio.Affine(METRES, 0, 620_000 + shift, 0, -METRES, 3_350_000)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32614"}
    profile |= {"height": pixels, "width": pixels, "transform": transform}
    profile |= {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    block = np.random.default_rng(0).integers(60, 90, (3, BLOCK, BLOCK), np.uint8)
    draft = path.with_suffix(".draft")
    with rasterio.open(
        draft, "w", compress="deflate", BIGTIFF="YES", **profile
    ) as file:
        for row in range(0, pixels, BLOCK):
            for column in range(0, pixels, BLOCK):
                height, width = min(BLOCK, pixels - row), min(BLOCK, pixels - column)
                part = block[:, :height, :width]
                file.write(part, window=Window(column, row, width, height))
    draft.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pixels", type=int, default=10_000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    files = [
        given.folder / f"{given.pixels}-{name}.tif" for name in ("before", "after")
    ]
    for file, shift in zip(files, (0.0, 0.2), strict=True):
        draw(file, given.pixels, shift=shift)
    settings.load = lambda *_, **__: Nobody()  # type: ignore[assignment]
    out = given.folder / f"{given.pixels}.gpkg"
    out.unlink(missing_ok=True)
    begin = time.perf_counter()
    summary, _ = write_scan(
        *files, out, settings=ScanSettings(side=256), page=out.with_suffix(".html")
    )
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(
        f"| {given.pixels:,} × {given.pixels:,} | {summary.windows:,} | {seconds:.1f} | "
        f"{1000 * seconds / summary.windows:.1f} ms | {peak:.0f} MB |"
    )


if __name__ == "__main__":
    main()
