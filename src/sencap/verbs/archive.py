"""`sencap archive`: long lists of pairs, on one machine or on many."""

from __future__ import annotations

import json as json_
from typing import Literal


def command(
    source: str,
    *,
    out: str,
    weights: str | None = None,
    beam: int = 3,
    precision: Literal["fp32", "int8", "bf16"] = "fp32",
    decision: Literal["probability", "search"] = "probability",
    batch_size: int = 16,
    block_size: int = 256,
    bands: str | None = None,
    scale: str | None = None,
    empty: float = 0.5,
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
        weights: A checkpoint folder (default: the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
        precision: fp32 (exact), or int8 (faster), where the checkpoint and the
            processor offer it; bf16 is refused, as ONNX Runtime lacks it.
        decision: What makes a pair changed: the model's probability of change, or
            whatever the best caption of the search says.
        batch_size: Pairs captioned at once.
        block_size: Pairs in one file of the output, which is what a stop or a lost
            worker costs; a multiple of the batch size.
        bands: The bands that are red, green and blue, by number from 1 or by name,
            joined by commas: 4,3,2 (default: by their names, else the first three).
        scale: LOW,HIGH: the values that become black and white (default: 8 bits as they
            are, more by what is in both images). A negative one is written
            --scale=-25,0.
        empty: A pair of which more than this share holds no data gets no caption.
        address: HOST:PORT of a Ray cluster's head, or auto for the one that this
            machine is part of (default: Ray runs here, for the time of the command).
        workers: Processes that hold the model (default: as many as there are cores
            for).
        threads: Cores of each worker.
        json: Print the summary as JSON.
        quiet: Show no progress.
    """
    from sencap.images import Reading
    from sencap.images.lists import check_list

    check_list(source)
    reading = Reading.of_texts(bands, scale, empty)
    from sencap.archive import ArchiveSettings, write_archive

    summary = write_archive(
        source,
        out,
        settings=ArchiveSettings(
            weights=weights,
            beam=beam,
            precision=precision,
            decision=decision,
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
