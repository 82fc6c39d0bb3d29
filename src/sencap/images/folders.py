"""The pairs that a folder or a CSV file names."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sencap.errors import DataError
from sencap.files import is_address, not_a_file
from sencap.images.marks import (
    AFTER,
    BEFORE,
    DATES,
    MARK_KINDS,
    WORD_KINDS,
    Date,
    is_label,
    read_mark,
    two_dates,
)
from sencap.text_files import csv_problem, read_text

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
Pairs = list[tuple[Path, Path, str]]

_LAYOUTS = (
    "two folders with images of the same names (A and B, before and after, pre and "
    "post, T1 and T2, im1 and im2, 2018 and 2019), alone or in train, val and test; "
    "or files <name>_before.png and <name>_after.png, or with another two of those "
    "marks"
)
TABLE = (
    "a CSV file with the first line before,after,name and a line for each pair, as "
    "2018/x.png,2019/x.png,x: paths are relative to the file"
)

_MOST_BYTES = 256 << 20  # of a CSV file: a line for each of a million pairs
_WANTED = "give a folder of pairs or a CSV file"
_DEEPEST = 3  # folders of splits and places within each other
_MOST_TOLD = 20  # problems in one message


@dataclass
class _Found:
    """Pairs of a folder, what is wrong with it, and the kind of marks (`KINDS`) that
    told them."""

    kind: str
    pairs: Pairs = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_pairs(source: str | Path) -> Pairs:
    """The pairs (before, after, name) that a folder or a CSV file names, by name or in
    the CSV's order.

    A folder holds two folders with images of the same names: ``before`` and ``after``,
    ``pre`` and ``post``, ``A`` and ``B``, ``T1`` and ``T2``, ``im1`` and ``im2``, ``1``
    and ``2``, or two years or dates. Or it holds files ``<name>_before.png`` and
    ``<name>_after.png``, or with other such marks, xBD's ``_pre_disaster`` and
    ``_post_disaster`` among them; with no ``<name>`` at all the pair is called as the
    folder. Suffixes and capitals are free, and all of it may lie in folders within the
    folder (train, val, test; one for each place), which become part of the names. What
    is called labels, masks or targets is passed over. A CSV file has the columns
    ``before`` and ``after`` (or other such marks), perhaps ``name``, parted by commas,
    semicolons or tabs; paths are relative to its folder.

    Raises:
        DataError: nothing there, no pair in it (with what was seen instead), missing
            columns; files missing or without a partner.
    """
    source = Path(source)
    if not source.is_dir():
        return _pairs_of_table(source)
    found = _in_folder(source, source)
    if found is None:
        raise DataError(
            f"{source} holds no pairs of images that sencap knows as such\n"
            f"  seen: {seen_in(source)}\n  looked for: {_LAYOUTS}\n  or give {TABLE}"
        )
    _refuse(source, found.problems)
    return found.pairs


def holds_pairs(folder: Path) -> bool:
    """Whether `find_pairs` knows the layout of a folder, faultless or not."""
    return _in_folder(folder, folder) is not None


def seen_in(folder: Path) -> str:
    """The first entries of a folder, for a message."""
    entries = sorted(folder.glob("[!.]*"))  # nothing where one may not look
    names = []
    for entry in entries[:10]:
        told = f"{entry.name}/ ({_counted(entry)})" if _is_folder(entry) else entry.name
        names.append(told)
    more = f", … ({len(entries)} in all)" if len(entries) > 10 else ""
    return (", ".join(names) or "nothing") + more


def _counted(folder: Path) -> str:
    images = len(_images(folder))
    return "1 image" if images == 1 else f"{images} images"


def _in_folder(root: Path, folder: Path, depth: int = 0) -> _Found | None:
    """The pairs in one folder or in those below it; None where nothing looks like
    one."""
    inner = {entry.name: entry for entry in _folders(folder)}
    # Two folders of dates come first, then files marked with dates, then the folders
    # below (splits or places): the first of these that is there is the layout.
    dates = two_dates(inner)
    if len(dates) > 1:
        told = "; ".join(f"{before} and {after}" for _, before, after in dates[:3])
        problem = (
            f"{_below(root, folder)} has more than two folders of dates ({told}); "
            f"give {TABLE}"
        )
        return _Found(dates[0][0], problems=[problem])
    for kind, before, after in dates:
        both = inner[before], inner[after]
        # A and B may be two dates of one place, or two places with dated images each.
        if not _each_has_pairs(root, both, plainer_than=kind, depth=depth):
            return _in_two_folders(root, folder, kind, both)
    in_files = _in_files(root, folder)
    if in_files is not None and in_files.pairs:
        return in_files
    below = _in_folders_below(root, folder, depth)
    return below if below is not None else in_files


def _each_has_pairs(
    root: Path, folders: Sequence[Path], *, plainer_than: str, depth: int
) -> bool:
    """Whether folders that might be two dates are rather two places: each has pairs of
    its own, told by plainer marks."""
    if depth == _DEEPEST:
        return False
    for folder in folders:
        found = _in_folder(root, folder, depth + 1)
        if found is None or not found.pairs:
            return False
        # Names with a number or a letter are rather those of places: A/img_1.png and
        # B/img_1.png.
        is_plain = found.kind == DATES or found.kind in WORD_KINDS
        if not is_plain or MARK_KINDS.index(found.kind) >= MARK_KINDS.index(
            plainer_than
        ):
            return False
    return True


def _in_two_folders(
    root: Path, folder: Path, kind: str, both: Sequence[Path]
) -> _Found:
    listed: list[tuple[str, Date, Path]] = []
    for date, dated in zip((BEFORE, AFTER), both, strict=True):
        for file in _images_below(dated):
            listed.append((_name(dated, file), date, file))
    found = _match(root, folder, kind, listed)
    if not found.pairs:  # A/x_A.png and B/x_B.png
        bare = [(_without_mark(name, kind), date, file) for name, date, file in listed]
        stripped = _match(root, folder, kind, bare)
        found = stripped if stripped.pairs else found
    if not listed:
        names = " and ".join(str(_below(root, dated)) for dated in both)
        found.problems.append(f"its two folders {names} hold no images")
    return found


def _without_mark(name: str, kind: str) -> str:
    mark = read_mark(name, kind)
    return name if mark is None else mark.rest


def _in_files(root: Path, folder: Path) -> _Found | None:
    """Pairs of files in one folder, by the kind of marks that gives the most of
    them."""
    files = _images(folder)
    best: _Found | None = None
    # Each kind of marks is tried on all files; the most pairs win, and of equally many
    # the plainer kind, which is tried first.
    for kind in MARK_KINDS:
        listed: list[tuple[str, Date, Path]] = []
        others = []
        for file in files:
            mark = read_mark(file.stem, kind)
            if mark is None:
                others.append(f"{_below(root, file)} is of neither date")
            else:
                listed.append((mark.rest, mark.date, file))
        found = _match(root, folder, kind, listed)
        found.problems[:0] = others
        if listed and (best is None or len(found.pairs) > len(best.pairs)):
            best = found
    if best is not None and best.kind == DATES and not best.pairs:
        return None  # dated images, and no two of one thing
    return best


def _in_folders_below(root: Path, folder: Path, depth: int) -> _Found | None:
    """The pairs of all folders within one: its splits, or its places."""
    if depth == _DEEPEST:
        return None
    together: _Found | None = None
    without = []
    for inner in _folders(folder):
        found = _in_folder(root, inner, depth + 1)
        if found is None:
            if _images(inner):
                without.append(
                    f"{_below(root, inner)} holds {_counted(inner)}, and no pair"
                )
            continue
        # A folder without pairs is passed over, unless others beside it have some: then
        # its images are missing something.
        together = together or _Found(found.kind)
        together.pairs += found.pairs
        together.problems += found.problems
    if together is not None:
        together.problems += without
    return together


def _match(
    root: Path, folder: Path, kind: str, listed: Sequence[tuple[str, Date, Path]]
) -> _Found:
    """Pairs of files (name, date, file), all of which must have exactly one partner."""
    by_name: dict[str, dict[Date, Path]] = {}
    found = _Found(kind)
    for name, date, file in listed:
        dated = by_name.setdefault(name, {})
        # x.png and x.jpg of one date: it is not known which is meant.
        if dated.setdefault(date, file) is not file:
            other = dated[date].name
            found.problems.append(
                f"{_below(root, file)} and {other} have the same name"
            )
    for name in sorted(by_name):
        dated = by_name[name]
        files = [dated[date] for date in sorted(dated)]
        if len(files) == 2:
            found.pairs.append((files[0], files[1], _full_name(root, folder, name)))
        elif len(files) > 2:
            found.problems.append(
                f"{_below(root, files[0])} is one of {len(files)} dates, not two"
            )
        else:
            missing = {BEFORE: "after", AFTER: "before"}.get(
                next(iter(dated)), "of another date"
            )
            found.problems.append(f"{_below(root, files[0])} has no image {missing}")
    return found


def _full_name(root: Path, folder: Path, name: str) -> str:
    """A pair's name, with the folders in which it lies: before.png alone has no
    other."""
    parts = [*folder.relative_to(root).parts, name]
    return "/".join(part for part in parts if part) or root.resolve().name


def _below(root: Path, path: Path) -> Path | str:
    return path.relative_to(root) if path != root else "it"


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _folders(folder: Path) -> list[Path]:
    """The folders in one, hidden ones and those of labels left out."""
    entries = sorted(entry for entry in folder.glob("[!.]*") if _is_folder(entry))
    return [entry for entry in entries if not is_label(entry.name)]


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (False where one may not look, where Path's raises)


def _images(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.glob("[!.]*") if file.suffix.lower() in IMAGE_SUFFIXES
    )


def _images_below(folder: Path, depth: int = 0) -> Iterator[Path]:
    """The images of one date, which may lie in folders of splits."""
    yield from _images(folder)
    if depth < _DEEPEST:
        for inner in _folders(folder):
            yield from _images_below(inner, depth + 1)


def _pairs_of_table(source: Path) -> Pairs:
    rows = _rows(source)
    columns = [title.strip().lower() for title in rows[0][1]]
    first, second = _columns(source, columns)
    pairs, problems = Pairs(), []
    # All lines are read before any is refused, so that all mistakes are told at once.
    for number, row in rows[1:]:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        files = []
        for title in (first, second):
            cell = cells.get(title, "")
            files.append(source.parent / cell)
            if reason := _no_file(source.parent, cell):
                problems.append(f"line {number}: {title} {cell!r} {reason}")
        before, after = files
        pairs.append((before, after, cells.get("name") or before.stem))
    _refuse(source, problems if pairs else ["it has no line after the titles"])
    return pairs


def _rows(source: Path) -> list[tuple[int, list[str]]]:
    """The rows of a table, and the line in which each ends; at least one."""
    text = read_text(source, most_bytes=_MOST_BYTES, error=DataError, advice=_WANTED)
    # The separator is the one that the line of titles has most of.
    mark = max(",;\t", key=text.partition("\n")[0].count)
    # newline="" leaves line ends to csv, as a cell in quotation marks may have some.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        return [(reader.line_num, row) for row in reader] or [(1, [])]
    except csv.Error as error:
        raise DataError(
            f"{source}, line {reader.line_num}: {csv_problem(error)}"
        ) from error


def _columns(source: Path, titles: Sequence[str]) -> tuple[str, str]:
    """The titles of the columns of images before and after."""
    if {"before", "after"} <= set(titles):
        return "before", "after"
    found = two_dates(titles)
    if len(found) == 1:
        return found[0][1:]
    missing = [title for title in ("before", "after") if title not in titles]
    raise DataError(
        f"{source} has no column {' and '.join(missing)} in its first line, but "
        f"{[*titles]}; give {TABLE}"
    )


def _no_file(folder: Path, cell: str) -> str:
    """Why what a cell names is no file, for a message; "" if it is one."""
    if not cell:
        return "is no file"
    # No folder is put in front of an address.
    reason = not_a_file(cell if is_address(cell) else folder / cell)
    return f"is no file: {reason}" if reason else ""


def _refuse(source: Path, problems: Sequence[str]) -> None:
    if not problems:
        return
    told = [f"{source} cannot be read as pairs:", *problems[:_MOST_TOLD]]
    if len(problems) > _MOST_TOLD:
        told.append(f"… and {len(problems) - _MOST_TOLD:,} problems more")
    raise DataError("\n  ".join(told))
