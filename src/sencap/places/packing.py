"""Writes the packed form of any source of places: resumable, checked by hashes, never
half a file.

A part is written as a draft, flushed to the disk and renamed; then its list, likewise;
the index comes last. So whatever bears its final name is whole, and the same command
goes on after the last part with a list.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sencap.bounds import check_numbers
from sencap.data.resumable import claim
from sencap.errors import DataError, OutputError, SettingsError
from sencap.files import check_output_folder, whole_file
from sencap.images import resize
from sencap.json_files import read_json
from sencap.places.contract import Places, PlacesReport
from sencap.places.packed import (
    INDEX,
    LARGEST_INDEX,
    NOTE,
    PACKED_FORMAT,
    file_hash,
    index_hash,
    read_index,
)
from sencap.places.recognise import open_places, recognise_places
from sencap.processes import map_in_order
from sencap.version import __version__

PLACES_PER_FILE = 512
# What the list of a part has.
_KEYS = {"file", "names", "dates", "missing", "left_out", "images", "bytes", "sha256"}


@dataclass
class _Read:
    """One place as a worker read it; without images it is left out, for the reason
    given."""

    name: str
    dates: list[str] = field(default_factory=list)
    images: NDArray[np.uint8] | None = None
    missing: list[str] = field(default_factory=list)
    reason: str = ""


def pack(
    source: Places | str | Path,
    out: str | Path,
    *,
    size: int = 264,
    workers: int = 1,
    places_per_file: int = PLACES_PER_FILE,
    progress: bool = False,
    **settings: Any,
) -> PlacesReport:
    """Write places as a packed folder, which `PackedPlaces` reads; returns what was
    used and what was left out.

    ``source`` is places, or what `open_places` opens, with ``settings`` as it takes
    them.

    Images that are not ``size`` × ``size`` pixels are cut to their central square and
    resized, bilinearly with antialiasing. ``workers`` processes read (0: one per core,
    1: this one); the bytes do not depend on it. A run that was stopped or killed goes
    on when it is given again; at most ``places_per_file`` places are read twice.

    Raises:
        DataError: ``out`` holds something else or a pack of another source or other
            settings, or no place can be read.
        OutputError: the disk is too small, or ``out`` cannot be written.
        SettingsError: a number out of its bounds, a folder that is a file, or one
            inside the source.
        MissingDependencyError: the source needs an extra that is not installed.
    """
    out = Path(out)
    check_numbers(size=size, workers=workers, places_per_file=places_per_file)
    check_output_folder("out", out)
    # The folder is checked before any source is opened, which may take minutes.
    places = (
        _open(source, out, size, settings) if isinstance(source, str | Path) else source
    )
    # What decides the bytes: source, settings and size. Only the same command may go on
    # in the folder.
    origin = {
        "kind": places.kind,
        **places.settings(),
        "places": len(places),
        "fingerprint": places.fingerprint(),
    }
    note = {
        "format": PACKED_FORMAT,
        "sencap": __version__,
        "size": size,
        "places_per_file": places_per_file,
        "source": origin,
    }
    claim(out, NOTE, note)
    # The index is written last: with it all is done, but for the lists of the parts if
    # a run was killed at that moment.
    if (out / INDEX).is_file():
        report = _report(read_index(out))
        _delete_listings(out)
        return report
    # Parts of places_per_file places each; those with a whole list are kept as they
    # are.
    starts = range(0, len(places), places_per_file)
    done = [number for number in range(len(starts)) if _is_done(out, number)]
    todo = [number for number in range(len(starts)) if number not in set(done)]
    _check_space(out, places, size, len(todo) / max(len(starts), 1))
    first = min(len(done) * places_per_file, len(places))
    wanted: list[int] = []
    for number in todo:
        wanted += range(len(places))[starts[number] : starts[number] + places_per_file]
    bar = tqdm(
        total=len(places),
        initial=first,
        desc="packing",
        unit="place",
        disable=not progress,
    )
    # Several processes read ahead, but the places come in their order: the bytes do not
    # depend on who was first.
    read = partial(_read, places, size=size)
    with bar, closing(map_in_order(read, wanted, workers=workers)) as reads:
        for number in todo:
            count = min(places_per_file, len(places) - starts[number])
            _write_part(out, number, reads, count=count, size=size, bar=bar)
    return _finish(out, note, len(starts), places)


def _open(
    source: str | Path, out: Path, size: int, settings: Mapping[str, Any]
) -> Places:
    """The places of a source that the packed folder would not become a part of."""
    kind = settings.get("kind", "auto")
    found = recognise_places(source) if kind == "auto" else kind
    root = Path(source)
    if (
        found != "synthetic"
        and root.is_dir()
        and out.resolve().is_relative_to(root.resolve())
    ):
        raise SettingsError(
            f"out={out} lies inside the source {source}, which would then hold other "
            "things the next time it is read; name a folder outside of it"
        )
    # Cells of a series and drawn places are made at the wanted size; images of files
    # are resized after they are read.
    given = {**settings, "kind": found}
    if found in ("series", "synthetic"):  # the others have a size of their own
        given["size"] = size
    return open_places(source, **given)


def _check_space(out: Path, places: Places, size: int, share: float) -> None:
    # Three bytes a pixel, of the parts that are still to be written.
    needed = int(places.report.images * 3 * size * size * share)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise OutputError(
            f"{out} needs {needed / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} "
            "GB left; make room, or give a smaller size"
        )


def _part(out: Path, number: int) -> tuple[Path, Path]:
    return out / f"images-{number:05d}.npy", out / f"images-{number:05d}.json"


def _is_done(out: Path, number: int) -> bool:
    """Whether a part and its list are there, the part with as many bytes as the list
    says."""
    images, listing = _part(out, number)
    part = _read_listing(listing)
    if part is None:
        return False
    # A part without a usable place has a list but no file.
    return not part["images"] or (
        images.is_file() and images.stat().st_size == part["bytes"]
    )


def _write_part(
    out: Path,
    number: int,
    reads: Iterator[_Read],
    *,
    count: int,
    size: int,
    bar: tqdm[Any],
) -> None:
    """Write the next ``count`` places as one file, then its list."""
    path, listing = _part(out, number)
    part: dict[str, Any] = {
        "file": path.name,
        "names": [],
        "dates": [],
        "missing": {},
        "left_out": {},
    }
    images = 0
    with whole_file(path) as draft:
        with draft.open("wb") as file:
            # How many images can be read is known at the end only: the header is
            # written with 0 first, and again over it.
            begin = _write_header(file, (0, 3, size, size))
            for _ in range(count):
                one = next(reads)
                bar.update()
                if one.images is None:
                    part["left_out"][one.name] = one.reason
                    continue
                file.write(np.ascontiguousarray(one.images).data)
                images += len(one.images)
                part["names"].append(one.name)
                part["dates"].append(one.dates)
                if one.missing:
                    part["missing"][one.name] = one.missing
            file.seek(0)
            if _write_header(file, (images, 3, size, size)) != begin:
                raise DataError(f"{path}: its header grew; give fewer places per file")
            # On the disk before the draft gets its name: after a power cut no whole name
            # may stand over half a file.
            file.flush()
            os.fsync(file.fileno())
        part |= {
            "images": images,
            "bytes": draft.stat().st_size,
            "sha256": file_hash(draft),
        }
    if not images:
        path.unlink()
    _write_json(listing, part)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """A numpy header, padded to the same length for any number of images; returns where
    the pixels begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _finish(
    out: Path, note: dict[str, Any], parts: int, places: Places
) -> PlacesReport:
    """Write the index from the parts' lists, then remove the lists."""
    listings = [_part(out, number)[1] for number in range(parts)]
    found = [
        read_json(listing, most_megabytes=LARGEST_INDEX, error=DataError)
        for listing in listings
    ]
    index: dict[str, Any] = {**note}
    # What the parts left out, and what was left out as the source was listed, in one
    # report.
    index["places"] = sum(len(part["names"]) for part in found)
    index["images"] = sum(part["images"] for part in found)
    index["missing"], index["left_out"] = {}, dict(places.report.left_out)
    for part in found:
        index["missing"] |= part.pop("missing")
        index["left_out"] |= part.pop("left_out")
    index["files"] = [part for part in found if part["images"]]
    report = _report(index)
    if not index["places"]:
        raise DataError(f"no place can be packed. {report}")
    index["sha256"] = index_hash(index)
    _write_json(out / INDEX, index)
    _delete_listings(out)
    return report


def _delete_listings(out: Path) -> None:
    for listing in out.glob("images-*.json"):
        listing.unlink(missing_ok=True)


def _report(index: dict[str, Any]) -> PlacesReport:
    return PlacesReport(
        index["places"], index["images"], index["missing"], index["left_out"]
    )


def _read(places: Places, index: int, size: int) -> _Read:
    name = places.name(index)
    try:
        place = places.read(index)
    except DataError as error:
        return _Read(name, reason=str(error))
    # In a worker process the report is a copy; what it notes of this place travels back
    # with the images.
    missing = places.report.missing.get(name, [])
    return _Read(
        name,
        [date.isoformat() for date in place.dates],
        _fitted(place.images, size),
        missing,
    )


def _fitted(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images at ``size`` × ``size`` pixels: their central square, resized."""
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(images[..., top : top + side, left : left + side], size)


def _read_listing(path: Path) -> dict[str, Any] | None:
    """The list of a part; None if it is not there or damaged, so that the part is read
    again."""
    try:
        found = read_json(path, most_megabytes=LARGEST_INDEX, error=DataError)
    except DataError:
        return None
    whole = isinstance(found, dict) and set(found) >= _KEYS
    return found if whole else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all, and on the disk when this returns."""
    with (
        whole_file(path) as draft,
        draft.open("w", encoding="utf-8", newline="\n") as file,
    ):
        json.dump(content, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
