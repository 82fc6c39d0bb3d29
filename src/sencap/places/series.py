"""Large dated rasters of one area, cut into places by a grid.

    ROOT/2018-02-10.tif, ROOT/2018-05-31.tif, …      one series
    ROOT/<area>/…                                    or several, a folder each

The grid is that of the earliest raster, cut to the ground that all of them show. Rasters that lie
on it are read as they are; others (another origin, pixel size or projection) are resampled to it,
bilinearly, window by window, so that a raster of any size needs little memory. Needs rasterio
(``pip install 'sencap[geo]'``).
"""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.bounds import check_numbers
from sencap.errors import DataError, ImageError, SettingsError
from sencap.files import not_a_file
from sencap.places.contract import FEWEST_DATES, ListedPlaces
from sencap.places.folders import dated, list_images
from sencap.places.reading import Scaling
from sencap.rasters import (
    Grid,
    OnGrid,
    cut_grid,
    import_rasterio,
    pixel_box,
    put_on_grid,
    shared_box,
)

_OPEN = 64  # rasters held open at once
# Four times the places of SSL4EO-S12; each is read once when a series is opened.
_MOST_CELLS = 1_000_000
_RGB = ("B04", "B03", "B02")


@dataclass(frozen=True)
class Cell:
    """One image of one place: a square of a raster on the grid of its series."""

    file: Path
    series: int
    row: int
    column: int


class SeriesPlaces(ListedPlaces[Cell]):
    """Places of ``size`` × ``size`` pixels, every ``stride`` pixels, cut from dated rasters (see
    the module's head).

    ``dates`` keeps these dates only (to leave out cloudy ones). ``bands`` are the numbers, from 1,
    of R, G, B; by default those that the file calls B04, B03, B02, else the first three. A date at
    which more than the share ``empty`` of a cell holds no data (all three bands are the file's
    no-data value, or 0 if it names none) is left out of that cell. Finding this out reads every
    raster once, at birth.

    Raises:
        DataError: fewer than two dated rasters, no common ground of that size, or no cell with two
            dates.
        MissingDependencyError: rasterio is not installed.
        SettingsError: a size, stride, share or band that cannot be.
    """

    kind = "series"

    def __init__(
        self,
        root: str | Path,
        *,
        size: int = 264,
        stride: int | None = None,
        dates: Collection[datetime.date] | None = None,
        bands: Sequence[int] | None = None,
        empty: float = 0.01,
        scaling: Scaling | None = None,
    ) -> None:
        check_numbers(size=size, stride=stride)
        self.size, self.empty = size, empty
        self.stride = size if stride is None else stride
        self.bands, self.scaling = bands, scaling or Scaling()
        if not 0 <= empty <= 1:
            raise SettingsError(f"empty={empty} is a share of a cell's pixels and must be in 0 … 1")
        if bands is not None and (len(bands) != 3 or min(bands) < 1):
            raise SettingsError(
                f"bands={list(bands)} must be three numbers from 1: those of R, G and B"
            )
        self._rasterio = import_rasterio(root)
        folders = find_series(Path(root))
        _check_dates(root, folders, dates)
        self._open: dict[Path, Any] = {}
        self._on_grid: dict[tuple[Path, int], OnGrid] = {}
        self._process = os.getpid()
        self.grids: list[Grid] = []
        listed: dict[str, list[tuple[datetime.date, Cell]]] = {}
        problems: dict[str, list[str]] = {}
        self.lost: list[str] = []
        for folder in folders:
            prefix = "" if folder == Path(root) else f"{folder.name}-"
            self._add_series(folder, prefix, dates, listed, problems)
        if not listed:
            raise DataError("\n  ".join([f"{root} holds no series of rasters to cut:", *self.lost]))
        super().__init__(str(root), listed, problems)
        self.report.left_out |= {line.split(":")[0]: line.split(": ", 1)[1] for line in self.lost}

    def read_source(self, source: Cell) -> NDArray[np.uint8]:
        """One cell of one raster."""
        return self._read(source)[0]

    def settings(self) -> Mapping[str, Any]:
        """Grid, bands and scaling."""
        chosen = None if self.bands is None else list(self.bands)
        grid = {"size": self.size, "stride": self.stride, "empty": self.empty, "bands": chosen}
        return {**grid, **self.scaling.settings()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_on_grid": {}, "_process": -1, "_rasterio": None}

    def _add_series(
        self,
        folder: Path,
        prefix: str,
        wanted: Collection[datetime.date] | None,
        listed: dict[str, list[tuple[datetime.date, Cell]]],
        problems: dict[str, list[str]],
    ) -> None:
        """List the cells of one folder of rasters; a folder that gives none is noted in
        ``lost``."""
        found, wrong = dated(folder, list_images(folder))
        files = [(date, file) for date, file in found if wanted is None or date in wanted]
        grid, files = self._common_grid(files, wrong)
        if grid is None or min(grid.width, grid.height) < self.size:
            what = "; ".join(wrong)
            if grid is not None:
                ground = f"{grid.width}×{grid.height} pixels"
                what = f"their common ground is {ground}, too little for a cell of {self.size}"
            self.lost.append(f"{folder.name}: {len(files)} dated rasters can be used; {what}")
            return
        self.grids.append(grid)
        rows = range(0, grid.height - self.size + 1, self.stride)
        columns = range(0, grid.width - self.size + 1, self.stride)
        cells = len(listed) + len(rows) * len(columns)
        if cells > _MOST_CELLS:
            raise SettingsError(
                f"size={self.size} and stride={self.stride} cut {folder} into {cells:,} cells, "
                f"but the most is {_MOST_CELLS:,}; give a larger stride"
            )
        for row in rows:
            for column in columns:
                name = f"{prefix}r{row:06d}-c{column:06d}"
                listed[name], problems[name] = [], list(wrong)
                for date, file in files:
                    cell = Cell(file, len(self.grids) - 1, row, column)
                    try:
                        share = self._read(cell)[1]
                    except DataError as error:
                        problems[name].append(f"{date}: {error}")
                        continue
                    if share > self.empty:
                        problems[name].append(f"{date}: {share:.0%} of the cell holds no data")
                    else:
                        listed[name].append((date, cell))

    def _common_grid(
        self, files: list[tuple[datetime.date, Path]], wrong: list[str]
    ) -> tuple[Grid | None, list[tuple[datetime.date, Path]]]:
        """The grid of the first raster that can be read, cut to the ground of all, and those
        rasters."""
        usable: list[tuple[datetime.date, Path]] = []
        first: Grid | None = None
        box = (0.0, 0.0, 0.0, 0.0)
        for date, file in files:
            try:
                raster = self._raster(file)
                self._band_numbers(raster, file)
                own = Grid(raster.crs, raster.transform, raster.width, raster.height)
                ground = pixel_box(raster, first or own)
            except DataError as error:
                wrong.append(f"{date}: {error}")
                continue
            if first is None:  # its grid is the series'
                first, box = own, ground
            else:
                box = shared_box(box, ground)
            usable.append((date, file))
        if first is None or len(usable) < FEWEST_DATES:
            wrong.append(f"a series needs {FEWEST_DATES} dated rasters")
            return None, usable
        return cut_grid(first, box), usable

    def _read(self, cell: Cell) -> tuple[NDArray[np.uint8], float]:
        """The 8-bit image of a cell, no data black, and the share of it that holds none."""
        raster = self._raster(cell.file)
        numbers = self._band_numbers(raster, cell.file)
        try:
            placed = self._placed(cell)
            values = placed.read(numbers, row=cell.row, column=cell.column, size=self.size)
        except (self._rasterio.errors.RasterioError, OSError, ValueError) as error:
            raise ImageError(f"{cell.file}: it cannot be read, get it again ({error})") from error
        nothing = 0 if raster.nodata is None else raster.nodata
        same = np.isnan(values) if np.isnan(nothing) else values == nothing
        holes = same.all(axis=0)
        if values.dtype.kind == "f":  # reflectance 0–1
            values = (np.nan_to_num(values) * 10_000).round().clip(0, 0xFFFF).astype(np.uint16)
        image = self.scaling.to_uint8(values)
        if holes.any():
            image = np.where(holes, np.uint8(0), image)
        return image, float(holes.mean())

    def _band_numbers(self, raster: Any, file: Path) -> list[int]:
        if self.bands is not None:
            numbers = list(self.bands)
        elif all(name in raster.descriptions for name in _RGB):
            numbers = [raster.descriptions.index(name) + 1 for name in _RGB]
        else:
            numbers = [1, 2, 3]
        if max(numbers) > raster.count:
            raise ImageError(
                f"{file}: it has {raster.count} bands, but R, G and B are to be {numbers}"
            )
        return numbers

    def _close(self) -> None:
        for placed in self._on_grid.values():
            placed.dataset.close()  # a resampled view before its raster
        for raster in self._open.values():
            raster.close()
        self._open, self._on_grid = {}, {}

    def _placed(self, cell: Cell) -> OnGrid:
        """A raster on the grid of its series, kept as long as the raster is open."""
        key = (cell.file, cell.series)
        if key not in self._on_grid:
            self._on_grid[key] = put_on_grid(self._raster(cell.file), self.grids[cell.series])
        return self._on_grid[key]

    def _raster(self, file: Path) -> Any:
        """An open raster, of this process: handles must not be shared after a fork.

        Raises:
            ImageError: it cannot be opened.
        """
        if self._process != os.getpid():
            self._open, self._on_grid = {}, {}
            self._process, self._rasterio = os.getpid(), import_rasterio(file)
        if file not in self._open:
            if reason := not_a_file(file):
                raise ImageError(f"{file}: {reason}: give a raster")
            if len(self._open) >= _OPEN:
                self._close()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", self._rasterio.errors.NotGeoreferencedWarning)
                    self._open[file] = self._rasterio.open(file)
            except self._rasterio.errors.RasterioError as error:
                raise ImageError(f"{file}: it is no raster that can be read ({error})") from error
        return self._open[file]


def _check_dates(
    root: str | Path, folders: list[Path], wanted: Collection[datetime.date] | None
) -> None:
    """Refuse a date that no raster has: it is a slip, and would be left out in silence."""
    if wanted is None:
        return
    found: set[datetime.date] = set()
    for folder in folders:
        images, _ = dated(folder, list_images(folder))
        found.update(date for date, _ in images)
    absent = sorted(set(wanted) - found)
    if absent:
        first = ", ".join(map(str, absent[:5]))
        some = ", ".join(map(str, sorted(found)[:10]))
        raise SettingsError(
            f"dates: {root} has no raster of {first}; the first that it has are {some}"
        )


def find_series(root: Path) -> list[Path]:
    """The folders that hold dated rasters: ``root`` itself, else those right below it.

    Raises:
        DataError: ``root`` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give the folder of the dated rasters")
    if list_images(root):
        return [root]
    return [folder for folder in sorted(root.iterdir()) if folder.is_dir() and list_images(folder)]
