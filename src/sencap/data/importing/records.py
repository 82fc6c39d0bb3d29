"""What the lines of any source say of pairs: which column is what, and rows of one pair
joined.

A *record* is a line of a table or an entry of a JSON file, as {column: value}. A `Row`
is what it says, its files found. A `Pair` is what all rows of the same two files say
together.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sencap.bounds import BOUNDS
from sencap.data.vocabulary import is_word, normalise
from sencap.errors import DataError, nearest
from sencap.images.marks import BEFORE, DATES, MARK_KINDS, read_mark, two_dates
from sencap.json_files import shown

# How people call the three splits, in small letters.
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

_IMAGE_WORDS = {"image", "img", "file", "filename", "name", "path", "photo", "t"}
_CAPTION_WORDS = {
    "caption", "captions", "text", "texts", "sentence", "sentences", "description", "descriptions",
}  # fmt: skip
_SPLIT_COLUMNS = {"split", "subset", "partition"}
_CHANGED_COLUMNS = {"changed", "changeflag", "change_flag"}
# What people write into a column for "changed"; "1.0" is pandas' way to write 1 in a
# column that has gaps.
_FLAGS = {
    "1": 1, "1.0": 1, "true": 1, "yes": 1, "changed": 1,
    "0": 0, "0.0": 0, "false": 0, "no": 0, "unchanged": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Which columns of a source hold what; "" where there is none."""

    before: str = ""
    after: str = ""
    captions: tuple[str, ...] = ()
    split: str = ""
    changed: str = ""
    name: str = ""


@dataclass(frozen=True)
class ImportedRow:
    """What one record says: two files, words of captions, and what may be absent ("",
    None)."""

    place: str
    before: Path
    after: Path
    captions: tuple[str, ...]
    split: str = ""
    changed: int | None = None
    name: str = ""


@dataclass
class Pair:
    """Two images and all that is said of them; ``place`` is that of its first row."""

    place: str
    before: Path
    after: Path
    captions: list[str] = field(default_factory=list)
    split: str = ""
    changed: int | None = None
    name: str = ""


class Problems:
    """Everything that is wrong with a source, told at once; ``done`` is what it cannot
    be."""

    def __init__(self, source: Path, done: str = "imported") -> None:
        self.source, self.done = source, done
        self.found: list[str] = []

    def note(self, place: str, what: str) -> None:
        """Remember what is wrong at a place of the source."""
        self.found.append(f"{place}: {what}")

    def refuse(self) -> None:
        """Raise DataError with the first twenty, if there are any."""
        if not self.found:
            return
        count, most = len(self.found), 20
        lines = [
            f"{self.source} cannot be {self.done} ({count:,} problem{'s' * (count > 1)}); nothing "
            "was written"
        ]
        lines += self.found[:most]
        if count > most:
            lines.append(f"… and {count - most:,} more")
        raise DataError("\n  ".join(lines))


# Which column is what


def names_in(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns that any of the records has, in the order in which they are met."""
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    return list(names)


def find_columns(names: Iterable[str]) -> Columns:
    """Tell the columns by their names.

    >>> find_columns(["image_before", "image_after", "caption1", "caption2"]).captions
    ('caption1', 'caption2')

    Raises:
        DataError: two columns for one thing; without the source's name.
    """
    names = list(names)
    images: dict[str, list[str]] = {"before": [], "after": [], "": []}
    for name in names:
        side = image_side(name)
        if side is not None:
            images[side].append(name)
    if images["after"] and not images["before"]:
        images["before"] = images[""]  # file_name and after_file_name
    # Caption columns are left out: caption1 and caption2 look like two dates too.
    dates = two_dates(name for name in names if not _is_caption(name))
    if len(dates) == 1 and not (images["before"] and images["after"]):
        _, before, after = dates[0]  # 2018 and 2019, image0 and image1
        images = {"before": [before], "after": [after]}

    def called(known: set[str]) -> list[str]:
        return [name for name in names if name.strip().lower() in known]

    return Columns(
        before=_only("before", images["before"]),
        after=_only("after", images["after"]),
        captions=tuple(name for name in names if _is_caption(name)),
        split=_only("split", called(_SPLIT_COLUMNS)),
        changed=_only("changed", called(_CHANGED_COLUMNS)),
        name=_only("name", called({"name"})),
    )


def image_side(name: str) -> str | None:
    """Which image a column names: "before", "after", "" (an image, it is not said
    which), None (no image).

    >>> [image_side(name) for name in ("file_name_after", "t1", "file_name", "caption1")]
    ['after', 'before', '', None]
    """
    words = _words(name)
    # What is left without the words for images: file_name_after → after.
    marks = [word for word in words if word not in _IMAGE_WORDS]
    if not marks:
        # A column "name" is not one of files.
        return "" if {"file", "filename", "image", "img", "path"} & set(words) else None
    if "date" in marks:
        return None  # date1 is no image
    for kind in MARK_KINDS:
        # A column called 2018 may hold anything; `find_columns` takes years only as a
        # pair.
        mark = None if kind == DATES else read_mark("_".join(marks), kind)
        if mark is not None and not mark.rest:
            return "before" if mark.date == BEFORE else "after"
    return None


def _is_caption(name: str) -> bool:
    words = _words(name)
    return (
        bool(words)
        and words[0] in _CAPTION_WORDS
        and all(word.isdigit() for word in words[1:])
    )


def _words(name: str) -> list[str]:
    """The parts of a column's name: file_name2 → file, name, 2."""
    return re.findall(r"[a-z]+|[0-9]+", name.lower())


def _only(what: str, names: Sequence[str]) -> str:
    if len(names) > 1:
        raise DataError(
            f"it has {len(names)} columns for {what}: {', '.join(names)}; keep one of them"
        )
    return names[0] if names else ""


def split_of(name: str) -> str:
    """The split that a file's or folder's name tells, "" if none: captions_train2014 →
    train."""
    for word in re.findall(r"[a-z]+", name.lower()):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return ""


# Records to rows


def read_row(
    place: str,
    record: Mapping[str, Any],
    columns: Columns,
    bases: Sequence[Path],
    problems: Problems,
) -> ImportedRow | None:
    """What a record says; None, and what is wrong with it noted, if that is no pair.

    ``bases`` are the folders that its paths may be relative to.
    """
    # All columns are read even if one is wrong, so that all that is wrong is told at
    # once.
    wrong = len(problems.found)
    before = find_file(
        place, columns.before, record.get(columns.before), bases, problems
    )
    after = find_file(place, columns.after, record.get(columns.after), bases, problems)
    captions: list[str] = []
    for column in columns.captions:
        captions += _captions(place, column, record.get(column), problems)
    split = read_split(place, record.get(columns.split), problems)
    changed = read_flag(place, columns.changed, record.get(columns.changed), problems)
    name = record.get(columns.name)
    if before is None or after is None or len(problems.found) > wrong:
        return None
    called = "" if name is None else str(name)
    return ImportedRow(place, before, after, tuple(captions), split, changed, called)


def find_file(
    place: str, column: str, value: Any, bases: Sequence[Path], problems: Problems
) -> Path | None:
    """The file that a record names, relative to one of some folders; None if there is
    none, which is noted."""
    if not isinstance(value, str) or not value.strip():
        problems.note(
            place, f"{column} is {shown(value)}; it must be the path of an image"
        )
        return None
    path = existing(value.strip(), bases)
    if path is None:
        where = " and ".join(str(base) for base in bases)
        problems.note(place, f"{column} {shown(value)} is no file (looked in {where})")
    return path


def existing(text: str, bases: Sequence[Path]) -> Path | None:
    """The file of that path below the first of some folders that has it."""
    texts = dict.fromkeys((text, text.replace("\\", "/")))  # tables written on Windows
    for base in bases:
        for path in (base / one for one in texts):
            try:
                if path.is_file():
                    return path
            except (OSError, ValueError):  # a name that no file has
                continue
    return None


def read_split(place: str, value: Any, problems: Problems) -> str:
    """The split that a record names, "" if it names none."""
    if value is None or value == "":
        return ""
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in SPLIT_NAMES:
        # The nearest name is not looked for in a text of any length.
        problems.note(
            place, f"unknown split {shown(value)}; {nearest(text[:60], SPLIT_NAMES)}"
        )
        return ""
    return SPLIT_NAMES[text]


def read_flag(place: str, column: str, value: Any, problems: Problems) -> int | None:
    """Whether a record says that its pair changed (1, 0); None if it says nothing."""
    if value is None or value == "":
        return None
    flag = _FLAGS.get(str(value).strip().lower())  # lists and dicts are none of them
    if flag is None:
        problems.note(
            place, f"{column} is {shown(value)}; it must be 1 or 0, true or false"
        )
    return flag


def _captions(place: str, column: str, value: Any, problems: Problems) -> list[str]:
    """The captions of one cell: a sentence, a list of them, or such a list as text."""
    if value is None:
        return []
    # pandas and others write a list of captions into one cell of a CSV file, as text.
    if isinstance(value, str) and value.strip().startswith("["):
        value = _list_of(value.strip())
    cells = value if isinstance(value, list) else [value]
    captions = []
    for cell in cells:
        caption = _sentence_in(cell)
        if isinstance(caption, str) and not caption.strip():
            continue  # pairs may have fewer captions than there are columns
        wrong = wrong_caption(caption)
        if wrong:
            problems.note(place, f"{column} {shown(caption)} {wrong}")
        else:
            captions.append(" ".join(caption.split()))
    return captions


def _sentence_in(cell: Any) -> Any:
    """The sentence of an object like {"raw": "a road is built"}; anything else as it
    is."""
    if isinstance(cell, dict):
        for key in ("raw", "caption", "sentence", "text"):
            if key in cell:
                return cell[key]
    return cell


def wrong_caption(caption: Any) -> str:
    """Why this is no caption, "" if it is one."""
    if not isinstance(caption, str):
        return "is no sentence"
    words = normalise(caption.split())
    most = BOUNDS["max_words"].most
    if not words:
        return "has no words"
    if len(words) > most:
        return f"has {len(words):,} words; a caption has at most {most:,}"
    if not all(is_word(word) for word in words):
        return "holds a control character, or half of a surrogate pair"
    return ""


def _list_of(text: str) -> Any:
    """The list that a cell's text writes, in JSON or in Python's way; the text itself
    if it writes none."""
    # literal_eval reads Python's quotation marks and runs no code.
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return text


# Rows to pairs


def join_rows(rows: Iterable[ImportedRow], problems: Problems) -> list[Pair]:
    """The pairs in the order of their first rows; what rows of one pair say differently
    is noted."""
    pairs: dict[tuple[str, str], Pair] = {}
    # Several rows may tell of one pair, a caption each.
    for row in rows:
        # A pair is known by its two files: "A/../A/x.png" and "A/x.png" are one.
        key = os.path.normpath(row.before), os.path.normpath(row.after)
        pair = pairs.setdefault(key, Pair(row.place, row.before, row.after))
        pair.captions += row.captions
        pair.name = pair.name or row.name
        for what in ("split", "changed"):
            said, before = getattr(row, what), getattr(pair, what)
            if said in ("", None):  # this row says nothing of it
                continue
            if before not in ("", None, said):
                problems.note(
                    row.place,
                    f"{what} is {said}, but {pair.place} says {before} of the same pair",
                )
            setattr(pair, what, said)
    for pair in pairs.values():
        if not pair.captions:
            problems.note(pair.place, "the pair has no caption")
    return list(pairs.values())
