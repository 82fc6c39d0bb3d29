"""One georeferenced file, open: its grid, its bands, its windows, on its own grid or
another."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.files import Closing, not_a_file
from sencap.rasters.bands import Bands, Wanted, check_bands, choose_bands
from sencap.rasters.grid import Box, Grid, import_rasterio, moved_by, offset, pixel_box
from sencap.rasters.valid import Mask, looks_like_alpha, valid_pixels

# What may be opened, by first bytes: other drivers of GDAL follow names in the file to
# other files, or to hosts.
_PNG = b"\x89PNG"
_DRIVERS = {
    b"II": "GTiff",
    b"MM": "GTiff",
    _PNG: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WEBP",
}
_SAMPLE = 512  # pixels a side: enough to see what an alpha band is
_PNG_END = 4096  # bytes: some writers add a little after the end
_OPENING = threading.Lock()  # Python's filters of warnings are one for all threads


class Raster(Closing):
    """An open raster file, whose pixels are read by windows of a grid.

    At first that is the file's own grid, upright. `put_on` brings it to another one: as
    it is where the pixels are the same, else resampled bilinearly as it is read.
    ``bands`` are those taken for R, G and B; ``notes`` says what a user has to know of
    the file. It is for one thread and one process. Use it with ``with``, or close it.

    Raises:
        ImageError: no file, or none that can be read as a raster, or without the wanted
            bands.
        MissingDependencyError: rasterio is not installed.
        SettingsError: bands that cannot be.
    """

    def __init__(self, path: str | Path, *, bands: Wanted | None = None) -> None:
        check_bands(bands)
        self.path = Path(path)
        self._rasterio = import_rasterio(path)
        if reason := not_a_file(self.path):
            raise ImageError(f"{path}: {reason}: give a raster")
        self.notes: list[str] = []
        self.band_note = ""  # the one of them on bands that nothing tells
        self._file = self._opened()
        self._seen = self._file  # the file, or a resampled view of it
        self._shift = (0, 0)
        try:
            self._look(bands)
        except BaseException:
            self.close()
            raise

    def _look(self, bands: Wanted | None) -> None:
        """Find out all that is not pixels."""
        file = self._file
        self.own, self._is_fitted = self._own_grid()
        self.dtype = np.dtype(file.dtypes[0])
        self.nodata: float | None = file.nodata
        self.tags: dict[str, str] = file.tags()
        if len(set(file.dtypes)) > 1 or self.dtype.kind not in "iuf":
            kinds = ", ".join(dict.fromkeys(file.dtypes))
            raise ImageError(
                f"{self.path}: its values are {kinds}: store them as one real type"
            )
        # What the file says of how its numbers are to be shown: a palette, fewer than 8
        # bits, or white stored as 0, as scanned maps have it.
        colours = [colour.name for colour in file.colorinterp]
        self._palette = file.colormap(1) if colours[0] == "palette" else None
        structure = file.tags(ns="IMAGE_STRUCTURE")
        self._bits = int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        self._white_is_zero = (
            structure.get("MINISWHITE") == "YES" and self.dtype.kind == "u"
        )
        # A mask is declared as an alpha band, or as one mask for all bands
        # ("per_dataset"); a no-data value alone is no mask.
        self._alpha = self._find_alpha(colours)
        flags = {flag.name for flag in file.mask_flag_enums[0]}
        self.is_masked = self._alpha is not None or flags == {"per_dataset"}
        try:
            self.bands: Bands = choose_bands(
                file.count,
                names=file.descriptions,
                colours=colours,
                wanted=bands,
                alpha=self._alpha,
            )
        except SettingsError as error:
            raise ImageError(f"{self.path}: {error}") from error
        # Two bands, as a radar product's polarisations or a pair of indices, have no
        # colours that a model trained on RGB knows.
        colour_bands = file.count - (self._alpha is not None)
        if colour_bands == 2:
            raise ImageError(
                f"{self.path}: it has 2 bands: neither grey (1) nor red, green, blue "
                "(3 or more)"
            )
        # With more than three bands the order tells nothing: the first bands of a
        # Sentinel-2 product are aerosol, blue and green.
        if colour_bands > 3 and self.bands.told_by == "order":
            self.band_note = (
                f"{self.path}: no names of its {colour_bands} bands say which are "
                "red, green, blue: the first three are taken; others are named by "
                "--bands, as in --bands 3,2,1"
            )
            self.notes.append(self.band_note)
        self.grid = self.own.upright()
        self.put_on(self.grid)

    def take_bands_of(self, other: Raster) -> bool:
        """Read the bands that another file of as many bands names, if this one names
        none; whether it now does."""
        is_told = other.bands.told_by in ("names", "colours")
        if not (self.band_note and is_told and self._file.count == other._file.count):
            return False
        self.bands = Bands(other.bands.numbers, "the other date")
        self.notes.remove(self.band_note)
        self.band_note = ""
        return True

    @property
    def declares_nothing(self) -> bool:
        """Whether the file says nothing of pixels without data."""
        return self.nodata is None and not self.is_masked

    def box_on(self, grid: Grid) -> Box:
        """The ground of the file in pixels of another grid; errors as `pixel_box`."""
        return pixel_box(self.own, grid)

    def put_on(self, grid: Grid) -> None:
        """Read windows of this grid from now on."""
        self._close_view()
        self.grid = grid
        # Copying pixels keeps them as the sensor took them; a grid that is off by a
        # fraction of a pixel, or turned, needs new ones.
        shift = None if self._is_fitted else offset(self.own, grid)
        if shift is not None and self._has(shift, grid):
            self._seen, self._shift = self._file, shift
        else:
            # A view of GDAL's, which computes the pixels of a window when it is read,
            # so that a scene of any size needs no copy.
            self._seen, self._shift = self._told(lambda: self._warped(grid)), (0, 0)

    def _has(self, shift: tuple[int, int], grid: Grid) -> bool:
        """Whether all of a grid that begins at a pixel of the file lies in the file."""
        right, down = shift
        inside = (
            right + grid.width <= self.own.width
            and down + grid.height <= self.own.height
        )
        return min(shift) >= 0 and inside

    @property
    def is_resampled(self) -> bool:
        """Whether the pixels are not the file's own."""
        return self._seen is not self._file

    def read(
        self,
        row: int = 0,
        column: int = 0,
        height: int | None = None,
        width: int | None = None,
        *,
        shape: tuple[int, int] | None = None,
        nearest: bool = False,
    ) -> tuple[NDArray[Any], Mask | None]:
        """A window of the grid as (3, H, W) of the file's type, and its pixels with
        data (None: all of them).

        Without a size the window reaches to the end of the grid. ``shape`` (H, W)
        reduces it by means of blocks as it is read, or with ``nearest`` by leaving
        pixels out, so that a large one needs little memory. All of the window must lie
        on the grid.

        Raises:
            ImageError: the file is damaged there.
        """
        height = self.grid.height - row if height is None else height
        width = self.grid.width - column if width is None else width
        right, down = self._shift
        window = self._rasterio.windows.Window(
            column + right, row + down, width, height
        )
        found: tuple[NDArray[Any], Mask | None] = self._told(
            lambda: self._read(window, shape, nearest=nearest)
        )
        return found

    def is_stored(self, row: int, column: int, height: int, width: int) -> bool:
        """Whether anything of a window is stored: blocks that a sparse TIFF leaves out
        hold no data, which is told without reading them. Of other files everything
        is."""
        file = self._file
        if file.driver != "GTiff":
            return True
        right, down = self._shift
        top, left = max(row + down, 0), max(column + right, 0)
        bottom, end = row + down + height, column + right + width
        # The window is one of another grid: blocks are looked for around its place on
        # the file's own.
        if self.is_resampled:
            if self._is_fitted:
                return True
            grid = self.grid.cut((column, row, column + width, row + height))
            box = pixel_box(grid, self.own)
            # bilinear resampling looks at the neighbours too
            left, top = (max(math.floor(edge) - 1, 0) for edge in box[:2])
            end, bottom = (math.ceil(edge) + 1 for edge in box[2:])
        # A TIFF stores its pixels in blocks; one that was never written has no offset
        # in the file. Any stored block that the window touches is enough.
        rows, columns = file.block_shapes[0]
        down_to, right_to = min(bottom, file.height), min(end, file.width)
        for block_row in range(top // rows, -(-down_to // rows)):
            for block_column in range(left // columns, -(-right_to // columns)):
                name = f"BLOCK_OFFSET_{block_column}_{block_row}"
                found = file.get_tag_item(name, "TIFF", bidx=self.bands.numbers[0])
                if found is not None:
                    return True
        return False

    def _read(
        self, window: Any, shape: tuple[int, int] | None, *, nearest: bool
    ) -> tuple[NDArray[Any], Mask | None]:
        numbers = list(self.bands.numbers)
        asked: dict[str, Any] = {"window": window}
        if shape is not None:
            ways = self._rasterio.enums.Resampling
            way = ways.nearest if nearest else ways.average
            asked |= {"out_shape": (len(numbers), *shape), "resampling": way}
        mask = None
        if self._seen.count > self._file.count:
            # A resampled view's last band is its mask. Read by itself GDAL would
            # resample all of them again for it, and of floats and signed numbers it has
            # no other mask.
            if shape is not None:
                asked["out_shape"] = (len(numbers) + 1, *shape)
            values = self._seen.read([*numbers, self._seen.count], **asked)
            # (bands + 1, H, W) → the bands (bands, H, W), and the mask (H, W), 0–255.
            values, mask = values[:-1], values[-1]
        else:
            values = self._seen.read(numbers, **asked)
            if self.is_masked or self.is_resampled:
                if shape is not None:
                    asked["out_shape"] = shape
                mask = self._seen.read_masks(numbers[0], **asked)
        # a resampled view has its own mask, which knows of the no-data value
        nodata = None if self.is_resampled else self.nodata
        valid = valid_pixels(values, nodata=nodata, mask=mask)
        return self._as_colours(values), valid

    def _as_colours(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of a palette, of fewer than 8 bits, or of one band as three bands."""
        if self._palette is not None:
            # Numbers (1, H, W) of a palette → their colours (3, H, W).
            table = np.zeros((256, 3), np.uint8)
            for number, colour in self._palette.items():
                if number < len(table):
                    table[number] = colour[:3]
            coloured: NDArray[Any] = table[values[0]].transpose(2, 0, 1)
            return coloured
        # GDAL gives 4 bits as bytes from 0 to 15: spread over 0–255, so that the
        # highest is white.
        if self._bits in (1, 2, 4):
            values = values * np.uint8(255 // ((1 << self._bits) - 1))
        if self._white_is_zero:
            values = ~values
        return np.broadcast_to(values, (3, *values.shape[1:]))

    def close(self) -> None:
        """Close the file."""
        self._close_view()
        self._file.close()

    def _close_view(self) -> None:
        if self._seen is not self._file:
            self._seen.close()
            self._seen = self._file

    def _opened(self) -> Any:
        errors = self._rasterio.errors
        try:
            driver = self._driver()
            with _OPENING, warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
                return self._rasterio.open(self.path.absolute(), driver=driver)
        except (errors.RasterioError, OSError, ValueError) as error:
            raise ImageError(
                f"{self.path}: it is no raster that can be read, get it again ({error})"
            ) from error

    def _driver(self) -> str:
        """What GDAL calls the file's kind, by its first bytes."""
        with self.path.open("rb") as file:
            head = file.read(4)
            if head == _PNG:
                file.seek(max(0, self.path.stat().st_size - _PNG_END))
                # GDAL reads what is there, and is silent about the rest
                if b"IEND" not in file.read():
                    raise ValueError("it is cut off")
        for mark, driver in _DRIVERS.items():
            if head.startswith(mark):
                return driver
        raise ValueError("by its content it is no TIFF, PNG, JPEG or WebP")

    def _told(self, read: Callable[[], Any]) -> Any:
        """What ``read`` gives; what rasterio raises becomes our error."""
        try:
            with self._rasterio.Env():
                return read()
        except (self._rasterio.errors.RasterioError, OSError, ValueError) as error:
            # Rasterio's own text only says where to look
            cause = error.__cause__ or error
            raise ImageError(
                f"{self.path}: it cannot be read, get it again ({cause})"
            ) from error

    def _own_grid(self) -> tuple[Grid, bool]:
        """The file's grid, and whether its transform had to be fitted to ground control
        points."""
        file = self._file
        points, crs = file.gcps
        if not points or not file.transform.is_identity:
            return Grid(file.crs, file.transform, file.width, file.height), False
        fitted = self._rasterio.transform.from_gcps(points)
        off = 0.0
        for point in points:
            column, row = moved_by(~fitted, point.x, point.y)
            off = max(off, abs(column - point.col), abs(row - point.row))
        if off > 1:
            self.notes.append(
                f"{self.path}: its {len(points)} ground control points lie up to "
                f"{off:.0f} pixels off a plane; warp it with them first, say by "
                "gdalwarp"
            )
        return Grid(crs, fitted, file.width, file.height), True

    def _find_alpha(self, colours: list[str]) -> int | None:
        """The number of the alpha band, if one calls itself so and looks like one."""
        if "alpha" not in colours:
            return None
        number, file = colours.index("alpha") + 1, self._file
        shape = (min(file.height, _SAMPLE), min(file.width, _SAMPLE))
        # A band that is called "NIR" and yet flagged as alpha is infrared.
        name = file.descriptions[number - 1] or "alpha"
        is_named = name.strip().casefold() != "alpha"
        if not is_named and looks_like_alpha(
            self._told(lambda: file.read(number, out_shape=shape))
        ):
            return number
        self.notes.append(
            f"{self.path}: its band {number} calls itself alpha, but has another "
            "name or other numbers than an alpha's; it is taken for another band"
        )
        return None

    def _warped(self, grid: Grid) -> Any:
        """A view of the file on a grid, resampled as it is read."""
        rasterio = self._rasterio
        # without projections the numbers are compared as they are, whatever this one
        # means
        unknown = rasterio.crs.CRS.from_epsg(3857)
        own_crs = self.own.crs or grid.crs or unknown
        calls_alpha = any(colour.name == "alpha" for colour in self._file.colorinterp)
        return rasterio.vrt.WarpedVRT(
            self._file,
            src_crs=own_crs,
            src_transform=self.own.transform if self._is_fitted else None,
            crs=grid.crs or own_crs,
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=rasterio.enums.Resampling.bilinear,
            add_alpha=not calls_alpha,
            DST_ALPHA_MAX=255,  # else that of the values' type
        )
