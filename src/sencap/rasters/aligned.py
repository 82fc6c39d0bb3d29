"""Two rasters on one grid: that of the first, cut to the ground that both show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sencap.errors import DataError, ImageError
from sencap.files import Closing
from sencap.rasters.bands import Wanted
from sencap.rasters.grid import Grid, area_in, pixel_box, share_of, shared_box
from sencap.rasters.raster import Raster
from sencap.rasters.valid import Mask

_WHOLE = 0.99  # of a raster: less is said
_LEAST = 32  # pixels a side that two dates must share


class AlignedRasters(Closing):
    """Two open rasters on the grid of the first (upright), over the ground that they
    share.

    ``grid`` is that ground; ``shares`` (0–1) how much of each raster it is; ``notes``
    what a user has to know. `read` gives a window of one date. Use it with ``with``.

    Where only one of them says where it lies, or in which projection, both are taken to
    lie on the same ground; with ``assume_same`` False that is refused.

    Raises:
        ImageError: one cannot be read; no common ground, with both extents; two that
            say nothing of their ground and differ in size; or only one that says it, as
            above.
        MissingDependencyError, SettingsError: as `Raster`.
    """

    def __init__(
        self,
        before: str | Path,
        after: str | Path,
        *,
        bands: Wanted | None = None,
        assume_same: bool = True,
    ) -> None:
        self._assume_same = assume_same
        self._stack = ExitStack()
        # What is open is closed if the rest fails; `pop_all` then keeps the files open
        # for this object.
        with self._stack as opening:
            one = opening.enter_context(Raster(before, bands=bands))
            other = opening.enter_context(Raster(after, bands=bands))
            self.rasters: Sequence[Raster] = (one, other)
            # Bands are known by name in one file and only by position in the other:
            # both dates must show the same three, or all of the scene would look
            # changed.
            taken = [
                f"{silent.path} does not name its bands: they are taken to be those of {told.path}"
                for silent, told in ((one, other), (other, one))
                if silent.take_bands_of(told)
            ]
            self.notes = [*one.notes, *other.notes, *taken]
            self.grid, self.shares = self._common(one, other)
            for raster in self.rasters:
                raster.put_on(self.grid)
            if other.is_resampled:
                self.notes.append(f"{after} is resampled to the grid of {before}")
            self._stack = opening.pop_all()

    def _common(self, one: Raster, other: Raster) -> tuple[Grid, tuple[float, float]]:
        first, second = one.own.upright(), other.own
        names = f"{one.path} and {other.path}"
        # One date with a place on the map and the other without: a screenshot or a PNG
        # beside a GeoTIFF. Only equal sizes make "the same ground" plausible.
        if first.is_placed != second.is_placed:
            if (first.width, first.height) != (second.width, second.height):
                raise ImageError(
                    f"{names}: only one of them says where it lies, and they differ "
                    f"in size: {first.width}×{first.height} and "
                    f"{second.width}×{second.height} pixels; give both a "
                    "georeference, or cut them to the same ground"
                )
            silent = other if first.is_placed else one
            self._refuse_unless_assumed(f"{silent.path} does not say where it lies")
            self.notes.append(
                f"only one of {names} says where it lies: they are taken for the "
                "same ground"
            )
            ground = self._ground_of_one(one.own, other.own)
            for raster in (one, other):
                raster.own = ground
            return ground, (1.0, 1.0)
        # Both have coordinates, but one does not say of which projection: its numbers
        # are compared with the other's as they are.
        if first.is_placed and (first.crs is None) != (second.crs is None):
            silent = one if first.crs is None else other
            self._refuse_unless_assumed(f"{silent.path} does not say its projection")
            self.notes.append(
                f"only one of {names} has a projection: it is taken to be that of both"
            )
        try:
            # From here on all is told in pixels of the first date's grid: the second's
            # ground, what both share, and how much of each that is.
            theirs = pixel_box(second, first)
        except DataError as error:
            raise ImageError(f"{names}: {error}") from error
        whole = (0.0, 0.0, float(first.width), float(first.height))
        shared = shared_box(whole, theirs)
        shares = (
            share_of(shared, area_in(first, first)),
            share_of(shared, area_in(second, first)),
        )
        grid = first.cut(shared)
        # A strip of a few pixels is often two neighbouring tiles, not two dates of one
        # place.
        if min(grid.width, grid.height) < _LEAST:
            raise ImageError(self._no_ground(first, whole, theirs, grid, names))
        if min(shares) < _WHOLE:
            self.notes.append(
                f"they share {grid.width}×{grid.height} pixels, {shares[0]:.0%} of "
                f"{one.path} and {shares[1]:.0%} of {other.path}: the caption tells "
                "of that ground"
            )
        return grid, shares

    def _refuse_unless_assumed(self, what: str) -> None:
        if not self._assume_same:
            raise ImageError(
                f"{what}, and the other raster does: give it a georeference, or say "
                "by --assume-same-grid (assume_same_grid=True) that both show the "
                "same ground"
            )

    @staticmethod
    def _ground_of_one(one: Grid, other: Grid) -> Grid:
        """The ground of the one that is placed, if its pixels are stored with north
        above; else both are compared as they are stored, on no known ground."""
        placed = one if one.is_placed else other
        # The other date's pixels are stored in an unknown direction: turning only the
        # placed one would part the two.
        if placed.upright() == placed:
            return placed
        return Grid(
            None, type(placed.transform).identity(), placed.width, placed.height
        )

    @staticmethod
    def _no_ground(
        first: Grid,
        whole: Sequence[float],
        theirs: Sequence[float],
        grid: Grid,
        names: str,
    ) -> str:
        """Why there is too little in common, with both extents in the first one's
        projection."""
        extents = [
            first.extent((box[0], box[1], box[2], box[3])) for box in (whole, theirs)
        ]
        unknown = "an unknown projection"
        where = f"in {first.crs.to_string() if first.crs else unknown}"
        if 0 in (grid.width, grid.height):
            what = "have no ground in common"
        else:
            what = f"share {grid.width}×{grid.height} pixels, and {_LEAST} a side are needed"
        return (
            f"{names} {what}: {where} the first covers {extents[0]}, the second "
            f"{extents[1]}. Give two images of the same place."
        )

    def read(
        self,
        date: int,
        row: int = 0,
        column: int = 0,
        height: int | None = None,
        width: int | None = None,
        *,
        shape: tuple[int, int] | None = None,
        nearest: bool = False,
    ) -> tuple[NDArray[Any], Mask | None]:
        """A window of one date, 0 before and 1 after; as `Raster.read`."""
        return self.rasters[date].read(
            row, column, height, width, shape=shape, nearest=nearest
        )

    def details(self) -> dict[str, Any]:
        """What was chosen, as JSON values."""
        grid = self.grid
        return {
            "crs": None if grid.crs is None else grid.crs.to_string(),
            "transform": list(grid.transform)[:6] if grid.is_placed else None,
            "overlap": [round(share, 4) for share in self.shares],
            "resampled": [raster.is_resampled for raster in self.rasters],
            "bands": [list(raster.bands.numbers) for raster in self.rasters],
            "bands_told_by": [raster.bands.told_by for raster in self.rasters],
        }

    def close(self) -> None:
        """Close both files."""
        self._stack.close()
