"""Two rasters as one scene: what its windows are, and each of them as an
`ImagePair`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.files import Closing
from sencap.images.holes import fill_alike
from sencap.images.levels import Scale, check_seen, scale_of, to_levels
from sencap.images.sample import RasterSample
from sencap.images.windows import Window
from sencap.rasters import AlignedRasters, Grid, Mask, both, share_lost
from sencap.rasters.grid import reprojected
from sencap.scenes.area import Area
from sencap.scenes.ground import check_plausible, corners, crs_of, metres_per_pixel
from sencap.scenes.sampling import percentile_scale
from sencap.scenes.settings import ScanSettings
from sencap.scenes.tiling import Tiling
from sencap.scenes.trained import Trained, window_side
from sencap.structures import ImagePair

# Pixels a side, of which the scales are told: a scene may have more than fit into memory.
_SAMPLE = 2048


@dataclass(frozen=True)
class Seen:
    """A window as it was read: the pair (None if too little of it holds data at both
    dates), that share, how many pixels of its own ground hold data, and whether it was
    read at all."""

    number: int
    pair: ImagePair | None
    valid: float
    pixels: int
    is_read: bool = True


class Scene(Closing):
    """Two open rasters of one place, cut into windows. Use it with ``with``; one thread
    at a time.

    ``tiling`` says where the windows lie on ``grid``, ``crs`` in which projection
    polygons are told, ``notes`` what a user has to know, `details` what was chosen.

    ``grid`` is another ground than what both share on the grid of the first: that of a
    series.

    Raises:
        ImageError: a file cannot be read, there is no ground in common, it is not known
            where one of them lies, degrees that no place has, or no picture in the
            values.
        SettingsError, MissingDependencyError: settings that the files cannot fulfil; no
            rasterio.
    """

    def __init__(
        self,
        before: str | Path,
        after: str | Path,
        settings: ScanSettings,
        trained: Trained,
        *,
        grid: Grid | None = None,
    ) -> None:
        self.before, self.after, self.settings = Path(before), Path(after), settings
        self._empty = settings.reading.empty
        # If anything below fails, the rasters are closed again; else they stay open
        # until `close`.
        with ExitStack() as opening:
            self._rasters = opening.enter_context(
                AlignedRasters(
                    before,
                    after,
                    bands=settings.reading.bands,
                    assume_same=settings.assume_same_grid,
                )
            )
            self.grid = self._rasters.grid if grid is None else grid
            for raster in self._rasters.rasters:
                check_plausible(raster.own, raster.path)
                if grid is not None:
                    raster.put_on(grid)
            self.crs = self._crs(settings.crs)
            self.metres = metres_per_pixel(self.grid)
            side, notes = window_side(settings, self.metres, trained)
            self.notes = [*self._rasters.notes, *notes]
            self.tiling = Tiling(
                self.grid.height, self.grid.width, side, settings.overlap
            )
            # After the tiling, which is the same whatever area is looked at: window
            # numbers do not depend on it.
            self._area = None if settings.roi is None else Area(settings.roi, self.grid)
            self.scales = self._find_scales()
            self._opened = opening.pop_all()

    def _crs(self, wanted: str | None) -> Any:
        """The projection of the polygons."""
        if wanted is None:
            return self.grid.crs
        crs = crs_of(wanted)
        if self.grid.crs is None:
            raise SettingsError(
                f"crs={wanted}: the before image does not say its own projection"
            )
        ground = reprojected(corners(self.grid, self.whole), self.grid.crs, crs)
        if not np.isfinite(ground).all():
            raise SettingsError(
                f"crs={wanted} has no place for the ground of {self.before}"
            )
        return crs

    @property
    def whole(self) -> Window:
        """All of the common ground."""
        return Window(0, 0, self.grid.height, self.grid.width)

    def is_wanted(self, number: int) -> bool:
        """Whether a window shows any of the area that is to be looked at."""
        return self._area is None or self._area.meets(self.tiling.window(number))

    def read(self, number: int) -> Seen:
        """A window of both dates.

        Raises:
            ImageError: a file is damaged there; the message names the window.
        """
        window = self.tiling.window(number)
        try:
            return self._read(number, window)
        except ImageError as error:
            raise ImageError(f"window {number} ({window}): {error}") from error

    def _read(self, number: int, window: Window) -> Seen:
        # That nothing of a window is stored is told by the file's table of blocks, which
        # costs no reading.
        if not all(raster.is_stored(*window) for raster in self._rasters.rasters):
            return Seen(number, None, 0.0, 0, is_read=False)
        images: list[NDArray[Any]] = []
        masks: list[Mask | None] = []
        for date in (0, 1):
            levels, valid = self._levels(date, window, self.scales[date])
            images.append(levels)
            masks.append(valid)
            # Of a window without data at one date the other date is not read.
            is_empty = valid is not None and not valid.any()
            if is_empty and share_lost(valid) > self._empty:
                return Seen(number, None, 0.0, 0)
        # Pixels that hold data at both dates.
        shown = both(*masks)
        valid_share = 1.0 - share_lost(shown)
        pixels = self._own_pixels(number, window, shown)
        if share_lost(shown) > self._empty:
            return Seen(number, None, valid_share, pixels)
        # Where one date holds no data, both get the same, so that the gap is no change.
        # Three bands of two dates become (2, 3, H, W).
        bands = [fill_alike(*pair, *masks) for pair in zip(*images, strict=True)]
        pair = ImagePair(np.stack(bands, axis=1), str(window))
        return Seen(number, pair, valid_share, pixels)

    def _own_pixels(self, number: int, window: Window, shown: Mask | None) -> int:
        """How many pixels of a window's own ground hold data, in the area to be looked
        at."""
        # The cell lies in the window: (H, W) of the mask cut to it.
        cell = self.tiling.cell(number)
        inside = np.ones((cell.height, cell.width), np.bool_)
        if shown is not None:
            top, left = cell.row - window.row, cell.column - window.column
            inside &= shown[top : top + cell.height, left : left + cell.width]
        if self._area is not None:
            inside &= self._area.mask(cell)
        return int(np.count_nonzero(inside))

    def _levels(
        self, date: int, window: Window, scale: Scale | None
    ) -> tuple[NDArray[Any], Mask | None]:
        values, valid = self._rasters.read(date, *window)
        return to_levels(values, valid, scale)

    def _find_scales(self) -> tuple[Scale | None, Scale | None]:
        """How the values of each date become 8 bits: given, or told from pixels of the
        whole ground, once for all windows; None where they have 8 bits."""
        given = self.settings.reading.given_scale()
        if given is not None:
            return given, given
        # Eight bits are shown as they are.
        if all(raster.dtype == np.uint8 for raster in self._rasters.rasters):
            return None, None
        # One scale for all windows: a scale of each window by itself would make seams,
        # and changes of brightness where none are.
        samples = [self._sample(date) for date in (0, 1)]
        counts = [sample.counts for sample in samples]
        if self.settings.stretch == "together":
            self._check_alike(samples)
            counts = [counts[0] + counts[1]] * 2
        scales = []
        for date, sample in enumerate(samples):
            scale = None
            if sample.is_deep:
                if self.settings.percentiles is None:
                    scale = scale_of(counts[date])
                else:
                    scale = percentile_scale(counts[date], self.settings.percentiles)
                check_seen(sample.counts, scale, str(self._rasters.rasters[date].path))
            scales.append(sample.scale_of_values(scale))
        return scales[0], scales[1]

    def _check_alike(self, samples: list[RasterSample]) -> None:
        one, other = samples
        if one.factor != other.factor or one.is_deep != other.is_deep:
            kinds = [
                f"{raster.path} holds {raster.dtype}"
                for raster in self._rasters.rasters
            ]
            raise ImageError(
                f"{' and '.join(kinds)}, in other units: say by --scale LOW,HIGH "
                "which values are black and white, or scale each date by itself with "
                "--stretch per-date"
            )

    def _sample(self, date: int) -> RasterSample:
        """Pixels of the whole ground as levels."""
        height, width = self.grid.height, self.grid.width
        shape = min(height, _SAMPLE), min(width, _SAMPLE)
        # Nearest: a mean of pixels would narrow the range of values.
        values, valid = self._rasters.read(date, shape=shape, nearest=True)
        try:
            return RasterSample.of(values, valid)
        except ImageError as error:
            raise ImageError(f"{self._rasters.rasters[date].path}: {error}") from error

    def overview(self, longest: int) -> list[NDArray[np.uint8]]:
        """Both dates (3, H, W), of at most so many pixels a side."""
        height, width = self.grid.height, self.grid.width
        share = min(1.0, longest / max(height, width))
        shape = max(1, round(height * share)), max(1, round(width * share))
        images = []
        for date, scale in enumerate(self.scales):
            values, valid = self._rasters.read(date, shape=shape)
            images.append(to_levels(values, valid, scale)[0].astype(np.uint8))
        return images

    def details(self) -> dict[str, Any]:
        """What was chosen, as JSON values."""
        scales = [None if scale is None else scale.details() for scale in self.scales]
        return {
            **self._rasters.details(),
            "pixels": [self.grid.width, self.grid.height],
            "metres_per_pixel": None if self.metres is None else round(self.metres, 4),
            "scales": scales,
            "window": {"side": self.tiling.side, "step": self.tiling.step},
            "polygons_in": None if self.crs is None else self.crs.to_string(),
        }

    @property
    def tags(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What each file says of itself."""
        one, other = self._rasters.rasters
        return one.tags, other.tags

    def close(self) -> None:
        """Close both files."""
        self._opened.close()
