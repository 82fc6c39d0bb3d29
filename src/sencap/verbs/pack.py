"""`sencap pack`: dated images of places, from any layout, as one fast folder."""

from __future__ import annotations

import datetime

from sencap.errors import SettingsError


def command(
    source: str,
    out: str,
    *,
    kind: str = "auto",
    size: int = 264,
    product: str | None = None,
    split: str | None = None,
    stride: int | None = None,
    dates: str | None = None,
    bands: str | None = None,
    black: int | None = None,
    white: int | None = None,
    workers: int = 0,
    verify: bool = False,
    quiet: bool = False,
) -> str:
    """Pack dated images of places into one fast folder, for pre-training.

    Input: SSL4EO-S12 (v1.0 or v1.1), a folder per place with dated images, large dated
    rasters of one area, a folder of pairs, or synthetic:COUNT. The layout is told by
    the content. Output: OUT/images-*.npy (uint8, memory-mapped) and OUT/index.json
    (names, dates, hashes); what was used and left out is printed. A run that was
    stopped or killed goes on when the same command is given again.

    Args:
        source: The folder or file with the dated images, or synthetic:COUNT or
            synthetic:COUNT:SEED.
        out: The folder to write; it may be new, empty, or a stopped run's.
        kind: ssl4eo-v1.0, ssl4eo-v1.1, folder, series, pairs, synthetic, packed, or
            auto.
        size: Side of the packed images in pixels; larger ones are cut to a square and
            resized. Cells of large rasters and synthetic images are made of this size.
        product: Of SSL4EO-S12, v1.0: s2c, s2a or rgb; v1.1: S2RGB, S2L2A or S2L1C
            (default: the first that is there).
        split: Of SSL4EO-S12 v1.1: train or val (default: both).
        stride: Pixels from one cell of large rasters to the next (default: the size).
        dates: Of large rasters, use these dates only, joined by commas:
            2018-02-10,2018-05-31.
        bands: Of large rasters, the numbers from 1 or the names of R, G and B, joined
            by commas: 3,2,1.
        black: The value of more than 8 bits that becomes 0 (default: 0).
        white: The value of more than 8 bits that becomes 255 (default: 10000,
            reflectance 1).
        workers: Processes that read (0: one per core, 1: this one).
        verify: Then read every packed byte again and compare the hashes.
        quiet: No progress bar.
    """
    from sencap.images.options import bands_of
    from sencap.places import Scaling, pack
    from sencap.places import verify as verify_packed

    scale = {
        name: value
        for name, value in (("black", black), ("white", white))
        if value is not None
    }
    report = pack(
        source,
        out,
        size=size,
        workers=workers,
        progress=not quiet,
        kind=kind,
        product=product,
        split=split,
        stride=stride,
        dates=None if dates is None else [_date(text) for text in dates.split(",")],
        bands=None if bands is None else bands_of(bands),
        scaling=Scaling(**scale) if scale else None,
    )
    if not verify:
        return f"{report}\nwrote {out}"
    verify_packed(out, progress=not quiet)
    return f"{report}\nwrote {out}, every byte of it checked"


def _date(text: str) -> datetime.date:
    """One of the dates."""
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError as error:
        raise SettingsError(f"dates: {text!r} is no date like 2018-02-10") from error
