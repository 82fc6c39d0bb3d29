"""The page of an archive, with small pictures of the pairs to look at first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sencap.ahead import ahead
from sencap.archive.summary import RULE, ArchiveSummary
from sencap.errors import ImageError
from sencap.figures.archive import ShownRow, archive_page
from sencap.files import write_whole
from sencap.images import Reading
from sencap.images.lists import WINDOW, ListedPair
from sencap.images.windows import Window
from sencap.listed import ListReader

_SIDE = 160  # pixels of a picture


def write_page(
    folder: Path, summary: ArchiveSummary, reading: Reading, *, title: str
) -> Path:
    """Write ``index.html``; the pairs that it shows are read again.

    Raises:
        OutputError: it cannot be written.
    """
    with ListReader(_SIDE, reading) as reader:
        shown = list(ahead(lambda row: _shown(row, reader), summary.first))
    lines = str(summary).splitlines()
    content = archive_page(
        f"Captions of {title}", lines, summary.histogram, RULE, shown
    )
    return write_whole(folder / "index.html", content)


def _shown(row: Mapping[str, Any], reader: ListReader) -> ShownRow:
    places = [row[name] for name in WINDOW]
    window = None if places[0] is None else Window(*places)
    files = Path(row["before"]), Path(row["after"])
    pair = reader.read(ListedPair(row["number"], row["id"], *files, window))
    place = f"{files[0].name}, {files[1].name}"
    if window is not None:
        place += f", {window}"
    problem = str(pair) if isinstance(pair, ImageError) else ""
    return ShownRow(
        row["id"],
        place,
        row["caption"],
        row["changed"],
        row["change_probability"],
        None if isinstance(pair, ImageError) else pair.images,
        problem,
    )
