"""`sencap bench`: how fast captions come on this machine."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sencap.errors import SettingsError
from sencap.json_files import shown

if TYPE_CHECKING:
    from sencap.bench import BenchReport


def command(
    *,
    systems: str = "sen",
    weights: str | None = None,
    batches: str = "1,4,16",
    rounds: int = 5,
    threads: int = 0,
    size: int | None = None,
    precision: Literal["fp32", "int8", "bf16"] = "fp32",
    json: str | None = None,
    picture: str | None = None,
) -> str:
    """Measure how fast captions come on this machine: by engine and batch, beside the
    field's way.

    Needs no data: pairs are drawn, and systems have random weights. All ways take turns
    in one run, so that their ratios hold on a machine that does other things too. The
    field's way is what public code does: PyTorch, one pair at a time, and for every
    word the whole padded caption through the decoder. Every caption has 12 words.
    Output: tables: pairs per second, milliseconds by part, peak memory, ratios.

    Args:
        systems: Systems joined by commas, as `sencap info --list-systems` prints them.
        weights: A checkpoint that is measured beside them: a folder, or
            hub:OWNER/NAME@REVISION (default: the weights that ship with sencap).
        batches: Numbers of pairs captioned at once, joined by commas; 1 is always among
            them.
        rounds: How often all ways take a turn.
        threads: Threads of each engine (0: one for each core).
        size: Pixels of each side of the images that the systems see (default: 256).
        precision: int8 also measures ONNX Runtime with the encoder in int8.
        json: Also write all figures into this file.
        picture: Also draw the speeds into this file: .png, .pdf or .svg.
    """
    from sencap.bench import bench
    from sencap.config import ModelSettings
    from sencap.figures.files import DRAWN, check_path
    from sencap.files import check_outputs, write_whole
    from sencap.weights import checkpoint_files, resolve_weights

    found = resolve_weights(weights)
    check_outputs({"json": json, "picture": picture}, checkpoint_files(weights))
    if picture is not None:
        check_path(picture, endings=DRAWN, flag="picture")
    sizes = _whole_numbers(batches)
    side = 256 if size is None else size
    settings = {
        name: ModelSettings(system=name, size=side) for name in systems.split(",")
    }
    checkpoint = {f"weights {found.label}": found.folder}
    report = bench(
        settings,
        checkpoint,
        batches=sizes,
        rounds=rounds,
        threads=threads,
        precision=precision,
    )
    if json is not None:
        figures = {**report.as_dict(), "weights": found.record()}
        write_whole(json, json_.dumps(figures, indent=2) + "\n")
    if picture is not None:
        _draw(report, picture)
    return report.markdown()


def _draw(report: BenchReport, path: str) -> Path:
    from sencap.figures.speeds import speeds_plot

    rounds = (
        f"median of {len(report.products)} rounds, line from the lowest to the highest"
    )
    note = f"{rounds}; {report.threads} threads; {report.hardware()}"
    return speeds_plot(report.bars(), path, note=note)


def _whole_numbers(batches: str) -> tuple[int, ...]:
    try:
        return tuple(int(text) for text in batches.split(","))
    except ValueError as error:  # of a number with thousands of digits too
        raise SettingsError(
            f"batches={shown(batches)} are not whole numbers joined by commas, like "
            "1,4,16"
        ) from error
