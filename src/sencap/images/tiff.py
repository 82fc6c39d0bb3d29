"""TIFF files as arrays, by tifffile, once their directories are known to end and to claim no more
than they may."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.images.common import ORIENTATION, check_sides, turn
from sencap.images.scale import Levels, row_blocks

MOST_PAGES = 64  # one image with its overviews and their masks has fewer than 40
_MOST_TAGS = 4096  # of a page; tifffile takes no more
# Bytes of all pages' tags: places and lengths of five million strips or tiles
_MOST_CLAIMED = 40 << 20
_MOST_DECODED = 2 << 30  # bytes of one page, all its bands
_BRIGHTEST = 6.5535  # reflectance that becomes 65535

# the tags whose values tifffile reads as it opens a page; of others it reads what it is asked for
_LOADED = frozenset(tifffile.TIFF.TAG_LOAD) | frozenset(tifffile.TIFF.TAG_ATTRIBUTES)
# Bytes of a value, by the number of its type in TIFF
_WIDTHS = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2,
    9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip

# keeps tifffile from stderr: what it finds wrong, we raise
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(file: BinaryIO, size: int) -> NDArray[Any]:
    """The one image of an open TIFF of ``size`` bytes as (3, H, W), uint8 or uint16, perhaps a
    view.

    Raises:
        ImageError: it is refused; the message does not name the file.
        Exception: of any kind, by tifffile, for damaged files.
    """
    _check_directories(file)
    file.seek(0)
    # what tifffile does for some microscopes' files would read pages and tags that we have not seen
    with tifffile.TiffFile(file, is_lsm=False, is_ndpi=False, is_scanimage=False) as opened:
        # overviews (bit 0) and masks (bit 2) are no images of their own
        pages = [page for page in opened.pages if not page.subfiletype & 0b101]
        if len(pages) != 1:
            raise ImageError(f"it holds {len(pages)} pages: save the one that you mean")
        page = pages[0]
        _check_page(page, size)
        bands = _bands_first(page)
        if page.photometric == 3:  # numbers of a palette's colours
            table = np.asarray(page.colormap)
            if table.max() > 0xFF:  # colours of 16 bits, as the standard has them
                table = table >> 8
            image: NDArray[Any] = table.astype(np.uint8)[:, bands[0]]
        else:
            image = _levels(bands, page.bitspersample)
            if page.photometric == 0:  # white is 0
                image = ~image
        turned = page.tags.valueof(ORIENTATION, default=1)
        return turn(np.broadcast_to(image, (3, *image.shape[1:])), turned)


def _check_page(page: Any, size: int) -> None:
    """Refuse, before it is decoded, an image of another kind than ours, or whose data are not all
    there."""
    check_sides(page.imagewidth, page.imagelength)
    bands = page.samplesperpixel
    if page.imagedepth > 1 or page.nbytes > _MOST_DECODED:
        raise ImageError(f"it has {bands} bands, {page.imagedepth} deep: save three bands of it")
    if bands == 2 and not set(page.extrasamples) & {1, 2}:
        raise ImageError("it has 2 bands: neither grey (1) nor red, green, blue (3 or more)")
    kind = page.photometric
    if kind not in (0, 1, 2, 3) and not (kind == 6 and page.compression in (6, 7)):
        raise ImageError(f"its colours are {getattr(kind, 'name', kind)}: convert it to RGB")
    starts, lengths = page.dataoffsets, page.databytecounts
    if not starts or len(starts) != len(lengths):
        raise ImageError(
            "it is damaged or cut off: it does not say where its data are; get it again"
        )
    if max(map(sum, zip(starts, lengths, strict=True))) > size:
        raise ImageError("it is cut off: it ends before its data do; get it again")


def _bands_first(page: Any) -> NDArray[Any]:
    """The first three bands of a page, or its one, as a view (bands, H, W)."""
    image = page.asarray()
    if "S" in page.axes:
        image = np.moveaxis(image, page.axes.index("S"), 0)
    bands: NDArray[Any] = image.reshape(-1, page.imagelength, page.imagewidth)
    return bands[: 3 if page.samplesperpixel >= 3 else 1]


def _levels(image: NDArray[Any], bits: int) -> Levels:
    """The samples of a TIFF as uint8 or uint16 (see the head of `sencap.images`)."""
    if bits in (1, 2, 4):
        return image.astype(np.uint8, copy=False) * np.uint8(255 // ((1 << bits) - 1))
    if image.dtype.name in ("uint8", "uint16"):
        return image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype.name == "int16":
        positive: NDArray[np.int16] = np.maximum(image, 0, dtype=np.int16)
        return positive.view(np.uint16)
    if image.dtype.kind != "f":
        raise ImageError(f"its values are {image.dtype}: store them as uint8 or uint16")
    return _reflectance(image)


def _reflectance(image: NDArray[Any]) -> NDArray[np.uint16]:
    """Floats (bands, H, W) as uint16, 1.0 as 10000; in blocks, or the copies would take several
    GB."""
    blocks = list(row_blocks(*image.shape[1:]))
    if lost := sum(int(np.count_nonzero(~np.isfinite(image[:, rows]))) for rows in blocks):
        raise ImageError(f"{lost} of its values are NaN or infinite: fill them, say with 0")
    brightest = max(image[:, rows].max() for rows in blocks)
    if brightest > _BRIGHTEST:
        raise ImageError(
            f"floats are reflectance 0–1, its reach {brightest:g}: store them as uint16"
        )
    result = np.empty(image.shape, np.uint16)
    for rows in blocks:
        exact = image[:, rows].clip(0).astype(np.float64)
        result[:, rows] = (exact * 10_000).round()
    return result


# --- the chain of directories, walked before tifffile does: it would follow a circle for ever


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
    """Refuse a chain of pages that comes back to itself or is very long, and tags with very many
    values.

    Where a directory cannot be read the walk ends, as tifffile's does, which then says what is
    wrong. Directories that are no pages (SubIFDs, EXIF) are never followed.
    """
    seen: set[int] = set()
    for place in _directories(file):
        if place in seen:
            raise ImageError(
                f"it is damaged: its pages lead back to the one at byte {place}; get it again"
            )
        if len(seen) == MOST_PAGES:
            raise ImageError(f"it holds more than {MOST_PAGES} pages: save the one that you mean")
        seen.add(place)


def _directories(file: BinaryIO) -> Iterator[int]:
    """The places of the pages' directories, one after the other; their tags are checked on the
    way."""
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
            left -= _claimed(file, layout, left)
            place = _number(file, layout.order + layout.place)
    except (struct.error, OverflowError, OSError, EOFError):
        return


def _claimed(file: BinaryIO, layout: _Layout, most: int) -> int:
    """The bytes of the values that tifffile would read with the directory here; the file then
    stands behind it."""
    number = _number(file, layout.order + layout.tags)
    if number > _MOST_TAGS:
        raise EOFError
    step = struct.calcsize(layout.tag) + struct.calcsize(layout.order + layout.place)
    content = file.read(number * step)
    claimed = 0
    for start in range(0, number * step, step):
        code, kind, count = struct.unpack_from(layout.tag, content, start)
        if code in _LOADED:
            claimed += count * _WIDTHS.get(kind, 1)
        if claimed > most:
            raise ImageError(f"it is damaged: its tag {code} claims {count:,} values; get it again")
    return claimed


def _number(file: BinaryIO, code: str) -> int:
    (number,) = struct.unpack(code, file.read(struct.calcsize(code)))
    return int(number)
