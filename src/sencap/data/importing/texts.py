"""Files of captions as text and as JSON, within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap.errors import DataError
from sencap.files import not_a_file
from sencap.json_files import NotJsonError, parse_json

_LARGEST = 512  # megabytes: a line for each of a million captions has a fifth of it


def read_text(file: Path) -> str:
    """The text of a regular file of bounded size, in UTF-8, line ends as they are.

    Raises:
        DataError: it is none, or cannot be read.
    """
    reason = not_a_file(file)
    if reason:
        raise DataError(f"{file}: {reason}; give a file of captions")
    try:
        if file.stat().st_size > _LARGEST << 20:
            raise DataError(f"{file} is larger than {_LARGEST} MB; divide it into several")
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error


def read_content(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return parse_json(read_text(file))
    except NotJsonError as error:
        raise DataError(f"{file} is no readable JSON: {error}") from error
