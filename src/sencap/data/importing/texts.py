"""Files of captions as text and as JSON, within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap import text_files
from sencap.errors import DataError
from sencap.json_files import NotJsonError, parse_json

_LARGEST = 512 << 20  # a line for each of a million captions has a fifth of it


def read_regular_text(file: Path, *, most_bytes: int = _LARGEST) -> str:
    """The text of a regular file of at most so many bytes, in UTF-8, line ends as they
    are.

    Raises:
        DataError: it is none, or cannot be read.
    """
    return text_files.read_text(
        file, most_bytes=most_bytes, error=DataError, advice="give a file of captions"
    )


def read_content(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return parse_json(read_regular_text(file))
    except NotJsonError as error:
        raise DataError(f"{file} is no readable JSON: {error}") from error
