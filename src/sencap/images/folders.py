"""The pairs that a folder or a CSV file names."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path

from sencap.errors import DataError
from sencap.text_files import csv_problem, read_text

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
Pairs = list[tuple[Path, Path, str]]

_MARKS = (("before", "after"), ("a", "b"), ("1", "2"))
_MOST_BYTES = 256 << 20  # of a CSV file: a line for each of a million pairs
_WANTED = "give a folder of pairs or a CSV file"


def find_pairs(source: str | Path) -> Pairs:
    """The pairs (before, after, name) that a folder or a CSV file names, by name or in the CSV's
    order.

    A folder holds two folders ``before`` and ``after`` (or ``A`` and ``B``, ``1`` and ``2``) with
    files of the same names; or files ``<name>_before.png`` and ``<name>_after.png`` (or ``_A`` and
    ``_B``, ``_1`` and ``_2``; or with no ``<name>`` at all), suffixes free. A CSV file has the
    columns ``before`` and ``after``, perhaps ``name``, parted by commas, semicolons or tabs; paths
    are relative to its folder.

    Raises:
        DataError: nothing there, no pair in it, missing columns; files missing or without a
            partner.
    """
    source = Path(source)
    if not source.is_dir():
        return _pairs_of_table(source)
    folders = {entry.name.lower(): entry for entry in sorted(source.iterdir()) if entry.is_dir()}
    for before, after in _MARKS:
        if before in folders and after in folders:
            listed = [(file.stem, 0, file) for file in _images(folders[before])]
            listed += [(file.stem, 1, file) for file in _images(folders[after])]
            return _match(source, listed)
    files = _images(source)
    for marks in _MARKS:
        pattern = re.compile(rf"(?:(.*)[_-])?({'|'.join(marks)})", re.IGNORECASE | re.DOTALL)
        listed, others = [], []
        for file in files:
            match = pattern.fullmatch(file.stem)
            if match is None:
                others.append(file)
                continue
            name = match[1] or source.resolve().name  # before.png alone: the folder's name
            listed.append((name, marks.index(match[2].lower()), file))
        if listed:
            return _match(source, listed, others)
    wanted = "folders A and B, or before and after; or files <name>_before.png and <name>_after.png"
    raise DataError(f"{source} holds no pairs, but {len(files)} other images: expected {wanted}")


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("[!.]*") if file.suffix.lower() in IMAGE_SUFFIXES)


def _match(
    source: Path, listed: Sequence[tuple[str, int, Path]], others: Sequence[Path] = ()
) -> Pairs:
    """Pairs of files (name, date 0 or 1, file), all of which must have exactly one partner."""
    dates: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    problems = [f"{file.relative_to(source)} is of neither date" for file in others]
    for name, date, file in listed:
        if dates[date].setdefault(name, file) is not file:
            problems.append(
                f"{file.relative_to(source)} and {dates[date][name].name} have the same name"
            )
    for date, missing in enumerate(("after", "before")):
        alone = sorted(set(dates[date]) - set(dates[1 - date]))
        files = [dates[date][name].relative_to(source) for name in alone]
        problems += [f"{file} has no image {missing}" for file in files]
    if not listed:
        problems.append("its two folders hold no images")
    _refuse(source, problems)
    return [(dates[0][name], dates[1][name], name) for name in sorted(dates[0])]


def _pairs_of_table(source: Path) -> Pairs:
    if not os.path.lexists(source):
        raise DataError(f"{source} does not exist; {_WANTED}")
    text = read_text(source, most_bytes=_MOST_BYTES, error=DataError, advice=_WANTED)
    lines = text.splitlines() or [""]
    mark = max(",;\t", key=lines[0].count)  # what the titles are parted by
    reader = csv.reader(lines, delimiter=mark, strict=True)
    try:
        rows = list(reader) or [[]]
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {csv_problem(error)}") from error
    columns = [title.strip().lower() for title in rows[0]]
    if missing := [title for title in ("before", "after") if title not in columns]:
        raise DataError(
            f"{source} has no column {' and '.join(missing)} in its first line, but {columns}"
        )
    pairs, problems = Pairs(), []
    for number, row in enumerate(rows[1:], 2):
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        before, after = (source.parent / cells.get(title, "") for title in ("before", "after"))
        for title, file in (("before", before), ("after", after)):
            if not file.is_file():
                problems.append(f"line {number}: {title} {cells.get(title, '')!r} is no file")
        pairs.append((before, after, cells.get("name") or before.stem))
    _refuse(source, problems if pairs else ["it has no line after the titles"])
    return pairs


def _refuse(source: Path, problems: Sequence[str]) -> None:
    if problems:
        raise DataError("\n  ".join([f"{source} cannot be read as pairs:", *problems]))
