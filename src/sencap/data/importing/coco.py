"""Captions in the manner of COCO: one list of images, one of annotations, joined by
ids.

    {"images": [{"id": 7, …}, …],
     "annotations": [{"image_id": 7, "caption": "a road is built"}, …]}

COCO has one image for an entry, a pair has two. These ways to name them are known:

1. two keys (or before, after; or file_name, file_name_after; …):
   {"id": 7, "file_name_before": "a/7.png", "file_name_after": "b/7.png"}
2. one name that two folders have, A and B (or others of `sencap.images.marks`), beside
   the JSON file or below images:
   {"id": 7, "file_name": "7.png"}
3. two entries whose names differ in before/after, A/B, 2018/2019, … only (or A/7.png
   and B/7.png); annotations may be of either:
   {"id": 7, "file_name": "7_before.png"}, {"id": 8, "file_name": "7_after.png"}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from sencap.data.importing.records import (
    Columns,
    ImportedRow,
    Problems,
    existing,
    find_columns,
    image_side,
    names_in,
    read_row,
)
from sencap.data.importing.texts import read_content
from sencap.errors import DataError
from sencap.images.marks import MARK_KINDS, Date, read_mark, two_dates
from sencap.json_files import shown

# By what names have in common: the name of each date
Partners = dict[str, dict[Date, str]]
# Names of folders of two dates in a folder
DatedFolders = Callable[[Path], list[tuple[str, str]]]
_CAPTIONS = "captions"  # the key under which an image's annotations are put


@dataclass(frozen=True)
class _Entry:
    """An entry of "images" with its captions, and where it is."""

    place: str
    content: dict[str, Any]
    split: str


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content has COCO's two lists."""
    if not isinstance(content, dict):
        return False
    return isinstance(content.get("images"), list) and isinstance(
        content.get("annotations"), list
    )


def read_coco(
    files: list[tuple[Path, str]], problems: Problems
) -> Iterator[ImportedRow]:
    """The rows of such files, given with the split that each is of ("" if that is not
    known).

    Raises:
        DataError: a file cannot be read, is none of them, or names no pairs in a known
            way.
    """
    for file, split in files:
        content = read_content(file)
        if not is_coco(content):
            raise DataError(
                f'{file} has no lists "images" and "annotations"; is it a caption file?'
            )
        entries = _entries(file, content, split, problems)
        if not entries:
            problems.refuse()
            raise DataError(f'{file}: the list "images" is empty')
        yield from _rows(file, entries, problems)


def _entries(
    file: Path, content: dict[str, Any], split: str, problems: Problems
) -> list[_Entry]:
    """The entries of "images", each with its captions under one key more."""
    captions = _captions_by_image(file, content, problems)
    entries: list[_Entry] = []
    known: set[Any] = set()
    for number, image in enumerate(content["images"]):
        place = f"{file.name}, images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            problems.note(place, f"it has no id: {shown(image)}")
            continue
        if image["id"] in known:
            problems.note(place, f"the id {shown(image['id'])} is taken already")
        known.add(image["id"])
        entries.append(
            _Entry(place, {**image, _CAPTIONS: captions.pop(image["id"], [])}, split)
        )
    for image_id in captions:  # those that no image took
        problems.note(
            f"{file.name}, annotations",
            f"there is no image with the id {shown(image_id)}",
        )
    return entries


def _captions_by_image(
    file: Path, content: dict[str, Any], problems: Problems
) -> dict[Any, list[Any]]:
    captions: dict[Any, list[Any]] = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        place = f"{file.name}, annotations[{number}]"
        is_object = isinstance(annotation, dict)
        if not is_object or "image_id" not in annotation or "caption" not in annotation:
            problems.note(place, f"it has no image_id and caption: {shown(annotation)}")
        elif not isinstance(annotation["image_id"], int | str):
            problems.note(
                place,
                f"image_id is {shown(annotation['image_id'])}, no number and no text",
            )
        else:
            captions[annotation["image_id"]].append(annotation["caption"])
    return captions


def _rows(
    file: Path, entries: list[_Entry], problems: Problems
) -> Iterator[ImportedRow]:
    names = names_in([entry.content for entry in entries])
    # Captions are in the annotations; a text of the image itself is something else.
    keys = [
        name for name in names if name == _CAPTIONS or not find_columns([name]).captions
    ]
    try:
        columns = find_columns(keys)
    except DataError as error:
        raise DataError(f"{file}, images: {error}") from error
    bases = _bases(file)
    if columns.before and columns.after:
        for entry in entries:
            row = read_row(entry.place, entry.content, columns, bases, problems)
            if row is not None:
                yield replace(row, split=row.split or entry.split)
        return
    # One key for an image: its partner has to be found in another folder or in another
    # entry.
    single = [name for name in names if image_side(name) == ""]
    if len(single) != 1:
        raise DataError(
            f"{file}: its images name no pairs: images[0] is "
            f"{shown(entries[0].content, 200)}. Give each a key for the image before "
            "and one for the image after, as file_name_before and file_name_after"
        )
    yield from _rows_of_single(entries, single[0], columns, bases, problems)


def _rows_of_single(
    entries: list[_Entry],
    key: str,
    columns: Columns,
    bases: list[Path],
    problems: Problems,
) -> Iterator[ImportedRow]:
    """Rows of entries with one name each: of a file that two folders have, or of one of
    two files."""
    named: list[_Entry] = []
    partners: Partners = defaultdict(dict)
    for entry in entries:
        name = entry.content.get(key)
        if not isinstance(name, str):
            problems.note(
                entry.place, f"{key} is {shown(name)}; it must be the name of a file"
            )
            continue
        named.append(entry)
        for common, date in _dates_in_name(name):
            # What two names have in common → the name of each date, by which entries
            # find partners.
            partners[common][date] = name
    # Once both names are known they are put under "before" and "after", so that
    # `read_row` takes the record like one that has two keys.
    columns = replace(columns, before="before", after="after")
    # The folders are listed once, and not once for each of thousands of entries.
    dated = cache(_dated_folders)
    for entry in named:
        names = _both_names(
            entry.content[key], entry.content.get(columns.split), partners, bases, dated
        )
        if names is None:
            problems.note(
                entry.place,
                f"{key} {shown(entry.content[key])} is one image, and the other of "
                "its pair was not found: neither in folders A and B (or before and "
                "after), nor as an entry of its own",
            )
            continue
        record = {**entry.content, "before": names[0], "after": names[1]}
        row = read_row(entry.place, record, columns, bases, problems)
        if row is not None:
            yield replace(row, split=row.split or entry.split)


def _both_names(
    name: str, split: Any, partners: Partners, bases: list[Path], dated: DatedFolders
) -> tuple[str, str] | None:
    """The names of both images of the pair that one name is of."""
    roots = [""]
    if isinstance(split, str) and split:
        roots.append(f"{split}/")  # train/A beside A
    # A file of this very name in both of two dated folders is the surer sign, so it is
    # looked for first; then another entry that differs in its mark of the date only.
    for base, root in product(bases, roots):
        for first, second in dated(base / root):
            before, after = f"{root}{first}/{name}", f"{root}{second}/{name}"
            if existing(before, bases) and existing(after, bases):
                return before, after
    for common, _ in _dates_in_name(name):
        both = partners[common]
        if len(both) == 2:
            # Dates sort in time, so the earlier one comes first.
            before, after = (both[date] for date in sorted(both))
            return before, after
    return None


def _dated_folders(place: Path) -> list[tuple[str, str]]:
    names = [entry.name for entry in sorted(place.glob("*/"))]
    return [(before, after) for _, before, after in two_dates(names)]


def _dates_in_name(name: str) -> Iterator[tuple[str, Date]]:
    """What a name has in common with its partner's, and which date it is of, by each
    kind of marks that it has: x_before.png → ("…|x", (0,))."""
    path = PurePosixPath(name.replace("\\", "/"))
    for kind in MARK_KINDS:
        folder, stem = read_mark(path.parent.name, kind), read_mark(path.stem, kind)
        # The mark is in the folder (A/7.png) or in the name itself (7_before.png); what
        # is left with the mark taken out is what both partners share.
        if folder is not None:
            above = path.parent.parent
            yield f"{above}/{folder.rest}|{kind}|{path.stem}", folder.date
        elif stem is not None and stem.rest:
            yield f"{path.parent}|{kind}|{stem.rest}", stem.date


def _bases(file: Path) -> list[Path]:
    """The folders that names may be relative to; COCO's files often lie in a folder
    annotations."""
    bases = [file.parent, file.parent / "images"]
    if file.parent.name == "annotations":
        above = file.parent.parent
        bases += [above, above / "images"]
    return bases
