"""SSL4EO-S12 v1.1: zarr archives of 64 places with four dates each, of which only the
chunks asked for are read.

    ROOT/train/S2RGB/ssl4eos12_train_seasonal_data_000001.zarr.zip     (val likewise)
        bands   (sample, time, band, y, x)    uint8 in S2RGB, else int16 reflectance × 10,000
        time_   (sample, time)                when each image was taken
        sample  (sample)                      the names of the places
        band    (band)                        the names of the bands: B02, B03, B04, …

Needs the package zarr (``pip install 'sencap[seasons]'``).
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.dates import find_date
from sencap.errors import (
    DataError,
    ImageError,
    MissingDependencyError,
    SettingsError,
    nearest,
)
from sencap.files import not_a_file
from sencap.places.contract import ListedPlaces
from sencap.places.reading import Scaling

_PRODUCTS = ("S2RGB", "S2L2A", "S2L1C")
_SPLITS = ("train", "val")
SUFFIX = ".zarr.zip"
_OPEN = 16  # archives held open at once
_COLOURS = ({"B4", "R", "RED"}, {"B3", "G", "GREEN"}, {"B2", "B", "BLUE"})
# All in nanoseconds.
_UNITS = {
    "days": 86_400 * 10**9,
    "hours": 3_600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}
# The number of its archive, of its place in there, of its date.
_Sample = tuple[int, int, int]


@dataclass(frozen=True)
class _Archive:
    """An open archive, its images, and which of its bands are R, G, B."""

    group: Any
    bands: Any
    rgb: list[int]


class ShardPlaces(ListedPlaces[_Sample]):
    """The places of SSL4EO-S12 v1.1 (see the head of this module).

    ``root`` is the data set's folder, that of a split or of a product, or one archive.
    ``product`` is one of `_PRODUCTS`, by default the first that is there; ``split`` is
    train or val, by default both. Names and dates are read at birth, images when asked
    for.

    Raises:
        DataError: nothing of that kind there, or no place with two dates.
        MissingDependencyError: zarr is not installed.
        SettingsError: an unknown product or split.
    """

    kind = "ssl4eo-v1.1"

    def __init__(
        self,
        root: str | Path,
        *,
        product: str | None = None,
        split: str | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        self.files = find_shards(Path(root), product, split)
        self.scaling = scaling or Scaling()
        self._archives: dict[Path, _Archive] = {}
        self._process = os.getpid()
        listed: dict[str, list[tuple[datetime.date, _Sample]]] = {}
        problems: dict[str, list[str]] = {}
        # An archive that is damaged costs its own places; the others are used.
        for number, file in enumerate(self.files):
            try:
                found = _list_samples(self._archive(file).group, file)
            except DataError as error:
                problems[file.name] = [str(error)]
                continue
            for place, (name, dates, wrong) in enumerate(found):
                # A split copied into two folders would count its places twice, and
                # could put one into training and validation.
                if name in listed:
                    raise DataError(
                        f"{file}: there is a place {name} in another archive of "
                        f"{root} already"
                    )
                listed[name] = [(date, (number, place, time)) for time, date in dates]
                problems[name] = wrong
        super().__init__(str(root), listed, problems)

    def read_source(self, source: _Sample) -> NDArray[np.uint8]:
        """One date of one place; reads the chunks that hold it, and no other."""
        number, place, time = source
        archive = self._archive(self.files[number])
        try:
            # (sample, time, band, y, x) → R, G, B of one date, (3, H, W). Only the
            # chunks that hold them are decompressed.
            image: NDArray[Any] = archive.bands.oindex[place, time, archive.rgb]
        except Exception as error:
            # The decoders and zipfile raise errors of any kind for damaged archives.
            raise ImageError(
                f"{self.files[number]}: place {place}, date {time} is damaged, get "
                f"the file again ({error!r})"
            ) from error
        return self.scaling.to_uint8(image)

    def settings(self) -> Mapping[str, Any]:
        """Product and scaling."""
        return {"product": self.files[0].parent.name, **self.scaling.settings()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archives": {}, "_process": -1}

    def _archive(self, file: Path) -> _Archive:
        """An open archive; of this process, since a file handle must not be shared
        after a fork."""
        if self._process != os.getpid():
            self._archives, self._process = {}, os.getpid()
        if file not in self._archives:
            # The archive that was opened first is closed first.
            while len(self._archives) >= _OPEN:
                self._archives.pop(next(iter(self._archives))).group.store.close()
            self._archives[file] = _open(file)
        return self._archives[file]


def find_shards(
    root: Path, product: str | None = None, split: str | None = None
) -> list[Path]:
    """The archives of one product below ``root``, by split and name.

    Raises:
        DataError: none there.
        SettingsError: an unknown product or split.
    """
    for name, value, known in (
        ("product", product, (*_PRODUCTS, "S1GRD")),
        ("split", split, _SPLITS),
    ):
        if value is not None and value not in known:
            raise SettingsError(
                f"{name} {value!r} is unknown in SSL4EO-S12 v1.1; "
                f"{nearest(value, known)}"
            )
    # Radar is a part of the same data set, and often lies beside the optical images.
    if product == "S1GRD" or (product is None and root.name == "S1GRD"):
        raise SettingsError(
            "product S1GRD is radar and has no RGB; take S2RGB, S2L2A or S2L1C"
        )
    if root.is_file():
        return [root]
    splits = (split,) if split else _SPLITS
    products = (product,) if product else _PRODUCTS
    # The first product that is there; 8-bit RGB before reflectance.
    for name in products:
        folders = [root / part / name for part in splits] + [root / name]
        # `root` may be the product's own folder, or a folder of any other name with
        # archives.
        if root.name == name or (product is None and root.name not in _PRODUCTS):
            folders.append(root)
        files: list[Path] = []
        for folder in folders:
            files += sorted(folder.glob(f"*{SUFFIX}"))
        files = [
            file for file in files if split is None or _split_of(file) in (split, None)
        ]
        if files:
            return files
    wanted = f"{'|'.join(splits)}/{product or '|'.join(_PRODUCTS)}/*{SUFFIX}"
    raise DataError(f"{root} holds no SSL4EO-S12 v1.1: looked for {wanted} below it")


def rgb_order(names: Sequence[str], file: Path) -> list[int]:
    """Where R, G and B are among an archive's bands; three bands of unknown names are
    R, G, B.

    Raises:
        DataError: the bands have other names.
    """
    # B04 → B4.
    plain = [re.sub(r"^(B)0(\d)$", r"\1\2", name.upper()) for name in names]
    found: list[int] = []
    for colour in _COLOURS:
        found += [index for index, name in enumerate(plain) if name in colour]
    # One band for each colour, none named twice.
    if len(found) == 3 and all(
        plain[index] in _COLOURS[place] for place, index in enumerate(found)
    ):
        return found
    if len(names) == 3:
        return [0, 1, 2]
    raise DataError(
        f"{file}: its bands are {', '.join(names)}; looked for B04, B03, B02 (or R, "
        "G, B)"
    )


def _split_of(file: Path) -> str | None:
    """The split that an archive's folder or name tells."""
    named = re.match(r"ssl4eos12_(train|val)_", file.name)
    if named:
        return named[1]
    return next((part for part in file.parts[-3:-1] if part in _SPLITS), None)


def _open(file: Path) -> _Archive:
    if reason := not_a_file(file):
        raise DataError(f"{file}: {reason}: give an archive {SUFFIX}")
    try:
        import zarr  # noqa: PLC0415  (an extra)
        from zarr.storage import ZipStore  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {file} needs the package zarr: pip install 'sencap[seasons]'"
        ) from error
    try:
        group: Any = zarr.open_group(ZipStore(file, mode="r"), mode="r", zarr_format=2)
        bands, names = group["bands"], [str(name) for name in group["band"][:]]
    except Exception as error:  # as above
        raise DataError(
            f"{file} is no whole zarr archive with arrays 'bands' and 'band', get it "
            f"again ({error!r})"
        ) from error
    if bands.ndim != 5 or bands.shape[2] != len(names):
        raise DataError(
            f"{file}: 'bands' has the shape {bands.shape} and 'band' {len(names)} "
            "names; expected (sample, time, band, y, x)"
        )
    return _Archive(group, bands, rgb_order(names, file))


Listed = tuple[str, list[tuple[int, datetime.date]], list[str]]


def _list_samples(archive: Any, file: Path) -> list[Listed]:
    """Name, (number of date, date) and problems of each sample of an archive."""
    try:
        samples, times = archive["bands"].shape[:2]
        names = [str(name) for name in archive["sample"][:]]
        stamps = _stamps(archive)
    except Exception as error:  # damaged archives raise errors of any kind
        raise DataError(
            f"{file}: its names or dates cannot be read ({error!r})"
        ) from error
    if len(names) != samples or stamps.shape != (samples, times):
        raise DataError(
            f"{file}: {samples} samples of {times} dates, but {len(names)} names and "
            f"{stamps.shape} dates"
        )
    found: list[Listed] = []
    for name, row in zip(names, stamps, strict=True):
        dates = [
            (number, stamp) for number, stamp in enumerate(row) if stamp is not None
        ]
        problems = [
            f"image {number} has no date"
            for number, stamp in enumerate(row)
            if stamp is None
        ]
        found.append((name, dates, problems))
    return found


def _stamps(archive: Any) -> NDArray[np.object_]:
    """The dates (sample, time) of an archive, None where there is none: from ``time_``,
    else from ``file_id``."""
    # Some archives have no times; the ids of their files begin with a date.
    if "time_" not in archive:
        ids = archive["file_id"][:]
        found = [find_date(str(text), at_start=True) for text in ids.ravel()]
        return np.array(found, dtype=object).reshape(ids.shape)
    times = archive["time_"]
    values = times[:]
    # Times may be stored as numbers with a unit in words, as climate data are (CF
    # conventions).
    if values.dtype.kind != "M":
        values = _decoded(
            values, str(times.attrs.get("units", "nanoseconds since 1970-01-01"))
        )
    days = values.astype("datetime64[D]")
    stamps: NDArray[np.object_] = days.astype(object)
    stamps[np.isnat(days)] = None
    return stamps


def _decoded(values: NDArray[Any], units: str) -> NDArray[np.datetime64]:
    """Numbers with units like "seconds since 2020-01-01 10:00:00" as times; the
    smallest integer, NaN: NaT."""
    match = re.fullmatch(
        r"(\w+) since (\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d(?:\.\d+)?))?Z?",
        units.strip(),
    )
    if match is None or match[1] not in _UNITS:
        raise ValueError(f"times in {units!r} are unknown")
    start = np.datetime64(f"{match[2]}T{match[3] or '00:00:00'}", "ns")
    # The smallest integer, or NaN, is no time; 0 takes its place while spans are
    # computed.
    missing = (
        ~np.isfinite(values)
        if values.dtype.kind == "f"
        else values == np.iinfo(values.dtype).min
    )
    steps = np.where(missing, 0, values)
    spans = (steps * _UNITS[match[1]]).astype("timedelta64[ns]")
    found: NDArray[np.datetime64] = start + spans
    found[missing] = np.datetime64("NaT")
    return found
