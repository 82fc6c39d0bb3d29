"""What the readers share: dates of files, and files as 8-bit RGB on one scale."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.dates import find_date
from sencap.errors import DataError, SettingsError
from sencap.images import read_image
from sencap.text_files import read_text

# Order is known, dates are not: what a place of undated before/after images says in
# place of its dates.
UNDATED = (datetime.date(1, 1, 1), datetime.date(1, 1, 2))
DATES_FILE = "dates.txt"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Scaling:
    """How more than 8 bits become 8: linearly, ``black`` to 0 and ``white`` to 255;
    what lies outside is clipped.

    The default is reflectance 0–1, which Sentinel-2's files store as 0–10,000. 8-bit
    images stay as they are. The scale is the same for all bands, dates and places, so
    that a brighter season stays brighter. ``white=3000`` gives pictures that look
    bright enough to people; ``black=1000`` undoes the offset that files of Sentinel-2's
    processing baseline 04.00 and later carry.

    Raises:
        SettingsError: white is not above black, or a bound is not within 0–65,535.
    """

    black: int = 0
    white: int = 10_000

    def __post_init__(self) -> None:
        if not 0 <= self.black < self.white <= 0xFFFF:
            raise SettingsError(
                f"black={self.black} and white={self.white}: 0 ≤ black < white ≤ "
                "65535 must hold"
            )

    def to_uint8(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Whole numbers of any width as uint8; uint8 as it is.

        Raises:
            DataError: numbers that are not whole.
        """
        if values.dtype == np.uint8:
            return values.astype(np.uint8, copy=False)
        if values.dtype.kind not in "iu":
            raise DataError(
                f"its values are {values.dtype}; they must be whole numbers"
            )
        # Negative reflectance, which corrections of the atmosphere leave in dark
        # places, becomes 0.
        levels = values if values.dtype == np.uint16 else values.clip(0, 0xFFFF)
        scaled: NDArray[np.uint8] = _table(self.black, self.white)[levels]
        return scaled

    def settings(self) -> Mapping[str, int]:
        """As JSON values."""
        return asdict(self)


@lru_cache(maxsize=4)
def _table(black: int, white: int) -> NDArray[np.uint8]:
    """What each of the 65,536 levels becomes, halves rounded up."""
    # All levels once, then a look-up: faster than arithmetic on every pixel. Whole
    # numbers alone, so that every machine rounds alike.
    clipped = np.arange(0x10000).clip(black, white) - black
    span = white - black
    return ((clipped * 510 + span) // (2 * span)).astype(np.uint8)


def read_dates_file(folder: Path) -> dict[str, datetime.date]:
    """Dates by file stem from ``dates.txt``, lines like ``1: 20150820`` or ``date_1:
    20150820``; {} without one.

    Raises:
        DataError: the file cannot be read.
    """
    file = folder / DATES_FILE
    if not file.is_file():
        return {}
    text = read_text(
        file,
        most_bytes=_MOST_BYTES,
        error=DataError,
        advice="give each image's date in it, or delete it",
    )
    found = {}
    for line in text.splitlines():
        # A name, a mark, a date; other lines, such as a heading, are left out.
        match = re.match(r"\s*(?:date_)?(\S+?)\s*[:=,;\t]\s*(.+)", line)
        date = find_date(match[2]) if match else None
        if match and date:
            found[match[1]] = date
    return found


def date_of(file: Path, listed: Mapping[str, datetime.date]) -> datetime.date | None:
    """The date of an image: that of its name, else the one that `read_dates_file`
    listed for it."""
    return find_date(file.stem) or listed.get(file.stem)


def read_rgb(
    path: Path, scaling: Scaling, *, first: Path | None = None
) -> NDArray[np.uint8]:
    """An RGB or grey image file as uint8 (3, H, W), 0 where it holds no data.

    ``first`` is the first image of the same place: if the files say where they lie,
    this one is put on its grid, of which at least half must hold data.

    Raises:
        ImageError: as `sencap.images.read_image`, or too little in common with
            ``first``.
    """
    return scaling.to_uint8(read_image(path, like=first))
