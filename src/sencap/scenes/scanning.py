"""The scan itself: windows read ahead of the model, captioned in batches, kept as they
are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sencap.ahead import ahead
from sencap.checkpoint_folder import CONFIG, VOCABULARY, WEIGHTS
from sencap.images import resize
from sencap.predictor import Predictor
from sencap.rasters.grid import reprojected
from sencap.scenes.ground import corners
from sencap.scenes.journal import ScannedBatch, content_digest, file_record
from sencap.scenes.rows import Row
from sencap.scenes.scene import Scene, Seen
from sencap.scenes.settings import ScanSettings
from sencap.scenes.trained import Trained
from sencap.version import __version__
from sencap.weights import resolve_weights

USUAL_SCAN = ScanSettings()


def scan(
    before: str | Path, after: str | Path, *, settings: ScanSettings = USUAL_SCAN
) -> Iterator[Row]:
    """What is said of each window of two georeferenced rasters, in the order of their
    numbers.

    >>> for row in scan("before.tif", "after.tif"):          # doctest: +SKIP
    ...     print(row.window, row.caption, row.change_probability)

    The after image is brought to the grid of the before image as it is read, over the
    ground that both show. Windows that hold too little data are left out.
    `sencap.write_scan` writes the same rows as a file for a map.

    Raises:
        ImageError: a file that cannot be read, no ground in common, a window that is
            damaged.
        SettingsError, CheckpointError, MissingDependencyError: as `ScanSettings` and
            `sencap.load`.
    """
    with Scene(before, after, settings, Trained.of(settings.weights)) as scene:
        predictor = settings.load()
        for batch in batches(scene, predictor):
            yield from batch.rows


def batches(
    scene: Scene, predictor: Predictor, *, first: int = 0
) -> Iterator[ScannedBatch]:
    """The windows of a scene from number ``first`` on, in batches.

    A batch takes as many windows with data as the settings say, and those without data
    among them. So batches that begin where another one ended are the same in every run.
    """

    def read(number: int) -> Seen:
        seen = scene.read(number)
        if seen.pair is None:
            return seen
        small = resize(seen.pair, predictor.size)
        return Seen(number, small, seen.valid, seen.pixels)

    numbers = (
        number for number in range(first, len(scene.tiling)) if scene.is_wanted(number)
    )
    size = scene.settings.batch_size
    batch, waiting = ScannedBatch(first), list[Seen]()
    # A raster is for one thread at a time: one reads and resamples while the model
    # works.
    for seen in ahead(read, numbers, threads=1, most=2 * size):
        batch.end = seen.number + 1
        if seen.pair is not None:
            waiting.append(seen)
        else:
            batch.without_data += 1
            batch.unread += not seen.is_read
            batch.unseen += seen.pixels
        if len(waiting) == size:
            batch.rows = _rows(scene, predictor, waiting)
            yield batch
            batch, waiting = ScannedBatch(batch.end), []
    batch.rows = _rows(scene, predictor, waiting)
    batch.end = len(scene.tiling)
    yield batch


def _rows(scene: Scene, predictor: Predictor, windows: Sequence[Seen]) -> list[Row]:
    """What is said of windows that were read."""
    pairs = [seen.pair for seen in windows if seen.pair is not None]
    captions = predictor.caption_pairs(pairs)
    rows = []
    for seen, caption in zip(windows, captions, strict=True):
        window = scene.tiling.window(seen.number)
        rows.append(
            Row.of(
                caption,
                window=seen.number,
                **window._asdict(),
                polygon=reprojected(
                    corners(scene.grid, window), scene.grid.crs, scene.crs
                ),
                valid=round(seen.valid, 4),
                pixels=seen.pixels,
            )
        )
    return rows


def record(before: Path, after: Path, settings: ScanSettings) -> dict[str, Any]:
    """All that the rows of a scan depend on, as JSON values."""
    found = resolve_weights(settings.weights)
    weights = [found.folder / name for name in (CONFIG, WEIGHTS, VOCABULARY)]
    roi = None if settings.roi is None else content_digest(Path(settings.roi))
    return {
        "sencap": __version__,
        "before": {"file": before.name, **file_record(before)},
        "after": {"file": after.name, **file_record(after)},
        "weights": content_digest(*weights),
        "weights_sha256": found.sha256,
        "weights_commit": found.commit,
        "roi": roi,
        "settings": settings.details(),
    }
