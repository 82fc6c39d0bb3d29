"""Tables of captions: CSV and TSV files, a JSON object in each line, or a JSON list of
objects."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from sencap.data.importing.records import (
    Columns,
    ImportedRow,
    Problems,
    find_columns,
    names_in,
    read_row,
    split_of,
)
from sencap.data.importing.texts import read_content, read_regular_text
from sencap.errors import DataError
from sencap.json_files import NotJsonError, parse_json, shown
from sencap.text_files import csv_problem

Records = list[tuple[str, dict[str, Any]]]  # where each is, and what it says


def read_tables(
    files: list[tuple[Path, str]], problems: Problems, *, by_path: bool = False
) -> Iterator[ImportedRow]:
    """The rows of tables, given with the split that each is of ("" if that is not
    known).

    A column for the split comes first; with ``by_path`` the first folder of an image's
    path comes last.

    Raises:
        DataError: a table cannot be read, or its columns are not those of captioned
            pairs.
    """
    for file, split_of_file in files:
        records = read_records(file, problems)
        names = names_in([record for _, record in records])
        columns = _checked_columns(file, names)
        for place, record in records:
            row = read_row(place, record, columns, [file.parent], problems)
            if row is None:
                continue
            # The surest source of the split comes first: a column, then the name of the
            # file, then the folder of the image.
            folder = _first_folder(record[columns.before]) if by_path else ""
            split = row.split or split_of_file or split_of(folder)
            yield replace(row, split=split)


def _first_folder(path: str) -> str:
    """train/A/x.png → train; "" where there is no folder."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return parts[0] if len(parts) > 1 else ""


def _checked_columns(file: Path, names: list[str]) -> Columns:
    seen = ", ".join(shown(name) for name in names[:30]) or "none"
    try:
        columns = find_columns(names)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    needed = {
        "before": columns.before,
        "after": columns.after,
        "caption": columns.captions,
    }
    missing = [name for name, found in needed.items() if not found]
    if missing:
        raise DataError(
            f"{file} has no column for {' and '.join(missing)}; its columns are "
            f"{seen}. Name them before, after and caption (or caption1, caption2, "
            "…), and perhaps split, changed and name"
        )
    return columns


def read_records(file: Path, problems: Problems) -> Records:
    """The lines of a CSV or TSV file, or the objects of a JSON file (told by its first
    letter).

    Raises:
        DataError: it cannot be read, or holds no line of data.
    """
    text = read_regular_text(file)
    first = text.lstrip()[:1]
    # A list must be parsed as a whole; objects in lines one by one, so that a broken
    # one is told by its line.
    if first == "[":
        records = _json_list(file, problems)
    elif first == "{":
        records = json_records(file, text, problems)
    else:
        records = csv_records(file, text, problems)
    problems.refuse()  # columns cannot be told from lines that are none
    if not records:
        raise DataError(f"{file} has no line of data")
    return records


def csv_records(file: Path, text: str, problems: Problems) -> Records:
    """The lines of a CSV or TSV file whose first line names the columns."""
    first = text.split("\n", 1)[0]
    # The separator is the one that the line of titles has most of.
    mark = max(",;\t", key=first.count)
    # newline="" keeps line ends inside quotation marks as they are, and strict=True
    # refuses broken quotation marks that would swallow the rows after them.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    records: Records = []
    titles: list[str] = []
    number = 1  # of the line that a row begins with; a cell in quotation marks may have several
    try:
        for cells in reader:
            place = f"{file.name}, line {number}"
            number = reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not titles:
                titles = _checked_titles(file, cells)
            elif len(cells) == len(titles):
                records.append((place, dict(zip(titles, cells, strict=True))))
            else:
                problems.note(
                    place,
                    f"it has {len(cells)} cells, but there are {len(titles)} "
                    f"columns; put quotation marks around captions that hold {mark!r}",
                )
    except csv.Error as error:
        problems.note(f"{file.name}, line {reader.line_num}", csv_problem(error))
    return records


def _checked_titles(file: Path, cells: list[str]) -> list[str]:
    titles = [cell.strip() for cell in cells]
    twice = [title for title, count in Counter(titles).items() if count > 1]
    if twice:
        raise DataError(f"{file} has more than one column {twice[0]!r}; rename them")
    return titles


def json_records(file: Path, text: str, problems: Problems) -> Records:
    """The objects of a file that has one in each line."""
    records: Records = []
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{file.name}, line {number}"
        if not line.strip():
            continue
        try:
            records += _object(place, parse_json(line), problems)
        except NotJsonError as error:
            problems.note(place, f"it is no JSON: {error}")
    return records


def _json_list(file: Path, problems: Problems) -> Records:
    records: Records = []
    for number, entry in enumerate(read_content(file)):
        records += _object(f"{file.name}, entry {number}", entry, problems)
    return records


def _object(place: str, entry: Any, problems: Problems) -> Records:
    if isinstance(entry, dict):
        return [(place, entry)]
    problems.note(place, f"it is {shown(entry)}, not a JSON object")
    return []
