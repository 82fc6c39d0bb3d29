"""An archive from a list to files of captions: Ray Data hands out the blocks that are
not done yet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from sencap.archive.cluster import check_address, cluster
from sencap.archive.folder import CAPTIONS, NOTE, Folder
from sencap.archive.page import write_page
from sencap.archive.settings import ArchiveSettings
from sencap.archive.summary import ArchiveSummary
from sencap.archive.work import BlockCaptioner
from sencap.bounds import check_numbers
from sencap.checkpoint_folder import image_size, search_settings
from sencap.errors import DataError, OutputError, SencapError, SettingsError
from sencap.version import __version__
from sencap.weights import Weights, resolve_weights

USUAL_ARCHIVE = ArchiveSettings()
LOG = "ray.log"


@dataclass(frozen=True)
class _Power:
    """By which machines and processes a run works; its rows do not depend on it."""

    address: str | None
    workers: int | None
    threads: int
    progress: bool


def write_archive(
    source: str | Path,
    out: str | Path,
    *,
    settings: ArchiveSettings = USUAL_ARCHIVE,
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    progress: bool = False,
) -> ArchiveSummary:
    """Caption the pairs of a list, however long, into a folder of Parquet files.

    ``source`` is a CSV or Parquet file with the columns id, before and after, and row,
    column, height and width where pairs are windows of scenes. ``out`` is a new folder,
    or one that the same call has begun: what is missing is done. ``address`` is that of
    a Ray cluster, whose machines all see the files, the weights and ``out``; without it
    Ray runs on this machine for the time of the call. ``workers`` are processes that
    hold the model (None: as many as there are cores for), each with ``threads``.

    Returns counts, a histogram and the rows to look at first, which are in
    ``out/summary.json`` and on the page ``out/index.html`` too.

    Raises:
        DataError: a list that cannot be read, a folder begun with another list, other
            weights or settings, or that another process works in.
        SettingsError, CheckpointError, MissingDependencyError: as `ArchiveSettings` and
            `sencap.load`; an address where no cluster answers.
        OutputError: something cannot be written.
    """
    source, folder = Path(source), Folder(out)
    check_address(address)
    check_numbers(workers=workers, threads=threads)
    for name, number in {"workers": workers, "threads": threads}.items():
        if number == 0:
            raise SettingsError(f"{name} is 0; it must be at least 1")
    weights = resolve_weights(settings.weights)
    image_size(weights.folder)  # what is no checkpoint is told before Ray starts
    with contextlib.ExitStack() as held:
        if (folder.path / NOTE).exists():
            held.enter_context(_alone_in(folder))
            blocks = folder.begin(
                source, _record(weights, settings), settings.block_size
            )
        else:
            blocks = folder.begin(
                source, _record(weights, settings), settings.block_size
            )
            held.enter_context(_alone_in(folder))
        # workers get the path of what was resolved here: a name of the hub may move
        fixed = replace(settings, weights=weights.folder.absolute())
        if missing := folder.missing(blocks):
            power = _Power(address, workers, threads, progress)
            _caption(folder, fixed, missing, power)
        if lost := folder.missing(blocks):
            raise OutputError(
                f"{folder.path / CAPTIONS} lacks {len(lost):,} of {blocks:,} files that "
                "the workers have written; out must be on a file system that all "
                "machines of the cluster see"
            )
        summary = ArchiveSummary.of(folder, blocks)
        summary.write(folder.path)
        write_page(folder.path, summary, settings.reading, title=source.name)
    return summary


def _record(weights: Weights, settings: ArchiveSettings) -> dict[str, Any]:
    """All that the rows depend on beside the list, as JSON values."""
    search = search_settings(weights.folder)
    return {
        "sencap": __version__,
        "weights": weights.sha256,
        **settings.details(),
        "beam": search.beam if settings.beam is None else settings.beam,
        "length_normalisation": search.length_normalisation,
        "decision": search.decision if settings.decision is None else settings.decision,
    }


@contextlib.contextmanager
def _alone_in(folder: Folder) -> Iterator[None]:
    """Keep other processes out of a folder."""
    try:
        with FileLock(folder.path / ".lock", blocking=False):
            yield
    except Timeout as error:
        raise DataError(
            f"another process works in {folder.path}; wait until it has ended, or give "
            "another folder"
        ) from error


def _caption(
    folder: Folder, settings: ArchiveSettings, missing: Sequence[int], power: _Power
) -> None:
    """Caption blocks by Ray, until all are done.

    Raises:
        SencapError: what a worker has told, or what Ray has.
    """
    threads = power.threads
    wanted = power.workers or max(1, (os.cpu_count() or 1) // threads)
    cores = min(wanted, len(missing)) * threads
    log = folder.path / LOG
    with cluster(log, address=power.address, cores=cores) as (ray, terminal):
        if power.address is not None and power.workers is None:
            everywhere = int(ray.cluster_resources().get("CPU", 1))
            wanted = max(1, everywhere // threads)
        workers = min(wanted, len(missing))
        # a number is a block of Ray's, too: what a lost worker had is handed out again
        numbers = ray.data.from_items(
            [{"block": block} for block in missing], override_num_blocks=len(missing)
        )
        done = numbers.map_batches(
            BlockCaptioner,
            fn_constructor_args=(folder.path, settings, threads),
            batch_size=1,
            num_cpus=threads,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=workers, initial_size=workers
            ),
        )
        total = folder.count_pairs(missing)
        hidden = not power.progress
        try:
            with tqdm(total=total, unit=" pairs", disable=hidden, file=terminal) as bar:
                for row in done.iter_rows():
                    if row["problem"]:
                        raise SencapError(row["problem"])
                    bar.update(row["pairs"])
        except ray.exceptions.RayError as error:
            raise SencapError(
                f"Ray has stopped the run ({str(error).splitlines()[0]}); {log} has "
                "its words, and the same command goes on with what is missing"
            ) from error
