"""JSON from strangers: read within bounds of size and depth, and repeated in messages
within bounds of length."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sencap.errors import CheckpointError, SencapError
from sencap.files import not_a_file

MEGABYTE = 2**20
DEEPEST = 32  # lists and objects within each other; ours are at most 6 deep


class NotJsonError(ValueError):
    """What is wrong with a text that should be JSON, without the file's name."""


def read_json(
    path: str | Path,
    *,
    most_megabytes: int = 4,
    error: type[SencapError] = CheckpointError,
    pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The content of a JSON file, which must be a regular file of bounded size;
    ``pairs_hook`` as in `parse_json`.

    Raises:
        SencapError: of the class ``error``: the file cannot be read, is too large, or
            is no JSON; the message begins with the path.
    """
    path = Path(path)
    try:
        # Kind and size are asked for before anything is read: a pipe would wait for
        # ever, and a large file fill the memory.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{path} is no regular file")
        if found.st_size > most_megabytes * MEGABYTE:
            megabytes = found.st_size / MEGABYTE
            raise error(
                f"{path} is of {megabytes:,.0f} MB; such a file has at most "
                f"{most_megabytes}"
            )
        content = path.read_bytes()
    except OSError as problem:
        reason = not_a_file(path) or problem.strerror or problem
        raise error(f"{path} cannot be read ({reason})") from problem
    try:
        return parse_json(content, pairs_hook=pairs_hook)
    except NotJsonError as problem:
        raise error(f"{path} is not readable JSON: {problem}") from problem


def parse_json(
    content: bytes | str,
    *,
    pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    any_text: bool = False,
) -> Any:
    """The value of a JSON text in UTF-8, no deeper than `DEEPEST`; ``pairs_hook`` makes
    an object of its pairs.

    ``any_text`` lets halves of surrogate pairs pass: for a caller who tells them by
    their entries (`is_text`).

    Raises:
        NotJsonError: no JSON, too deep, a number without end, or letters that UTF-8
            cannot write.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = json.loads(text, object_pairs_hook=pairs_hook)
    except UnicodeDecodeError as problem:
        raise NotJsonError(f"byte {problem.start} is no UTF-8") from problem
    except json.JSONDecodeError as problem:
        raise NotJsonError(_told(problem)) from problem
    except NotJsonError:
        raise  # what the hook found
    except RecursionError as problem:
        raise NotJsonError(f"it is nested deeper than {DEEPEST} levels") from problem
    # Python reads no whole number of more than 4300 digits.
    except ValueError as problem:
        raise NotJsonError("it holds a number of thousands of digits") from problem
    _check_within(value, any_text=any_text)
    return value


def _told(problem: json.JSONDecodeError) -> str:
    """Where a text is no JSON: Python's own words are about its parser."""
    text, place = problem.doc, f"line {problem.lineno}, column {problem.colno}"
    if not text.strip():
        return "it is empty"
    unfinished = problem.msg.startswith("Unterminated")  # told where it begins
    if unfinished or problem.pos >= len(text.rstrip()):
        return f"it breaks off after {place}"
    return f"it is wrong at {place}, near {shown(text[problem.pos : problem.pos + 20])}"


def _check_within(value: Any, *, any_text: bool) -> None:
    """Refuse what is nested too deeply, and, unless allowed, half of a surrogate pair
    in any text, keys included."""
    # Level by level and not by recursion, which deep nesting would exhaust.
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.keys())
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif isinstance(item, str) and not (any_text or is_text(item)):
                raise NotJsonError(
                    f"{shown(item)} holds half of a surrogate pair, which is no letter"
                )
        if not inner:
            return
        level = inner
    raise NotJsonError(f"it is nested deeper than {DEEPEST} levels")


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: half of a surrogate pair cannot be written to any
    file."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any, most: int = 60) -> str:
    """A value for a message: as Python writes it, the middle left out where it is long.

    >>> shown("resnet" * 20, most=20)
    "'resnetre…netresnet'"
    """
    if isinstance(value, int) and abs(value) > 10**30:
        # Python refuses to write out thousands.
        return "a number of more than 30 digits"
    if isinstance(value, list | dict) and len(value) > 20:
        return f"a {type(value).__name__} of {len(value):,} entries"
    try:
        text = repr(value)
    # A number of thousands of digits, or lists without end, inside.
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return shortened(text, most)


def shortened(text: str, most: int = 600) -> str:
    """A text of at most ``most`` letters, its middle left out where it is longer."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    tail = most - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}"
