"""What a source of captions is, by its content: a table, COCO-style JSON, Hugging Face's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from sencap.data.caption_files import find_caption_files, list_captions
from sencap.data.importing.coco import is_coco
from sencap.data.importing.records import split_of
from sencap.data.importing.texts import read_content, read_regular_text
from sencap.errors import DataError, SettingsError, nearest
from sencap.files import not_a_file
from sencap.json_files import shown

ImportKind = Literal["auto", "table", "coco", "huggingface"]
# The kind, and its files, each with its split ("" if that is not known)
Found = tuple[str, list[tuple[Path, str]]]

_TABLES = (".csv", ".tsv", ".jsonl")
_METADATA = ("metadata.csv", "metadata.jsonl")
_LOOKED_FOR = """\
  table: a CSV or TSV file, or JSON objects, with before, after and caption
  coco: a JSON file with lists "images" and "annotations"
  huggingface: metadata.csv or metadata.jsonl, in the folder or in train, validation, test in it"""

_NOTHING_TO_DO = (
    "has LEVIR-CC's layout already, which sencap reads as it is: there is nothing to import; "
    "`sencap check` looks at it"
)


def recognise_records(source: Path, kind: str = "auto") -> Found:
    """The kind of a source and the files that hold its captions.

    Raises:
        DataError: there is nothing of a known kind; the message tells what was looked for and seen.
        SettingsError: an unknown kind.
    """
    if kind not in get_args(ImportKind):
        raise SettingsError(
            f"kind={kind!r} is unknown; {nearest(kind, get_args(ImportKind))}"
        )
    if source.is_dir():
        return _in_folder(source, kind)
    reason = not_a_file(source)
    if reason:
        raise DataError(f"{source}: {reason}; give a folder or a file of captions")
    if kind == "auto":
        kind = _kind_of_file(source)
    return kind, [(source, "")]


def _in_folder(folder: Path, kind: str) -> Found:
    # In this order: metadata.csv is a table too.
    finders = {
        "huggingface": _metadata_files,
        "coco": _coco_files,
        "table": _table_files,
    }
    for name, find in finders.items():
        if kind in ("auto", name) and (files := find(folder)):
            return name, files
    # Asked last: a folder with captions of another kind beside LEVIR-CC's can be
    # imported.
    if _is_levir(folder):
        raise DataError(f"{folder} {_NOTHING_TO_DO}")
    what = f"nothing of the kind {kind}"
    if kind == "auto":
        what = "no captions of a known kind"
    looked = f"looked for\n{_LOOKED_FOR}\n  and saw: {_seen(folder)}"
    raise DataError(f"{folder} holds {what}; {looked}")


def _seen(folder: Path) -> str:
    """The first entries of a folder, for a message."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    more = f", … ({len(names)} in all)" if len(names) > 10 else ""
    parquet = any(name.endswith(".parquet") for name in names) or any(
        folder.glob("data/*.parquet")
    )
    advice = ". Parquet is not read: save the images as files, with a metadata.jsonl beside them"
    return (", ".join(names[:10]) or "nothing") + more + advice * parquet


def _kind_of_file(file: Path) -> str:
    """The kind of one file, by its name if it is Hugging Face's, else by its content."""
    # The name that Hugging Face fixes. In such a table folders may tell the splits; one
    # of any other name is told by its content.
    if file.name in _METADATA:
        return "huggingface"
    first, _, rest = read_regular_text(file).strip().partition("\n")
    if not first.startswith("{"):
        return "table"
    if rest.lstrip().startswith("{") and first.rstrip().endswith("}"):
        return "table"  # an object in each line
    content = read_content(file)
    if is_coco(content):
        return "coco"
    if "images" not in content and file.suffix == ".jsonl":
        return "table"  # of one line
    if _is_levir(file):
        raise DataError(f"{file} {_NOTHING_TO_DO}")
    keys = ", ".join(shown(key) for key in list(content)[:10]) or "none"
    raise DataError(
        f"{file} is JSON with other keys ({keys}); looked for\n{_LOOKED_FOR}"
    )


def _is_levir(source: Path) -> bool:
    """Whether sencap reads these captions as they are."""
    try:
        listed = list_captions(find_caption_files(source))[0]
    except DataError:
        return False
    return any(entry.captions for entry in listed)


def _metadata_files(folder: Path) -> list[tuple[Path, str]]:
    # The metadata lies beside the images, in a folder for each split or in one for all.
    below = [*folder.glob("*/"), *folder.glob("data/*/")]
    files: list[tuple[Path, str]] = []
    for place in (folder, *sorted(below)):
        split = "" if place == folder else split_of(place.name)
        held = [place / name for name in _METADATA if (place / name).is_file()]
        # A folder with both forms has the same rows twice; one is taken.
        files += [(file, split) for file in held[:1]]
    return files


def _coco_files(folder: Path) -> list[tuple[Path, str]]:
    listed = [
        *sorted(folder.glob("*.json")),
        *sorted(folder.glob("annotations/*.json")),
    ]
    return _with_splits(
        [file for file in listed if file.is_file() and _holds_coco(file)]
    )


def _holds_coco(file: Path) -> bool:
    try:
        return is_coco(read_content(file))
    except DataError:
        return False


def _table_files(folder: Path) -> list[tuple[Path, str]]:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    tables = [
        file for file in files if file.suffix.lower() in _TABLES or _holds_list(file)
    ]
    return _with_splits(tables)


def _holds_list(file: Path) -> bool:
    """Whether a file is a JSON list, which may be one of objects."""
    if file.suffix.lower() != ".json":
        return False
    with file.open("rb") as opened:
        # The beginning is enough, and the file may be large; a byte order mark may come
        # first.
        return opened.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _with_splits(files: list[Path]) -> list[tuple[Path, str]]:
    """Several files are one for each split, told by their names; one file says nothing by its name.

    Raises:
        DataError: several files, whose names do not tell three splits.
    """
    if len(files) < 2:
        return [(file, "") for file in files]
    splits = [split_of(file.stem) for file in files]
    # Two files of one split may be parts of it, or one an older copy of the other.
    if "" in splits or len(set(splits)) < len(splits):
        names = ", ".join(file.name for file in files[:10])
        raise DataError(
            f"{files[0].parent} holds several files of captions ({names}), whose names do not tell "
            "their splits (train, val, test); give one of them"
        )
    return list(zip(files, splits, strict=True))
