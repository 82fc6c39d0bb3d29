"""TIFF files as arrays, by tifffile, once their directories are known to end and to
claim no more than they may."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.images.common import ORIENTATION, check_sides, turn
from sencap.images.levels import to_levels
from sencap.images.options import USUAL, Read, Reading
from sencap.rasters import Mask, choose_bands

MOST_PAGES = 64  # one image with its overviews and their masks has fewer than 40
_MOST_TAGS = 4096  # of a page; tifffile takes no more
# Bytes of all pages' tags: places and lengths of five million strips or tiles
_MOST_CLAIMED = 40 << 20
_MOST_DECODED = 2 << 30  # bytes of one page, all its bands
# Tags of georeferenced files; the last is GDAL's, in XML.
_CRS, _TRANSFORM = 34735, (33550, 33922, 34264)
_NO_DATA, _METADATA = 42113, 42112
_IGNORED = "it has {}: ignored without the extra geo, pip install 'sencap[geo]'"

# The tags whose values tifffile reads as it opens a page; of others it reads what it is
# asked for.
_LOADED = frozenset(tifffile.TIFF.TAG_LOAD) | frozenset(tifffile.TIFF.TAG_ATTRIBUTES)
# Bytes of a value, by the number of its type in TIFF
_WIDTHS = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2,
    9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip

# Keeps tifffile from stderr: what it finds wrong, we raise.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(file: BinaryIO, size: int, reading: Reading = USUAL) -> Read:
    """The one image of an open TIFF of ``size`` bytes as (3, H, W), uint8 or uint16,
    perhaps a view. What it says of its ground and of pixels without data is not heeded,
    but noted.

    Raises:
        ImageError: it is refused; the message does not name the file.
        Exception: of any kind, by tifffile, for damaged files.
    """
    _check_directories(file)
    file.seek(0)
    with _opened(file) as opened:
        # Overviews (bit 0) and masks (bit 2) are no images of their own.
        pages = [page for page in opened.pages if not page.subfiletype & 0b101]
        if len(pages) != 1:
            raise ImageError(f"it holds {len(pages)} pages: save the one that you mean")
        page = pages[0]
        _check_page(page, size, reading)
        bands = _bands_first(page, reading)
        valid: Mask | None = None
        if page.photometric == 3:  # numbers of a palette's colours
            table = np.asarray(page.colormap)
            if table.max() > 0xFF:  # colours of 16 bits, as the standard has them
                table = table >> 8
            # (3, colours) by (H, W) → (3, H, W): each pixel's number picks its colour.
            image: NDArray[Any] = table.astype(np.uint8)[:, bands[0]]
        else:
            colours = np.broadcast_to(bands, (3, *bands.shape[1:]))
            image, valid = to_levels(
                _widened(colours, page.bitspersample), None, reading.given_scale()
            )
            if page.photometric == 0:  # white is 0
                image = ~image
        turned = page.tags.valueof(ORIENTATION, default=1)
        if valid is not None:
            valid = turn(valid[None], turned)[0]
        said = _said(opened)
        return Read(
            turn(image, turned),
            valid,
            (_IGNORED.format(", ".join(said)),) if said else (),
        )


def georeference(file: BinaryIO) -> list[str]:
    """What an open TIFF of one image says beside its colours that rasterio would heed:
    where it lies, which pixels hold no data, what its bands are called. Nothing of one
    that is damaged.

    Raises:
        ImageError: it is refused as `read_tiff` does; the message does not name the
            file.
    """
    _check_directories(file)
    file.seek(0)
    with _opened(file) as opened:
        return _said(opened)


def _opened(file: BinaryIO) -> tifffile.TiffFile:
    """Without what tifffile does for some microscopes' files: it would read pages and
    tags that we have not seen."""
    return tifffile.TiffFile(file, is_lsm=False, is_ndpi=False, is_scanimage=False)


def _said(opened: tifffile.TiffFile) -> list[str]:
    """What an open TIFF says beside its colours, in words."""
    page: Any = opened.pages[0]
    tags = page.tags
    said = []
    if _CRS in tags:
        said.append("a projection")
    if any(tag in tags for tag in _TRANSFORM):
        said.append("a transform")
    if _NO_DATA in tags:
        said.append("a no-data value")
    if any(other.subfiletype & 0b100 for other in opened.pages):
        said.append("a mask")
    if set(page.extrasamples) & {1, 2}:
        said.append("an alpha band")
    if "DESCRIPTION" in str(tags.valueof(_METADATA, default="")).upper():
        said.append("names of bands")
    return said


def _check_page(page: Any, size: int, reading: Reading) -> None:
    """Refuse, before it is decoded, an image of another kind than ours, or whose data
    are not all there."""
    check_sides(page.imagewidth, page.imagelength)
    bands = page.samplesperpixel
    if page.imagedepth > 1 or page.nbytes > _MOST_DECODED:
        raise ImageError(
            f"it has {bands} bands, {page.imagedepth} deep: save three bands of it"
        )
    if bands == 2 and reading.bands is None and not set(page.extrasamples) & {1, 2}:
        raise ImageError(
            "it has 2 bands: neither grey (1) nor red, green, blue (3 or more)"
        )
    # Colours by TIFF's numbers: 0 and 1 are grey (0 with white as zero), 2 RGB, 3 a
    # palette, 6 YCbCr, which is taken from JPEG only.
    kind = page.photometric
    if kind not in (0, 1, 2, 3) and not (kind == 6 and page.compression in (6, 7)):
        raise ImageError(
            f"its colours are {getattr(kind, 'name', kind)}: convert it to RGB"
        )
    starts, lengths = page.dataoffsets, page.databytecounts
    if not starts or len(starts) != len(lengths):
        raise ImageError(
            "it is damaged or cut off: it does not say where its data are; get it again"
        )
    # Where the last strip or tile would end; a decoder might fill the missing rest with
    # zeros.
    if max(map(sum, zip(starts, lengths, strict=True))) > size:
        raise ImageError("it is cut off: it ends before its data do; get it again")


def _bands_first(page: Any, reading: Reading) -> NDArray[Any]:
    """The bands of a page that are wanted (the first three, or its one), (bands, H,
    W)."""
    image = page.asarray()
    if "S" in page.axes:
        # tifffile calls the axis of the bands S; it is the first or the last one.
        image = np.moveaxis(image, page.axes.index("S"), 0)
    bands: NDArray[Any] = image.reshape(-1, page.imagelength, page.imagewidth)
    if reading.bands is None:
        return bands[: 3 if page.samplesperpixel >= 3 else 1]
    try:
        chosen = choose_bands(len(bands), wanted=reading.bands)
    except SettingsError as error:
        raise ImageError(str(error)) from error
    return bands[[number - 1 for number in chosen.numbers]]


def _widened(image: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of 1, 2 or 4 bits as bytes; all others as they are."""
    if bits in (1, 2, 4):
        # The largest value of 1, 2 or 4 bits becomes 255.
        return image.astype(np.uint8, copy=False) * np.uint8(255 // ((1 << bits) - 1))
    return image


# --- The chain of directories, walked before tifffile does: it would follow a circle
# for ever.


@dataclass(frozen=True)
class _Layout:
    """How a TIFF writes its directories: the codes of `struct` for their parts."""

    order: str  # of bytes
    place: str  # of a directory, and what counts the values of a tag
    tags: str  # how many tags a directory has

    @property
    def tag(self) -> str:
        """Number, type and count; the value, or its place, follows."""
        return f"{self.order}HH{self.place}"


def _check_directories(file: BinaryIO) -> None:
    """Refuse a chain of pages that comes back to itself or is very long, and tags with
    very many values.

    Where a directory cannot be read the walk ends, as tifffile's does, which then says
    what is wrong. Directories that are no pages (SubIFDs, EXIF) are never followed.
    """
    seen: set[int] = set()
    for place in _directories(file):
        if place in seen:
            raise ImageError(
                f"it is damaged: its pages lead back to the one at byte {place}; get "
                "it again"
            )
        if len(seen) == MOST_PAGES:
            raise ImageError(
                f"it holds more than {MOST_PAGES} pages: save the one that you mean"
            )
        seen.add(place)


def _directories(file: BinaryIO) -> Iterator[int]:
    """The places of the pages' directories, one after the other; their tags are checked
    on the way."""
    file.seek(0)
    head = file.read(4)
    order = "<" if head.startswith(b"II") else ">"
    layout, first = _Layout(order, "I", "H"), 4
    if b"+" in head:  # BigTIFF, with places of 64 bits
        layout, first = _Layout(order, "Q", "Q"), 8
    left = _MOST_CLAIMED
    file.seek(first)
    try:
        place = _number(file, layout.order + layout.place)
        while place:
            yield place
            file.seek(place)
            # What the tags of all pages claim is added up, and not judged page by page.
            left -= _claimed(file, layout, left)
            place = _number(file, layout.order + layout.place)
    except (struct.error, OverflowError, OSError, EOFError):
        return


def _claimed(file: BinaryIO, layout: _Layout, most: int) -> int:
    """The bytes of the values that tifffile would read with the directory here; the
    file then stands behind it."""
    number = _number(file, layout.order + layout.tags)
    if number > _MOST_TAGS:
        raise EOFError
    # An entry of a directory has its number, type and count, and then the value or its
    # place; 12 bytes in TIFF, 20 in BigTIFF.
    step = struct.calcsize(layout.tag) + struct.calcsize(layout.order + layout.place)
    content = file.read(number * step)
    claimed = 0
    for start in range(0, number * step, step):
        code, kind, count = struct.unpack_from(layout.tag, content, start)
        if code in _LOADED:
            claimed += count * _WIDTHS.get(kind, 1)
        if claimed > most:
            raise ImageError(
                f"it is damaged: its tag {code} claims {count:,} values; get it again"
            )
    return claimed


def _number(file: BinaryIO, code: str) -> int:
    (number,) = struct.unpack(code, file.read(struct.calcsize(code)))
    return int(number)
