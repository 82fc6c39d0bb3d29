"""`sencap archive`: long lists of pairs, on one machine or on many."""

from __future__ import annotations

import json as json_
from dataclasses import asdict

from sencap.flags import ReadingFlags, SearchFlags


def command(
    source: str,
    *,
    out: str,
    model: SearchFlags,
    pixels: ReadingFlags,
    batch_size: int = 16,
    block_size: int = 256,
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    json: bool = False,
    quiet: bool = False,
) -> str:
    """Caption a long list of pairs by Ray Data, on this machine or on a cluster.

    Input: a CSV or Parquet file with the columns id, before and after and a row for
    each pair; where it has row, column, height and width too, a row is that window of
    the pair, in pixels. Paths are relative to the file. Output: a folder with a Parquet
    file of captions for each block of pairs, summary.json, and a page (index.html) with
    the spread of the probability of change and the 300 pairs to look at first. A pair
    that cannot be read is a row with its reason. After a stop of any kind the same
    command does what is missing. The rows are those of sencap caption LIST --json.
    Needs the extra archive.

    Args:
        source: The list of pairs, .csv or .parquet.
        out: A new folder, or one that the same command has begun.
        batch_size: Pairs captioned at once.
        block_size: Pairs in one file of the output, which is what a stop or a lost
            worker costs; a multiple of the batch size.
        address: HOST:PORT of a Ray cluster's head, or auto for the one that this
            machine is part of (default: Ray runs here, for the time of the command).
        workers: Processes that hold the model (default: as many as there are cores
            for).
        threads: Cores of each worker.
        json: Print the summary as JSON.
        quiet: Show no progress.
    """
    from sencap.images.lists import check_list

    check_list(source)
    reading = pixels.parsed()
    from sencap.archive import ArchiveSettings, write_archive

    summary = write_archive(
        source,
        out,
        settings=ArchiveSettings(
            **asdict(model),
            reading=reading,
            batch_size=batch_size,
            block_size=block_size,
        ),
        address=address,
        workers=workers,
        threads=threads,
        progress=not quiet,
    )
    if json:
        return json_.dumps(summary.details())
    return f"{summary}\nlook at {out}/index.html"
