"""More than two dates: one step after another, all on the first image's grid and
windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from sencap.bounds import check_choice
from sencap.errors import ImageError, SettingsError
from sencap.files import check_outputs, not_a_file
from sencap.rasters import AlignedRasters, Grid, Raster, pixel_box, shared_box
from sencap.scenes.dates import image_dates
from sencap.scenes.journal import Journal, rows_of_batches
from sencap.scenes.layers import Layer, check_format, write_layers
from sencap.scenes.merging import merge as merged
from sencap.scenes.rows import Row
from sencap.scenes.scanning import USUAL_SCAN, record
from sencap.scenes.scene import Scene
from sencap.scenes.settings import ScanSettings
from sencap.scenes.stac import stac_images
from sencap.scenes.summary import ScanSummary
from sencap.scenes.trained import Trained
from sencap.scenes.writing import changes_layer, newest, scanned, summary_layer
from sencap.weights import checkpoint_files

Against = Literal["previous", "first"]
ENDINGS = (".tif", ".tiff")
# Pixels a side that all dates must share.
_LEAST = 32


@dataclass(frozen=True)
class SeriesStep:
    """What changed from one date to a later one, and what a user has to know of the
    files."""

    before: str
    after: str
    summary: ScanSummary
    notes: list[str]


def find_images(
    sources: Sequence[str | Path], *, dates: Sequence[str] = (), asset: str = "visual"
) -> tuple[list[Path], tuple[str, ...]]:
    """The images that are named, and the dates that are known of them: files as they
    are; of a folder its TIFF files, of a STAC file (.json) its items, in the order of
    their dates.

    Raises:
        SettingsError: nothing, or fewer than two images.
        DataError: as `stac_images`.
    """
    paths = [Path(source) for source in sources]
    given = tuple(dates)
    # A folder, a STAC file, or the images themselves.
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in ENDINGS
        )
        if len(paths) < 2:
            raise SettingsError(
                f"{folder} holds {len(paths)} TIFF files; a scan needs two dates"
            )
    elif len(paths) == 1 and paths[0].suffix.lower() in (".json", ".geojson"):
        items = sorted(stac_images(paths[0], asset), key=lambda item: item[1])
        paths = [path for path, _ in items]
        given = given or tuple(date for _, date in items)
    if len(paths) < 2:
        reason = not_a_file(paths[0]) if paths else ""
        if reason:
            raise SettingsError(f"{paths[0]}: {reason}; give two images or more")
        raise SettingsError(
            "a scan needs two images or more, a folder or a STAC file; got "
            f"{len(paths)}"
        )
    return paths, given


def write_series(
    images: Sequence[str | Path],
    out: str | Path,
    *,
    settings: ScanSettings = USUAL_SCAN,
    against: Against = "previous",
    merge: bool = False,
    progress: bool = False,
) -> list[SeriesStep]:
    """Scan a series of rasters of one place, each against the one before it (or
    ``against`` the first), and write all steps to one file, as `write_scan` does two.

    The dates of the images (``settings.dates``, else their tags or names) say their
    order. All windows are those of the first image, over the ground that all share. A
    GeoPackage has a layer for each step, one of summaries, and one that says of each
    window when it changed; other formats have all steps in one table.

    Raises:
        SettingsError: an image without a date, or two of one date. Else as
            `write_scan`.
    """
    check_choice("against", against, get_args(Against))
    out = Path(out)
    check_format(out)
    inputs: list[str | Path | None] = [
        *images,
        *checkpoint_files(settings.weights),
        settings.roi,
    ]
    check_outputs({"out": out}, inputs)
    # All that can be wrong with the files comes before the first step is scanned.
    dated = _in_order([Path(image) for image in images], settings)
    paths = [path for path, _ in dated]
    grid = common_grid(paths, settings)
    trained = Trained.of(settings.weights)
    predictor = settings.load()
    steps: list[SeriesStep] = []
    changes: list[Layer] = []
    summaries: list[Layer] = []
    rows_of: list[list[Row]] = []
    records: list[dict[str, Any]] = []
    with ExitStack() as stack:
        journals = []
        # Every step is a scan of two dates on the common grid, with a journal of its
        # own, so that a stopped series goes on within a step.
        for number in range(1, len(dated)):
            before = dated[0 if against == "first" else number - 1]
            after = dated[number]
            dates = before[1], after[1]
            own = replace(settings, dates=dates)
            with Scene(before[0], after[0], own, trained, grid=grid) as scene:
                told = record(before[0], after[0], own)
                # Another image in the series may cut the common ground, and so move the
                # windows.
                told["grid"] = [*grid.transform[:6], grid.width, grid.height]
                journal = Journal(out.with_name(f"{out.name}.{number}"), told)
                journals.append(stack.enter_context(journal))
                done = scanned(scene, predictor, journal, progress=progress)
                summary = ScanSummary.of(scene, done)
                rows = rows_of_batches(done)
                shown = merged(rows, scene) if merge else rows
                layer = changes_layer(shown, scene, dates)
                changes.append(replace(layer, name=f"changes_{dates[0]}_{dates[1]}"))
                summaries.append(summary_layer(summary, scene, dates))
                records.append({**told, "read": scene.details()})
            rows_of.append(rows)
            steps.append(SeriesStep(*dates, summary, scene.notes))
        # Formats of one layer get all steps in one table; a GeoPackage a layer for
        # each, and the two of the whole series.
        layers = [_together(changes)]
        if out.suffix.lower() == ".gpkg":
            when = _when_layer(rows_of, steps, changes[0].crs)
            layers = [*changes, _together(summaries), when]
        about = {"against": against, "steps": records}
        write_layers(out, layers, about=about, date=newest(*paths))
        # Only when the output is there are the steps not needed any more.
        for journal in journals:
            journal.delete()
    return steps


def _in_order(paths: Sequence[Path], settings: ScanSettings) -> list[tuple[Path, str]]:
    """The images with their dates, the earliest first."""
    tags = []
    for path in paths:
        with Raster(path, bands=settings.reading.bands) as raster:
            tags.append(raster.tags)
    dated = []
    for path, date in zip(paths, image_dates(paths, tags, settings.dates), strict=True):
        if date is None:
            raise SettingsError(
                f"{path} does not say when it was taken, neither in its tags nor by "
                "its name: give the dates of all images, in their order, by --dates "
                "2018-04-26,2019-02-03,…"
            )
        dated.append((path, date))
    dated.sort(key=lambda one: one[1])
    for one, other in pairwise(dated):
        if one[1] == other[1]:
            raise SettingsError(
                f"{one[0]} and {other[0]} are both of {one[1]}: give one of them"
            )
    return dated


def common_grid(paths: Sequence[Path], settings: ScanSettings) -> Grid:
    """The grid of the first image (upright), cut to the ground that all of them share.

    Raises:
        ImageError: there is none, or too little.
    """
    bands, assume = settings.reading.bands, settings.assume_same_grid
    with Raster(paths[0], bands=bands) as first:
        whole = first.grid
    # In pixels of the first image, cut down by one image after the other.
    box = (0.0, 0.0, float(whole.width), float(whole.height))
    for path in paths[1:]:
        with AlignedRasters(paths[0], path, bands=bands, assume_same=assume) as pair:
            box = shared_box(box, pixel_box(pair.grid, whole))
    grid = whole.cut(box)
    if min(grid.width, grid.height) < _LEAST:
        raise ImageError(
            f"the {len(paths)} images share {grid.width}×{grid.height} pixels of "
            f"{paths[0]}, and {_LEAST} a side are needed: give images of one place"
        )
    return grid


def _together(layers: Sequence[Layer]) -> Layer:
    """Layers of the same columns as one."""
    first = layers[0]
    polygons: list[Any] = []
    columns: dict[str, list[Any]] = {name: [] for name in first.columns}
    for layer in layers:
        polygons += layer.polygons
        for name, values in layer.columns.items():
            columns[name] += values
    return Layer(first.name.partition("_")[0], first.crs, polygons, columns)


def _when_layer(
    rows_of: Sequence[Sequence[Row]], steps: Sequence[SeriesStep], crs: Any
) -> Layer:
    """For each window that was captioned, when it changed."""
    # Windows have the same numbers in all steps, as they share the grid.
    polygons: dict[int, Any] = {}
    when: dict[int, list[str]] = {}
    for rows, step in zip(rows_of, steps, strict=True):
        for row in rows:
            polygons.setdefault(row.window, [row.polygon])
            told = when.setdefault(row.window, [])
            if row.changed:
                told.append(f"{step.before}/{step.after}")
    numbers = sorted(polygons)
    columns: dict[str, list[Any]] = {
        "window": numbers,
        "changes": [len(when[number]) for number in numbers],
        "first": [when[number][0] if when[number] else "" for number in numbers],
        "last": [when[number][-1] if when[number] else "" for number in numbers],
        "all": [json.dumps(when[number]) for number in numbers],
    }
    return Layer("when", crs, [polygons[number] for number in numbers], columns)
