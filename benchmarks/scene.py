"""How many known changes a scan of a drawn scene finds, and how many alarms are false.

    python benchmarks/scene.py FOLDER [--pixels 8000] [--changed 0.1] [--weights PATH]
        [--decision probability]

The scene is a mosaic of drawn places of 256 × 256 pixels, half a metre each; in a share
of them something was built or torn down, which the renderer's masks tell pixel by
pixel. FOLDER takes the two rasters, the masks and the scan; what is there already is
used again, so that a stopped run goes on. Printed: the table of docs/scenes.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from sencap import ScanSettings, write_scan
from sencap.synthetic import KIND_NAMES, render_pair

TILE = 256  # pixels of a drawn place
METRES = 0.5
UNSEEN = ("trees_cleared", "lake_formed")  # nothing is built: no mask tells them
ENOUGH = 100  # pixels of a change (25 m²) that a window must show to be asked for it
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def draw(folder: Path, pixels: int, share: float) -> None:
    """Write before.tif, after.tif and changes.npy: the change that each pixel is of, or
    0."""
    if (folder / "changes.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    across = -(-pixels // TILE)
    dates = np.zeros((2, 3, across * TILE, across * TILE), np.uint8)
    changes = np.zeros((across * TILE, across * TILE), np.uint16)
    kinds = [kind for kind in KIND_NAMES if kind not in UNSEEN]
    rng = np.random.default_rng(0)
    for number in range(across**2):
        kind = str(rng.choice(kinds)) if rng.random() < share else None
        pair = render_pair(7, number, changed=kind is not None, kind=kind)
        row, column = (place * TILE for place in divmod(number, across))
        there = slice(row, row + TILE), slice(column, column + TILE)
        for date, image in enumerate((pair.before, pair.after)):
            dates[(date, slice(None), *there)] = image.transpose(2, 0, 1)
        changes[there][pair.mask > 0] = number + 1
    for name, values in zip(("before", "after"), dates, strict=True):
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32614"}
        profile |= {
            "width": pixels,
            "height": pixels,
            "tiled": True,
            "compress": "deflate",
        }
        place = rasterio.Affine(METRES, 0, 620_000, 0, -METRES, 3_350_000)
        with rasterio.open(
            folder / f"{name}.tif", "w", **profile, transform=place
        ) as file:
            file.write(values[:, :pixels, :pixels])
    np.save(folder / "changes.npy", changes[:pixels, :pixels])


def figures(
    rows: list[dict[str, Any]], changes: NDArray[np.uint16], threshold: float
) -> dict[str, float]:
    """What is found and what is alarmed at a threshold of the probability of change."""
    known, counts = np.unique(changes[changes > 0], return_counts=True)
    asked = set(known[counts >= ENOUGH].tolist())
    found: set[int] = set()
    windows, hits, false, empty = 0, 0, 0, 0
    for row in rows:
        top, left = row["row"], row["column"]
        shown = changes[top : top + row["height"], left : left + row["width"]]
        numbers, pixels = np.unique(shown[shown > 0], return_counts=True)
        seen = set(numbers[pixels >= ENOUGH].tolist())
        alarm = row["change_probability"] >= threshold
        windows += bool(seen)
        hits += alarm and bool(seen)
        empty += not numbers.size
        false += alarm and not numbers.size
        found |= seen if alarm else set()
    km2 = changes.size * METRES**2 / 1e6
    return {
        "changes": len(asked), "found": len(found & asked) / len(asked),
        "windows": windows, "hits": hits / windows,
        "empty": empty, "false": false / empty, "false_per_km2": false / km2,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pixels", type=int, default=8000)
    parser.add_argument("--changed", type=float, default=0.1)
    parser.add_argument("--weights")
    parser.add_argument("--decision", help="as in sencap scan")
    asked = parser.parse_args()
    folder: Path = asked.folder
    draw(folder, asked.pixels, asked.changed)
    # Of each decision a file of its own.
    decision = f"-{asked.decision}" if asked.decision else ""
    out = folder / f"changes{decision}.geojson"
    if not out.exists():
        settings = ScanSettings(weights=asked.weights, decision=asked.decision)
        pair = folder / "before.tif", folder / "after.tif"
        write_scan(*pair, out, settings=settings, progress=True)
    content = json.loads(out.read_text())
    print(json.dumps(content["sencap"]["summary"], indent=1))
    rows = [feature["properties"] for feature in content["features"]]
    changes = np.load(folder / "changes.npy")
    print(
        "| threshold | changes found | windows found | false windows | false alarms "
        "per km² |"
    )
    print("|---:|---:|---:|---:|---:|")
    for threshold in THRESHOLDS:
        told = figures(rows, changes, threshold)
        print(
            f"| {threshold} | {told['found']:.3f} of {told['changes']} | "
            f"{told['hits']:.3f} of {told['windows']} | {told['false']:.3f} of "
            f"{told['empty']} | {told['false_per_km2']:.2f} |"
        )


if __name__ == "__main__":
    main()
