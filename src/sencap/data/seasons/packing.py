"""Writes the packed form of any source of places: resumable after a kill, checked by hashes, never half a file.

A part is written under a passing name, flushed to the disk and renamed; then its list, likewise; the index comes last.
So whatever bears its final name is whole, and the same command goes on after the last part with a list.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sencap import __version__
from sencap.data.seasons.contract import Places, PlacesReport
from sencap.data.seasons.packed import FORMAT, INDEX, NOTE, file_hash, index_hash, read_index
from sencap.errors import DataError, SettingsError
from sencap.images import resize

PLACES_PER_FILE = 512
_PARTIAL = ".partial"
_ENDED = (
    "a reading process ended early: perhaps for want of memory (give the same command again, with fewer workers), "
    "or since the script that packs has no `if __name__ == '__main__':` (give it that, or workers=1)"
)


@dataclass
class _Read:
    """One place as a worker read it; without images it is left out, for the reason given."""

    name: str
    dates: list[str] = field(default_factory=list)
    images: NDArray[np.uint8] | None = None
    missing: list[str] = field(default_factory=list)
    reason: str = ""


def pack(
    places: Places,
    out: str | Path,
    *,
    size: int = 264,
    workers: int = 1,
    places_per_file: int = PLACES_PER_FILE,
    progress: bool = False,
) -> PlacesReport:
    """Write places as a packed folder, which `PackedPlaces` reads; returns what was used and what was left out.

    Images that are not ``size`` × ``size`` pixels are cut to their central square and resized, bilinearly with
    antialiasing. ``workers`` processes read (0: one per core, 1: this one); the bytes do not depend on it. A run
    that was stopped or killed goes on when it is given again; at most ``places_per_file`` places are read twice.

    Raises:
        DataError: ``out`` holds something else or a pack of another source or other settings, the disk is too
            small, or no place can be read.
        SettingsError: a setting that cannot be.
    """
    out = Path(out)
    for name, value, least in (
        ("size", size, 1),
        ("workers", workers, 0),
        ("places_per_file", places_per_file, 1),
    ):
        if value < least:
            raise SettingsError(f"{name}={value} must be at least {least}")
    source = {
        "kind": places.kind,
        **places.settings(),
        "places": len(places),
        "fingerprint": places.fingerprint(),
    }
    note = {
        "format": FORMAT,
        "sencap": __version__,
        "size": size,
        "places_per_file": places_per_file,
        "source": source,
    }
    _claim(out, note)
    if (out / INDEX).is_file():
        return _report(read_index(out))
    starts = range(0, len(places), places_per_file)
    done = [number for number in range(len(starts)) if _is_done(out, number)]
    todo = [number for number in range(len(starts)) if number not in set(done)]
    _check_space(out, places, size, len(todo) / max(len(starts), 1))
    first = min(len(done) * places_per_file, len(places))
    wanted = [i for n in todo for i in range(starts[n], min(starts[n] + places_per_file, len(places)))]
    bar = tqdm(total=len(places), initial=first, desc="packing", unit="place", disable=not progress)
    with bar:
        reads = _reads(places, wanted, size, workers)
        for number in todo:
            count = min(places_per_file, len(places) - starts[number])
            _write_part(out, number, reads, count=count, size=size, bar=bar)
    return _finish(out, note, len(starts), places)


def _claim(out: Path, note: dict[str, Any]) -> None:
    """Make the folder ours: new or empty, or begun with the same settings."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give a folder for the packed places")
    file = out / NOTE
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is damaged ({error}): delete the folder {out}") from error
        wanted = json.loads(json.dumps(note))
        keys = {**found, **wanted}
        differ = [
            f"{key} {found.get(key)} ≠ {wanted.get(key)}" for key in keys if found.get(key) != wanted.get(key)
        ]
        if differ:
            raise DataError(
                f"{out} was packed with other settings ({'; '.join(differ)}); give another folder"
            )
    elif out.is_dir() and any(entry for entry in out.iterdir() if not entry.name.endswith(_PARTIAL)):
        raise DataError(f"{out} holds something else; give an empty or new folder")
    out.mkdir(parents=True, exist_ok=True)
    for stray in out.glob(f"*{_PARTIAL}"):
        stray.unlink()
    if not file.is_file():
        _write_json(file, note)


def _check_space(out: Path, places: Places, size: int, share: float) -> None:
    needed = int(places.report.images * 3 * size * size * share)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DataError(f"{out} needs {needed / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} GB left")


def _part(out: Path, number: int) -> tuple[Path, Path]:
    return out / f"images-{number:05d}.npy", out / f"images-{number:05d}.json"


def _is_done(out: Path, number: int) -> bool:
    """Whether a part and its list are there, the part with as many bytes as the list says."""
    images, listing = _part(out, number)
    if not listing.is_file():
        return False
    part = _read_json(listing)
    return not part["images"] or (images.is_file() and images.stat().st_size == part["bytes"])


def _write_part(
    out: Path, number: int, reads: Iterator[_Read], *, count: int, size: int, bar: tqdm[Any]
) -> None:
    """Write the next ``count`` places as one file, then its list."""
    path, listing = _part(out, number)
    partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
    part: dict[str, Any] = {"file": path.name, "names": [], "dates": [], "missing": {}, "left_out": {}}
    images = 0
    with partial.open("wb") as file:
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
        file.flush()
        os.fsync(file.fileno())
    part |= {"images": images, "bytes": partial.stat().st_size, "sha256": file_hash(partial)}
    if images:
        partial.replace(path)
    else:
        partial.unlink()
    _write_json(listing, part)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """A numpy header, padded to the same length for any number of images; returns where the pixels begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _finish(out: Path, note: dict[str, Any], parts: int, places: Places) -> PlacesReport:
    """Write the index from the parts' lists, then remove the lists."""
    listings = [_part(out, number)[1] for number in range(parts)]
    found = [_read_json(listing) for listing in listings]
    index: dict[str, Any] = {**note}
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
    for listing in listings:
        listing.unlink(missing_ok=True)
    return report


def _report(index: dict[str, Any]) -> PlacesReport:
    return PlacesReport(index["places"], index["images"], index["missing"], index["left_out"])


# -- reading, in this process or in several ----------------------------------------------------------


def _reads(places: Places, indices: list[int], size: int, workers: int) -> Iterator[_Read]:
    """The places in order; a few are read ahead, so that memory stays bounded."""
    workers = min(workers or os.cpu_count() or 1, max(len(indices), 1))
    if workers == 1:
        for index in indices:
            yield _read(places, index, size)
        return
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        # By a file, since a pipe to a process that dies when it starts would block for ever.
        handed = Path(folder) / "places"
        handed.write_bytes(pickle.dumps((places, size)))
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(str(handed),)) as pool:
            ahead: deque[Future[_Read]] = deque()
            for index in indices:
                ahead.append(_submit(pool, index))
                if len(ahead) >= 4 * workers:
                    yield _result(ahead.popleft())
            while ahead:
                yield _result(ahead.popleft())


def _submit(pool: ProcessPoolExecutor, index: int) -> Future[_Read]:
    try:
        return pool.submit(_work, index)
    except BrokenProcessPool as error:
        raise DataError(_ENDED) from error


def _result(future: Future[_Read]) -> _Read:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise DataError(_ENDED) from error


_worker: list[tuple[Places, int]] = []  # what a worker process reads; set once when it starts


def _begin(handed: str) -> None:
    _worker.append(pickle.loads(Path(handed).read_bytes()))  # noqa: S301  (written by our own parent process)


def _work(index: int) -> _Read:
    places, size = _worker[0]
    return _read(places, index, size)


def _read(places: Places, index: int, size: int) -> _Read:
    name = places.name(index)
    try:
        place = places.read(index)
    except DataError as error:
        return _Read(name, reason=str(error))
    missing = places.report.missing.get(name, [])
    return _Read(name, [date.isoformat() for date in place.dates], _fitted(place.images, size), missing)


def _fitted(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images at ``size`` × ``size`` pixels: their central square, resized."""
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(images[..., top : top + side, left : left + side], size)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): delete it and give the same command again") from error
    return found


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(content, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
