"""Lists of pairs with ids: a table of any length, a row for each pair, read row by row.

A list is a CSV or a Parquet file with the columns ``id``, ``before`` and ``after``.
Where it also has ``row``, ``column``, ``height`` and ``width``, as the files of `sencap
scan` have, a row that fills them is that window of the pair, in pixels. Paths are
relative to the file's folder. An image that is not there is no mistake of the list: it
is told where the pair is read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sencap.errors import DataError
from sencap.extras import missing_extra
from sencap.files import not_a_file
from sencap.images.windows import Window
from sencap.text_files import csv_problem

_COLUMNS = ("id", "before", "after")
WINDOW = ("row", "column", "height", "width")
WANTED = (
    "give a CSV or Parquet file with the columns id, before and after, and a row for "
    "each pair"
)
_PARQUET = (".parquet", ".pq")
_ROWS_AT_ONCE = 65_536
_MOST_PIXELS = 10**9  # of a window's place: no raster is larger


class ListedPair(NamedTuple):
    """A row of a list: its place from 0, its id, two files, and the window of them, if
    it is not the whole pair."""

    number: int
    key: str
    before: Path
    after: Path
    window: Window | None = None


def is_list(source: str | Path) -> bool:
    """Whether a file is a list of pairs with ids: Parquet, or a CSV file whose first
    line names the columns ``id``, ``before`` and ``after``."""
    path = Path(source)
    if not_a_file(path):
        return False
    if path.suffix.lower() in _PARQUET:
        return True
    return path.suffix.lower() == ".csv" and not _lacking(path)


def _lacking(path: Path) -> list[str]:
    """The columns that the first line of a CSV file does not name."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        # The first line alone, at most so many letters of it: the list may be of any
        # length.
        titles = file.readline(_ROWS_AT_ONCE)
    words = re.split(r"[,;\t]", titles.strip().lower())
    named = {word.strip(' "') for word in words}
    return [name for name in _COLUMNS if name not in named]


def check_list(source: str | Path) -> None:
    """Refuse at once what is no list of pairs, by its name and its first line.

    Raises:
        DataError: with what is wanted.
    """
    path = Path(source)
    if reason := not_a_file(path):
        raise DataError(f"{path}: {reason}; {WANTED}")
    if path.suffix.lower() in _PARQUET:
        return
    if path.suffix.lower() != ".csv":
        raise DataError(f"{path} is neither .csv nor .parquet; {WANTED}")
    if lacking := _lacking(path):
        raise DataError(
            f"{path} has no column {' and '.join(lacking)} in its first line; {WANTED}"
        )


def read_list(source: str | Path) -> Iterator[ListedPair]:
    """The rows of a list, one by one, in their order.

    Raises:
        DataError: no such file, a column that is missing, a row without an id, an id
            twice, a window that is none; the message names the line or the row.
        MissingDependencyError: a Parquet file, and no pyarrow.
    """
    path = Path(source)
    check_list(path)
    is_parquet = path.suffix.lower() in _PARQUET
    rows = _parquet_rows(path) if is_parquet else _csv_rows(path)
    # The ids and their places are all that is kept of the rows.
    seen: dict[str, str] = {}
    for number, (place, cells) in enumerate(rows):
        pair = _pair(path, number, place, cells)
        if pair.key in seen:
            raise DataError(
                f"{path}, {place}: the id {pair.key!r} is that of {seen[pair.key]} "
                "too; each row needs an id of its own"
            )
        seen[pair.key] = place
        yield pair
    if not seen:
        raise DataError(f"{path} has no row of a pair; {WANTED}")


def _pair(path: Path, number: int, place: str, cells: Mapping[str, Any]) -> ListedPair:
    """A row from its cells."""
    key = _text(cells.get("id"))
    if not key:
        raise DataError(f"{path}, {place}: it has no id; each row needs one of its own")
    # An absolute path stays as it is: joining keeps the last absolute part.
    before, after = (path.parent / _text(cells.get(name)) for name in _COLUMNS[1:])
    given = [_text(cells.get(name)) for name in WINDOW]
    if not any(given):
        return ListedPair(number, key, before, after)
    if not all(re.fullmatch(r"[0-9]{1,10}", word) for word in given):
        raise DataError(
            f"{path}, {place}: row, column, height, width are {', '.join(given)}; "
            "they must be four whole numbers, or all empty for the whole pair"
        )
    window = Window(*map(int, given))
    if min(window.height, window.width) < 1 or max(window) > _MOST_PIXELS:
        raise DataError(
            f"{path}, {place}: a window of {window.height}×{window.width} pixels at "
            f"{window.row}, {window.column} is none"
        )
    return ListedPair(number, key, before, after, window)


def _text(cell: Any) -> str:
    """A cell as text: whole numbers that a table has as floats lose their point."""
    if cell is None or cell != cell:  # noqa: PLR0124  (not a number)
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with the line in which it ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            # What the titles are parted by.
            mark = max(",;\t", key=first.count)
            titles = next(csv.reader([first], delimiter=mark), [])
            names = _names(path, titles)
            # The reader starts after the titles, so its line numbers are one too low.
            rows = csv.reader(file, delimiter=mark, strict=True)
            try:
                for row in rows:
                    if any(cell.strip() for cell in row):
                        cells = dict(zip(names, row, strict=False))
                        yield f"line {rows.line_num + 1}", cells
            except csv.Error as error:
                raise DataError(
                    f"{path}, line {rows.line_num + 1}: {csv_problem(error)}"
                ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); {WANTED}"
        ) from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, each with its place."""
    try:
        import pyarrow  # noqa: PLC0415  (an extra)
        import pyarrow.parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise missing_extra(error, f"{path}, a Parquet file,") or error from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            renamed = dict(zip(names, _names(path, names), strict=True))
            # Other columns, which may be large, are not read from the disk at all.
            wanted = [name for name in names if renamed[name] in (*_COLUMNS, *WINDOW)]
            place = 0
            # Batch by batch: a list of a hundred million pairs does not fit into
            # memory.
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
                for row in batch.to_pylist():
                    place += 1
                    cells = {renamed[name]: cell for name, cell in row.items()}
                    yield f"row {place}", cells
    except (pyarrow.ArrowException, OSError) as error:
        told = str(error).splitlines()[0]
        raise DataError(
            f"{path} is no whole Parquet file ({told}); {WANTED}"
        ) from error


def _names(path: Path, titles: Sequence[str]) -> list[str]:
    """The columns by their names in small letters.

    Raises:
        DataError: one is missing or twice.
    """
    names = [title.strip().lower() for title in titles]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path} has no column {' and '.join(missing)}, but {names}; {WANTED}"
        )
    twice = [name for name in (*_COLUMNS, *WINDOW) if names.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]} twice; {WANTED}")
    some = _some(WINDOW, names)
    if some and len(some) < len(WINDOW):
        raise DataError(
            f"{path} has the columns {', '.join(some)} of windows and lacks others: "
            "they are row, column, height and width"
        )
    return names


def _some(wanted: Iterable[str], names: Sequence[str]) -> list[str]:
    return [name for name in wanted if name in names]
