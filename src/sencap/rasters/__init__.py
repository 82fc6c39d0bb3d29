"""The one way to read georeferenced rasters, by rasterio (the extra ``geo``).

    with AlignedRasters("before.tif", "after.tif") as pair:
        pair.grid                                     # the shared ground, on the first one's grid
        values, valid = pair.read(1, 0, 512, 256, 256)  # a window of the second date

The modules, bottom up: grid (where pixels lie, what two grids share) · bands (which are
red, green and blue) · valid (which pixels hold data) · raster (one open file) · aligned
(two on one grid). How values become 8 bits is the matter of `sencap.images.levels`.
"""

from sencap.rasters.aligned import AlignedRasters
from sencap.rasters.bands import Bands, Wanted, check_bands, choose_bands
from sencap.rasters.grid import (
    Box,
    Grid,
    import_rasterio,
    pixel_box,
    share_of,
    shared_box,
)
from sencap.rasters.raster import Raster
from sencap.rasters.valid import Mask, both, looks_like_alpha, share_lost, valid_pixels

__all__ = [
    "AlignedRasters",
    "Bands",
    "Box",
    "Grid",
    "Mask",
    "Raster",
    "Wanted",
    "both",
    "check_bands",
    "choose_bands",
    "import_rasterio",
    "looks_like_alpha",
    "pixel_box",
    "share_lost",
    "share_of",
    "shared_box",
    "valid_pixels",
]
