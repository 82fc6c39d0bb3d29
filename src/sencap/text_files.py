"""Text files from anybody, CSV among them: read within bounds of size, refused in words
of ours."""

from __future__ import annotations

import csv
from pathlib import Path

from sencap.errors import SencapError
from sencap.files import not_a_file


def read_text(
    path: str | Path, *, most_bytes: int, error: type[SencapError], advice: str
) -> str:
    """The text of a regular file in UTF-8, line ends as they are, without the mark that
    Windows writes before it.

    Raises:
        SencapError: of the class ``error``: it is no regular file, too large, no UTF-8,
            or cannot be read. The message begins with the path; ``advice`` ends it
            where another file is to be given.
    """
    path = Path(path)
    if reason := not_a_file(path):
        raise error(f"{path}: {reason}; {advice}")
    try:
        # The size is asked for first: a file of any size could be named by mistake.
        size = path.stat().st_size
        if size > most_bytes:
            raise error(
                f"{path} has {size:,} bytes, more than {most_bytes:,}; {advice}"
            )
        content = path.read_bytes()
    except OSError as problem:
        raise error(
            f"{path} cannot be read ({problem.strerror or problem}); {advice}"
        ) from problem
    try:
        # "utf-8-sig" drops the byte order mark that Windows writes, if there is one.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(
            f"{path} is no text in UTF-8 (byte {problem.start}); save it as UTF-8"
        ) from problem


def csv_problem(error: csv.Error) -> str:
    """What Python's reader of CSV files says, for somebody who has written one."""
    # The messages of Python's module csv, which has no codes for them.
    said = str(error)
    if said == "unexpected end of data":
        return "a quotation mark is opened and never closed"
    if said.startswith("field larger than"):
        most = csv.field_size_limit()
        return f"a cell has more than {most:,} letters; is a quotation mark not closed?"
    if said.endswith("expected after '\"'"):
        return "a quotation mark is closed within a cell; write two of them for one that is meant"
    return said
