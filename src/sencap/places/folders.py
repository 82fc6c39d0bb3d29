"""Dated images in a folder per place, and undated pairs of images before and after.

ROOT/<place>/2020-06-04.tif     any image that `sencap.images` reads; the date anywhere in its name
ROOT/<place>/dates.txt          optional: dates of files whose names have none, as in "1: 20150820"
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import DataError
from sencap.images import IMAGE_SUFFIXES, find_pairs
from sencap.places.contract import ListedPlaces, _hash
from sencap.places.reading import UNDATED, Scaling, date_of, read_dates_file, read_rgb


class _FilePlaces(ListedPlaces[Path]):
    """Places whose images are one file each."""

    scaling: Scaling

    def __init__(
        self,
        origin: str,
        listed: Mapping[str, Sequence[tuple[datetime.date, Path]]],
        problems: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(origin, listed, problems)
        # Of each later image, the first of its place.
        self._firsts: dict[Path, Path] = {}
        for _, images in self._places:
            self._firsts |= {file: images[0][1] for _, file in images[1:]}

    def read_source(self, source: Path) -> NDArray[np.uint8]:
        """One image file, on the grid of its place's first if both are
        georeferenced."""
        return read_rgb(source, self.scaling, first=self._firsts.get(source))

    def settings(self) -> Mapping[str, Any]:
        """The scaling."""
        return self.scaling.settings()

    def fingerprint(self) -> str:
        """Sizes of the files too: undated pairs of two folders differ in nothing
        else."""
        sizes = []
        for _, images in self._places:
            sizes += [str(file.stat().st_size) for _, file in images]
        return _hash([super().fingerprint(), *sizes])


class FolderPlaces(_FilePlaces):
    """A folder of folders, one per place, each with its dated images (see the head of
    this module).

    Files without a date, and a second file of the same date, are left out with a note.

    Raises:
        DataError: no folder, or no place with two dates.
    """

    kind = "folder"

    def __init__(self, root: str | Path, *, scaling: Scaling | None = None) -> None:
        root, self.scaling = Path(root), scaling or Scaling()
        if not root.is_dir():
            raise DataError(
                f"{root} is no folder: give the folder that holds one folder per place"
            )
        listed, problems = {}, {}
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
            # Folders without images, such as those of masks or notes, are no places.
            images = list_images(folder)
            if images:
                listed[folder.name], problems[folder.name] = dated(folder, images)
        super().__init__(str(root), listed, problems)


class PairPlaces(_FilePlaces):
    """Undated images before and after as places of two dates; the dates are `UNDATED`.

    Takes what `sencap.images.find_pairs` takes: folders A and B of one data set, a CSV
    file, …

    Raises:
        DataError: no pairs there, or files without a partner.
    """

    kind = "pairs"

    def __init__(self, root: str | Path, *, scaling: Scaling | None = None) -> None:
        self.scaling = scaling or Scaling()
        listed: dict[str, list[tuple[datetime.date, Path]]] = {}
        for before, after, name in find_pairs(root):
            if name in listed:
                raise DataError(
                    f"{root} names two pairs {name!r}: give each a name of its own"
                )
            # What counts is which image is the earlier one.
            listed[name] = list(zip(UNDATED, (before, after), strict=True))
        super().__init__(str(root), listed)


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder by name, hidden ones left out."""
    files = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)


def dated(
    folder: Path, images: list[Path]
) -> tuple[list[tuple[datetime.date, Path]], list[str]]:
    """The images of a folder with their dates, and a line for each that has none or
    another's."""
    # A date in the file's name comes before one in the list.
    table = read_dates_file(folder)
    found: dict[datetime.date, Path] = {}
    problems = []
    for file in images:
        date = date_of(file, table)
        if date is None:
            problems.append(
                f"{file.name} has no date like 2020-06-04, 20200604 or 2020156 in "
                "its name"
            )
        # Which of two images of a day is the better one cannot be known; the first by
        # name is kept.
        elif date in found:
            problems.append(f"{file.name} has the date of {found[date].name}")
        else:
            found[date] = file
    return sorted(found.items()), problems
