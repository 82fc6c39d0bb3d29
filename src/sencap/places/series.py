"""Large dated rasters of one area, cut into places by a grid.

    ROOT/2018-02-10.tif, ROOT/2018-05-31.tif, …      one series
    ROOT/<area>/…                                    or several, a folder each

The grid is that of the earliest raster, cut to the ground that all of them show.
Rasters that lie on it are read as they are; others (another origin, pixel size or
projection) are resampled to it, bilinearly, window by window, so that a raster of any
size needs little memory. That is the work of `sencap.rasters`, which needs rasterio
(``pip install 'sencap[geo]'``).
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.bounds import check_numbers
from sencap.errors import DataError, SettingsError
from sencap.images.levels import reflectance_levels
from sencap.places.contract import FEWEST_DATES, ListedPlaces
from sencap.places.folders import dated, list_images
from sencap.places.reading import Scaling
from sencap.rasters import (
    Grid,
    Raster,
    Wanted,
    both,
    check_bands,
    import_rasterio,
    share_lost,
    shared_box,
)

_OPEN = 64  # rasters held open at once
# Four times the places of SSL4EO-S12; each is read once when a series is opened.
_MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One image of one place: a square of a raster on the grid of its series."""

    file: Path
    series: int
    row: int
    column: int


class SeriesPlaces(ListedPlaces[Cell]):
    """Places of ``size`` × ``size`` pixels, every ``stride`` pixels, cut from dated
    rasters (see the module's head).

    ``dates`` keeps these dates only (to leave out cloudy ones). ``bands`` are the
    numbers, from 1, or the names of R, G, B; by default those that the file calls so
    (red, green, blue; B04, B03, B02), else the first three. A date at which more than
    the share ``empty`` of a cell holds no data (by the file's no-data value, mask or
    alpha; if it has none, 0 in all three bands) is left out of that cell. Finding this
    out reads every raster once, at birth.

    Raises:
        DataError: fewer than two dated rasters, no common ground of that size, or no
            cell with two dates.
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
        bands: Wanted | None = None,
        empty: float = 0.01,
        scaling: Scaling | None = None,
    ) -> None:
        check_numbers(size=size, stride=stride)
        self.size, self.empty = size, empty
        # Without a stride the cells lie side by side and do not overlap.
        self.stride = size if stride is None else stride
        self.bands, self.scaling = bands, scaling or Scaling()
        if not 0 <= empty <= 1:
            raise SettingsError(
                f"empty={empty} is a share of a cell's pixels and must be in 0 … 1"
            )
        check_bands(bands)
        import_rasterio(root)
        folders = find_series(Path(root))
        _check_dates(root, folders, dates)
        # Rasters stay open from cell to cell: every place needs a window of every date.
        self._open: dict[Path, Raster] = {}
        self._process = os.getpid()
        self.grids: list[Grid] = []
        listed: dict[str, list[tuple[datetime.date, Cell]]] = {}
        problems: dict[str, list[str]] = {}
        # Folders without a cell, and why.
        self.lost: dict[str, str] = {}
        for folder in folders:
            prefix = "" if folder == Path(root) else f"{folder.name}-"
            self._add_series(folder, prefix, dates, listed, problems)
        if not listed:
            lines = [f"{folder}: {why}" for folder, why in self.lost.items()]
            raise DataError(
                "\n  ".join([f"{root} holds no series of rasters to cut:", *lines])
            )
        super().__init__(str(root), listed, problems)
        self.report.left_out |= self.lost

    def read_source(self, source: Cell) -> NDArray[np.uint8]:
        """One cell of one raster."""
        return self._read(source)[0]

    def settings(self) -> Mapping[str, Any]:
        """Grid, bands and scaling."""
        chosen = None if self.bands is None else list(self.bands)
        grid = {
            "size": self.size,
            "stride": self.stride,
            "empty": self.empty,
            "bands": chosen,
        }
        return {**grid, **self.scaling.settings()}

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not travel; −1 is no process, so the next one opens its own.
        return {**self.__dict__, "_open": {}, "_process": -1}

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
        files = [
            (date, file) for date, file in found if wanted is None or date in wanted
        ]
        # All dates on one grid, cut to the ground that all of them show.
        grid, files = self._common_grid(files, wrong)
        if grid is None or min(grid.width, grid.height) < self.size:
            what = "; ".join(wrong)
            if grid is not None:
                ground = f"{grid.width}×{grid.height} pixels"
                what = f"their common ground is {ground}, too little for a cell of {self.size}"
            self.lost[folder.name] = f"{len(files)} dated rasters can be used; {what}"
            return
        self.grids.append(grid)
        # Whole cells only: what is left at the right and lower edge is not used.
        rows = range(0, grid.height - self.size + 1, self.stride)
        columns = range(0, grid.width - self.size + 1, self.stride)
        cells = len(listed) + len(rows) * len(columns)
        if cells > _MOST_CELLS:
            raise SettingsError(
                f"size={self.size} and stride={self.stride} cut {folder} into "
                f"{cells:,} cells, but the most is {_MOST_CELLS:,}; give a larger "
                "stride"
            )
        places = [
            (f"{prefix}r{row:06d}-c{column:06d}", row, column)
            for row, column in product(rows, columns)
        ]
        for name, *_ in places:
            listed[name], problems[name] = [], list(wrong)
        # Date by date, so that each raster is opened once, however many there are.
        for date, file in files:
            for name, row, column in places:
                cell = Cell(file, len(self.grids) - 1, row, column)
                why_not = self._why_not(cell)
                if why_not:
                    problems[name].append(f"{date}: {why_not}")
                else:
                    listed[name].append((date, cell))

    def _why_not(self, cell: Cell) -> str:
        """Why a cell cannot be used; empty if it can."""
        # It is read to know whether it holds data; the pixels are not kept.
        try:
            share = self._read(cell)[1]
        except DataError as error:
            return str(error)
        # The edge of an orbit cuts through many cells: a date is left out where it
        # shows too little.
        if share > self.empty:
            return f"{share:.0%} of the cell holds no data"
        return ""

    def _common_grid(
        self, files: list[tuple[datetime.date, Path]], wrong: list[str]
    ) -> tuple[Grid | None, list[tuple[datetime.date, Path]]]:
        """The grid of the first raster that can be read, cut to the ground of all, and
        those rasters."""
        usable: list[tuple[datetime.date, Path]] = []
        first: Grid | None = None
        box = (0.0, 0.0, 0.0, 0.0)
        for date, file in files:
            try:
                raster = self._raster(file)
                own = raster.own.upright()
                # What the raster shows, in pixels of the series' grid.
                ground = raster.box_on(first or own)
            except DataError as error:
                wrong.append(f"{date}: {error}")
                continue
            wrong += [f"{date}: {note}" for note in raster.notes]
            if first is None:  # its grid is the series'
                first, box = own, ground
            else:
                box = shared_box(box, ground)
            usable.append((date, file))
        if first is None or len(usable) < FEWEST_DATES:
            wrong.append(f"a series needs {FEWEST_DATES} dated rasters")
            return None, usable
        return first.cut(box), usable

    def _read(self, cell: Cell) -> tuple[NDArray[np.uint8], float]:
        """The 8-bit image of a cell, no data black, and the share of it that holds
        none."""
        raster = self._raster(cell.file)
        grid = self.grids[cell.series]
        if raster.grid != grid:
            raster.put_on(grid)
        values, valid = raster.read(cell.row, cell.column, self.size, self.size)
        if raster.declares_nothing:  # then 0 in all three bands is the usual sign
            valid = both(valid, np.count_nonzero(values, axis=0) > 0)
        # Black where nothing is known, which is how all readers here show no data.
        image = self.scaling.to_uint8(reflectance_levels(values))
        if valid is not None:
            image = np.where(valid, image, np.uint8(0))
        return image, share_lost(valid)

    def _make_room(self, folder: Path) -> None:
        """Close one raster, before one of ``folder`` is opened."""
        others = [file for file in self._open if file.parent != folder]
        # Place after place is read at all its dates in turn, so that of one series the
        # raster that was opened last is the one that is needed last.
        closed = others[0] if others else list(self._open)[-1]
        self._open.pop(closed).close()

    def _raster(self, file: Path) -> Raster:
        """An open raster, of this process: handles must not be shared after a fork.

        Raises:
            ImageError: it cannot be opened.
        """
        if self._process != os.getpid():
            self._open, self._process = {}, os.getpid()
        if file not in self._open:
            # Systems allow a process so many open files only.
            if len(self._open) >= _OPEN:
                self._make_room(file.parent)
            self._open[file] = Raster(file, bands=self.bands)
        return self._open[file]


def _check_dates(
    root: str | Path, folders: list[Path], wanted: Collection[datetime.date] | None
) -> None:
    """Refuse a date that no raster has: it is a slip, and would be left out in
    silence."""
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
    return [
        folder
        for folder in sorted(root.iterdir())
        if folder.is_dir() and list_images(folder)
    ]
