"""A folder that a stopped run goes on with: a note in it has the settings that the run
was begun with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sencap.errors import DataError
from sencap.files import check_output_folder, delete_drafts, told_as_output, write_whole
from sencap.json_files import read_json

_DRAFTS = ".*.new*"  # what a killed run of `sencap.files` leaves behind


def claim(
    out: Path, note: str, settings: Mapping[str, Any], folders: Iterable[str] = ()
) -> None:
    """Make a folder ours: new or empty, or begun with the same settings, which are kept
    in its file ``note``.

    ``folders`` are made in it. Drafts that a killed run left in it and in them are
    deleted.

    Raises:
        DataError: the folder holds something else, or was begun with other settings, or
            its note is damaged.
        SettingsError: it, or a folder above it, is a file.
        OutputError: one may not write there.
    """
    check_output_folder("out", out)
    file = out / note
    # Through JSON and back, so that tuples and lists, or keys that are numbers, compare
    # as they will when read from the note.
    wanted = json.loads(json.dumps(settings))
    if file.exists():
        _compare(file, wanted)
    # Drafts alone are the remains of a run that was killed before it wrote its note.
    elif out.is_dir() and any(not entry.match(_DRAFTS) for entry in out.iterdir()):
        raise DataError(f"{out} holds something else; give an empty or new folder")
    with told_as_output(out):
        for folder in (out, *(out / name for name in folders)):
            folder.mkdir(parents=True, exist_ok=True)
            delete_drafts(folder)
    if not file.exists():
        write_whole(file, json.dumps(wanted, indent=1) + "\n")


def _compare(file: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose note says something else than what is wanted."""
    folder = file.parent
    try:
        found = read_json(file, error=DataError)
    except DataError as error:
        raise DataError(
            f"{error}; delete the folder {folder}, or give another one"
        ) from error
    if not isinstance(found, dict):
        raise DataError(
            f"{file} is damaged: delete the folder {folder}, or give another one"
        )
    # Names of both sides: a setting that only one of them has differs too.
    names = {**found, **wanted}
    differ = [name for name in names if found.get(name) != wanted.get(name)]
    if differ:
        told = "; ".join(
            f"{name} {found.get(name)!s:.60} ≠ {wanted.get(name)!s:.60}"
            for name in differ
        )
        raise DataError(
            f"{folder} was begun with other settings ({told}); give another folder"
        )
