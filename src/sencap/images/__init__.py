"""Images in, arrays out: one image, a pair, several pairs. A refusal says which file,
why, what to do.

A file is told by its content, not by its name. What becomes of it:

- **PNG, JPEG, WebP** of any kind: grey and 1-bit become three equal bands; palettes and
  CMYK become RGB; the rotation that EXIF asks for is done; colour profiles are ignored.
  Transparent pixels are laid over black, and those of which nothing is seen hold no
  data. Animations are refused.
- **TIFF** of one page (overviews and masks do not count), bands first or last, any byte
  order, any usual compression: the first three bands are R, G, B, one band is grey,
  others are ignored.
- **Rasters**, files that say where they lie, which pixels hold no data or what their
  bands are called: by `sencap.rasters`, on the grid of the first of a pair. Without
  rasterio their pixels are read as they are, and it is said what is ignored.
- **More than 8 bits** stay 16 bits in `read_image`; `read_pair` brings both dates to 8
  by one scale (`sencap.images.levels`). Floats are reflectance, 1.0 being 10000 as in
  Sentinel-2's files.
- **No data** at either date shows what the other date shows (`sencap.images.holes`).

`Reading` says which bands, which scale, and how much may hold no data.

From Python an image may also be the bytes of such a file, a file open in mode ``rb``, a
Pillow image, an array, a tensor or nested lists (`as_pair`). Arrays are whole numbers,
uint8 or uint16, of the shape (H, W), (H, W, 3) or (3, H, W), with at least 32 pixels a
side, so that no shape can mean two things; lists hold 0–255. uint16 is scaled as in
files; masked pixels are no data. A fourth band is refused: nobody can tell whether it
is alpha.
"""

from sencap.images.common import MAX_PIXELS, MIN_SIDE
from sencap.images.folders import IMAGE_SUFFIXES, find_pairs, holds_pairs
from sencap.images.levels import Scale, stretch
from sencap.images.options import Reading
from sencap.images.pairs import as_pair, read_image, read_pair, read_pixels
from sencap.images.scale import resize, shrink
from sencap.images.sources import ImageSource

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "ImageSource",
    "Reading",
    "Scale",
    "as_pair",
    "find_pairs",
    "holds_pairs",
    "read_image",
    "read_pair",
    "read_pixels",
    "resize",
    "shrink",
    "stretch",
]
