"""`sencap scan`: what changed where, over two georeferenced rasters of any size."""

from __future__ import annotations

import json as json_
import sys
from dataclasses import asdict
from itertools import chain
from typing import Literal

from sencap.errors import SettingsError
from sencap.flags import LoadFlags, ReadingFlags


def command(
    images: list[str],
    *,
    out: str,
    model: LoadFlags,
    pixels: ReadingFlags,
    window: float | None = None,
    side: int | None = None,
    overlap: float = 0.25,
    stretch: Literal["together", "per-date"] = "together",
    percentiles: str | None = None,
    roi: str | None = None,
    crs: str | None = None,
    dates: str | None = None,
    against: Literal["previous", "first"] = "previous",
    asset: str = "visual",
    assume_same_grid: bool = False,
    merge: bool = False,
    probability: str | None = None,
    page: str | None = None,
    json: bool = False,
    quiet: bool = False,
    batch_size: int = 16,
) -> None:
    """Say what changed where between georeferenced rasters, window by window, on the
    map.

    Input: BEFORE AFTER, two rasters of any size (GeoTIFF of 8 or 16 bits or floats).
    AFTER is brought to the grid of BEFORE as it is read, over the ground that both
    show. Or a series: three or more rasters, a folder of them, or a local STAC file;
    each is compared with the one before it. Output: a file of polygons, one for
    each window, with caption, probability of change and more; a summary is printed. The
    file appears when all is done. After Ctrl-C, or a stop of any other kind, the same
    command goes on; what is done lies in OUT.unfinished until then. Needs the extra
    geo.

    Args:
        images: BEFORE and AFTER, or more rasters of one place, or a folder, or a STAC
            item collection (.json).
        out: The file to write: .gpkg (with a style for QGIS and a layer of the
            summary), .geojson (WGS 84), .fgb, .parquet (GeoParquet), or .csv (no
            polygons).
        window: Side of a window in metres (default: as much ground as the weights were
            trained on, but at least 64 pixels).
        side: Side of a window in pixels of BEFORE, instead of metres.
        overlap: The share of its side that a window has in common with the next.
        stretch: together (one scale for both dates), or per-date, where the two dates
            are stored in different units.
        percentiles: LOW,HIGH: of more than 8 bits, the percentiles of the common ground
            that become black and white, such as 2,98 (default: the range from the 2nd to
            the 98th and half as much more to either side, or all values where they are
            a photograph's).
        roi: A GeoJSON file of polygons: only windows that show some of them are
            captioned, and only their ground is counted.
        crs: The projection of the polygons, such as EPSG:32633 (default: that of
            BEFORE; GeoJSON is always WGS 84).
        dates: The dates of the images, 2018-04-26,2020-05-01 (default: from their tags
            or names; of a series they must be known).
        against: Of a series: compare each image with the previous one, or with the
            first.
        asset: Which asset of STAC items is the image.
        assume_same_grid: A raster that does not say where it lies shows the ground of
            the other.
        merge: Windows side by side that tell a change in the same words become one
            polygon.
        probability: Also write the probability of change over the scene to this .tif
            file.
        page: Also write a page (.html) to look at the scene: before and after to swipe
            between, windows coloured by probability, captions in a list that zooms. It
            needs no network.
        json: Print the summary as JSON.
        quiet: Show no progress.
        batch_size: Windows captioned at once, and what is lost at most when a scan is
            stopped.
    """
    from sencap.images.options import two_numbers
    from sencap.scenes import ScanSettings, find_images, write_scan, write_series
    from sencap.weights import resolve_weights

    ends = None
    if percentiles is not None:
        ends = two_numbers("percentiles", percentiles, "--percentiles 2,98")
    given = () if dates is None else tuple(dates.split(","))
    paths, known = find_images(images, dates=given, asset=asset)
    settings = ScanSettings(
        **asdict(model),
        reading=pixels.parsed(),
        window=window,
        side=side,
        overlap=overlap,
        stretch=stretch,
        percentiles=ends,
        roi=roi,
        crs=crs,
        dates=known,
        assume_same_grid=assume_same_grid,
        batch_size=batch_size,
    )
    if len(paths) == 2:
        summary, notes = write_scan(
            paths[0],
            paths[1],
            out,
            settings=settings,
            merge=merge,
            probability=probability,
            page=page,
            progress=not quiet,
        )
        details = {
            **summary.details(),
            "weights": resolve_weights(model.weights).record(),
        }
        text = json_.dumps(details) if json else str(summary)
    else:
        if probability is not None or page is not None:
            raise SettingsError(
                "page and probability are of two images; give BEFORE and AFTER"
            )
        steps = write_series(
            paths,
            out,
            settings=settings,
            against=against,
            merge=merge,
            progress=not quiet,
        )
        # Each once, in their order.
        notes = list(dict.fromkeys(chain.from_iterable(one.notes for one in steps)))
        loaded = resolve_weights(model.weights).record()
        told = [
            {"before": one.before, "after": one.after}
            | one.summary.details()
            | {"weights": loaded}
            for one in steps
        ]
        lines = [f"{one.before} to {one.after}: {one.summary}" for one in steps]
        text = json_.dumps(told) if json else "\n".join(lines)
    sys.stdout.write(text + "\n")
    for note in notes:
        sys.stderr.write(f"sencap: note: {note}\n")
