"""The packed form: images of one size in a few memory-mapped files, and an index.

PACKED/index.json          names, dates, where each place lies, hashes; written last: all is whole
PACKED/images-00000.npy    uint8 (images, 3, size, size), the places in order; plain numpy files
PACKED/pack.json           the settings that a stopped `pack` is recognised by
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sencap.bounds import check_number
from sencap.errors import DataError
from sencap.json_files import read_json, shown
from sencap.places.contract import Places, PlacesReport, SeasonalImages

INDEX, NOTE = "index.json", "pack.json"
PACKED_FORMAT = "sencap-packed-1"
LARGEST_INDEX = 1024  # megabytes; that of all SSL4EO-S12 has 30
_BLOCK = 1 << 22  # bytes hashed at once


class PackedPlaces(Places):
    """Places that `sencap.places.pack` wrote, read from memory-mapped files.

    ``read`` copies nothing: its images are read-only views of the files, and only the
    pixels that are looked at are loaded. The hash of the index and the sizes of the
    files are checked at birth, the pixels by `verify`.

    Raises:
        DataError: no such folder, an unfinished one, or files that do not belong
            together.
    """

    kind = "packed"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.index = read_index(self.root)
        self.size = int(self.index["size"])
        self.report = PlacesReport(
            self.index["places"],
            self.index["images"],
            self.index["missing"],
            self.index["left_out"],
        )
        self._names: list[str] = []
        self._dates: list[list[str]] = []
        places: list[tuple[int, int, int]] = []
        # Where each place lies: the file, the first of its images, and how many there
        # are.
        for number, part in enumerate(self.index["files"]):
            start = 0
            for name, dates in zip(part["names"], part["dates"], strict=True):
                self._names.append(name)
                self._dates.append(dates)
                places.append((number, start, len(dates)))
                start += len(dates)
        self._where = np.array(places, np.int64).reshape(-1, 3)
        # Files are mapped when they are first read: a folder may have hundreds.
        self._maps: dict[int, NDArray[np.uint8]] = {}
        for part in self.index["files"]:
            file = self.root / part["file"]
            # Sizes are told without reading: cut-off copies are found in a moment.
            if not file.is_file() or file.stat().st_size != part["bytes"]:
                raise DataError(
                    f"{file} is missing or cut off ({part['bytes']} bytes expected): "
                    f"delete the folder {self.root} and pack it again"
                )

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The name of a place."""
        return self._names[self._checked(index)]

    def dates(self, index: int) -> tuple[datetime.date, ...]:
        """The dates of a place, oldest first."""
        return tuple(
            datetime.date.fromisoformat(date)
            for date in self._dates[self._checked(index)]
        )

    def read(self, index: int) -> SeasonalImages:
        """The images of a place, as a read-only view."""
        number, start, count = self._where[self._checked(index)]
        images = self._map(int(number))[start : start + count]
        return SeasonalImages(images, self.dates(index), self._names[index])

    def settings(self) -> Mapping[str, Any]:
        """Size, and what the images were packed from."""
        return {"size": self.size, "source": self.index["source"]}

    def verify(self, *, progress: bool = False) -> None:
        """Read every file and compare its SHA-256 with the index.

        Raises:
            DataError: files that differ, all of them named.
        """
        parts = self.index["files"]
        bad = [
            part["file"]
            for part in tqdm(parts, desc="checking", unit="file", disable=not progress)
            if file_hash(self.root / part["file"]) != part["sha256"]
        ]
        if bad:
            raise DataError(
                f"{self.root}: the pixels of {', '.join(bad)} are not those that "
                "were packed: delete the folder and pack it again"
            )

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files for itself; pickled, a map would be sent with
        # all its pixels.
        return {**self.__dict__, "_maps": {}}

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self._names):
            raise IndexError(f"place {index} of {len(self._names)}")
        return index

    def _map(self, number: int) -> NDArray[np.uint8]:
        if number not in self._maps:
            part = self.index["files"][number]
            file = self.root / part["file"]
            try:
                mapped = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError, SyntaxError) as error:
                # A damaged first line, the file's header, may raise any of them.
                raise DataError(
                    f"{file} is damaged: delete the folder {self.root} and pack it "
                    "again"
                ) from error
            if (
                mapped.shape != (part["images"], 3, self.size, self.size)
                or mapped.dtype != np.uint8
            ):
                raise DataError(
                    f"{file} holds {mapped.dtype} {mapped.shape}, not what its index "
                    "says"
                )
            self._maps[number] = np.asarray(mapped)
        return self._maps[number]


def verify(root: str | Path, *, progress: bool = False) -> PlacesReport:
    """Check a packed folder, every byte of it. See `PackedPlaces.verify`; returns what
    the folder holds.

    Raises:
        DataError: as `PackedPlaces`, and files whose pixels are not those that were
            packed.
    """
    places = PackedPlaces(root)
    places.verify(progress=progress)
    return places.report


def read_index(root: Path) -> dict[str, Any]:
    """The index of a packed folder, its own hash checked.

    Raises:
        DataError: there is none, or it is unfinished, damaged or of another version.
    """
    file = root / INDEX
    if not file.is_file():
        # The note is written first and the index last: a pack that was stopped.
        if (root / NOTE).is_file():
            raise DataError(
                f"{root} is not packed to the end: give the same `sencap pack` "
                "command again"
            )
        raise DataError(f"{root} is no packed folder: it has no {INDEX}")
    again = f"delete the folder {root} and pack it again"
    try:
        index = read_json(file, most_megabytes=LARGEST_INDEX, error=DataError)
    except DataError as error:
        raise DataError(f"{error}: the index is damaged; {again}") from error
    # From the outside in: first whether it is an index, then of which version, then
    # whether it is whole, then what it says.
    if not isinstance(index, dict) or "format" not in index:
        raise DataError(f"{file} is no index of a packed folder, or damaged; {again}")
    if index["format"] != PACKED_FORMAT:
        raise DataError(
            f"{file} has the format {shown(index['format'])}; this sencap reads "
            f"{PACKED_FORMAT!r}"
        )
    if index.get("sha256") != index_hash(index):
        raise DataError(f"{file} was changed after it was written; {again}")
    if not _is_index(index):
        raise DataError(
            f"{file} does not hold what the index of a packed folder holds; {again}"
        )
    return index


def _is_index(index: Mapping[str, Any]) -> bool:
    """Whether an index has the entries that a pack writes, of their kinds; a hash alone
    can be made by anybody."""
    try:
        check_number("size", index["size"])
        images = sum(part["images"] for part in index["files"])
        places = sum(len(part["names"]) for part in index["files"])
        whole = all(_is_part(part) for part in index["files"])
        known = isinstance(index["source"], dict) and isinstance(index["missing"], dict)
        known = known and isinstance(index["left_out"], dict)
    except (KeyError, TypeError, ValueError):  # a SettingsError is a ValueError
        return False
    return whole and known and (index["places"], index["images"]) == (places, images)


def _is_part(part: Mapping[str, Any]) -> bool:
    """Whether an index's entry for one file names a file of the folder, and as many
    dates as it has images."""
    for dates in part["dates"]:
        for date in dates:
            datetime.date.fromisoformat(date)
    # A name with a path in it would open files outside of the folder.
    named = re.fullmatch(r"images-[0-9]{5,}\.npy", part["file"]) is not None
    counted = sum(len(dates) for dates in part["dates"]) == part["images"]
    texts = all(isinstance(name, str) for name in part["names"])
    return named and counted and texts and len(part["names"]) == len(part["dates"])


def index_hash(index: Mapping[str, Any]) -> str:
    """SHA-256 of all of an index but the hash itself."""
    # Keys sorted, since a rewritten file may have them in another order.
    rest = {key: value for key, value in index.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
