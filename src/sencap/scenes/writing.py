"""A scan from two rasters to a file on the map: begun, stopped, gone on with,
written."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sencap.errors import SettingsError
from sencap.figures.scene import LONGEST_SCENE, ShownWindow, scene_page
from sencap.files import check_outputs, write_whole
from sencap.predictor import Predictor
from sencap.scenes.dates import image_dates
from sencap.scenes.journal import Journal, ScannedBatch, rows_of_batches
from sencap.scenes.layers import Layer, check_format, write_layers
from sencap.scenes.merging import merge as merged
from sencap.scenes.probability import check_probability, write_probability
from sencap.scenes.rows import Row
from sencap.scenes.scanning import USUAL_SCAN, batches, record
from sencap.scenes.scene import Scene
from sencap.scenes.settings import ScanSettings
from sencap.scenes.summary import ScanSummary
from sencap.scenes.trained import Trained
from sencap.weights import checkpoint_files


def write_scan(
    before: str | Path,
    after: str | Path,
    out: str | Path,
    *,
    settings: ScanSettings = USUAL_SCAN,
    merge: bool = False,
    probability: str | Path | None = None,
    page: str | Path | None = None,
    progress: bool = False,
) -> tuple[ScanSummary, list[str]]:
    """Scan two rasters and write what is said of each window as a file for a map.

    ``out`` ends in .gpkg, .geojson, .fgb, .parquet or .csv. It appears when all is
    done, and takes the place of a file of its name. Until then ``<out>.unfinished``
    keeps what is done: the same call goes on with it after a stop of any kind, to an
    equal file. With ``merge`` windows side by side that tell a change in the same words
    become one polygon. ``probability`` is a GeoTIFF to write too: the probability of
    change over the scene; ``page`` an HTML page to look at it.

    Returns the summary, and what a user has to know of the files.

    Raises:
        DataError: a scan of other files or settings was begun for this output.
        OutputError: something cannot be written. Else as `scan`.
    """
    before, after, out = Path(before), Path(after), Path(out)
    # All that can be refused is refused before the scan, which may take hours.
    check_format(out)
    check_probability(probability)
    if page is not None and Path(page).suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"page={page}: it must end in .html")
    inputs = [before, after, *checkpoint_files(settings.weights)]
    check_outputs(
        {"out": out, "probability": probability, "page": page}, [*inputs, settings.roi]
    )
    with Scene(before, after, settings, Trained.of(settings.weights)) as scene:
        dates = image_dates((before, after), scene.tags, settings.dates)
        predictor = settings.load()
        told = record(before, after, settings)
        with Journal(out, told) as journal:
            done = scanned(scene, predictor, journal, progress=progress)
            summary = ScanSummary.of(scene, done)
            rows = rows_of_batches(done)
            # Probability and page are made of the single windows, before any are
            # merged.
            if probability is not None:
                write_probability(probability, rows, scene)
            if page is not None:
                write_whole(page, page_of(scene, rows, summary, dates))
            if merge:
                rows = merged(rows, scene)
            layers = [
                changes_layer(rows, scene, dates),
                summary_layer(summary, scene, dates),
            ]
            about = {**told, "read": scene.details(), "summary": summary.details()}
            write_layers(out, layers, about=about, date=newest(before, after))
            # Last: until the output is there, the record is what a stopped scan goes on
            # with.
            journal.delete()
        return summary, scene.notes


def scanned(
    scene: Scene, predictor: Predictor, journal: Journal, *, progress: bool = False
) -> list[ScannedBatch]:
    """All batches of a scene: those that a journal holds already, then the rest, which
    it takes."""
    done = list(journal.done)
    total = len(scene.tiling)
    # Batches end where the next begins, so the last one says where to go on.
    first = done[-1].end if done else 0
    if first == total:
        return done
    with tqdm(total=total, initial=first, unit=" windows", disable=not progress) as bar:
        for batch in batches(scene, predictor, first=first):
            journal.add(batch)
            done.append(batch)
            bar.update(batch.end - bar.n)
    return done


def changes_layer(
    rows: Sequence[Row], scene: Scene, dates: Sequence[str | None]
) -> Layer:
    """The rows as features."""
    count = len(rows)
    columns: dict[str, list[Any]] = {
        "window": [row.window for row in rows],
        "caption": [row.caption for row in rows],
        "changed": [row.changed for row in rows],
        "change_probability": [row.change_probability for row in rows],
        "log_prob": [row.log_prob for row in rows],
        # The next best caption by itself, for tables; all of them as JSON beside it.
        "second": [row.alternatives[0][0] if row.alternatives else "" for row in rows],
        "alternatives": [json.dumps(row.alternatives) for row in rows],
        "valid": [row.valid for row in rows],
        "date_before": [dates[0] or ""] * count,
        "date_after": [dates[1] or ""] * count,
        "domain": [row.domain for row in rows],
        "windows": [row.windows for row in rows],
        "row": [row.row for row in rows],
        "column": [row.column for row in rows],
        "height": [row.height for row in rows],
        "width": [row.width for row in rows],
        "note": [row.note for row in rows],
    }
    return Layer(
        "changes", scene.crs, [[row.polygon, *row.holes] for row in rows], columns
    )


def page_of(
    scene: Scene, rows: Sequence[Row], summary: ScanSummary, dates: Sequence[str | None]
) -> str:
    """The page to look at a scene (HTML)."""
    height, width = scene.grid.height, scene.grid.width
    windows = [
        # Shares of the whole, as the page shows the scene at any size.
        ShownWindow(
            row.column / width,
            row.row / height,
            row.width / width,
            row.height / height,
            row.caption,
            row.changed,
            row.change_probability,
        )
        for row in rows
    ]
    names = [f"before, {dates[0]}" if dates[0] else "before"]
    names.append(f"after, {dates[1]}" if dates[1] else "after")
    return scene_page(
        scene.overview(LONGEST_SCENE),
        windows,
        title=f"{scene.before.name} and {scene.after.name}",
        names=names,
        summary=str(summary).splitlines()[: 1 + bool(summary.without_data)],
    )


def summary_layer(
    summary: ScanSummary, scene: Scene, dates: Sequence[str | None]
) -> Layer:
    """The summary as one feature: the ground that both dates show."""
    told = summary.details()
    polygon = told.pop("polygon")
    told["phrases"] = json.dumps(told["phrases"], ensure_ascii=False)
    told |= {"date_before": dates[0] or "", "date_after": dates[1] or ""}
    return Layer("summary", scene.crs, [[polygon]], {key: [told[key]] for key in told})


def newest(*paths: Path) -> str:
    """When the later of the images was changed: an output's own date would differ in
    each run."""
    newest = max(path.stat().st_mtime for path in paths)
    moment = datetime.datetime.fromtimestamp(int(newest), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
